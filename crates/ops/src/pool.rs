//! Average pooling that also widens: the end of an encoder block that changes resolution.
//!
//! `F.avg_pool2d` followed by zero-padding the channels, as the published encoder does.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::Real;
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::{Gpu, Operand, View},
    moves,
};
use crate::real::{dispatch, slice, tensor, with_slice};
use crate::shape::nhwc;
use crate::tape::{self, Operator, candle_gradient};

/// Averages `rate`×`rate` cells, then appends channels of zeros up to `channels_out`.
///
/// # Shapes
/// - `x`: (N, H, W, C); `rate` divides H and W, and C <= `channels_out`
/// - result: (N, H/rate, W/rate, `channels_out`)
///
/// # Errors
/// Where the shapes do not fit.
pub fn avg_pool(x: &Tensor, rate: usize, channels_out: usize) -> Result<Tensor> {
    if rate == 1 && x.dims().last() == Some(&channels_out) {
        return Ok(x.clone());
    }
    tape::apply1(x, AvgPool { rate, channels_out })
}

struct AvgPool {
    rate: usize,
    channels_out: usize,
}

/// Sizes of one call: `width` and `channels` of the input.
#[derive(Clone, Copy)]
struct Sizes {
    rate: usize,
    width: usize,
    channels: usize,
    channels_out: usize,
}

impl Sizes {
    #[cfg(feature = "cuda")]
    fn resampling(&self, out: &Shape) -> moves::Resampling {
        let Self { rate, channels, channels_out, .. } = *self;
        let (height, width) = (out.dims()[1], out.dims()[2]);
        moves::Resampling { rate, height, width, input: channels, output: channels_out }
    }

    /// Numbers in a row of input pixels.
    fn row(&self) -> usize {
        self.width * self.channels
    }

    /// Numbers in a row of output pixels.
    fn row_out(&self) -> usize {
        self.width / self.rate * self.channels_out
    }

    /// `1 / rate²`
    fn weight<T: Real>(&self) -> T {
        <T as WithDType>::from_f64(1.0 / (self.rate * self.rate) as f64)
    }
}

impl AvgPool {
    const NAME: &'static str = "avg_pool";

    fn sizes(&self, shape: &Shape) -> Result<(Sizes, Shape)> {
        let Self { rate, channels_out } = *self;
        let [n, h, w, channels] = nhwc(Self::NAME, "x", shape)?;
        if rate == 0 || h % rate != 0 || w % rate != 0 {
            candle_core::bail!(
                "{}: expected a height and width divisible by {rate}, found {h}×{w}",
                Self::NAME
            );
        }
        if channels > channels_out {
            candle_core::bail!(
                "{}: expected at most {channels_out} channels, found {channels}",
                Self::NAME
            );
        }
        let sizes = Sizes { rate, width: w, channels, channels_out };
        Ok((sizes, Shape::from((n, h / rate, w / rate, channels_out))))
    }
}

impl CustomOp1 for AvgPool {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (sizes, shape) = self.sizes(layout.shape())?;
        dispatch!(x.dtype(), Self::NAME, T => {
            let out = forward(slice::<T>(x, layout, Self::NAME)?, sizes);
            Ok((T::to_cpu_storage_owned(out), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (sizes, shape) = self.sizes(layout.shape())?;
        let gpu = Gpu::of(&x.device)?;
        let x = View::new(x, layout, Self::NAME)?;
        Ok((moves::pool(&gpu, sizes.resampling(&shape), x)?.into_storage(), shape))
    }

    candle_gradient!(1);
}

impl Operator<1> for AvgPool {
    fn backward(
        &self,
        [x]: [&Tensor; 1],
        upstream: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let (sizes, shape) = self.sizes(x.shape())?;
            let gpu = Gpu::of_tensor(x, Self::NAME)?;
            let (us, n) = (Operand::new(upstream, Self::NAME)?, x.elem_count());
            let dx = moves::pool_backward(&gpu, sizes.resampling(&shape), us.view(), n)?;
            return Ok([Some(dx.into_tensor(x.shape()))]);
        }
        let (sizes, _) = self.sizes(x.shape())?;
        dispatch!(x.dtype(), Self::NAME, T => {
            let dx = with_slice::<T, _>(upstream, Self::NAME, |g| Ok(backward(g, sizes)))?;
            Ok([Some(tensor(dx, x.shape())?)])
        })
    }
}

fn forward<T: Real>(x: &[T], sizes: Sizes) -> Vec<T> {
    let Sizes { rate, channels, channels_out, .. } = sizes;
    let weight = sizes.weight::<T>();
    let rows = x.len() / (rate * sizes.row());
    let mut out = vec![T::zero(); rows * sizes.row_out()];
    let cells = x.par_chunks_exact(rate * sizes.row());
    out.par_chunks_exact_mut(sizes.row_out()).zip(cells).for_each(|(out, cells)| {
        for line in cells.chunks_exact(sizes.row()) {
            for (i, pixel) in line.chunks_exact(channels).enumerate() {
                let sum = &mut out[i / rate * channels_out..][..channels];
                sum.iter_mut().zip(pixel).for_each(|(s, &v)| *s += v);
            }
        }
        out.iter_mut().for_each(|v| *v *= weight);
    });
    out
}

/// The gradient of the input, from that of the output.
fn backward<T: Real>(upstream: &[T], sizes: Sizes) -> Vec<T> {
    let Sizes { rate, channels, channels_out, .. } = sizes;
    let weight = sizes.weight::<T>();
    let rows = upstream.len() / sizes.row_out();
    let mut dx = vec![T::zero(); rows * rate * sizes.row()];
    let upstream = upstream.par_chunks_exact(sizes.row_out());
    dx.par_chunks_exact_mut(rate * sizes.row()).zip(upstream).for_each(|(dx, upstream)| {
        for line in dx.chunks_exact_mut(sizes.row()) {
            for (i, pixel) in line.chunks_exact_mut(channels).enumerate() {
                let g = &upstream[i / rate * channels_out..][..channels];
                pixel.iter_mut().zip(g).for_each(|(d, &g)| *d = g * weight);
            }
        }
    });
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_float32, check_gradients, message, values, waves};

    #[test]
    fn averages_cells_and_appends_zeros() {
        let x: Vec<f64> = (0..16).map(f64::from).collect();
        let x = tensor(x, (1, 2, 4, 2)).unwrap();
        let y = avg_pool(&x, 2, 3).unwrap();
        assert_eq!(y.dims(), [1, 1, 2, 3]);
        // Channel 0 of the left cell holds 0, 2, 8, 10.
        assert_eq!(values(&y), [5.0, 6.0, 0.0, 9.0, 10.0, 0.0]);
    }

    #[test]
    fn rate_one_only_widens() {
        let x = waves(&[2, 3, 1, 2], 1.0, 0.0);
        assert_eq!(values(&avg_pool(&x, 1, 2).unwrap()), values(&x));
        let y = avg_pool(&x, 1, 4).unwrap();
        assert_eq!(values(&y.narrow(3, 0, 2).unwrap()), values(&x));
        assert!(values(&y.narrow(3, 2, 2).unwrap()).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn gradients_and_float32() {
        let cases = [([1, 4, 4, 3], 2, 3), ([3, 4, 8, 2], 4, 5), ([2, 3, 3, 2], 3, 2)];
        for (shape, rate, out) in cases {
            let x = waves(&shape, 1.0, 0.3);
            let pool = |x: &[Tensor]| avg_pool(&x[0], rate, out);
            check_gradients(std::slice::from_ref(&x), 1e-8, pool);
            check_float32(&[x], 1e-6, pool);
        }
    }

    #[test]
    fn a_strided_input_is_pooled_in_its_own_order() {
        let x = waves(&[2, 4, 6, 3], 1.0, 0.1).transpose(1, 2).unwrap();
        let expected = avg_pool(&x.contiguous().unwrap(), 2, 3).unwrap();
        assert_eq!(values(&avg_pool(&x, 2, 3).unwrap()), values(&expected));
    }

    #[test]
    fn says_which_shape_does_not_fit() {
        let x = waves(&[1, 4, 6, 3], 1.0, 0.0);
        assert!(message(avg_pool(&x, 4, 3)).contains("divisible by 4, found 4×6"));
        assert!(message(avg_pool(&x, 0, 3)).contains("divisible by 0"));
        assert!(message(avg_pool(&x, 2, 2)).contains("at most 2 channels, found 3"));
        let integers = x.to_dtype(candle_core::DType::U8).unwrap();
        assert!(message(avg_pool(&integers, 2, 3)).contains("expected float32 or float64"));
    }
}
