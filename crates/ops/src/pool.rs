//! Average pooling that also widens: the end of an encoder block that changes resolution.
//!
//! `F.avg_pool2d` followed by zero-padding the channels, as the published encoder does.

use candle_core::{Result, Shape, Tensor, WithDType};

use crate::cpu::Number;
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::Gpu,
    memory::{Buffer, View},
    moves,
};
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::real::Real;
use crate::resampling::Resampling;
use crate::shape::nhwc;

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
    apply(AvgPool { rate, channels_out }, [x])
}

struct AvgPool {
    rate: usize,
    channels_out: usize,
}

impl AvgPool {
    /// `1 / rate²`
    fn weight<T: Real>(&self) -> T {
        <T as WithDType>::from_f64(1.0 / (self.rate * self.rate) as f64)
    }
}

impl Operator<1> for AvgPool {
    const NAME: &'static str = "avg_pool";

    type Sizes = Resampling;

    fn sizes(&self, [x]: [&Shape; 1]) -> Result<(Resampling, Shape)> {
        let Self { rate, channels_out } = *self;
        let [images, height, width, channels] = nhwc(Self::NAME, "x", x)?;
        if rate == 0 || height % rate != 0 || width % rate != 0 {
            candle_core::bail!(
                "{}: expected a height and width divisible by {rate}, found {height}×{width}",
                Self::NAME
            );
        }
        if channels > channels_out {
            candle_core::bail!(
                "{}: expected at most {channels_out} channels, found {channels}",
                Self::NAME
            );
        }
        let sizes = Resampling { rate, height, width, fine: channels, coarse: channels_out };
        Ok((sizes, Shape::from((images, height / rate, width / rate, channels_out))))
    }

    fn forward<T: Number>(&self, sizes: &Resampling, [x]: [&[T]; 1]) -> Vec<T> {
        let weight = self.weight::<T>();
        sizes.sum_cells(x, |row| row.iter_mut().for_each(|v| *v *= weight))
    }

    fn gradients<T: Number>(
        &self,
        sizes: &Resampling,
        of: OnSlices<'_, T, 1>,
    ) -> [Gradient<Vec<T>>; 1] {
        let OnSlices { upstream, .. } = of;
        let weight = self.weight::<T>();
        [Gradient::Own(sizes.repeat(upstream, None, |d, g| *d = g * weight))]
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(&self, gpu: &Gpu, sizes: &Resampling, [x]: [View<'_>; 1]) -> Result<Buffer> {
        moves::pool(gpu, *sizes, x)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, sizes: &Resampling, of: OnGpu<'_, 1>) -> Result<[Gradient<Buffer>; 1]> {
        let OnGpu { gpu, inputs: [x], upstream, .. } = of;
        Ok([Gradient::Own(moves::pool_backward(gpu, *sizes, upstream, x.len)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::tensor;
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
