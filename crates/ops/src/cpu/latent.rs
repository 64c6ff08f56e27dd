//! The sample, its KL and their gradients, for the pixels of one chunk.

use super::elementary::Elementary;
use crate::simd::multiversion;

/// Pixels to a unit of parallel work.
pub(crate) const PIXELS: usize = 64;

/// A gradient kernel over one chunk: inputs, gradient of the result, gradient of one input.
pub(crate) type Kernel<T> = fn(Pixels<'_, T>, &[T], &mut [T]);

/// One call's inputs, slices or memory of a GPU: pixels of 2Z, `prior_width` and Z numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<V> {
    pub(crate) latent_channels: usize,
    pub(crate) prior_width: usize,
    pub(crate) posterior: V,
    pub(crate) prior: V,
    pub(crate) noise: Option<V>,
}

/// [`Inputs`] on a CPU.
pub(crate) type Pixels<'a, T> = Inputs<&'a [T]>;

impl<'a, T: Elementary> Pixels<'a, T> {
    /// The `index`-th [`PIXELS`] of them.
    pub(crate) fn chunk(&self, index: usize) -> Self {
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

multiversion! {
    /// latent | KL
    #[expect(
        clippy::needless_range_loop,
        reason = "indexed, the loop vectorises; enumerated, it runs four times slower"
    )]
    pub(crate) fn forward<T: Elementary>(pixels: Pixels<'_, T>, out: &mut [T]) {
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
}

multiversion! {
    /// Gradient of the posterior.
    pub(crate) fn posterior_gradient<T: Elementary>(pixels: Pixels<'_, T>, upstream: &[T], out: &mut [T]) {
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
}

multiversion! {
    /// Adds the gradient of the prior; what follows its statistics is not touched.
    pub(crate) fn prior_gradient<T: Elementary>(pixels: Pixels<'_, T>, upstream: &[T], out: &mut [T]) {
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
                d_mean[i] -= dkl[i] * distance * precision;
                let ratio = (two * (s - t)).quick_exp() + distance * distance * precision;
                d_log_std[i] += dkl[i] * (T::one() - ratio);
            }
        }
    }
}
