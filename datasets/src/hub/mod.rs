//! Data sets and weights from the Hugging Face hub, and the published weights.
//!
//! Only Parquet files are read: a column of pictures (a struct with `bytes`, or binary), a class
//! (`label`, or a `ClassLabel` of the library `datasets`), boolean attributes or floating-point
//! targets, and a group (`celeb_id`, `identity`). The files are kept where hf-hub and
//! huggingface_hub keep theirs, and read from there.

mod address;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod dataset;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod http;
mod options;
#[cfg(feature = "hub")]
mod shards;
#[cfg(feature = "hub")]
mod table;
#[cfg(all(test, feature = "hub"))]
mod tests;
#[cfg(feature = "hub")]
mod wait;
mod weights;

use std::path::PathBuf;

use crate::{Dataset, Error, Result, Split};
use address::Address;
pub use options::{DownloadProgress, HubOptions, Progress};
pub use weights::{PUBLISHED_WEIGHTS, PublishedWeights};

/// The repository that has CelebA: the aligned pictures, 178×218, with identities and attributes.
pub const CELEBA_REPOSITORY: &str = "flwrlabs/celeba";
#[cfg(feature = "hub")]
const CELEBA_CONFIG: &str = "img_align+identity+attr";
#[cfg(feature = "hub")]
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
    let address = parse(address)?;
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
    let address = parse(CELEBA_REPOSITORY)?;
    open_as("celeba".into(), &address, options, splits, seed).map_err(|error| match error {
        Error::Hub { reason, absent: true, .. } => {
            Error::NoData { dataset: "celeba".into(), repository: CELEBA_REPOSITORY.into(), reason }
        }
        other => other,
    })
}

fn parse(address: &str) -> Result<Address> {
    Address::parse(address).map_err(Error::Address)
}

#[cfg(feature = "hub")]
fn open_as(
    name: String,
    address: &Address,
    options: &HubOptions,
    splits: &[Split],
    seed: u64,
) -> Result<Box<dyn Dataset>> {
    use client::{Kind, Repository};
    use shards::Shards;

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
        return Err(repository.reason(text, listing.cached));
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

#[cfg(not(feature = "hub"))]
fn open_as(
    _: String,
    address: &Address,
    _: &HubOptions,
    _: &[Split],
    _: u64,
) -> Result<Box<dyn Dataset>> {
    Err(Error::Hub {
        name: address.to_string(),
        reason: "this build cannot download; build it with the feature `hub`".into(),
        absent: true,
    })
}

/// Path of a checkpoint of the hub, downloaded where the cache lacks it; `address` is
/// `owner/repo[@revision][/file]`, without `hf:`.
///
/// Without a file, `model.safetensors`, or the only file that ends in `.safetensors` or `.th`.
///
/// # Errors
/// [`Error::Address`], and [`Error::Hub`] where there is no such repository or file, where several
/// files could be meant, or where the hub cannot be reached.
#[cfg(feature = "hub")]
pub fn hub_checkpoint(address: &str, options: &HubOptions) -> Result<PathBuf> {
    use client::{Kind, Repository};

    let address = parse(address)?;
    let repository = Repository::new(&address, Kind::Model, options)?;
    let listing = repository.list()?;
    let wrong = |text: String| repository.reason(text, false);
    let name = match &address.path {
        Some(path) if listing.files.contains(path) => path.clone(),
        Some(path) => {
            let found = listing.files.join(", ");
            return Err(wrong(format!("expected the file {path}, found {found}")));
        }
        None => {
            let is_model = |file: &&String| file.ends_with(".safetensors") || file.ends_with(".th");
            let models: Vec<&String> = listing.files.iter().filter(is_model).collect();
            let usual = models.iter().find(|file| **file == "model.safetensors");
            match (usual, &models[..]) {
                (Some(file), _) | (None, [file]) => (*file).clone(),
                (None, []) => return Err(wrong("expected a .safetensors or .th file".into())),
                (None, several) => {
                    let several: Vec<&str> = several.iter().map(|file| file.as_str()).collect();
                    return Err(wrong(format!("add one of /{}", several.join(", /"))));
                }
            }
        }
    };
    let path = repository.file(&listing, &name, || {})?;
    repository.remember(&listing)?;
    Ok(path)
}

/// Path of a checkpoint of the hub.
///
/// # Errors
/// Always: this build has no feature `hub`.
#[cfg(not(feature = "hub"))]
pub fn hub_checkpoint(address: &str, options: &HubOptions) -> Result<PathBuf> {
    open(address, options, &[], 0)?;
    unreachable!("a build without the hub opens nothing")
}

/// What [`fetch`] has brought.
pub enum Fetched {
    /// A data set; all its splits are in the hub's cache.
    Dataset(Box<dyn Dataset>),
    /// A file of weights.
    Weights(PathBuf),
}

/// Downloads what a name stands for: published weights (`imagenet64`), `celeba`, or a data set or
/// a model of the hub (`hf:owner/repo`). What is there already is not downloaded again.
///
/// # Errors
/// [`Error::UnknownDataset`] lists the names; [`Error::Hub`]; the errors of the readers.
pub fn fetch(name: &str, options: &HubOptions) -> Result<Fetched> {
    if let Some(weights) = PublishedWeights::named(name) {
        return weights.fetch(options).map(Fetched::Weights);
    }
    if name == "celeba" {
        return open_celeba(options, &[], 0).map(Fetched::Dataset);
    }
    let Some(address) = name.strip_prefix("hf:") else {
        let weights = PUBLISHED_WEIGHTS.iter().map(|weights| weights.name);
        let names: Vec<&str> = weights.chain(["celeba", "hf:OWNER/REPO"]).collect();
        return Err(Error::UnknownDataset { found: name.into(), expected: names.join(", ") });
    };
    if address.ends_with(".safetensors") || address.ends_with(".th") {
        return hub_checkpoint(address, options).map(Fetched::Weights);
    }
    match open(address, options, &[], 0) {
        Ok(dataset) => Ok(Fetched::Dataset(dataset)),
        Err(error) if is_missing(&error) => match hub_checkpoint(address, options) {
            Ok(path) => Ok(Fetched::Weights(path)),
            // Of two that are missing, the data set is named.
            Err(other) if is_missing(&other) => Err(error),
            Err(other) => Err(other),
        },
        Err(error) => Err(error),
    }
}

/// Whether there may be a repository of another kind with this name: the hub answers 401 for what
/// does not exist, so as not to tell what does.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Hub { reason, .. } if reason.starts_with(MISSING))
}

/// How every message begins that says that a repository is not to be found.
const MISSING: &str = "no such repository";

#[cfg(all(test, not(feature = "hub")))]
mod without_the_hub {
    use super::*;

    #[test]
    fn what_cannot_be_downloaded_says_how_to_build() {
        let options = HubOptions::from_env();
        let text = open("a/b", &options, &[], 0).err().unwrap().to_string();
        assert!(text.starts_with("hf:a/b: this build cannot download"), "{text}");
        assert!(hub_checkpoint("a/b", &options).unwrap_err().to_string().contains("feature `hub`"));
        let text = open_celeba(&options, &[], 0).err().unwrap().to_string();
        assert!(text.contains("feature `hub`") && text.contains("celeba:PATH"), "{text}");
    }
}
