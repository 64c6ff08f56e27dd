//! Feature tables read from the latents of a Very Deep VAE.
//!
//! [`features`] reads those of a split in one call. One pass of the network ([`Extraction`]) fills a
//! [`FeatureTable`] for every source asked for: the latents of chosen layers, pooled, or the pixels
//! themselves. Probes read these tables and never see a tensor. A [`FeatureCache`] keeps them on disk.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod arrays;
mod cache;
mod error;
mod extract;
mod hog;
mod pool;
mod reader;
mod spec;
mod table;
mod writer;

pub use arrays::ArrayFile;
pub use cache::{CacheContents, CacheEntry, CacheUse, CachedSources, FeatureCache};
pub use error::{Error, Result};
pub use extract::{
    Extracted, Extraction, FeatureSource, LayerFeatures, extract_batch, extract_pictures, features,
    selection_parts, side_by_side, source_columns,
};
pub use pool::unpooled;
pub use reader::read_layers;
pub use spec::{FeatureSpec, LayerSelection, Pooling, Statistic};
pub use table::{FeatureColumn, FeatureTable, Targets};
pub use writer::{FeatureWriter, FileFormat, Part, join_npz};
