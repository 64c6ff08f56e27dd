//! Data sets of the Hugging Face hub.
//!
//! Only Parquet files are read: a column of pictures (a struct with `bytes`, or binary), a class
//! (`label`, or a `ClassLabel` of the library `datasets`), boolean attributes or floating-point
//! targets, or the columns asked for, and a group (`celeb_id`, `identity`). A build without the feature `hub` has
//! `without_hub.rs` in place of this file: nothing else knows of the feature.

mod blocks;
mod dataset;
mod labels;
mod shards;
mod splits;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use vdvae_hub::HubOptions;
use vdvae_hub::{
    Address, Card, Kind, NO_SUCH_REPOSITORY, Repository, hub_checkpoint, is_checkpoint,
};

use crate::{Dataset, Error, OpenOptions, Result};
use dataset::{HubDataset, Source};
use shards::Shards;

/// What says which files there are.
const CARD: &str = "README.md";
/// The branch where the hub keeps every data set as Parquet, whatever it is on `main`.
const CONVERTED: &str = "refs/convert/parquet";
/// The repository that has CelebA: the aligned pictures, 178×218, with identities and attributes.
const CELEBA_REPOSITORY: &str = "flwrlabs/celeba";
const CELEBA_CONFIG: &str = "img_align+identity+attr";
const CELEBA_TERMS: &str = "CelebA is available for non-commercial research purposes only; see \
                            https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html";

/// Opens a data set of the hub; `address` is what follows `hf:`.
///
/// Only [`OpenOptions::splits`] are downloaded, all three where there are none; and of other splits
/// so much that it is known whether they have labels.
pub(crate) fn open(address: &str, options: &OpenOptions) -> Result<Box<dyn Dataset>> {
    let address = Address::parse(address)?;
    open_as(address.to_string(), &address, options, true)
}

/// Opens CelebA from the hub.
///
/// # Errors
/// [`Error::NoData`] where there is neither internet nor a copy in the cache.
pub(crate) fn open_celeba(options: &OpenOptions) -> Result<Box<dyn Dataset>> {
    let address = Address::parse(CELEBA_REPOSITORY)?;
    open_as("celeba".into(), &address, options, true).map_err(|error| match error {
        Error::Hub { reason, absent: true, .. } => {
            Error::NoData { dataset: "celeba".into(), repository: CELEBA_REPOSITORY.into(), reason }
        }
        other => other,
    })
}

fn open_as(
    name: String,
    address: &Address,
    options: &OpenOptions,
    must_choose: bool,
) -> Result<Box<dyn Dataset>> {
    let celeba = address.id() == CELEBA_REPOSITORY;
    let told = std::cell::Cell::new(!celeba);
    let announce = || {
        if !told.replace(true) {
            options.hub.progress.tell(|progress| progress.notice(CELEBA_TERMS));
        }
    };
    let mut repository = Repository::new(address, Kind::Dataset, &options.hub)?;
    let mut listing = repository.list()?;
    let card = match listing.files.iter().any(|file| file == CARD) {
        true => Card::read(&repository.file(&listing, CARD, announce)?)?,
        false => Card::default(),
    };
    let found = match address.path.as_deref() {
        Some(file) if file.ends_with(".parquet") => {
            Ok(listing.files.iter().any(|known| known == file).then(|| Shards::single(file)))
        }
        None if celeba => Shards::find(&listing.files, &card, Some(CELEBA_CONFIG))
            .or_else(|_| Shards::find(&listing.files, &card, None)),
        wanted => Shards::find(&listing.files, &card, wanted),
    };
    let wrong = |found: String| format!("expected Parquet files, found {found}");
    let mut found = found.map_err(|found| repository.reason(wrong(found), false))?;
    if found.is_none() && address.revision.is_none() {
        let usual = shards::chosen(&card, None).ok().flatten().map(|config| config.name.as_str());
        let wanted = address.path.as_deref().or(usual);
        let converted = Repository::new(address, Kind::Dataset, &options.hub)?.at(CONVERTED);
        match converted.list().map_err(Error::from) {
            Ok(of_converted) => {
                (repository, listing) = (converted, of_converted);
                found = Shards::find(&listing.files, &Card::default(), wanted)
                    .map_err(|found| repository.reason(wrong(found), false))?;
            }
            // There is no conversion, so what is missing is missed here.
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let shards = found.ok_or_else(|| {
        let count = listing.files.len();
        let found = match &address.path {
            Some(path) => format!("none that is {path} among its {count} files"),
            None if listing.files.iter().any(|name| name.ends_with(".parquet")) => {
                format!("none that its card lists among its {count} files")
            }
            None => format!("no Parquet file among its {count} files"),
        };
        repository.reason(wrong(found), false)
    })?;
    // A cache may hold one split and not another; one file may be asked for alone.
    let alone = address.path.as_ref().is_some_and(|path| path.ends_with(".parquet"));
    if let Some(missing) = shards.gap(&listing.files).filter(|_| !alone) {
        let text = format!(
            "{missing} is not in the {}",
            if listing.cached { "cache" } else { "repository" }
        );
        return Err(repository.reason(text, listing.cached).into());
    }
    let source = Source { repository: &repository, listing: &listing, announce: &announce };
    let classes = card.classes(&shards.config);
    Ok(Box::new(HubDataset::open(name, &source, shards, &classes, options, must_choose)?))
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
    let all = OpenOptions { hub: options.clone(), ..OpenOptions::default() };
    if name == "celeba" {
        return open_celeba(&all).map(Fetched::Dataset);
    }
    let Some(address) = name.strip_prefix("hf:") else {
        let expected = "celeba, hf:OWNER/REPO".to_owned();
        return Err(Error::UnknownDataset { found: name.into(), expected });
    };
    let parsed = Address::parse(address)?;
    if parsed.path.as_deref().is_some_and(is_checkpoint) {
        return Ok(Fetched::Weights(hub_checkpoint(address, options)?));
    }
    // What is to be predicted may be chosen later.
    match open_as(name.to_owned(), &parsed, &all, false) {
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
            vdvae_hub::Error::Targets { path, expected, found } => {
                Self::Columns { path, expected, found }
            }
            other => Self::Address(other.to_string()),
        }
    }
}
