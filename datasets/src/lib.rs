//! Data sets as plain pixels: readers of published layouts and a built-in renderer of toy faces.
//!
//! Every data set is a [`Dataset`]: splits, stable keys, labels, identities and pictures.
//! [`open`] finds one by name; [`Batches`] is the loop over a split, decoded, cropped and resized in
//! parallel.
//!
//! ```
//! use vdvae_datasets::{Labels, OnBadImage, OpenOptions, Preparation, Split, load_batch, open};
//!
//! let faces = open("toy-faces", &OpenOptions::default())?;
//! let batch =
//!     load_batch(&*faces, Split::Train, &[0, 1, 2], &Preparation::new(32), OnBadImage::Fail)?;
//! assert_eq!(batch.pixels.len(), 3 * 32 * 32 * 3);
//! let Labels::Binary { names, .. } = faces.labels(Split::Train) else { unreachable!() };
//! assert!(names.iter().any(|name| name == "Freckles"));
//! # Ok::<(), vdvae_datasets::Error>(())
//! ```
//!
//! Hostile input — truncated archives, lying headers, broken pictures — is an [`Error`] of one
//! line, never a panic nor an allocation without bound.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod archive;
mod arrays;
mod batch;
mod batches;
mod celeba;
mod cifar;
mod csv_table;
mod dataset;
mod error;
mod filter;
mod fingerprint;
#[cfg(test)]
mod fixture;
mod folder;
#[cfg_attr(not(feature = "hub"), path = "without_hub.rs")]
mod hub;
mod left_out;
mod lfw;
mod mnist;
mod names;
mod numpy_rng;
mod omniglot;
mod pictures;
mod published;
mod ranking;
mod registry;
mod split_names;
mod store;
mod text;
mod tiny_imagenet;
mod toy_faces;
mod walk;
mod whole;

pub use arrays::{ArrayLayout, Arrays};
pub use batch::{Batch, OnBadImage, load_batch};
pub use batches::{AHEAD_OF_GPU, Batches, read_ahead};
pub use celeba::CelebA;
pub use cifar::{Cifar, CifarSet};
pub use csv_table::{CsvTable, TableOptions, TargetColumn, TargetKind, Uncertain};
pub use dataset::{Dataset, Labels, Split};
pub use error::{Error, Result, TableChoice};
pub use folder::{Folder, SplitFolder};
pub use hub::HubOptions;
#[cfg(feature = "hub")]
pub use hub::{Fetched, fetch};
pub use lfw::{Lfw, PicturePair, VerificationPairs};
pub use mnist::{IdxSet, Mnist};
pub use numpy_rng::numpy_permutation;
pub use omniglot::{Omniglot, OneShotRun, OneShotRuns};
pub use registry::{DATASETS, DatasetEntry, OpenOptions, Tasks, locate, open};
pub use tiny_imagenet::{TinyImageNet, TinyImageNetSplits};
pub use toy_faces::{Attribute, ToyFaces};
pub use vdvae_io::{Crop, Exif, Preparation, Resize};
pub use whole::Whole;
