//! Nearest-neighbour upsampling of a lower resolution's state, added to the learned bias of a
//! higher one.
//!
//! The start of the first decoder block at a resolution in the published network. Candle's own
//! upsampling overwrites the gradient of a tensor that is used twice, which states here are.

use candle_core::{Result, Shape, Tensor};

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
use crate::resampling::Resampling;
use crate::shape::nhwc;
#[cfg(feature = "cuda")]
use crate::storage::collected;
use crate::team::share_new;

/// Repeats every pixel of `low` `rate`×`rate` times, keeps its first `channels` channels (or
/// appends zeros where it has fewer), and adds `bias` to every image.
///
/// # Shapes
/// - `low`: (N, h, w, Cl)
/// - `bias`: (h·rate · w·rate · `channels`) numbers in any shape; `None` is zero
/// - result: (N, h·rate, w·rate, `channels`)
///
/// # Errors
/// Where the shapes do not fit.
pub fn upsample_add(
    low: &Tensor,
    bias: Option<&Tensor>,
    rate: usize,
    channels: usize,
) -> Result<Tensor> {
    let op = UpsampleAdd { rate, channels };
    match bias {
        Some(bias) => apply(op, [low, bias]),
        None => apply(op, [low]),
    }
}

#[derive(Clone, Copy)]
struct UpsampleAdd {
    rate: usize,
    channels: usize,
}

/// Of the lower state alone, or of the lower state and a bias.
impl<const N: usize> Operator<N> for UpsampleAdd {
    const NAME: &'static str = "upsample_add";

    type Sizes = Resampling;

    fn sizes(&self, inputs: [&Shape; N]) -> Result<(Resampling, Shape)> {
        let (Self { rate, channels }, name) = (*self, <Self as Operator<N>>::NAME);
        let [n, h, w, low_channels] = nhwc(name, "the lower state", inputs[0])?;
        if rate == 0 || channels == 0 {
            candle_core::bail!(
                "{name}: expected a positive rate and width, found {rate} and {channels}"
            );
        }
        let image @ [height, width, fine] = [h * rate, w * rate, channels];
        let size: usize = image.iter().product();
        if let Some(bias) = inputs.get(1).filter(|bias| bias.elem_count() != size) {
            candle_core::bail!("{name}: expected the bias of {image:?}, found {:?}", bias.dims());
        }
        let sizes = Resampling { rate, height, width, fine, coarse: low_channels };
        Ok((sizes, Shape::from((n, height, width, fine))))
    }

    fn forward<T: Number>(&self, sizes: &Resampling, inputs: [&[T]; N]) -> Vec<T> {
        sizes.repeat(inputs[0], inputs.get(1).copied(), |v, low| *v += low)
    }

    fn gradients<T: Number>(
        &self,
        sizes: &Resampling,
        of: OnSlices<'_, T, N>,
    ) -> [Gradient<Vec<T>>; N] {
        let OnSlices { upstream, wanted, .. } = of;
        std::array::from_fn(|i| match i {
            _ if !wanted[i] => Gradient::Nothing,
            0 => Gradient::Own(sizes.sum_cells(upstream, |_| ())),
            _ => Gradient::Own(sum_images(upstream, sizes.height, sizes.fine_row())),
        })
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(&self, gpu: &Gpu, sizes: &Resampling, inputs: [View<'_>; N]) -> Result<Buffer> {
        let bias = inputs.get(1).map(|bias| bias.expect(Kind::F32, <Self as Operator<N>>::NAME));
        moves::upsample(gpu, *sizes, inputs[0], bias.transpose()?)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, sizes: &Resampling, of: OnGpu<'_, N>) -> Result<[Gradient<Buffer>; N]> {
        let OnGpu { gpu, inputs, upstream, wanted, .. } = of;
        let (of, n) = (*sizes, inputs[0].len);
        collected((0..N).map(|i| match i {
            _ if !wanted[i] => Ok(Gradient::Nothing),
            0 => moves::upsample_backward(gpu, of, upstream, n).map(Gradient::Own),
            _ => {
                moves::sum_images(gpu, upstream, sizes.height * sizes.fine_row()).map(Gradient::Own)
            }
        }))
    }
}

/// The gradient of the bias: the sum over images, in their order.
fn sum_images<T: Real>(upstream: &[T], rows: usize, row: usize) -> Vec<T> {
    let image = rows * row;
    share_new(image, row, |rows| {
        for (i, d) in rows {
            for upstream in upstream.chunks_exact(image) {
                d.iter_mut().zip(&upstream[i * row..]).for_each(|(d, &g)| *d += g);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::tensor;
    use crate::tape::stock::add;
    use crate::testing::{check_float32, check_gradients, message, values, waves};

    #[test]
    fn repeats_pixels_and_adds_the_bias() {
        let low = tensor(vec![1.0, 2.0, 3.0, 4.0], (1, 1, 2, 2)).unwrap();
        let bias = tensor((0..8).map(|v| f64::from(v) * 10.0).collect(), (2, 4, 1)).unwrap();
        let y = upsample_add(&low, Some(&bias), 2, 1).unwrap();
        assert_eq!(y.dims(), [1, 2, 4, 1]);
        assert_eq!(values(&y), [1., 11., 23., 33., 41., 51., 63., 73.]);
    }

    #[test]
    fn appends_zeros_where_the_lower_state_is_narrower() {
        let low = tensor(vec![1.0, 2.0], (1, 1, 1, 2)).unwrap();
        let y = upsample_add(&low, None, 1, 3).unwrap();
        assert_eq!(values(&y), [1.0, 2.0, 0.0]);
    }

    #[test]
    fn gradients_and_float32() {
        // (N, h, w, Cl), rate, C: truncated, equal, padded.
        let cases = [
            ([1, 2, 2, 4], 2, 3),
            ([3, 1, 1, 3], 4, 3),
            ([2, 2, 3, 2], 3, 4),
            ([3, 2, 1, 2], 1, 2),
        ];
        for (shape, rate, c) in cases {
            let low = waves(&shape, 1.0, 0.3);
            let bias = waves(&[shape[1] * rate, shape[2] * rate, c], 1.0, 0.8);
            let plain = |x: &[Tensor]| upsample_add(&x[0], None, rate, c);
            check_gradients(std::slice::from_ref(&low), 1e-8, plain);
            let biased = |x: &[Tensor]| upsample_add(&x[0], Some(&x[1]), rate, c);
            check_gradients(&[low.clone(), bias.clone()], 1e-8, biased);
            check_float32(&[low, bias], 1e-6, biased);
        }
    }

    #[test]
    fn a_state_used_twice_gets_both_gradients() {
        let x = waves(&[2, 2, 2, 3], 1.0, 0.3);
        check_gradients(&[x], 1e-8, |x| {
            add(&upsample_add(&x[0], None, 2, 3)?, &upsample_add(&x[0], None, 2, 3)?)
        });
    }

    #[test]
    fn says_which_shape_does_not_fit() {
        let low = waves(&[1, 2, 2, 3], 1.0, 0.0);
        let bias = waves(&[4, 4, 2], 1.0, 0.0);
        let error = message(upsample_add(&low, Some(&bias), 2, 3));
        assert!(error.contains("expected the bias of [4, 4, 3], found [4, 4, 2]"), "{error}");
        assert!(message(upsample_add(&low, None, 0, 3)).contains("found 0 and 3"));
        let bias = bias.to_dtype(candle_core::DType::F32).unwrap();
        assert!(message(upsample_add(&low, Some(&bias), 2, 2)).contains("expected F64 throughout"));
    }
}
