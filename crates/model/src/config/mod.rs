//! What a network looks like: sizes, block strings and input normalisation.
//!
//! The JSON form is the published hyper-parameters under plain names. Everything about the shape
//! of a network (blocks, latent layers, parameter names and shapes) follows from it and from
//! nothing else. Source: arXiv 2011.10650 and its code, `vae.py` and `hps.py`.

mod blocks;
mod parameters;
mod preset;
mod validate;

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use serde::{Deserialize, Serialize};

pub use blocks::{BlockSpec, BlockString, MAX_BLOCKS};
pub use parameters::ParameterSpec;
pub use preset::{Preset, PresetTraining};

use crate::{Error, Result};

/// Colour channels of a picture.
pub const IMAGE_CHANNELS: usize = 3;

/// Everything that fixes the network: a checkpoint carries it as JSON.
///
/// ```
/// use vdvae_model::{Preset, VdvaeConfig};
/// let config = Preset::Cifar10.config();
/// assert_eq!(config.num_parameters(), 39_145_700);
/// assert_eq!(VdvaeConfig::from_json(&config.to_json())?, config);
/// # Ok::<(), vdvae_model::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VdvaeConfig {
    /// Height and width of a picture in pixels.
    pub image_size: usize,
    /// Channels of the state at every resolution without a custom width.
    pub width: usize,
    /// Latent channels Z of every stochastic layer.
    pub zdim: usize,
    /// Encoder blocks, from the picture down to 1×1: `32x11,32d2,16x6,…`.
    pub enc: BlockString,
    /// Decoder blocks, from 1×1 up to the picture: `1x1,4m1,4x2,…`. One stochastic layer each.
    pub dec: BlockString,
    /// Channels at those resolutions where they differ from `width`.
    pub custom_width: BTreeMap<usize, usize>,
    /// Middle width of a block as a fraction of the width at its resolution (rounded down).
    pub bottleneck: f64,
    /// Decoder resolutions up to this one start from a learned bias, the others from zero.
    pub no_bias_above: usize,
    /// Logistic distributions mixed for every pixel.
    pub num_mixtures: usize,
    /// Whether the likelihood is of 5-bit pixels (the published FFHQ-256 model).
    pub low_bit: bool,
    /// Added to every byte of a picture before it enters the network.
    pub shift: f64,
    /// Multiplied after `shift` was added.
    pub scale: f64,
    /// How the state of a lower resolution is enlarged.
    #[serde(default, skip_serializing_if = "Unpool::is_nearest")]
    pub unpool: Unpool,
}

/// How the decoder brings the state of a lower resolution to a higher one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unpool {
    /// Every pixel is repeated, as in all published networks.
    #[default]
    Nearest,
    /// A transposed convolution, whose kernel is as large as its stride: for comparison.
    Learned,
}

impl Unpool {
    fn is_nearest(&self) -> bool {
        *self == Self::Nearest
    }
}

/// One residual block of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderBlock {
    /// Resolution at which the block computes.
    pub resolution: usize,
    /// Average pooling after the block, if any: the factor by which the resolution shrinks.
    pub down: Option<usize>,
}

impl EncoderBlock {
    /// Resolution of what comes out of the block.
    pub fn output_resolution(&self) -> usize {
        self.resolution / self.down.unwrap_or(1)
    }
}

/// One block of the decoder, which holds one stochastic layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderBlock {
    /// Resolution at which the block computes.
    pub resolution: usize,
    /// Lower resolution whose upsampled state is added first, if any.
    pub mix_from: Option<usize>,
}

/// Shape of one stochastic layer: z of one picture is (r, r, Z).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Position in the decoder, 0 is the top (lowest resolution).
    pub index: usize,
    /// Height and width r.
    pub resolution: usize,
    /// Latent channels Z.
    pub channels: usize,
}

impl VdvaeConfig {
    /// Reads and validates the JSON form.
    ///
    /// # Errors
    /// [`Error::ConfigJson`] when keys are missing, unknown or of another type;
    /// [`Error::Config`] when they describe no network.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::from_named_json(json, "config")
    }

    /// Reads and validates a JSON file.
    ///
    /// # Errors
    /// As [`Self::from_json`], and [`Error::Io`] when the file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        const LONGEST: u64 = 1 << 20;
        let path = path.as_ref();
        let io = |source| Error::Io { path: path.to_owned(), action: "read", source };
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(io)?;
        let origin = path.display().to_string();
        let refuse =
            |reason: &str| Error::ConfigJson { origin: origin.clone(), reason: reason.into() };
        if bytes.len() as u64 > LONGEST {
            return Err(refuse("expected JSON of at most 1 MiB, found a larger file"));
        }
        let json = std::str::from_utf8(&bytes)
            .map_err(|_| refuse("expected JSON text, found bytes that are not UTF-8"))?;
        Self::from_named_json(json, &origin)
    }

    fn from_named_json(json: &str, origin: &str) -> Result<Self> {
        /// What training writes: a section of its own beside the network's keys.
        const TRAIN: &str = "train";
        let refuse = |error: serde_json::Error| Error::ConfigJson {
            origin: origin.to_owned(),
            reason: error.to_string(),
        };
        let config: Self = match serde_json::from_str(json) {
            Ok(config) => config,
            // Parsed a second time so that errors in other files keep their line and column.
            Err(error) => {
                let mut value: serde_json::Map<_, _> =
                    serde_json::from_str(json).map_err(|_| refuse(error))?;
                if value.remove(TRAIN).is_none() {
                    serde_json::from_str(json).map_err(refuse)?
                } else {
                    serde_json::from_value(value.into()).map_err(refuse)?
                }
            }
        };
        config.validate()?;
        Ok(config)
    }

    /// The JSON form on one line, keys in the documented order.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain numbers and strings always serialise")
    }

    /// Channels of the state at `resolution`.
    pub fn width_at(&self, resolution: usize) -> usize {
        self.custom_width.get(&resolution).copied().unwrap_or(self.width)
    }

    /// Channels between the convolutions of a block at `resolution`.
    pub fn mid_at(&self, resolution: usize) -> usize {
        (self.width_at(resolution) as f64 * self.bottleneck) as usize
    }

    /// Kernel size of a block's two middle convolutions: 3, or 1 where only 2×2 pixels are left.
    pub fn kernel_at(&self, resolution: usize) -> usize {
        if resolution > 2 { 3 } else { 1 }
    }

    /// The encoder's blocks in order of computation, repeats written out.
    pub fn encoder_blocks(&self) -> Vec<EncoderBlock> {
        let blocks = |spec: &BlockSpec| {
            let (resolution, down, count) = match *spec {
                BlockSpec::Same { resolution, count } => (resolution, None, count),
                BlockSpec::Down { resolution, rate } => (resolution, Some(rate), 1),
                // validate() refuses these in an encoder.
                BlockSpec::Mix { resolution, .. } => (resolution, None, 1),
            };
            std::iter::repeat_n(EncoderBlock { resolution, down }, count)
        };
        self.enc.specs().iter().flat_map(blocks).collect()
    }

    /// The decoder's blocks in order of computation, repeats written out.
    pub fn decoder_blocks(&self) -> Vec<DecoderBlock> {
        let blocks = |spec: &BlockSpec| {
            let (resolution, mix_from, count) = match *spec {
                BlockSpec::Same { resolution, count } => (resolution, None, count),
                BlockSpec::Mix { resolution, from } => (resolution, Some(from), 1),
                // validate() refuses these in a decoder.
                BlockSpec::Down { resolution, .. } => (resolution, None, 1),
            };
            std::iter::repeat_n(DecoderBlock { resolution, mix_from }, count)
        };
        self.dec.specs().iter().flat_map(blocks).collect()
    }

    /// Resolutions with a learned bias, ascending: entry i belongs to `decoder.bias_xs.i`.
    pub fn bias_resolutions(&self) -> Vec<usize> {
        let mut resolutions: Vec<_> = self
            .decoder_blocks()
            .iter()
            .map(|block| block.resolution)
            .filter(|&resolution| resolution <= self.no_bias_above)
            .collect();
        resolutions.sort_unstable();
        resolutions.dedup();
        resolutions
    }

    /// The stochastic layers, top (lowest resolution) first.
    pub fn latent_layers(&self) -> Vec<LayerShape> {
        let layer = |(index, block): (usize, &DecoderBlock)| LayerShape {
            index,
            resolution: block.resolution,
            channels: self.zdim,
        };
        self.decoder_blocks().iter().enumerate().map(layer).collect()
    }
}

#[cfg(test)]
mod tests;
