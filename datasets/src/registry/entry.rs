//! What an entry of the registry is, and how it finds what it opens.

use std::path::{Path, PathBuf};

use super::options::OpenOptions;
use crate::archive::ENDINGS;
use crate::{
    Cifar, CifarSet, Dataset, Error, IdxSet, Mnist, Result, TinyImageNet, TinyImageNetSplits,
    ToyFaces,
};

/// A data set of the registry.
#[derive(Debug, Clone, Copy)]
pub struct DatasetEntry {
    /// Name, such as `celeba`.
    pub name: &'static str,
    /// How it is written: `celeba[:PATH]`. Where the path is not in brackets it must be given.
    pub form: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Names of its folder or archive in [`OpenOptions::collection`], the first preferred.
    pub folders: &'static [&'static str],
    /// What can be asked of it.
    pub tasks: Tasks,
    pub(super) open: fn(&Request<'_>) -> Result<Box<dyn Dataset>>,
}

/// What can be asked of the pictures of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tasks {
    /// Names of the task to predict its labels, the usual one first; none where it has no labels,
    /// or tests on other classes than it trains on. Where a path must be given, how it is written.
    pub targets: &'static [&'static str],
    /// The data set to draw few-shot episodes from: itself, or the same one split by classes.
    pub episodes: Option<&'static str>,
    /// Whether it says who is in a picture, for verification. Readers of files of any content
    /// (`folder:PATH`) say so though a file may have none.
    pub identities: bool,
}

impl DatasetEntry {
    /// Whether its name alone does not say what it is: a path must follow.
    pub fn needs_path(&self) -> bool {
        !self.form.contains("[:")
    }
}

/// An entry of [`IdxSet`].
pub(super) const fn idx(
    name: &'static str,
    form: &'static str,
    description: &'static str,
    folders: &'static [&'static str],
    targets: &'static [&'static str],
) -> DatasetEntry {
    let tasks = Tasks { targets, episodes: Some(name), identities: false };
    DatasetEntry { name, form, description, folders, tasks, open: open_idx }
}

/// What an entry opens.
pub(super) struct Request<'a> {
    pub(super) entry: &'a DatasetEntry,
    /// What stands after the colon.
    pub(super) address: &'a str,
    pub(super) given: Option<PathBuf>,
    pub(super) options: &'a OpenOptions,
}

impl Request<'_> {
    /// The path of a data set that is not looked for in the collection.
    pub(super) fn root(&self) -> Result<PathBuf> {
        let root = self.given.clone().or_else(|| self.options.data_root.clone());
        root.ok_or_else(|| Error::NoPath { dataset: self.entry.name.to_owned() })
    }

    pub(super) fn published(&self) -> Result<PathBuf> {
        let Self { entry, given, options, .. } = self;
        lies(entry.name, given.clone(), entry.folders, options)
    }

    pub(super) fn cifar(&self, set: CifarSet) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(Cifar::open(&self.published()?, set)?))
    }

    pub(super) fn tiny_imagenet(&self, splits: TinyImageNetSplits) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(TinyImageNet::open(&self.published()?, splits, self.options.seed)?))
    }
}

pub(super) fn open_idx(request: &Request<'_>) -> Result<Box<dyn Dataset>> {
    let set = IdxSet::named(request.entry.name).expect("an entry a set");
    Ok(Box::new(Mnist::open(&request.published()?, set)?))
}

/// EMNIST, where there is no choice of its splits.
pub(super) fn open_emnist(request: &Request<'_>) -> Result<Box<dyn Dataset>> {
    let path = request.published()?;
    let parts = Mnist::parts_of_emnist(&path)?;
    match parts[..] {
        [set] => Ok(Box::new(Mnist::open(&path, set)?)),
        _ => {
            let found: Vec<&str> = parts.iter().map(|set| set.name).collect();
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            let expected = "files of one split, or a name such as emnist-letters";
            Err(Error::layout("emnist", &path, expected, found))
        }
    }
}

pub(super) fn open_toy_faces(request: &Request<'_>) -> Result<Box<dyn Dataset>> {
    let [usual, valid, test] = ToyFaces::PEOPLE;
    let people = request.given.as_deref().map_or(Some(usual), number_of_people);
    let people = people.ok_or_else(|| Error::UnknownDataset {
        found: format!("toy-faces:{}", request.address),
        expected: "toy-faces[:PEOPLE], of 1 to 1000000 people".to_owned(),
    })?;
    Ok(Box::new(ToyFaces::with_people(request.options.seed, [people, valid, test])))
}

/// The number after `toy-faces:`.
fn number_of_people(given: &Path) -> Option<usize> {
    given.to_str()?.parse().ok().filter(|people| (1..=1_000_000).contains(people))
}

/// Name and path of `NAME:PATH`. Shells leave a `~` after the colon alone; it is the home folder.
pub(super) fn parse(spec: &str) -> (&str, Option<PathBuf>) {
    let (name, path) = spec.split_once(':').unwrap_or((spec, ""));
    let below_home = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let at_home =
        below_home.and_then(|rest| Some(std::env::home_dir()?.join(rest.trim_start_matches('/'))));
    (name, at_home.or_else(|| Some(path).filter(|path| !path.is_empty()).map(PathBuf::from)))
}

/// Where a data set lies whose folders in a collection have these names.
pub(super) fn lies(
    name: &str,
    given: Option<PathBuf>,
    folders: &[&str],
    options: &OpenOptions,
) -> Result<PathBuf> {
    let found =
        given.or_else(|| options.data_root.clone()).or_else(|| in_collection(options, folders));
    found.ok_or_else(|| Error::NoPath { dataset: name.to_owned() })
}

/// The folder or archive of a data set in the collection, where it exists.
fn in_collection(options: &OpenOptions, stems: &[&str]) -> Option<PathBuf> {
    let collection: &Path = options.collection.as_deref()?;
    let endings = || std::iter::once("").chain(ENDINGS);
    let named = stems.iter().flat_map(|stem| endings().map(move |end| format!("{stem}{end}")));
    named.map(|file| collection.join(file)).find(|path| path.exists())
}
