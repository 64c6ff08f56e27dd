//! CelebA in its published layout: `img_align_celeba/*.jpg` beside three label files.
//!
//! Liu et al., Deep Learning Face Attributes in the Wild, arXiv 1411.7766. The root is the folder
//! that holds them (or one above it), a tar.gz or zip of it, a folder with one such archive, or one
//! with the label files beside `img_align_celeba.zip`. Kaggle's copy (`list_attr_celeba.csv`,
//! `img_align_celeba/img_align_celeba/`) is read too.
//! Only pictures that exist count: the label files may describe more.

mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use image::RgbImage;

use crate::fingerprint::Fingerprint;
use crate::names::{self, base, last_parts};
use crate::store::{FileStore, Part};
use crate::text::{Text, lossy, read_text};
use crate::{Dataset, Error, Labels, Result, Split};

const NAME: &str = "celeba";
/// Largest label file in bytes; the published attribute file has 27 MB.
const MAX_TEXT_BYTES: u64 = 256 << 20;
const FOLDER: &str = "img_align_celeba";
const ATTRIBUTES: &str = "list_attr_celeba";
const PARTITION: &str = "list_eval_partition";
const IDENTITIES: &str = "identity_CelebA";

/// CelebA, open: labels in memory, pictures on disk.
#[derive(Debug)]
pub struct CelebA {
    store: FileStore,
    partition_name: String,
    names: Vec<String>,
    splits: [Vec<Picture>; 3],
    fingerprint: String,
}

#[derive(Debug)]
struct Picture {
    /// Name in the store.
    file: String,
    attributes: Vec<i8>,
    identity: Option<u64>,
}

impl CelebA {
    /// Opens a folder or an archive; `partition` replaces `list_eval_partition.txt`. It is looked
    /// for as a path first, then by its file name beside the other label files.
    ///
    /// A split may be empty; see [`Dataset::require`]. Without `identity_CelebA.txt` there are no
    /// groups.
    ///
    /// # Errors
    /// [`Error::Layout`] where pictures or label files are missing, [`Error::Table`] where a line
    /// cannot be read, [`Error::NoLine`] where a picture has no line, [`Error::Archive`].
    pub fn open(root: &Path, partition: Option<&Path>) -> Result<Self> {
        let inside = partition.and_then(Path::file_name).map(|name| name.to_string_lossy());
        let wanted = |name: &str| {
            is_picture(name)
                || is_label_file(name)
                || inside.as_ref().is_some_and(|inside| base(name) == inside)
        };
        let pictures_alone =
            Part { what: FOLDER, holds: &is_picture, archive: &|stem| stem == FOLDER };
        let store = FileStore::open_parts(NAME, root, &wanted, &[pictures_alone])?;
        let pictures = pictures(&store)?;
        let keys: HashMap<&str, usize> =
            pictures.iter().enumerate().map(|(row, name)| (base(name), row)).collect();
        if keys.len() != pictures.len() {
            let found = format!("{} files, {} names", pictures.len(), keys.len());
            return Err(Error::layout(NAME, store.root(), "one picture of each name", found));
        }
        let (file, text) = label_file(&store, ATTRIBUTES)?;
        let attributes = tables::attributes(Text { file: &file, text: &text }, &keys)?;
        let (partition_name, text) = match partition {
            Some(path) => partition_file(&store, path)?,
            None => label_file(&store, PARTITION)?,
        };
        let splits_of = tables::partition(Text { file: &partition_name, text: &text }, &keys)?;
        let identities = match find(&store, IDENTITIES) {
            None => None,
            Some(_) => {
                let (file, text) = label_file(&store, IDENTITIES)?;
                Some(tables::identities(Text { file: &file, text: &text }, &keys)?)
            }
        };
        drop(keys);
        let mut splits: [Vec<Picture>; 3] = Default::default();
        for (row, file) in pictures.into_iter().enumerate() {
            let width = attributes.names.len();
            splits[splits_of[row].position()].push(Picture {
                file,
                attributes: attributes.values[row * width..][..width].to_vec(),
                identity: identities.as_ref().map(|identities| identities[row]),
            });
        }
        let fingerprint = String::new();
        let mut celeba =
            Self { store, partition_name, names: attributes.names, splits, fingerprint };
        celeba.fingerprint = celeba.hash();
        Ok(celeba)
    }

    fn hash(&self) -> String {
        let hash = Fingerprint::new(NAME).dataset(self);
        let files = self.store.files().into_iter().filter(|(name, _)| is_picture(name));
        files.fold(hash, |hash, (_, length)| hash.number(length)).hex()
    }
}

fn is_picture(name: &str) -> bool {
    let folder = last_parts(name).is_some_and(|[folder, _]| folder == FOLDER);
    folder && names::is_picture(name)
}

fn is_label_file(name: &str) -> bool {
    [ATTRIBUTES, PARTITION, IDENTITIES].iter().any(|stem| is_named(name, stem))
}

fn is_named(name: &str, stem: &str) -> bool {
    base(name).strip_prefix(stem).is_some_and(|ending| matches!(ending, ".txt" | ".csv"))
}

fn pictures(store: &FileStore) -> Result<Vec<String>> {
    let files = store.files().into_iter().map(|(name, _)| name);
    let pictures: Vec<_> = files.filter(|name| is_picture(name)).map(str::to_owned).collect();
    if pictures.is_empty() {
        let expected = format!("pictures in {FOLDER}/");
        return Err(Error::layout(NAME, store.root(), expected, "none"));
    }
    Ok(pictures)
}

fn find<'a>(store: &'a FileStore, stem: &str) -> Option<&'a str> {
    let files = store.files().into_iter().map(|(name, _)| name);
    files.filter(|name| is_named(name, stem)).min_by_key(|name| name.split('/').count())
}

fn label_file(store: &FileStore, stem: &str) -> Result<(String, String)> {
    let name = find(store, stem)
        .ok_or_else(|| Error::layout(NAME, store.root(), format!("{stem}.txt"), "no such file"))?;
    Ok((base(name).to_owned(), read_text(store, name, MAX_TEXT_BYTES)?))
}

fn partition_file(store: &FileStore, path: &Path) -> Result<(String, String)> {
    let wanted = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Ok(metadata) = fs::metadata(path) {
        if !metadata.is_file() || metadata.len() > MAX_TEXT_BYTES {
            let expected = format!("a partition file of at most {MAX_TEXT_BYTES} bytes");
            let found = if metadata.is_file() { "a larger one" } else { "no regular file" };
            return Err(Error::layout(NAME, path, expected, found));
        }
        return Ok((wanted, lossy(fs::read(path).map_err(Error::io(path))?)));
    }
    let inside = store.files().into_iter().map(|(name, _)| name).find(|name| base(name) == wanted);
    match inside {
        Some(name) => Ok((wanted, read_text(store, name, MAX_TEXT_BYTES)?)),
        None => {
            let expected =
                format!("partition file {}, as a path or beside the labels", path.display());
            Err(Error::layout(NAME, store.root(), expected, "no such file"))
        }
    }
}

impl Dataset for CelebA {
    fn name(&self) -> &str {
        NAME
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split.position()].len()
    }

    fn key(&self, split: Split, index: usize) -> String {
        base(&self.splits[split.position()][index].file).to_owned()
    }

    fn labels(&self, split: Split) -> Labels {
        let pictures = &self.splits[split.position()];
        let values = pictures.iter().flat_map(|picture| picture.attributes.iter().copied());
        Labels::Binary { names: self.names.clone(), values: values.collect() }
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        self.splits[split.position()].iter().map(|picture| picture.identity).collect()
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let file = &self.splits[split.position()][index].file;
        self.store.picture(file, base(file))
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn stamp(&self) -> String {
        Fingerprint::new(&self.fingerprint).fact(self.store.stamp().as_bytes()).hex()
    }

    fn split_hint(&self) -> String {
        format!("under {}", self.partition_name)
    }
}
