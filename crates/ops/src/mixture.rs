//! The discretized mixture of logistics: likelihood, its gradient, and samples.
//!
//! Salimans et al., "PixelCNN++", arXiv 1701.05517, as the published VDVAE code uses it. Channels
//! of the logits are ten groups of M: the mixture logits, then for each colour means, log scales
//! and coefficients. The coefficients in the three colours' places tie green to red, blue to red,
//! and blue to green.

pub(crate) mod sample;

#[cfg(feature = "cuda")]
use candle_core::Storage;
use candle_core::{DType, Result, Shape, Tensor};
use rayon::prelude::*;

use self::sample::logits_shape;
use crate::cpu::Number;
use crate::cpu::elementary::Elementary;
use crate::cpu::mixture::{Bins, GROUPS, Scratch, chunk};
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::Gpu,
    latent as device,
    memory::{Buffer, Kind, View},
};
use crate::kept::Kept;
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::shape::same_shape;
use crate::tape;

/// Pixels to a unit of parallel work. The kernel's scratch, 14 arrays of `PIXELS` · M numbers,
/// stays in the second-level cache.
const PIXELS: usize = 32;

/// Negative log-likelihood of pictures.
///
/// With `low_bit` the target is the pixel's upper five bits, ⌊x / 8⌋ · 8, with bins of 1/31 on
/// either side, as published for FFHQ-256.
///
/// # Shapes
/// - `logits`: (N, H, W, 10M)
/// - `pixels`: u8 (N, H, W, 3), a constant
/// - result: (N), nats per dimension: divided by H · W · 3
///
/// # Errors
/// Where the shapes or number types do not fit.
pub fn mixture_nll(logits: &Tensor, pixels: &Tensor, low_bit: bool) -> Result<Tensor> {
    let name = <MixtureNll as Operator<1>>::NAME;
    let ([n, h, w, _], _) = logits_shape(name, logits.shape())?;
    same_shape(name, "pixels", &[n, h, w, 3], pixels.shape())?;
    if pixels.dtype() != DType::U8 {
        candle_core::bail!("{name}: expected pixels of type U8, found {:?}", pixels.dtype());
    }
    let kept = Kept::new(tape::tracked(logits));
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        let on_device = Some(pixels.to_device(logits.device())?.contiguous()?);
        return apply(MixtureNll { pixels: vec![], on_device, low_bit, kept }, [logits]);
    }
    let op = MixtureNll {
        pixels: pixels.flatten_all()?.to_vec1::<u8>()?,
        #[cfg(feature = "cuda")]
        on_device: None,
        low_bit,
        kept,
    };
    apply(op, [logits])
}

struct MixtureNll {
    /// (N, H, W, 3); empty where they are on the GPU.
    pixels: Vec<u8>,
    /// (N, H, W, 3)
    #[cfg(feature = "cuda")]
    on_device: Option<Tensor>,
    low_bit: bool,
    /// The gradient where that of every result is one: it shares every exponential with the value.
    /// A vector of the call's number type, or a buffer on the GPU.
    kept: Kept,
}

impl MixtureNll {
    /// Nats per dimension of each picture and, if `want`ed, their derivatives by the logits.
    fn evaluate<T: Elementary>(&self, sizes: &Sizes, logits: &[T], want: bool) -> (Vec<T>, Vec<T>) {
        let Sizes { images, image_pixels, components } = *sizes;
        let mut gradient = vec![T::zero(); if want { logits.len() } else { 0 }];
        let (image, bytes) = (logits.len() / images, 3 * image_pixels);
        let bins = Bins::new(self.low_bit, bytes);
        // Without a gradient every picture gets an empty part of it.
        let mut gradients: Vec<&mut [T]> = match want {
            true => gradient.chunks_exact_mut(image).collect(),
            false => (0..images).map(|_| Default::default()).collect(),
        };
        let values = gradients
            .par_iter_mut()
            .zip(logits.par_chunks_exact(image).zip(self.pixels.par_chunks_exact(bytes)))
            .map(|(gradient, (logits, pixels))| {
                T::of(image_nll(components, bins, logits, pixels, gradient))
            })
            .collect();
        (values, gradient)
    }

    /// The same on a GPU.
    #[cfg(feature = "cuda")]
    fn gpu_evaluate(
        &self,
        gpu: &Gpu,
        sizes: &Sizes,
        logits: View<'_>,
        want: bool,
    ) -> Result<(Buffer, Option<Buffer>)> {
        let name = <Self as Operator<1>>::NAME;
        let pixels = self.on_device.as_ref().expect("logits on the GPU have their pixels there");
        let (storage, layout) = pixels.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            candle_core::bail!("{name}: expected pixels on the GPU");
        };
        let Sizes { images, image_pixels, components } = *sizes;
        let mixture = device::Mixture { images, image_pixels, components, low_bit: self.low_bit };
        mixture.evaluate(gpu, logits.expect(Kind::F32, name)?, storage, layout.start_offset(), want)
    }
}

/// Sizes of one call.
struct Sizes {
    images: usize,
    image_pixels: usize,
    components: usize,
}

/// One picture: nats per dimension, and their derivatives unless `gradient` is empty.
fn image_nll<T: Elementary>(
    components: usize,
    bins: Bins<T>,
    logits: &[T],
    pixels: &[u8],
    gradient: &mut [T],
) -> f64 {
    let size = PIXELS * GROUPS * components;
    let chunks = logits.len().div_ceil(size);
    let mut gradients: Vec<&mut [T]> = match gradient.is_empty() {
        false => gradient.chunks_mut(size).collect(),
        true => (0..chunks).map(|_| Default::default()).collect(),
    };
    let parts: Vec<f64> = gradients
        .par_iter_mut()
        .zip(logits.par_chunks(size).zip(pixels.par_chunks(PIXELS * 3)))
        .map_init(
            || Scratch::new(components, PIXELS),
            |scratch, (gradient, (logits, pixels))| {
                let mut log_likelihood = 0.0;
                chunk(logits, pixels, bins, scratch, gradient, &mut log_likelihood);
                log_likelihood
            },
        )
        .collect();
    -parts.iter().sum::<f64>() / pixels.len() as f64
}

/// Multiplies every picture's gradient by the gradient of its result.
fn scale_images<T: Elementary>(gradient: &mut [T], upstream: &[T]) {
    let image = gradient.len() / upstream.len();
    gradient.par_chunks_exact_mut(image).zip(upstream).for_each(|(gradient, &u)| {
        gradient.iter_mut().for_each(|g| *g *= u);
    });
}

impl Operator<1> for MixtureNll {
    const NAME: &'static str = "mixture_nll";

    type Sizes = Sizes;

    fn sizes(&self, [logits]: [&Shape; 1]) -> Result<(Sizes, Shape)> {
        let ([images, h, w, _], components) = logits_shape(Self::NAME, logits)?;
        Ok((Sizes { images, image_pixels: h * w, components }, Shape::from(images)))
    }

    fn forward<T: Number>(&self, sizes: &Sizes, [logits]: [&[T]; 1]) -> Vec<T> {
        let (values, gradient) = self.evaluate(sizes, logits, self.kept.wanted());
        self.kept.put(gradient);
        values
    }

    fn gradients<T: Number>(&self, sizes: &Sizes, of: OnSlices<'_, T, 1>) -> [Gradient<Vec<T>>; 1] {
        let OnSlices { inputs: [logits], upstream, .. } = of;
        let kept = self.kept.take::<Vec<T>>();
        let mut gradient = kept.unwrap_or_else(|| self.evaluate(sizes, logits, true).1);
        scale_images(&mut gradient, upstream);
        [Gradient::Own(gradient)]
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(&self, gpu: &Gpu, sizes: &Sizes, [logits]: [View<'_>; 1]) -> Result<Buffer> {
        let (values, gradient) = self.gpu_evaluate(gpu, sizes, logits, self.kept.wanted())?;
        if let Some(gradient) = gradient {
            self.kept.put(gradient);
        }
        Ok(values)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, sizes: &Sizes, of: OnGpu<'_, 1>) -> Result<[Gradient<Buffer>; 1]> {
        let OnGpu { gpu, inputs: [logits], upstream, .. } = of;
        let gradient = match self.kept.take::<Buffer>() {
            Some(kept) => kept,
            None => {
                let (_, gradient) = self.gpu_evaluate(gpu, sizes, logits, true)?;
                gradient.expect("it was asked for")
            }
        };
        device::scale_images(gpu, gradient.view(), upstream)?;
        Ok([Gradient::Own(gradient)])
    }
}

#[cfg(test)]
mod tests;
