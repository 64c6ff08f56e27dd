//! The diagonal Gaussian latents of a decoder block: a sample and its KL in one pass.
//!
//! As `draw_gaussian_diag_samples` and `gaussian_analytical_kl` of the published code, with
//! quotients of exponentials written as exponentials of differences.

use candle_core::{Result, Shape, Tensor};

use crate::cpu::Number;
use crate::cpu::elementary::Elementary;
use crate::cpu::latent::{
    Inputs, Kernel, PIXELS, Pixels, forward, posterior_gradient, prior_gradient,
};
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::Gpu,
    memory::{Buffer, View},
};
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::shape::{nhwc, same_shape};
use crate::team::{Out, share_new};

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
    match noise {
        Some(noise) => apply(SampleAndKl, [posterior, prior, &noise.detach()]),
        None => apply(SampleAndKl, [posterior, prior]),
    }
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

struct SampleAndKl;

/// What one call is told: Z, and the channels of the prior.
struct Sizes {
    latent_channels: usize,
    prior_width: usize,
}

impl Sizes {
    fn of<V: Copy, const N: usize>(&self, inputs: [V; N]) -> Inputs<V> {
        let Self { latent_channels, prior_width } = *self;
        let (posterior, prior, noise) = (inputs[0], inputs[1], inputs.get(2).copied());
        Inputs { latent_channels, prior_width, posterior, prior, noise }
    }
}

/// Of posterior and prior, or of these and noise.
impl<const N: usize> Operator<N> for SampleAndKl {
    const NAME: &'static str = "sample_and_kl";

    type Sizes = Sizes;

    fn sizes(&self, inputs: [&Shape; N]) -> Result<(Sizes, Shape)> {
        let (posterior, prior, name) = (inputs[0], inputs[1], <Self as Operator<N>>::NAME);
        let [n, h, w, double] = nhwc(name, "the posterior", posterior)?;
        let [.., prior_width] = nhwc(name, "the prior", prior)?;
        same_shape(name, "the prior", &[n, h, w, prior_width], prior)?;
        if double % 2 != 0 || prior_width < double {
            candle_core::bail!(
                "{name}: expected 2Z channels of posterior and at least as many of prior, \
                 found {double} and {prior_width}"
            );
        }
        if let Some(noise) = inputs.get(2) {
            same_shape(name, "the noise", &[n, h, w, double / 2], noise)?;
        }
        Ok((Sizes { latent_channels: double / 2, prior_width }, posterior.clone()))
    }

    fn forward<T: Number>(&self, sizes: &Sizes, inputs: [&[T]; N]) -> Vec<T> {
        let pixels = sizes.of(inputs);
        share_new(inputs[0].len(), PIXELS * 2 * sizes.latent_channels, |chunks| {
            chunks.for_each(|(i, out)| forward(pixels.chunk(i), out));
        })
    }

    // What a prior has so far is wider than its statistics: adding in place saves passes over that.
    fn gradients<T: Number>(&self, sizes: &Sizes, of: OnSlices<'_, T, N>) -> [Gradient<Vec<T>>; N] {
        let OnSlices { inputs, upstream, wanted, mut held } = of;
        let pixels = sizes.of(inputs);
        std::array::from_fn(|i| match (i, held[i].take()) {
            _ if !wanted[i] => Gradient::Nothing,
            (0, _) => {
                let (mut dq, width) = (vec![], 2 * sizes.latent_channels);
                let new = Out::New(&mut dq, inputs[0].len());
                gradient(pixels, upstream, width, posterior_gradient, new);
                Gradient::Own(dq)
            }
            (1, Some(held)) => {
                let held = Out::Held(held);
                gradient(pixels, upstream, sizes.prior_width, prior_gradient, held);
                Gradient::Nothing
            }
            (1, None) => {
                let mut dp = vec![];
                let new = Out::New(&mut dp, inputs[1].len());
                gradient(pixels, upstream, sizes.prior_width, prior_gradient, new);
                Gradient::Own(dp)
            }
            // Noise is a constant.
            _ => Gradient::Nothing,
        })
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(&self, gpu: &Gpu, sizes: &Sizes, inputs: [View<'_>; N]) -> Result<Buffer> {
        for input in &inputs {
            input.expect(inputs[0].kind, <Self as Operator<N>>::NAME)?;
        }
        sizes.of(inputs).forward(gpu)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, sizes: &Sizes, of: OnGpu<'_, N>) -> Result<[Gradient<Buffer>; N]> {
        let OnGpu { gpu, inputs, upstream, wanted, held } = of;
        let latent = sizes.of(inputs);
        let (dq, dp) = latent.backward(gpu, upstream, (wanted[0], wanted[1]), held[1])?;
        let mut found = [dq, dp].map(Gradient::own).into_iter();
        Ok(std::array::from_fn(|_| found.next().unwrap_or(Gradient::Nothing)))
    }
}

/// Runs a gradient kernel over all chunks of `out`, `width` numbers a pixel.
fn gradient<T: Elementary>(
    pixels: Pixels<'_, T>,
    upstream: &[T],
    width: usize,
    kernel: Kernel<T>,
    out: Out<'_, T>,
) {
    out.share_chunks(PIXELS * width, |chunks| {
        for (i, out) in chunks {
            let size = 2 * pixels.latent_channels;
            let upstream = &upstream[i * PIXELS * size..][..out.len() / width * size];
            kernel(pixels.chunk(i), upstream, out);
        }
    });
}

#[cfg(test)]
mod tests;
