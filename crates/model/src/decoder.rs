//! The top-down path: from 1×1 to the picture, one latent a block.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use vdvae_ops::{
    Arithmetic, BlockShape, BlockWeights, ConvShape, add, conv, gain_bias, pixel_shuffle,
    project_add, recomputed, sample_and_kl, sample_prior, together, upsample_add,
};

use crate::config::{Unpool, VdvaeConfig};
use crate::encoder::Activations;
use crate::noise::Noise;
use crate::params::Parameters;
use crate::temperature::Temperature;
use crate::{Error, Result};

/// `decoder` of the published network, without its output distribution.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    blocks: Vec<DecoderBlock>,
    /// Learned bias per resolution, (r · r · width).
    biases: BTreeMap<usize, Tensor>,
    gain_bias: Tensor,
    image_size: usize,
    device: Device,
    /// Type of activations.
    dtype: DType,
    /// See [`Decoder::recomputed`].
    recompute: bool,
}

#[derive(Debug, Clone)]
struct DecoderBlock {
    resolution: usize,
    mix_from: Option<usize>,
    width: usize,
    latent_channels: usize,
    prior: BlockWeights,
    posterior: BlockWeights,
    project: (ConvShape, Tensor),
    resnet: BlockWeights,
    /// Of the state of the lower resolution, where it is learned: a pixel's results are its pixels.
    unpool: Option<(ConvShape, Tensor)>,
    arithmetic: Arithmetic,
}

/// Where the latents of a walk down the decoder come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LatentSource<'a> {
    /// The posterior, given the encoder's activations.
    Posterior { activations: &'a Activations, noise: Noise },
    /// The first layers as given, (N, r, r, Z) each; the rest from the prior, with noise scaled by
    /// the temperature.
    Prior { given: &'a [Tensor], noise: Noise, temperature: &'a Temperature },
}

/// What one decoder block computed. All tensors are (N, r, r, ·).
#[derive(Debug, Clone)]
pub(crate) struct BlockOutput {
    pub(crate) index: usize,
    pub(crate) resolution: usize,
    /// mean | log std | state with the prior's features added: 2Z + width channels.
    pub(crate) prior: Tensor,
    /// mean | log std: 2Z channels; `None` where there was no image.
    pub(crate) posterior: Option<Tensor>,
    /// Latent | KL (2Z channels), or the latent alone (Z) where there was no image.
    pub(crate) latent: Tensor,
    /// The decoder's state after the block: width channels.
    pub(crate) state: Tensor,
}

impl DecoderBlock {
    fn new(config: &VdvaeConfig, parameters: &Parameters, index: usize) -> Self {
        let spec = &config.decoder_blocks()[index];
        let resolution = spec.resolution;
        let (width, z) = (config.width_at(resolution), config.zdim);
        let shape = |input, output, residual| BlockShape {
            input,
            middle: config.mid_at(resolution),
            output,
            kernel: config.kernel_at(resolution),
            residual,
        };
        let name = |part: &str| format!("decoder.dec_blocks.{index}.{part}");
        let block = |part: &str, shape| parameters.block(&name(part), shape);
        Self {
            resolution,
            mix_from: spec.mix_from,
            width,
            latent_channels: z,
            // The prior's features are added to the state: a residual behind its statistics.
            prior: block("prior", shape(width, 2 * z + width, true)),
            posterior: block("enc", shape(2 * width, 2 * z, false)),
            project: (
                ConvShape { input: z, output: width, kernel: 1 },
                parameters.unit(&name("z_proj")),
            ),
            resnet: block("resnet", shape(width, width, true)),
            unpool: match (spec.mix_from, config.unpool) {
                (Some(from), Unpool::Learned) => {
                    let (input, rate) = (config.width_at(from), resolution / from);
                    let shape = ConvShape { input, output: rate * rate * width, kernel: 1 };
                    Some((shape, parameters.unit(&name("unpool"))))
                }
                _ => None,
            },
            arithmetic: Arithmetic::default(),
        }
    }

    /// What a picture makes of the block: prior, posterior, latent and state.
    fn with_posterior(
        &self,
        x: &Tensor,
        activation: &Tensor,
        noise: Option<Tensor>,
    ) -> candle_core::Result<[Tensor; 4]> {
        let prior = self.prior.apply(x)?;
        let posterior = self.posterior.apply_joined(x, activation)?;
        let latent = sample_and_kl(&posterior, &prior, noise)?;
        let state = self.state(&prior, &latent)?;
        Ok([prior, posterior, latent, state])
    }

    /// The same, computed again for the gradient rather than kept.
    fn with_posterior_recomputed(
        &self,
        x: &Tensor,
        activation: &Tensor,
        noise: Option<Tensor>,
    ) -> candle_core::Result<[Tensor; 4]> {
        let of_blocks = [&self.prior, &self.posterior, &self.resnet].map(BlockWeights::parameters);
        let [prior, posterior, resnet] = of_blocks;
        let inputs = [x, activation, prior, posterior, &self.project.1, resnet];
        let (block, x, activation) = (self.clone(), x.clone(), activation.clone());
        recomputed(&inputs, move || block.with_posterior(&x, &activation, noise.clone()))
    }

    /// The state of a lower resolution at this one's, with a learned bias.
    fn unpooled(&self, low: &Tensor, bias: Option<&Tensor>, rate: usize) -> Result<Tensor> {
        let Some((shape, parameters)) = &self.unpool else {
            return Ok(upsample_add(low, bias, rate, self.width)?);
        };
        let pixels = pixel_shuffle(&conv(low, parameters, *shape, self.arithmetic)?, rate)?;
        match bias {
            Some(_) => Ok(upsample_add(&pixels, bias, 1, self.width)?),
            None => Ok(pixels),
        }
    }

    /// The state that a latent makes.
    fn state(&self, prior: &Tensor, latent: &Tensor) -> candle_core::Result<Tensor> {
        let (shape, parameters) = &self.project;
        self.resnet.apply(&project_add(prior, latent, parameters, *shape, self.arithmetic)?)
    }

    fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self {
            prior: self.prior.with_arithmetic(arithmetic),
            posterior: self.posterior.with_arithmetic(arithmetic),
            resnet: self.resnet.with_arithmetic(arithmetic),
            arithmetic,
            ..self
        }
    }
}

/// The latents of a layer as they were given, if they have its shape.
fn given_latent(given: &Tensor, index: usize, shape: [usize; 4], x: &Tensor) -> Result<Tensor> {
    if given.dims() != shape {
        return Err(Error::GivenLatent {
            layer: index,
            expected: shape.to_vec(),
            found: given.dims().to_vec(),
        });
    }
    Ok(given.to_device(x.device())?.to_dtype(x.dtype())?)
}

impl Decoder {
    pub(crate) fn new(config: &VdvaeConfig, parameters: &Parameters, device: &Device) -> Self {
        let blocks = config.decoder_blocks().len();
        let mut biases = BTreeMap::new();
        for (i, resolution) in config.bias_resolutions().into_iter().enumerate() {
            biases.insert(resolution, parameters.unit(&format!("decoder.bias_xs.{i}")));
        }
        Self {
            blocks: (0..blocks).map(|i| DecoderBlock::new(config, parameters, i)).collect(),
            biases,
            gain_bias: parameters.unit("decoder.gain_bias"),
            image_size: config.image_size,
            device: device.clone(),
            dtype: DType::F32,
            recompute: false,
        }
    }

    /// The same decoder with activations of another type.
    pub(crate) fn with_dtype(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// The same decoder, which a tape holds the state between blocks of and nothing inside them.
    pub(crate) fn recomputed(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// The same decoder, its convolutions computed in another way.
    pub(crate) fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        let blocks = self.blocks.into_iter().map(|block| block.with_arithmetic(arithmetic));
        Self { blocks: blocks.collect(), ..self }
    }

    /// Walks down the decoder for `n` pictures, calling `visit` after each block; stops where it
    /// says so. Returns the final state (N, H, W, width) after gain and bias, unless stopped.
    pub(crate) fn walk(
        &self,
        n: usize,
        source: LatentSource<'_>,
        mut visit: impl FnMut(BlockOutput) -> Result<ControlFlow<()>>,
    ) -> Result<Option<Tensor>> {
        let mut states: BTreeMap<usize, Tensor> = BTreeMap::new();
        for (index, b) in self.blocks.iter().enumerate() {
            let (x, resolution) = (self.input(b, n, &states)?, b.resolution);
            let shape = (n, resolution, b.latent_channels);
            let draw = |noise: Noise| noise.draw(index, shape, x.dtype(), x.device());
            let (prior, posterior, latent, state) = match source {
                LatentSource::Posterior { activations, noise } => {
                    let (activation, noise) = (&activations[&resolution], draw(noise)?);
                    let [prior, posterior, latent, state] =
                        together(&self.device, || match self.recompute {
                            true => b.with_posterior_recomputed(&x, activation, noise),
                            false => b.with_posterior(&x, activation, noise),
                        })?;
                    (prior, Some(posterior), latent, state)
                }
                LatentSource::Prior { given, noise, temperature } => {
                    let prior = b.prior.apply(&x)?;
                    let z = b.latent_channels;
                    let latent = match given.get(index) {
                        Some(given) => {
                            given_latent(given, index, [n, resolution, resolution, z], &x)?
                        }
                        None => sample_prior(&prior, z, draw(noise)?, temperature.at(resolution))?,
                    };
                    let state = b.state(&prior, &latent)?;
                    (prior, None, latent, state)
                }
            };
            drop(x);
            states.insert(resolution, state.clone());
            let output = BlockOutput { index, resolution, prior, posterior, latent, state };
            if visit(output)?.is_break() {
                return Ok(None);
            }
        }
        Ok(Some(gain_bias(&states[&self.image_size], &self.gain_bias)?))
    }

    /// The state a block starts from: what its resolution holds so far (at first the learned bias,
    /// or zeros), plus the upsampled state of a lower resolution.
    fn input(
        &self,
        b: &DecoderBlock,
        n: usize,
        states: &BTreeMap<usize, Tensor>,
    ) -> Result<Tensor> {
        let (r, state) = (b.resolution, states.get(&b.resolution));
        let bias = self.biases.get(&r);
        match (b.mix_from, state) {
            (Some(from), None) => b.unpooled(&states[&from], bias, r / from),
            (Some(from), Some(state)) => {
                Ok(add(state, &b.unpooled(&states[&from], None, r / from)?)?)
            }
            (None, Some(state)) => Ok(state.clone()),
            (None, None) => {
                let zeros = Tensor::zeros((n, r, r, b.width), self.dtype, &self.device)?;
                match bias {
                    Some(_) => Ok(upsample_add(&zeros, bias, 1, b.width)?),
                    None => Ok(zeros),
                }
            }
        }
    }
}
