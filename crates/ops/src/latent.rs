//! The diagonal Gaussian latents of a decoder block: a sample and its KL in one pass.
//!
//! As `draw_gaussian_diag_samples` and `gaussian_analytical_kl` of the published code, with
//! quotients of exponentials written as exponentials of differences.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::elementary::Elementary;
use crate::real::{dispatch, same_dtype, slice, tensor, with_slice};
use crate::shape::{nhwc, same_shape};
use crate::simd::multiversion;

/// Pixels to a unit of parallel work.
const PIXELS: usize = 64;

/// Draws the latent of a posterior, and its KL from the prior.
///
/// With posterior mean `m` and log std `s`, prior mean `p` and log std `t`:
/// `z = m + exp(s) · noise` and
/// `kl = t - s - 1/2 + (exp(2(s - t)) + (m - p)² exp(-2t)) / 2`, elementwise, in nats.
/// What overflows is infinite.
///
/// # Shapes
/// - `posterior`: (N, r, r, 2Z): mean | log std
/// - `prior`: (N, r, r, P) with P >= 2Z: mean | log std | not looked at
/// - `noise`: (N, r, r, Z), standard normal, a constant; without it `z` is the posterior mean
/// - result: (N, r, r, 2Z): latent | KL
///
/// # Errors
/// Where the shapes do not fit.
pub fn sample_and_kl(posterior: &Tensor, prior: &Tensor, noise: Option<Tensor>) -> Result<Tensor> {
    let noise = noise.map(|noise| noise.contiguous()).transpose()?;
    posterior.contiguous()?.apply_op2(&prior.contiguous()?, SampleAndKl { noise })
}

/// Draws latents from a prior, its deviation scaled by `temperature`. Has no gradient.
///
/// # Shapes
/// - `prior`: (N, r, r, P) with P >= 2Z: mean | log std | not looked at
/// - `noise`: (N, r, r, Z), standard normal; without it the result is the mean
/// - result: (N, r, r, Z) with Z = `latent_channels`
///
/// # Errors
/// Where the shapes do not fit.
pub fn sample_prior(
    prior: &Tensor,
    latent_channels: usize,
    noise: Option<Tensor>,
    temperature: f64,
) -> Result<Tensor> {
    const NAME: &str = "sample_prior";
    let [n, h, w, width] = nhwc(NAME, "the prior", prior.shape())?;
    if latent_channels == 0 || width < 2 * latent_channels {
        candle_core::bail!(
            "{NAME}: expected a prior of at least {} channels, found {width}",
            2 * latent_channels
        );
    }
    let prior = prior.detach();
    let mean = prior.narrow(3, 0, latent_channels)?;
    let Some(noise) = noise else { return mean.contiguous() };
    same_shape(NAME, "the noise", &[n, h, w, latent_channels], noise.shape())?;
    let std = prior.narrow(3, latent_channels, latent_channels)?.exp()?;
    mean + (std * (noise * temperature)?)?
}

struct SampleAndKl {
    noise: Option<Tensor>,
}

/// One call's inputs: pixels of `posterior.len() / pixels`, `prior_width` and Z numbers.
#[derive(Clone, Copy)]
struct Pixels<'a, T> {
    latent_channels: usize,
    prior_width: usize,
    posterior: &'a [T],
    prior: &'a [T],
    noise: Option<&'a [T]>,
}

impl<'a, T: Elementary> Pixels<'a, T> {
    /// The `index`-th [`PIXELS`] of them.
    fn chunk(&self, index: usize) -> Self {
        let of = |x: &'a [T], width: usize| {
            let start = index * PIXELS * width;
            &x[start..x.len().min(start + PIXELS * width)]
        };
        Self {
            posterior: of(self.posterior, 2 * self.latent_channels),
            prior: of(self.prior, self.prior_width),
            noise: self.noise.map(|noise| of(noise, self.latent_channels)),
            ..*self
        }
    }

    /// The statistics and noise of one pixel.
    #[inline(always)]
    fn pixel(&self, index: usize) -> Pixel<'a, T> {
        let z = self.latent_channels;
        let (posterior_mean, posterior_log_std) =
            self.posterior[index * 2 * z..][..2 * z].split_at(z);
        let (prior_mean, prior_log_std) =
            self.prior[index * self.prior_width..][..2 * z].split_at(z);
        let noise = self.noise.map(|noise| &noise[index * z..][..z]);
        Pixel { posterior_mean, posterior_log_std, prior_mean, prior_log_std, noise }
    }
}

/// Slices of Z numbers.
struct Pixel<'a, T> {
    posterior_mean: &'a [T],
    posterior_log_std: &'a [T],
    prior_mean: &'a [T],
    prior_log_std: &'a [T],
    noise: Option<&'a [T]>,
}

/// Kernels over the pixels of one chunk, compiled for the widest instruction set.
trait Gaussian: Elementary {
    /// latent | KL
    fn forward(pixels: Pixels<'_, Self>, out: &mut [Self]);
    /// Gradient of the posterior.
    fn posterior_gradient(pixels: Pixels<'_, Self>, upstream: &[Self], out: &mut [Self]);
    /// Gradient of the prior; what follows its statistics is not touched.
    fn prior_gradient(pixels: Pixels<'_, Self>, upstream: &[Self], out: &mut [Self]);
}

multiversion! {
    fn forward_f32(pixels: Pixels<'_, f32>, out: &mut [f32]) {
        forward(pixels, out);
    }
}

multiversion! {
    fn posterior_gradient_f32(pixels: Pixels<'_, f32>, upstream: &[f32], out: &mut [f32]) {
        posterior_gradient(pixels, upstream, out);
    }
}

multiversion! {
    fn prior_gradient_f32(pixels: Pixels<'_, f32>, upstream: &[f32], out: &mut [f32]) {
        prior_gradient(pixels, upstream, out);
    }
}

impl Gaussian for f32 {
    fn forward(pixels: Pixels<'_, f32>, out: &mut [f32]) {
        forward_f32(pixels, out);
    }
    fn posterior_gradient(pixels: Pixels<'_, f32>, upstream: &[f32], out: &mut [f32]) {
        posterior_gradient_f32(pixels, upstream, out);
    }
    fn prior_gradient(pixels: Pixels<'_, f32>, upstream: &[f32], out: &mut [f32]) {
        prior_gradient_f32(pixels, upstream, out);
    }
}

impl Gaussian for f64 {
    fn forward(pixels: Pixels<'_, f64>, out: &mut [f64]) {
        forward(pixels, out);
    }
    fn posterior_gradient(pixels: Pixels<'_, f64>, upstream: &[f64], out: &mut [f64]) {
        posterior_gradient(pixels, upstream, out);
    }
    fn prior_gradient(pixels: Pixels<'_, f64>, upstream: &[f64], out: &mut [f64]) {
        prior_gradient(pixels, upstream, out);
    }
}

#[inline(always)]
fn forward<T: Gaussian>(pixels: Pixels<'_, T>, out: &mut [T]) {
    let z = pixels.latent_channels;
    let (half, two) = (T::of(0.5), T::of(2.0));
    for (i, out) in out.chunks_exact_mut(2 * z).enumerate() {
        let p = pixels.pixel(i);
        let (latent, kl) = out.split_at_mut(z);
        for i in 0..z {
            let (s, t) = (p.posterior_log_std[i], p.prior_log_std[i]);
            let distance = p.posterior_mean[i] - p.prior_mean[i];
            let variances = (two * (s - t)).quick_exp();
            let squares = distance * distance * (-two * t).quick_exp();
            kl[i] = t - s - half + half * (variances + squares);
        }
        latent.copy_from_slice(p.posterior_mean);
        if let Some(noise) = p.noise {
            for i in 0..z {
                latent[i] += p.posterior_log_std[i].quick_exp() * noise[i];
            }
        }
    }
}

#[inline(always)]
fn posterior_gradient<T: Gaussian>(pixels: Pixels<'_, T>, upstream: &[T], out: &mut [T]) {
    let z = pixels.latent_channels;
    let two = T::of(2.0);
    for (i, out) in out.chunks_exact_mut(2 * z).enumerate() {
        let p = pixels.pixel(i);
        let (dz, dkl) = upstream[i * 2 * z..][..2 * z].split_at(z);
        let (d_mean, d_log_std) = out.split_at_mut(z);
        for i in 0..z {
            let (s, t) = (p.posterior_log_std[i], p.prior_log_std[i]);
            let distance = p.posterior_mean[i] - p.prior_mean[i];
            d_mean[i] = dz[i] + dkl[i] * distance * (-two * t).quick_exp();
            d_log_std[i] = dkl[i] * ((two * (s - t)).quick_exp() - T::one());
        }
        if let Some(noise) = p.noise {
            for i in 0..z {
                d_log_std[i] += dz[i] * p.posterior_log_std[i].quick_exp() * noise[i];
            }
        }
    }
}

#[inline(always)]
fn prior_gradient<T: Gaussian>(pixels: Pixels<'_, T>, upstream: &[T], out: &mut [T]) {
    let z = pixels.latent_channels;
    let two = T::of(2.0);
    for (i, out) in out.chunks_exact_mut(pixels.prior_width).enumerate() {
        let p = pixels.pixel(i);
        let dkl = &upstream[i * 2 * z + z..][..z];
        let (d_mean, d_log_std) = out[..2 * z].split_at_mut(z);
        for i in 0..z {
            let (s, t) = (p.posterior_log_std[i], p.prior_log_std[i]);
            let distance = p.posterior_mean[i] - p.prior_mean[i];
            let precision = (-two * t).quick_exp();
            d_mean[i] = -dkl[i] * distance * precision;
            let ratio = (two * (s - t)).quick_exp() + distance * distance * precision;
            d_log_std[i] = dkl[i] * (T::one() - ratio);
        }
    }
}

impl SampleAndKl {
    const NAME: &'static str = "sample_and_kl";

    /// (Z, P)
    fn widths(&self, posterior: &Shape, prior: &Shape) -> Result<(usize, usize)> {
        let [n, h, w, double] = nhwc(Self::NAME, "the posterior", posterior)?;
        let [.., width] = nhwc(Self::NAME, "the prior", prior)?;
        same_shape(Self::NAME, "the prior", &[n, h, w, width], prior)?;
        if double % 2 != 0 || width < double {
            candle_core::bail!(
                "{}: expected 2Z channels of posterior and at least as many of prior, \
                 found {double} and {width}",
                Self::NAME
            );
        }
        if let Some(noise) = &self.noise {
            same_shape(Self::NAME, "the noise", &[n, h, w, double / 2], noise.shape())?;
        }
        Ok((double / 2, width))
    }

    fn same_dtype(&self, posterior: DType, prior: DType) -> Result<()> {
        let noise = self.noise.as_ref().map_or(posterior, Tensor::dtype);
        same_dtype(Self::NAME, &[posterior, prior, noise])
    }

    /// Runs `f` on the noise, if any.
    fn with_noise<T: Elementary, R>(&self, f: impl FnOnce(Option<&[T]>) -> Result<R>) -> Result<R> {
        match &self.noise {
            Some(noise) => with_slice::<T, _>(noise, Self::NAME, |noise| f(Some(noise))),
            None => f(None),
        }
    }

    /// Gradients of the posterior and the prior, where they are wanted.
    fn backward<T: Gaussian>(
        &self,
        posterior: &Tensor,
        prior: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (latent_channels, prior_width) = self.widths(posterior.shape(), prior.shape())?;
        with_slice::<T, _>(posterior, Self::NAME, |ms| {
            with_slice::<T, _>(prior, Self::NAME, |ps| {
                with_slice::<T, _>(upstream, Self::NAME, |gs| {
                    self.with_noise::<T, _>(|noise| {
                        let pixels = Pixels {
                            latent_channels,
                            prior_width,
                            posterior: ms,
                            prior: ps,
                            noise,
                        };
                        let run = |of: &Tensor, width, kernel: Kernel<T>| {
                            let wanted = of.track_op();
                            wanted.then(|| tensor(gradient(pixels, gs, width, kernel), of.shape()))
                        };
                        let dq = run(posterior, 2 * latent_channels, T::posterior_gradient);
                        let dp = run(prior, prior_width, T::prior_gradient);
                        Ok((dq.transpose()?, dp.transpose()?))
                    })
                })
            })
        })
    }
}

/// A gradient kernel over one chunk: inputs, gradient of the result, gradient of one input.
type Kernel<T> = fn(Pixels<'_, T>, &[T], &mut [T]);

/// Runs a gradient kernel over all chunks; `width` numbers a pixel come out.
fn gradient<T: Gaussian>(
    pixels: Pixels<'_, T>,
    upstream: &[T],
    width: usize,
    kernel: Kernel<T>,
) -> Vec<T> {
    let result_width = 2 * pixels.latent_channels;
    let mut out = vec![T::zero(); upstream.len() / result_width * width];
    let upstream = upstream.par_chunks(PIXELS * result_width);
    out.par_chunks_mut(PIXELS * width).zip(upstream).enumerate().for_each(
        |(i, (out, upstream))| kernel(pixels.chunk(i), upstream, out),
    );
    out
}

impl CustomOp2 for SampleAndKl {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        posterior: &CpuStorage,
        posterior_layout: &Layout,
        prior: &CpuStorage,
        prior_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = posterior_layout.shape();
        let (latent_channels, prior_width) = self.widths(shape, prior_layout.shape())?;
        self.same_dtype(posterior.dtype(), prior.dtype())?;
        dispatch!(posterior.dtype(), Self::NAME, T => {
            let posterior = slice::<T>(posterior, posterior_layout, Self::NAME)?;
            let prior = slice::<T>(prior, prior_layout, Self::NAME)?;
            self.with_noise::<T, _>(|noise| {
                let pixels = Pixels { latent_channels, prior_width, posterior, prior, noise };
                let mut out = vec![0.0; posterior.len()];
                out.par_chunks_mut(PIXELS * 2 * latent_channels)
                    .enumerate()
                    .for_each(|(i, out)| T::forward(pixels.chunk(i), out));
                Ok((T::to_cpu_storage_owned(out), shape.clone()))
            })
        })
    }

    fn bwd(
        &self,
        posterior: &Tensor,
        prior: &Tensor,
        _result: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        dispatch!(posterior.dtype(), Self::NAME, T => {
            self.backward::<T>(posterior, prior, upstream)
        })
    }
}

#[cfg(test)]
mod tests;
