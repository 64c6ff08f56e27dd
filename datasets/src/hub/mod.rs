//! Data sets of the Hugging Face hub.
//!
//! Only Parquet files are read: a column of pictures (a struct with `bytes`, or binary), a class
//! (`label`, or a `ClassLabel` of the library `datasets`), boolean attributes or floating-point
//! targets, and a group (`celeb_id`, `identity`). A build without the feature `hub` has
//! `without_hub.rs` in place of this file: nothing else knows of the feature.

mod dataset;
mod shards;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use vdvae_hub::HubOptions;
use vdvae_hub::{Address, Kind, NO_SUCH_REPOSITORY, Repository, hub_checkpoint};

use crate::{Dataset, Error, Result, Split};
use shards::Shards;

/// The repository that has CelebA: the aligned pictures, 178×218, with identities and attributes.
const CELEBA_REPOSITORY: &str = "flwrlabs/celeba";
const CELEBA_CONFIG: &str = "img_align+identity+attr";
const CELEBA_TERMS: &str = "CelebA is available for non-commercial research purposes only; see \
                            https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html";

/// Opens a data set of the hub; `address` is what follows `hf:`.
///
/// Only `splits` are downloaded; all three where there are none.
pub(crate) fn open(
    address: &str,
    options: &HubOptions,
    splits: &[Split],
    seed: u64,
) -> Result<Box<dyn Dataset>> {
    let address = Address::parse(address)?;
    open_as(address.to_string(), &address, options, splits, seed)
}

/// Opens CelebA from the hub.
///
/// # Errors
/// [`Error::NoData`] where there is neither internet nor a copy in the cache.
pub(crate) fn open_celeba(
    options: &HubOptions,
    splits: &[Split],
    seed: u64,
) -> Result<Box<dyn Dataset>> {
    let address = Address::parse(CELEBA_REPOSITORY)?;
    open_as("celeba".into(), &address, options, splits, seed).map_err(|error| match error {
        Error::Hub { reason, absent: true, .. } => {
            Error::NoData { dataset: "celeba".into(), repository: CELEBA_REPOSITORY.into(), reason }
        }
        other => other,
    })
}

fn open_as(
    name: String,
    address: &Address,
    options: &HubOptions,
    splits: &[Split],
    seed: u64,
) -> Result<Box<dyn Dataset>> {
    /// The branch where the hub keeps every data set as Parquet, whatever it is on `main`.
    const CONVERTED: &str = "refs/convert/parquet";
    let celeba = address.id() == CELEBA_REPOSITORY;
    let wanted = address.path.as_deref();
    let find = |files: &[String]| match wanted {
        None if celeba => {
            Shards::find(files, Some(CELEBA_CONFIG)).or_else(|_| Shards::find(files, None))
        }
        wanted => Shards::find(files, wanted),
    };
    let mut repository = Repository::new(address, Kind::Dataset, options)?;
    let mut listing = repository.list()?;
    let parquet = |files: &[String]| files.iter().any(|file| file.ends_with(".parquet"));
    if !parquet(&listing.files) && address.revision.is_none() {
        repository = repository.at(CONVERTED);
        listing = repository.list()?;
    }
    let shards = find(&listing.files).map_err(|found| {
        repository.reason(format!("expected Parquet files, found {found}"), false)
    })?;
    // A cache may hold one split and not another.
    if let Some(missing) = shards.gap() {
        let text = format!(
            "{missing} is not in the {}",
            if listing.cached { "cache" } else { "repository" }
        );
        return Err(repository.reason(text, listing.cached).into());
    }
    let told = std::cell::Cell::new(!celeba);
    let announce = || {
        if !told.replace(true) {
            options.progress.tell(|progress| progress.notice(CELEBA_TERMS));
        }
    };
    let request = (splits, seed);
    let dataset =
        dataset::HubDataset::open(name, &repository, &listing, &shards, request, announce)?;
    Ok(Box::new(dataset))
}

/// What [`fetch`] has brought.
pub enum Fetched {
    /// A data set; all its splits are in the hub's cache.
    Dataset(Box<dyn Dataset>),
    /// A file of weights.
    Weights(PathBuf),
}

/// Downloads what a name stands for: `celeba`, or a data set or a model of the hub
/// (`hf:owner/repo`). What is there already is not downloaded again.
///
/// # Errors
/// [`Error::UnknownDataset`] lists the names; [`Error::Hub`]; the errors of the readers.
pub fn fetch(name: &str, options: &HubOptions) -> Result<Fetched> {
    if name == "celeba" {
        return open_celeba(options, &[], 0).map(Fetched::Dataset);
    }
    let Some(address) = name.strip_prefix("hf:") else {
        let expected = "celeba, hf:OWNER/REPO".to_owned();
        return Err(Error::UnknownDataset { found: name.into(), expected });
    };
    if address.ends_with(".safetensors") || address.ends_with(".th") {
        return Ok(Fetched::Weights(hub_checkpoint(address, options)?));
    }
    match open(address, options, &[], 0) {
        Ok(dataset) => Ok(Fetched::Dataset(dataset)),
        Err(error) if is_missing(&error) => {
            match hub_checkpoint(address, options).map_err(Error::from) {
                Ok(path) => Ok(Fetched::Weights(path)),
                // Of two that are missing, the data set is named.
                Err(other) if is_missing(&other) => Err(error),
                Err(other) => Err(other),
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether there may be a repository of another kind with this name: the hub answers 401 for what
/// does not exist, so as not to tell what does.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Hub { reason, .. } if reason.starts_with(NO_SUCH_REPOSITORY))
}

impl From<vdvae_hub::Error> for Error {
    fn from(error: vdvae_hub::Error) -> Self {
        match error {
            vdvae_hub::Error::Io { path, source } => Self::Io { path, source },
            vdvae_hub::Error::Hub { name, reason, absent } => Self::Hub { name, reason, absent },
            vdvae_hub::Error::Table { path, expected, found } => {
                Self::Header { path, expected, found }
            }
            other => Self::Address(other.to_string()),
        }
    }
}
