//! The Hugging Face hub, and where the published weights lie: files by name, and Parquet tables.
//!
//! Files of the hub are kept where hf-hub and huggingface_hub keep theirs, and read from there. A
//! download that broke off goes on; whatever a server sends is bounded and checked before it is
//! believed. What a data set or a network is, the crates above say.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod card;
mod checkpoint;
mod client;
mod download;
mod error;
mod http;
mod options;
mod table;
#[cfg(test)]
mod tests;
mod wait;
mod weights;

pub use address::Address;
pub use card::{Card, CardConfig, ClassNames};
pub use checkpoint::{hub_checkpoint, is_checkpoint};
pub use client::{Kind, Listing, NO_SUCH_REPOSITORY, Repository};
pub use error::{Error, Result};
pub use options::{DownloadProgress, HubOptions, Progress};
pub use table::{
    Block, Columns, Table, TableLabels, Target, TargetKind, Targets, columns, has_targets, is_label,
};
pub use weights::fetch_weights;
