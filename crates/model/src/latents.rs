//! What the encoder knows about a picture: one Gaussian a decoder block, from 1×1 to full
//! resolution.

use candle_core::{D, DType, Tensor};

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

/// One decoder block while the network passes through it. Each tensor is made when it is asked for:
/// (N, r, r, Z), except the state, in float32.
#[derive(Debug)]
pub struct LayerView<'a> {
    output: &'a BlockOutput,
    posterior: &'a Tensor,
}

impl<'a> LayerView<'a> {
    pub(crate) fn new(output: &'a BlockOutput) -> Self {
        Self { output, posterior: output.posterior.as_ref().expect("walked with the posterior") }
    }

    /// The i-th Z channels of a tensor.
    fn part(&self, tensor: &Tensor, i: usize) -> Result<Tensor> {
        let z = self.posterior.dim(D::Minus1)? / 2;
        Ok(tensor.narrow(D::Minus1, i * z, z)?.to_dtype(DType::F32)?.contiguous()?)
    }

    /// Position from the top, counted from 0.
    pub fn index(&self) -> usize {
        self.output.index
    }

    /// Side r of the grid.
    pub fn resolution(&self) -> usize {
        self.output.resolution
    }

    /// Posterior mean.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn mean(&self) -> Result<Tensor> {
        self.part(self.posterior, 0)
    }

    /// Logarithm of the posterior standard deviation.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn log_std(&self) -> Result<Tensor> {
        self.part(self.posterior, 1)
    }

    /// Mean of the prior, given the latents above.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn prior_mean(&self) -> Result<Tensor> {
        self.part(&self.output.prior, 0)
    }

    /// Logarithm of the prior's standard deviation.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn prior_log_std(&self) -> Result<Tensor> {
        self.part(&self.output.prior, 1)
    }

    /// The latent the decoder went on with: the mean, or a sample.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn z(&self) -> Result<Tensor> {
        self.part(&self.output.latent, 0)
    }

    /// KL from posterior to prior, nats, element by element.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn kl(&self) -> Result<Tensor> {
        self.part(&self.output.latent, 1)
    }

    /// The decoder's state after the block, (N, r, r, width).
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn state(&self) -> Result<Tensor> {
        Ok(self.output.state.to_dtype(DType::F32)?)
    }
}

/// The latents of one decoder block for a batch of pictures. Tensors are (N, r, r, Z), except the
/// state, in float32.
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
    pub(crate) fn new(view: &LayerView<'_>) -> Result<Self> {
        Ok(Self {
            index: view.index(),
            resolution: view.resolution(),
            mean: view.mean()?,
            log_std: view.log_std()?,
            prior_mean: view.prior_mean()?,
            prior_log_std: view.prior_log_std()?,
            z: view.z()?,
            kl: view.kl()?,
            state: view.state()?,
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
