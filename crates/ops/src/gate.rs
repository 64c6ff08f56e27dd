//! What the gated residual blocks of PixelCNN++ do to every number: Salimans et al.,
//! arXiv 1701.05517.

use candle_core::{Result, Shape, Tensor};

use crate::cpu::Number;
use crate::cpu::gate::{Joined, concat_elu_pixels, concat_elu_slopes, gate_pixels, gate_slopes};
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::shape::{nhwc, same_shape};
use crate::team::share_new;

/// Pixels a task works through.
const PIXELS: usize = 1 << 8;

/// `elu(x)` and `elu(-x)` side by side. On the CPU only.
///
/// # Shapes
/// - `x`: (N, H, W, C)
/// - result: (N, H, W, 2C): `elu(x)`, then `elu(-x)`
///
/// # Errors
/// Where the shape or number type does not fit, and for tensors on a GPU.
pub fn concat_elu(x: &Tensor) -> Result<Tensor> {
    apply(ConcatElu, [x])
}

/// [`concat_elu`] of two tensors side by side, which are not joined for it.
///
/// # Shapes
/// - `x`: (N, H, W, C); `y`: (N, H, W, D)
/// - result: (N, H, W, 2C + 2D): `elu` of `x` and of `y`, then of `-x` and of `-y`
///
/// # Errors
/// Where the shapes or number types do not fit, and for tensors on a GPU.
pub fn joined_concat_elu(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    apply(ConcatElu, [x, y])
}

struct ConcatElu;

impl ConcatElu {
    /// Where the channels of each input lie in a pixel of the result.
    fn places<const N: usize>(channels: &[usize; N]) -> [Joined; N] {
        let mut first = 0;
        channels.map(|channels_of_one| {
            let half = channels.iter().sum();
            let place = Joined { channels: channels_of_one, first, half };
            first += channels_of_one;
            place
        })
    }
}

impl<const N: usize> Operator<N> for ConcatElu {
    const NAME: &'static str = "concat_elu";

    /// Channels of each input.
    type Sizes = [usize; N];

    fn sizes(&self, inputs: [&Shape; N]) -> Result<([usize; N], Shape)> {
        let name = <Self as Operator<N>>::NAME;
        let [n, h, w, _] = nhwc(name, "x", inputs[0])?;
        let mut channels = [0; N];
        for (shape, channels) in inputs.into_iter().zip(&mut channels) {
            *channels = nhwc(name, "x", shape)?[3];
            same_shape(name, "an input", &[n, h, w, *channels], shape)?;
        }
        Ok((channels, Shape::from((n, h, w, 2 * channels.iter().sum::<usize>()))))
    }

    fn forward<T: Number>(&self, channels: &[usize; N], inputs: [&[T]; N]) -> Vec<T> {
        let pixels = inputs[0].len() / channels[0];
        let width = 2 * channels.iter().sum::<usize>();
        let places = Self::places(channels);
        share_new(pixels * width, PIXELS * width, |blocks| {
            for (i, block) in blocks {
                for (place, x) in places.iter().zip(inputs) {
                    concat_elu_pixels(*place, &x[i * PIXELS * place.channels..], block);
                }
            }
        })
    }

    fn gradients<T: Number>(
        &self,
        channels: &[usize; N],
        of: OnSlices<'_, T, N>,
    ) -> [Gradient<Vec<T>>; N] {
        let OnSlices { inputs, upstream, wanted, .. } = of;
        let places = Self::places(channels);
        std::array::from_fn(|k| {
            let (x, place) = (inputs[k], places[k]);
            let gradient = wanted[k].then(|| {
                let size = PIXELS * place.channels;
                share_new(x.len(), size, |blocks| {
                    for (i, block) in blocks {
                        let upstream = &upstream[i * PIXELS * 2 * place.half..];
                        concat_elu_slopes(place, &x[i * size..], upstream, block);
                    }
                })
            });
            Gradient::own(gradient)
        })
    }
}

/// `x + a · sigmoid(b)`. On the CPU only.
///
/// # Shapes
/// - `x`: (N, H, W, C)
/// - `gated`: (N, H, W, 2C): a, then b
/// - result: (N, H, W, C)
///
/// # Errors
/// Where the shapes or number types do not fit, and for tensors on a GPU.
pub fn gated_add(x: &Tensor, gated: &Tensor) -> Result<Tensor> {
    apply(GatedAdd, [x, gated])
}

struct GatedAdd;

impl Operator<2> for GatedAdd {
    const NAME: &'static str = "gated_add";

    /// Channels.
    type Sizes = usize;

    fn sizes(&self, [x, gated]: [&Shape; 2]) -> Result<(usize, Shape)> {
        let [n, h, w, channels] = nhwc(Self::NAME, "x", x)?;
        same_shape(Self::NAME, "the gated tensor", &[n, h, w, 2 * channels], gated)?;
        Ok((channels, x.clone()))
    }

    fn forward<T: Number>(&self, &channels: &usize, [x, gated]: [&[T]; 2]) -> Vec<T> {
        let size = PIXELS * channels;
        share_new(x.len(), size, |blocks| {
            for (i, block) in blocks {
                gate_pixels(channels, &x[i * size..], &gated[2 * i * size..], block);
            }
        })
    }

    fn gradients<T: Number>(
        &self,
        &channels: &usize,
        of: OnSlices<'_, T, 2>,
    ) -> [Gradient<Vec<T>>; 2] {
        let OnSlices { inputs: [_, gated], upstream, wanted, .. } = of;
        let size = 2 * PIXELS * channels;
        let by_gated = wanted[1].then(|| {
            share_new(gated.len(), size, |blocks| {
                for (i, block) in blocks {
                    gate_slopes(channels, &gated[i * size..], &upstream[i * size / 2..], block);
                }
            })
        });
        [wanted[0].then(|| upstream.to_vec()), by_gated].map(Gradient::own)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::testing::{check_float32, check_gradients, close, message, values, waves};

    #[test]
    fn gradients_and_float32() {
        // The last has more pixels than one task.
        for shape in [[2, 3, 2, 5], [1, 1, 1, 1], [1, 18, 17, 1]] {
            let x = waves(&shape, 2.0, 0.1);
            let op = |x: &[Tensor]| concat_elu(&x[0]);
            check_gradients(std::slice::from_ref(&x), 1e-7, op);
            check_float32(std::slice::from_ref(&x), 1e-5, op);
            let [n, h, w, c] = shape;
            let both = [x.clone(), waves(&[n, h, w, 3], 2.0, 0.5)];
            let op = |x: &[Tensor]| joined_concat_elu(&x[0], &x[1]);
            check_gradients(&both, 1e-7, op);
            check_float32(&both, 1e-5, op);
            let both = [x, waves(&[n, h, w, 2 * c], 2.0, 0.5)];
            let op = |x: &[Tensor]| gated_add(&x[0], &x[1]);
            check_gradients(&both, 1e-7, op);
            check_float32(&both, 1e-5, op);
        }
    }

    #[test]
    fn values_by_hand() {
        let tensor = |data: &[f64]| Tensor::new(data, &Device::Cpu).unwrap().reshape((1, 1, 1, ()));
        let x = tensor(&[2.0, -1.0]).unwrap();
        let y = tensor(&[0.0]).unwrap();
        let down = |x: f64| x.exp() - 1.0;
        let expected = [2.0, down(-1.0), down(-2.0), 1.0];
        close(&values(&concat_elu(&x).unwrap()), &expected, 1e-15, "one");
        let expected = [2.0, down(-1.0), 0.0, down(-2.0), 1.0, 0.0];
        close(&values(&joined_concat_elu(&x, &y).unwrap()), &expected, 1e-15, "two");
        let gated = tensor(&[3.0, 5.0, 0.0, -100.0]).unwrap();
        close(&values(&gated_add(&x, &gated).unwrap()), &[3.5, -1.0], 1e-15, "gate");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let x = waves(&[1, 2, 2, 3], 1.0, 0.0);
        let found = message(joined_concat_elu(&x, &waves(&[1, 2, 3, 3], 1.0, 0.0)));
        assert!(found.contains("expected an input of [1, 2, 2, 3]"), "{found}");
        assert!(message(gated_add(&x, &x)).contains("expected the gated tensor of [1, 2, 2, 6]"));
    }
}
