//! PixelCNN++: the autoregressive model that the paper compares Very Deep VAEs with.
//!
//! Salimans, Karpathy, Chen and Kingma, "PixelCNN++: Improving the PixelCNN with Discretized Logistic
//! Mixture Likelihood and Other Modifications", arXiv 1701.05517, as its published code has it
//! (<https://github.com/openai/pixel-cnn>): two streams of shifted convolutions over three scales,
//! gated residual blocks, short cuts, weight normalisation that is initialised from pictures, dropout
//! and a mixture of logistics. The likelihood is the one of [`vdvae_model`], and [`vdvae_train`] trains
//! it, so that two numbers side by side differ by the network alone. It runs on CPUs.
//!
//! - [`PixelCnn::nll`] is a likelihood, exact where a VDVAE has a bound: `network.rs`
//! - [`PixelCnn::sample`] draws pictures pixel by pixel, and computes at each what is new there
//!   alone: `sampler.rs`; [`PixelCnn::sample_naive`] computes everything again
//!
//! What differs from the published code: where rows above, or pixels to the left, are left out, the
//! first convolutions read zeros there and add their bias, which the published code shifts in zeros
//! for; and a drawn pixel is rounded to a byte before the next one reads it.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod config;
mod error;
mod layer;
mod layout;
mod network;
mod sampler;
mod train;

pub use config::PixelCnnConfig;
pub use error::{Error, Result};
pub use network::PixelCnn;
