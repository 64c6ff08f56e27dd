//! Feature tables read from the latents of a Very Deep VAE.

mod error;
mod table;

pub use error::{Error, Result};
pub use table::{FeatureColumn, FeatureTable, Targets};
