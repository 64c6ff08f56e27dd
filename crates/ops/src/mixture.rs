//! The discretized mixture of logistics: likelihood, its gradient, and samples.
//!
//! Salimans et al., "PixelCNN++", arXiv 1701.05517, as the published VDVAE code uses it. Channels
//! of the logits are ten groups of M: the mixture logits, then for each colour means, log scales
//! and coefficients. The coefficients in the three colours' places tie green to red, blue to red,
//! and blue to green.

mod kernel;
mod sample;

use std::any::Any;
use std::sync::Mutex;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Storage};
use rayon::prelude::*;

use self::kernel::{Bins, GROUPS, Mixture, Scratch};
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::{Buffer, Gpu, Kind, Operand, View},
    latent as device,
};
use crate::real::{dispatch, slice, tensor, with_slice};
use crate::shape::{nhwc, same_shape};
use crate::tape::{self, Operator, candle_gradient};

pub use self::sample::mixture_sample;

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
    let name = MixtureNll::NAME;
    let ([n, h, w, _], _) = logits_shape(name, logits.shape())?;
    same_shape(name, "pixels", &[n, h, w, 3], pixels.shape())?;
    if pixels.dtype() != DType::U8 {
        candle_core::bail!("{name}: expected pixels of type U8, found {:?}", pixels.dtype());
    }
    let keep = tape::tracked(logits);
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        let pixels = pixels.to_device(logits.device())?.contiguous()?;
        let op = MixtureNll {
            pixels: vec![],
            on_device: Some(pixels),
            low_bit,
            keep,
            gradient: Mutex::new(None),
        };
        return tape::apply1(logits, op);
    }
    let pixels = pixels.flatten_all()?.to_vec1::<u8>()?;
    let op = MixtureNll {
        pixels,
        #[cfg(feature = "cuda")]
        on_device: None,
        low_bit,
        keep,
        gradient: Mutex::new(None),
    };
    tape::apply1(logits, op)
}

/// The dimensions of logits, and M.
fn logits_shape(op: &'static str, logits: &Shape) -> Result<([usize; 4], usize)> {
    let dims = nhwc(op, "logits", logits)?;
    match dims[3] % GROUPS {
        0 => Ok((dims, dims[3] / GROUPS)),
        _ => candle_core::bail!("{op}: expected 10M channels of logits, found {}", dims[3]),
    }
}

struct MixtureNll {
    /// (N, H, W, 3); empty where they are on the GPU.
    pixels: Vec<u8>,
    /// (N, H, W, 3)
    #[cfg(feature = "cuda")]
    on_device: Option<Tensor>,
    low_bit: bool,
    /// Computes the gradient with the value: they share every exponential.
    keep: bool,
    /// What was kept, a vector of the call's number type or a buffer on the GPU: the gradient where
    /// that of every result is one.
    gradient: Mutex<Option<Box<dyn Any + Send>>>,
}

impl MixtureNll {
    const NAME: &'static str = "mixture_nll";

    /// Nats per dimension of each picture and, if `want`ed, their derivatives by the logits.
    fn evaluate<T: Mixture>(
        &self,
        shape: &Shape,
        logits: &[T],
        want: bool,
    ) -> Result<(Vec<T>, Vec<T>)> {
        let ([n, ..], components) = logits_shape(Self::NAME, shape)?;
        let mut gradient = vec![T::zero(); if want { logits.len() } else { 0 }];
        let (image, image_pixels) = (logits.len() / n, self.pixels.len() / n);
        let bins = Bins::new(self.low_bit, image_pixels);
        // Without a gradient every picture gets an empty part of it.
        let mut gradients: Vec<&mut [T]> = match want {
            true => gradient.chunks_exact_mut(image).collect(),
            false => (0..n).map(|_| Default::default()).collect(),
        };
        let values = gradients
            .par_iter_mut()
            .zip(logits.par_chunks_exact(image).zip(self.pixels.par_chunks_exact(image_pixels)))
            .map(|(gradient, (logits, pixels))| {
                T::of(image_nll(components, bins, logits, pixels, gradient))
            })
            .collect();
        Ok((values, gradient))
    }
}

#[cfg(feature = "cuda")]
impl MixtureNll {
    /// As [`Self::evaluate`], on the GPU.
    fn cuda_evaluate(
        &self,
        gpu: &Gpu,
        shape: &Shape,
        logits: View<'_>,
        want: bool,
    ) -> Result<(Buffer, Option<Buffer>)> {
        let ([images, h, w, _], components) = logits_shape(Self::NAME, shape)?;
        let pixels = self.on_device.as_ref().expect("logits on the GPU have their pixels there");
        let (storage, layout) = pixels.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            candle_core::bail!("{}: expected pixels on the GPU", Self::NAME);
        };
        let mixture =
            device::Mixture { images, image_pixels: h * w, components, low_bit: self.low_bit };
        mixture.evaluate(gpu, logits, storage, layout.start_offset(), want)
    }
}

/// One picture: nats per dimension, and their derivatives unless `gradient` is empty.
fn image_nll<T: Mixture>(
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
                T::chunk(logits, pixels, bins, scratch, gradient, &mut log_likelihood);
                log_likelihood
            },
        )
        .collect();
    -parts.iter().sum::<f64>() / pixels.len() as f64
}

/// Multiplies every picture's gradient by the gradient of its result.
fn scale_images<T: Mixture>(gradient: &mut [T], upstream: &[T]) {
    let image = gradient.len() / upstream.len();
    gradient.par_chunks_exact_mut(image).zip(upstream).for_each(|(gradient, &u)| {
        gradient.iter_mut().for_each(|g| *g *= u);
    });
}

impl CustomOp1 for MixtureNll {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        dispatch!(logits.dtype(), Self::NAME, T => {
            let logits = slice::<T>(logits, layout, Self::NAME)?;
            let (values, gradient) = self.evaluate(layout.shape(), logits, self.keep)?;
            if self.keep {
                *self.gradient.lock().expect("no panic while held") = Some(Box::new(gradient));
            }
            let shape = Shape::from(values.len());
            Ok((T::to_cpu_storage_owned(values), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, logits: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let gpu = Gpu::of(&logits.device)?;
        let logits = View::new(logits, layout, Self::NAME)?.expect(Kind::F32, Self::NAME)?;
        let (values, gradient) = self.cuda_evaluate(&gpu, layout.shape(), logits, self.keep)?;
        *self.gradient.lock().expect("no panic while held") =
            gradient.map(|gradient| Box::new(gradient) as Box<dyn Any + Send>);
        Ok((values.into_storage(), Shape::from(layout.dims()[0])))
    }

    candle_gradient!(1);
}

impl Operator<1> for MixtureNll {
    fn backward(
        &self,
        [logits]: [&Tensor; 1],
        upstream: &Tensor,
        _: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let kept = self.gradient.lock().expect("no panic while held").take();
        #[cfg(feature = "cuda")]
        if logits.device().is_cuda() {
            let gpu = Gpu::of_tensor(logits, Self::NAME)?;
            let gradient = match kept.and_then(|kept| kept.downcast::<Buffer>().ok()) {
                Some(kept) => *kept,
                None => {
                    let of = Operand::new(logits, Self::NAME)?;
                    let (_, gradient) =
                        self.cuda_evaluate(&gpu, logits.shape(), of.view(), true)?;
                    gradient.expect("it was asked for")
                }
            };
            let upstream = Operand::new(upstream, Self::NAME)?;
            device::scale_images(&gpu, gradient.view(), upstream.view())?;
            return Ok([Some(gradient.into_tensor(logits.shape()))]);
        }
        dispatch!(logits.dtype(), Self::NAME, T => {
            // Kept for one backward pass; a further one computes it again.
            let mut gradient = match kept.and_then(|kept| kept.downcast::<Vec<T>>().ok()) {
                Some(kept) => *kept,
                None => with_slice::<T, _>(logits, Self::NAME, |values| {
                    Ok(self.evaluate(logits.shape(), values, true)?.1)
                })?,
            };
            with_slice::<T, _>(upstream, Self::NAME, |upstream| {
                scale_images(&mut gradient, upstream);
                Ok(())
            })?;
            Ok([Some(tensor(gradient, logits.shape())?)])
        })
    }
}

#[cfg(test)]
mod tests;
