//! The diagonal Gaussian latents of a decoder block: a sample and its KL in one pass.
//!
//! As `draw_gaussian_diag_samples` and `gaussian_analytical_kl` of the published code, with
//! quotients of exponentials written as exponentials of differences.

mod kernel;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp2, DType, InplaceOp1, Layout, Result, Shape, Tensor, WithDType,
};
use rayon::prelude::*;

use self::kernel::{Gaussian, Kernel, PIXELS, Pixels};
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::{Gpu, Operand, View},
    latent::Latent,
};
use crate::elementary::Elementary;
use crate::real::{dispatch, same_dtype, slice, tensor, with_slice};
use crate::shape::{nhwc, same_shape};
use crate::tape::{self, Operator, added, candle_gradient};

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
    tape::apply2(posterior, prior, SampleAndKl { noise })
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

    /// Gradients of the posterior and the prior, where they are wanted; the prior's is added to the
    /// one `held`.
    fn cpu_backward<T: Gaussian>(
        &self,
        posterior: &Tensor,
        prior: &Tensor,
        upstream: &Tensor,
        wanted: [bool; 2],
        held: Option<Tensor>,
    ) -> Result<[Option<Tensor>; 2]> {
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
                        let dq = wanted[0].then(|| {
                            let mut dq = vec![T::zero(); ms.len()];
                            let width = 2 * latent_channels;
                            gradient(pixels, gs, width, T::posterior_gradient, &mut dq);
                            tensor(dq, posterior.shape())
                        });
                        let dq = dq.transpose()?;
                        let dp = wanted[1].then(|| {
                            let Some(held) = held else {
                                let mut dp = vec![T::zero(); ps.len()];
                                gradient(pixels, gs, prior_width, T::prior_gradient, &mut dp);
                                return tensor(dp, prior.shape());
                            };
                            held.inplace_op1(&OntoPrior { pixels, upstream: gs })?;
                            Ok(held)
                        });
                        Ok([dq, dp.transpose()?])
                    })
                })
            })
        })
    }
}

/// Adds the gradient of the prior's statistics to a gradient.
struct OntoPrior<'a, T> {
    pixels: Pixels<'a, T>,
    upstream: &'a [T],
}

impl<T: Gaussian> InplaceOp1 for OntoPrior<'_, T> {
    fn name(&self) -> &'static str {
        SampleAndKl::NAME
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let of_type = T::slice_mut(storage);
        let Some((numbers, (start, end))) = of_type.zip(layout.contiguous_offsets()) else {
            candle_core::bail!("{}: expected a contiguous {:?}", SampleAndKl::NAME, T::DTYPE);
        };
        let (width, out) = (self.pixels.prior_width, &mut numbers[start..end]);
        gradient(self.pixels, self.upstream, width, T::prior_gradient, out);
        Ok(())
    }
}

#[cfg(feature = "cuda")]
impl SampleAndKl {
    fn cuda_backward(
        &self,
        posterior: &Tensor,
        prior: &Tensor,
        upstream: &Tensor,
        wanted: [bool; 2],
        held: Option<Tensor>,
    ) -> Result<[Option<Tensor>; 2]> {
        let (latent_channels, prior_width) = self.widths(posterior.shape(), prior.shape())?;
        let gpu = Gpu::of_tensor(posterior, Self::NAME)?;
        let [ms, ps, us] = Operand::all([posterior, prior, upstream], Self::NAME)?;
        let noise = self.noise.as_ref().map(|noise| Operand::new(noise, Self::NAME)).transpose()?;
        let noise = noise.as_ref().map(Operand::view);
        let latent =
            Latent { latent_channels, prior_width, posterior: ms.view(), prior: ps.view(), noise };
        let onto = held.as_ref().map(|held| Operand::new(held, Self::NAME)).transpose()?;
        let onto = onto.as_ref().map(Operand::view);
        let (dq, dp) = latent.backward(&gpu, us.view(), wanted.into(), onto)?;
        let dp = dp.map(|dp| dp.into_tensor(prior.shape()));
        Ok([dq.map(|dq| dq.into_tensor(posterior.shape())), dp.or(held)])
    }
}

/// Runs a gradient kernel over all chunks of `out`, `width` numbers a pixel.
fn gradient<T: Gaussian>(
    pixels: Pixels<'_, T>,
    upstream: &[T],
    width: usize,
    kernel: Kernel<T>,
    out: &mut [T],
) {
    let upstream = upstream.par_chunks(PIXELS * 2 * pixels.latent_channels);
    out.par_chunks_mut(PIXELS * width)
        .zip(upstream)
        .enumerate()
        .for_each(|(i, (out, upstream))| kernel(pixels.chunk(i), upstream, out));
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

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        posterior: &CudaStorage,
        posterior_layout: &Layout,
        prior: &CudaStorage,
        prior_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let shape = posterior_layout.shape();
        let (latent_channels, prior_width) = self.widths(shape, prior_layout.shape())?;
        self.same_dtype(posterior.dtype(), prior.dtype())?;
        let gpu = Gpu::of(&posterior.device)?;
        let posterior = View::new(posterior, posterior_layout, Self::NAME)?;
        let prior = View::new(prior, prior_layout, Self::NAME)?;
        let noise = self.noise.as_ref().map(|noise| Operand::new(noise, Self::NAME)).transpose()?;
        let noise = noise.as_ref().map(Operand::view);
        let latent = Latent { latent_channels, prior_width, posterior, prior, noise };
        Ok((latent.forward(&gpu)?.into_storage(), shape.clone()))
    }

    candle_gradient!(2);
}

impl Operator<2> for SampleAndKl {
    // What a prior has so far is wider than its statistics: adding in place saves passes over that.
    fn backward_onto(
        &self,
        [posterior, prior]: [&Tensor; 2],
        upstream: &Tensor,
        wanted: [bool; 2],
        [other, held]: [Option<Tensor>; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        #[cfg(feature = "cuda")]
        if posterior.device().is_cuda() {
            let gradients = self.cuda_backward(posterior, prior, upstream, wanted, held)?;
            return added(gradients, [other, None]);
        }
        dispatch!(posterior.dtype(), Self::NAME, T => {
            let gradients = self.cpu_backward::<T>(posterior, prior, upstream, wanted, held)?;
            added(gradients, [other, None])
        })
    }
}

#[cfg(test)]
mod tests;
