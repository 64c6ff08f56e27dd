//! Nearest-neighbour upsampling of a lower resolution's state, added to the learned bias of a
//! higher one.
//!
//! The start of the first decoder block at a resolution in the published network. Candle's own
//! upsampling overwrites the gradient of a tensor that is used twice, which states here are.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::Real;
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::{Gpu, Kind, Operand, View},
    moves,
};
use crate::real::{dispatch, same_dtype, slice, tensor, with_slice};
use crate::shape::nhwc;
use crate::tape::{self, Operator, candle_gradient};

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
        Some(bias) => tape::apply2(low, bias, op),
        None => tape::apply1(low, op),
    }
}

struct UpsampleAdd {
    rate: usize,
    channels: usize,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    rate: usize,
    /// Width and channels of the lower resolution.
    low: (usize, usize),
    /// Height and channels of the higher resolution.
    high: (usize, usize),
}

impl Sizes {
    #[cfg(feature = "cuda")]
    fn resampling(&self) -> moves::Resampling {
        let Self { rate, low: (width, input), high: (height, output) } = *self;
        moves::Resampling { rate, height, width: width * rate, input, output }
    }

    /// Numbers in a row of the lower resolution.
    fn low_row(&self) -> usize {
        self.low.0 * self.low.1
    }

    /// Numbers in a row of the higher resolution.
    fn high_row(&self) -> usize {
        self.low.0 * self.rate * self.high.1
    }

    /// Channels that both have.
    fn shared(&self) -> usize {
        self.low.1.min(self.high.1)
    }
}

impl UpsampleAdd {
    const NAME: &'static str = "upsample_add";

    fn sizes(&self, low: &Shape) -> Result<(Sizes, [usize; 4])> {
        let Self { rate, channels } = *self;
        let [n, h, w, low_channels] = nhwc(Self::NAME, "the lower state", low)?;
        if rate == 0 || channels == 0 {
            candle_core::bail!(
                "{}: expected a positive rate and width, found {rate} and {channels}",
                Self::NAME
            );
        }
        let sizes = Sizes { rate, low: (w, low_channels), high: (h * rate, channels) };
        Ok((sizes, [n, h * rate, w * rate, channels]))
    }

    fn low_gradient(
        &self,
        low: &Tensor,
        upstream: &Tensor,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        if !wanted {
            return Ok(None);
        }
        let (sizes, _) = self.sizes(low.shape())?;
        #[cfg(feature = "cuda")]
        if low.device().is_cuda() {
            let gpu = Gpu::of_tensor(low, Self::NAME)?;
            let (us, n) = (Operand::new(upstream, Self::NAME)?, low.elem_count());
            let d = moves::upsample_backward(&gpu, sizes.resampling(), us.view(), n)?;
            return Ok(Some(d.into_tensor(low.shape())));
        }
        dispatch!(low.dtype(), Self::NAME, T => {
            let d = with_slice::<T, _>(upstream, Self::NAME, |g| Ok(sum_cells(g, sizes)))?;
            Ok(Some(tensor(d, low.shape())?))
        })
    }
}

impl CustomOp1 for UpsampleAdd {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, low: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (sizes, shape) = self.sizes(layout.shape())?;
        dispatch!(low.dtype(), Self::NAME, T => {
            let out = forward(slice::<T>(low, layout, Self::NAME)?, None, sizes);
            Ok((T::to_cpu_storage_owned(out), Shape::from(&shape)))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, low: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (sizes, shape) = self.sizes(layout.shape())?;
        let gpu = Gpu::of(&low.device)?;
        let low = View::new(low, layout, Self::NAME)?;
        let out = moves::upsample(&gpu, sizes.resampling(), low, None)?;
        Ok((out.into_storage(), Shape::from(&shape)))
    }

    candle_gradient!(1);
}

impl Operator<1> for UpsampleAdd {
    fn backward(
        &self,
        [low]: [&Tensor; 1],
        upstream: &Tensor,
        wanted: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        Ok([self.low_gradient(low, upstream, wanted[0])?])
    }
}

impl CustomOp2 for UpsampleAdd {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        low: &CpuStorage,
        low_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (sizes, shape) = self.sizes(low_layout.shape())?;
        check_bias(&shape, bias_layout.shape())?;
        same_dtype(Self::NAME, &[low.dtype(), bias.dtype()])?;
        dispatch!(low.dtype(), Self::NAME, T => {
            let low = slice::<T>(low, low_layout, Self::NAME)?;
            let bias = slice::<T>(bias, bias_layout, Self::NAME)?;
            let out = forward(low, Some(bias), sizes);
            Ok((T::to_cpu_storage_owned(out), Shape::from(&shape)))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        low: &CudaStorage,
        low_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (sizes, shape) = self.sizes(low_layout.shape())?;
        check_bias(&shape, bias_layout.shape())?;
        let gpu = Gpu::of(&low.device)?;
        let low = View::new(low, low_layout, Self::NAME)?;
        let bias = View::new(bias, bias_layout, Self::NAME)?.expect(Kind::F32, Self::NAME)?;
        let out = moves::upsample(&gpu, sizes.resampling(), low, Some(bias))?;
        Ok((out.into_storage(), Shape::from(&shape)))
    }

    candle_gradient!(2);
}

impl Operator<2> for UpsampleAdd {
    fn backward(
        &self,
        [low, bias]: [&Tensor; 2],
        upstream: &Tensor,
        wanted: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let low_gradient = self.low_gradient(low, upstream, wanted[0])?;
        if !wanted[1] {
            return Ok([low_gradient, None]);
        }
        #[cfg(feature = "cuda")]
        if bias.device().is_cuda() {
            let gpu = Gpu::of_tensor(bias, Self::NAME)?;
            let us = Operand::new(upstream, Self::NAME)?;
            let d = moves::sum_images(&gpu, us.view(), bias.elem_count())?;
            return Ok([low_gradient, Some(d.into_tensor(bias.shape()))]);
        }
        let (sizes, _) = self.sizes(low.shape())?;
        let row = sizes.high_row();
        dispatch!(bias.dtype(), Self::NAME, T => {
            let d = with_slice::<T, _>(upstream, Self::NAME, |g| {
                Ok(sum_images(g, bias.elem_count(), row))
            })?;
            Ok([low_gradient, Some(tensor(d, bias.shape())?)])
        })
    }
}

/// Fails where the numbers of a bias are not those of an image.
fn check_bias(image: &[usize; 4], bias: &Shape) -> Result<()> {
    if bias.elem_count() == image[1..].iter().product::<usize>() {
        return Ok(());
    }
    let (name, dims) = (UpsampleAdd::NAME, bias.dims());
    candle_core::bail!("{name}: expected the bias of {:?}, found {dims:?}", &image[1..])
}

fn forward<T: Real>(low: &[T], bias: Option<&[T]>, sizes: Sizes) -> Vec<T> {
    let Sizes { rate, low: (_, low_channels), high: (height, channels) } = sizes;
    let (row, shared) = (sizes.high_row(), sizes.shared());
    let rows = low.len() / sizes.low_row() * rate;
    let mut out = vec![T::zero(); rows * row];
    out.par_chunks_exact_mut(row).enumerate().for_each(|(i, out)| {
        if let Some(bias) = bias {
            out.copy_from_slice(&bias[i % height * row..][..row]);
        }
        // Every row of an image is a whole number of cells, so `i / rate` counts rows of `low`.
        let low = &low[i / rate * sizes.low_row()..][..sizes.low_row()];
        for (cell, low) in out.chunks_exact_mut(rate * channels).zip(low.chunks_exact(low_channels))
        {
            for pixel in cell.chunks_exact_mut(channels) {
                pixel[..shared].iter_mut().zip(low).for_each(|(v, &l)| *v += l);
            }
        }
    });
    out
}

/// The gradient of the lower state: sums over its `rate`×`rate` copies.
fn sum_cells<T: Real>(upstream: &[T], sizes: Sizes) -> Vec<T> {
    let Sizes { rate, low: (_, low_channels), high: (_, channels) } = sizes;
    let shared = sizes.shared();
    let rows = upstream.len() / (rate * sizes.high_row());
    let mut d = vec![T::zero(); rows * sizes.low_row()];
    let upstream = upstream.par_chunks_exact(rate * sizes.high_row());
    d.par_chunks_exact_mut(sizes.low_row()).zip(upstream).for_each(|(d, upstream)| {
        for line in upstream.chunks_exact(sizes.high_row()) {
            for (i, pixel) in line.chunks_exact(channels).enumerate() {
                let sum = &mut d[i / rate * low_channels..][..shared];
                sum.iter_mut().zip(pixel).for_each(|(s, &g)| *s += g);
            }
        }
    });
    d
}

/// The gradient of the bias: the sum over images, in their order.
fn sum_images<T: Real>(upstream: &[T], image: usize, row: usize) -> Vec<T> {
    let mut d = vec![T::zero(); image];
    d.par_chunks_exact_mut(row).enumerate().for_each(|(i, d)| {
        for upstream in upstream.chunks_exact(image) {
            d.iter_mut().zip(&upstream[i * row..]).for_each(|(d, &g)| *d += g);
        }
    });
    d
}

#[cfg(test)]
mod tests {
    use super::*;
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
            tape::add(&upsample_add(&x[0], None, 2, 3)?, &upsample_add(&x[0], None, 2, 3)?)
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
