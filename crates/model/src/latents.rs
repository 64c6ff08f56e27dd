//! What the encoder knows about a picture: one Gaussian a decoder block, from 1×1 to full
//! resolution.

use candle_core::{D, Tensor};

use crate::Result;
use crate::decoder::BlockOutput;
use crate::noise::Noise;

/// Which latents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LatentMode {
    /// Posterior means along the path of posterior means: deterministic.
    #[default]
    PosteriorMean,
    /// Posterior samples along the path of those samples.
    PosteriorSample {
        /// Seed of the noise.
        seed: u64,
        /// Number of the batch's first image; an image's noise depends on its number, not on its
        /// batch.
        first: u64,
    },
}

impl LatentMode {
    pub(crate) fn noise(self) -> Noise {
        match self {
            Self::PosteriorMean => Noise::Zero,
            Self::PosteriorSample { seed, first } => Noise::Seeded { seed, first },
        }
    }
}

/// The latents of one decoder block for a batch of pictures. Tensors are (N, r, r, Z), except the
/// state.
#[derive(Debug, Clone)]
pub struct LatentLayer {
    /// Position from the top, counted from 0.
    pub index: usize,
    /// Side r of the grid.
    pub resolution: usize,
    /// Posterior mean.
    pub mean: Tensor,
    /// Logarithm of the posterior standard deviation.
    pub log_std: Tensor,
    /// Mean of the prior, given the latents above.
    pub prior_mean: Tensor,
    /// Logarithm of the prior's standard deviation.
    pub prior_log_std: Tensor,
    /// The latent the decoder went on with: the mean, or a sample.
    pub z: Tensor,
    /// KL from posterior to prior, nats, element by element.
    pub kl: Tensor,
    /// The decoder's state after the block, (N, r, r, width).
    pub state: Tensor,
}

impl LatentLayer {
    pub(crate) fn new(output: &BlockOutput, posterior: &Tensor) -> Result<Self> {
        let z = posterior.dim(D::Minus1)? / 2;
        let part = |t: &Tensor, i: usize| t.narrow(D::Minus1, i * z, z)?.contiguous();
        Ok(Self {
            index: output.index,
            resolution: posterior.dim(1)?,
            mean: part(posterior, 0)?,
            log_std: part(posterior, 1)?,
            prior_mean: part(&output.prior, 0)?,
            prior_log_std: part(&output.prior, 1)?,
            z: part(&output.latent, 0)?,
            kl: part(&output.latent, 1)?,
            state: output.state.clone(),
        })
    }
}

/// The latents of a batch of pictures at every layer, top (1×1) first.
#[derive(Debug, Clone)]
pub struct Latents {
    layers: Vec<LatentLayer>,
}

impl Latents {
    pub(crate) fn new(layers: Vec<LatentLayer>) -> Self {
        Self { layers }
    }

    /// Every layer, top first.
    pub fn layers(&self) -> &[LatentLayer] {
        &self.layers
    }

    /// The layers of one resolution, top first.
    pub fn at_resolution(&self, resolution: usize) -> impl Iterator<Item = &LatentLayer> {
        self.layers.iter().filter(move |layer| layer.resolution == resolution)
    }
}

impl IntoIterator for Latents {
    type Item = LatentLayer;
    type IntoIter = std::vec::IntoIter<LatentLayer>;

    fn into_iter(self) -> Self::IntoIter {
        self.layers.into_iter()
    }
}
