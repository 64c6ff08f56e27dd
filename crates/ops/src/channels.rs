//! One gain and one bias a channel.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::Real;
use crate::conv::{check_parameters, grid_of};
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::{Gpu, Kind, Operand, View},
    moves,
};
use crate::real::{dispatch, same_dtype, slice, tensor, with_slice};
use crate::tape::{self, Operator, candle_gradient};

/// `x · gain + bias`, channel by channel.
///
/// # Shapes
/// - `x`: (N, H, W, C)
/// - `parameters`: (2C): gains, then biases
/// - result: (N, H, W, C)
pub fn gain_bias(x: &Tensor, parameters: &Tensor) -> Result<Tensor> {
    tape::apply2(x, parameters, GainBias)
}

struct GainBias;

/// Pixels a task works through; fixed, so that sums do not depend on the number of threads.
const PIXELS: usize = 1 << 10;

impl GainBias {
    const NAME: &'static str = "gain_bias";

    fn channels(x: &Shape, parameters: &Shape) -> Result<usize> {
        let channels = x.dims().last().copied().unwrap_or(0);
        grid_of(Self::NAME, x, channels)?;
        check_parameters(Self::NAME, parameters, 2 * channels)?;
        Ok(channels)
    }

    fn forward<T: Real>(channels: usize, x: &[T], parameters: &[T]) -> Vec<T> {
        let (gain, bias) = parameters.split_at(channels);
        let mut out = x.to_vec();
        out.par_chunks_mut(PIXELS * channels).for_each(|block| {
            for pixel in block.chunks_exact_mut(channels) {
                let parameters = gain.iter().zip(bias);
                pixel.iter_mut().zip(parameters).for_each(|(v, (&g, &b))| *v = *v * g + b);
            }
        });
        out
    }

    /// Gradients of `x` and of the parameters.
    fn gradients<T: Real>(
        channels: usize,
        (x, parameters, upstream): (&[T], &[T], &[T]),
    ) -> (Vec<T>, Vec<T>) {
        let gain = &parameters[..channels];
        let mut dx = upstream.to_vec();
        let blocks = dx.par_chunks_mut(PIXELS * channels).zip(x.par_chunks(PIXELS * channels));
        let sums: Vec<Vec<T>> = blocks
            .map(|(dx, x)| {
                let mut sums = vec![T::zero(); 2 * channels];
                let (gains, biases) = sums.split_at_mut(channels);
                for (d, x) in dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        gains[c] += d[c] * x[c];
                        biases[c] += d[c];
                        d[c] *= gain[c];
                    }
                }
                sums
            })
            .collect();
        let total = |i: usize| sums.iter().map(|sums| sums[i]).sum();
        (dx, (0..2 * channels).map(total).collect())
    }
}

impl CustomOp2 for GainBias {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        same_dtype(Self::NAME, &[x.dtype(), parameters.dtype()])?;
        let channels = Self::channels(x_layout.shape(), parameters_layout.shape())?;
        dispatch!(x.dtype(), Self::NAME, T => {
            let x = slice::<T>(x, x_layout, Self::NAME)?;
            let parameters = slice::<T>(parameters, parameters_layout, Self::NAME)?;
            let out = Self::forward(channels, x, parameters);
            Ok((WithDType::to_cpu_storage_owned(out), x_layout.shape().clone()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::channels(x_layout.shape(), parameters_layout.shape())?;
        let gpu = Gpu::of(&x.device)?;
        let x = View::new(x, x_layout, Self::NAME)?;
        let parameters = View::new(parameters, parameters_layout, Self::NAME)?;
        let out = moves::gain_bias(&gpu, x, parameters.expect(Kind::F32, Self::NAME)?)?;
        Ok((out.into_storage(), x_layout.shape().clone()))
    }

    candle_gradient!(2);
}

impl Operator<2> for GainBias {
    fn backward(
        &self,
        [x, parameters]: [&Tensor; 2],
        upstream: &Tensor,
        wanted: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let channels = Self::channels(x.shape(), parameters.shape())?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let gpu = Gpu::of_tensor(x, Self::NAME)?;
            let [xs, ps, us] = Operand::all([x, parameters, upstream], Self::NAME)?;
            let (dx, dp) = moves::gain_bias_backward(&gpu, (xs.view(), ps.view(), us.view()))?;
            return Ok([
                wanted[0].then(|| dx.into_tensor(x.shape())),
                wanted[1].then(|| dp.into_tensor(parameters.shape())),
            ]);
        }
        dispatch!(x.dtype(), Self::NAME, T => {
            let (dx, dp) = with_slice::<T, _>(x, Self::NAME, |xs| {
                with_slice::<T, _>(parameters, Self::NAME, |ps| {
                    with_slice::<T, _>(upstream, Self::NAME, |us| {
                        Ok(Self::gradients(channels, (xs, ps, us)))
                    })
                })
            })?;
            // One pass gives both; a constant's is dropped.
            let dx = wanted[0].then(|| tensor(dx, x.shape())).transpose()?;
            let dp = wanted[1].then(|| tensor(dp, parameters.shape())).transpose()?;
            Ok([dx, dp])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        check_float32, check_gradients, message, same_on_any_threads, values, waves,
    };

    #[test]
    fn gradients_and_float32() {
        // The last has more pixels than one chunk.
        for shape in [[2, 3, 2, 5], [3, 1, 1, 1], [1, 33, 32, 1]] {
            let inputs = [waves(&shape, 1.0, 0.1), waves(&[2 * shape[3]], 1.0, 0.7)];
            let op = |x: &[Tensor]| gain_bias(&x[0], &x[1]);
            check_gradients(&inputs, 1e-7, op);
            // Float32 sums of up to a thousand products.
            check_float32(&inputs, 1e-5, op);
        }
    }

    #[test]
    fn threads_do_not_change_the_gradient() {
        let x = waves(&[1, 80, 80, 1], 1.0, 0.1).to_dtype(candle_core::DType::F32).unwrap();
        let p = waves(&[2], 1.0, 0.7).to_dtype(candle_core::DType::F32).unwrap();
        let p = candle_core::Var::from_tensor(&p).unwrap();
        same_on_any_threads(|| {
            let store = gain_bias(&x, &p).unwrap().sum_all().unwrap().backward().unwrap();
            values(store.get(&p).unwrap())
        });
    }

    #[test]
    fn refuses_parameters_of_another_width() {
        let x = waves(&[1, 2, 2, 3], 1.0, 0.0);
        assert!(message(gain_bias(&x, &waves(&[3], 1.0, 0.0))).contains("gain_bias"));
    }

    #[test]
    fn scales_then_shifts() {
        let x = Tensor::new(&[[[[2.0, 3.0]]]], &candle_core::Device::Cpu).unwrap();
        let p = Tensor::new(&[10.0, 100.0, 0.5, 0.25], &candle_core::Device::Cpu).unwrap();
        let y = gain_bias(&x, &p).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(y, [20.5, 300.25]);
    }
}
