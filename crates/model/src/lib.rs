//! The Very Deep VAE: network, likelihood, latents and checkpoints.
//!
//! [`Vdvae`] is the one network that training, likelihood, extraction, sampling and decoding share.
//! Published weights keep their names, shapes and channel order at its boundary ([`Weights`],
//! [`Checkpoint`]); inside, activations are NHWC and parameters are packed one tensor a block
//! ([`Parameters`]).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod builtin;
mod candle;
mod checkpoint;
mod config;
mod decoder;
mod encoder;
mod error;
mod evaluate;
mod images;
mod latents;
mod noise;
mod params;
mod precision;
mod published;
mod temperature;
mod vdvae;

pub use builtin::builtin_checkpoint;
pub use candle::BottomUp;
pub use checkpoint::{
    Array, Checkpoint, CheckpointKind, MAX_LISTED_PROBLEMS, Weights, write_safetensors,
    write_safetensors_f16, write_weights,
};
pub use config::{
    BlockSpec, BlockString, DecoderBlock, EncoderBlock, IMAGE_CHANNELS, LayerShape, MAX_BLOCKS,
    ParameterSpec, Preset, PresetTraining, Unpool, VdvaeConfig,
};
pub use encoder::Activations;
pub use error::{Error, Result, WeightProblem};
pub use evaluate::{Evaluation, PictureTerms};
pub use images::Images;
pub use latents::{LatentLayer, LatentMode, Latents, LayerView};
pub use noise::{Noise, stream};
pub use params::{Parameters, Slot, Unit, units};
pub use precision::Precision;
pub use published::{PUBLISHED, Published, checkpoint_file};
pub use temperature::Temperature;
pub use vdvae::{ElboTerms, Vdvae};
#[cfg(feature = "cuda")]
pub use vdvae_ops::cuda::device as cuda_device;
