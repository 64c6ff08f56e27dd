//! One gain and one bias a channel: a small operator, to read before adding one.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use crate::cpu::Number;
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::Gpu,
    memory::{Buffer, Kind, View},
    moves,
};
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::real::Real;
use crate::shape::{check_parameters, grid_of};
use crate::team::share_new;

/// `x · gain + bias`, channel by channel.
///
/// # Shapes
/// - `x`: (N, H, W, C)
/// - `parameters`: (2C): gains, then biases
/// - result: (N, H, W, C)
///
/// # Errors
/// Where the shapes or number types do not fit.
pub fn gain_bias(x: &Tensor, parameters: &Tensor) -> Result<Tensor> {
    apply(GainBias, [x, parameters])
}

struct GainBias;

/// Pixels a task works through; fixed, so that sums do not depend on the number of threads.
const PIXELS: usize = 1 << 10;

impl Operator<2> for GainBias {
    const NAME: &'static str = "gain_bias";

    /// Channels.
    type Sizes = usize;

    fn sizes(&self, [x, parameters]: [&Shape; 2]) -> Result<(usize, Shape)> {
        let channels = x.dims().last().copied().unwrap_or(0);
        grid_of(Self::NAME, x, channels)?;
        check_parameters(Self::NAME, parameters, 2 * channels)?;
        Ok((channels, x.clone()))
    }

    fn forward<T: Number>(&self, &channels: &usize, [x, parameters]: [&[T]; 2]) -> Vec<T> {
        let (gain, bias) = parameters.split_at(channels);
        let size = PIXELS * channels;
        share_new(x.len(), size, |blocks| {
            for (i, block) in blocks {
                let pixels = x[i * size..].chunks_exact(channels);
                for (out, pixel) in block.chunks_exact_mut(channels).zip(pixels) {
                    let parameters = gain.iter().zip(bias).zip(pixel);
                    out.iter_mut().zip(parameters).for_each(|(v, ((&g, &b), &x))| *v = x * g + b);
                }
            }
        })
    }

    /// One pass gives both.
    fn gradients<T: Number>(
        &self,
        &channels: &usize,
        of: OnSlices<'_, T, 2>,
    ) -> [Gradient<Vec<T>>; 2] {
        let OnSlices { inputs: [x, parameters], upstream, .. } = of;
        let (dx, dp) = gradients(&parameters[..channels], x, upstream);
        [Gradient::Own(dx), Gradient::Own(dp)]
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(&self, gpu: &Gpu, _: &usize, [x, parameters]: [View<'_>; 2]) -> Result<Buffer> {
        moves::gain_bias(gpu, x, parameters.expect(Kind::F32, Self::NAME)?)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, _: &usize, of: OnGpu<'_, 2>) -> Result<[Gradient<Buffer>; 2]> {
        let OnGpu { gpu, inputs: [x, parameters], upstream, .. } = of;
        let (dx, dp) = moves::gain_bias_backward(gpu, (x, parameters, upstream))?;
        Ok([Gradient::Own(dx), Gradient::Own(dp)])
    }
}

/// Gradients of `x`, and of gains and biases.
fn gradients<T: Real>(gain: &[T], x: &[T], upstream: &[T]) -> (Vec<T>, Vec<T>) {
    let channels = gain.len();
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
