//! CelebA in its published layout: `img_align_celeba/*.jpg` beside three label files.
//!
//! Liu et al., Deep Learning Face Attributes in the Wild, arXiv 1411.7766. The root is the folder
//! that holds them (or one above it), a tar.gz or zip of it, a folder with one such archive, or one
//! with the label files beside `img_align_celeba.zip`. The folder or the archive of the pictures may
//! itself be the root; the label files then lie beside it. Kaggle's copy (`list_attr_celeba.csv`,
//! `img_align_celeba/img_align_celeba/`) is read too, and so are the same pictures as PNG, in
//! `img_align_celeba_png/`: the label files name all of them as JPEG.
//! Only pictures that exist count: the label files may describe more.

mod tables;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use image::RgbImage;
use vdvae_io::Exif;

use crate::fingerprint::Fingerprint;
use crate::names::{self, base, last_parts};
use crate::published::partial;
use crate::store::{FileStore, Part};
use crate::text::{Text, lossy, read_beside, read_text};
use crate::{Dataset, Error, Labels, Result, Split};
use tables::Keys;

const NAME: &str = "celeba";
/// Largest label file in bytes; the published attribute file has 27 MB.
const MAX_TEXT_BYTES: u64 = 256 << 20;
const FOLDER: &str = "img_align_celeba";
const FOLDERS: [&str; 2] = [FOLDER, "img_align_celeba_png"];
/// Published pictures.
const PICTURES: usize = 202_599;
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
        let is_root = root.is_dir()
            && root.file_name().is_some_and(|name| is_folder(&name.to_string_lossy()));
        let is_picture = |name: &str| is_picture(name, is_root);
        let wanted = |name: &str| {
            is_picture(name)
                || is_label_file(name)
                || inside.as_ref().is_some_and(|inside| base(name) == inside)
        };
        let pictures_alone = Part { what: FOLDER, holds: &is_picture, archive: &is_folder };
        let store = FileStore::open_parts(NAME, root, &wanted, &[pictures_alone])?;
        let files = store.files().into_iter().map(|(name, _)| name);
        let pictures: Vec<String> =
            files.filter(|name| is_picture(name)).map(str::to_owned).collect();
        if pictures.is_empty() {
            let expected = format!("pictures in {FOLDER}/");
            return Err(Error::layout(NAME, store.root(), expected, "none"));
        }
        let keys = Keys::new(&pictures);
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
        let identities = match find_label_file(&store, IDENTITIES)? {
            None => None,
            Some((file, text)) => {
                Some(tables::identities(Text { file: &file, text: &text }, &keys)?)
            }
        };
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
        let pictures = self.splits.iter().flatten().map(|picture| picture.file.as_str());
        let mut pictures: Vec<&str> = pictures.collect();
        pictures.sort_unstable();
        let hash = Fingerprint::new(NAME).dataset(self);
        let length = |file| self.store.length(file).unwrap_or_default();
        pictures.into_iter().fold(hash, |hash, file| hash.number(length(file))).hex()
    }
}

/// Whether a folder, or an archive without its ending, holds the pictures.
fn is_folder(name: &str) -> bool {
    FOLDERS.contains(&name)
}

/// Whether a file is one of the pictures; `is_root` says that they lie in the root itself, too.
fn is_picture(name: &str, is_root: bool) -> bool {
    let placed = match last_parts(name) {
        Some([folder, _]) => is_folder(folder),
        None => is_root,
    };
    placed && names::is_picture(name)
}

fn is_label_file(name: &str) -> bool {
    [ATTRIBUTES, PARTITION, IDENTITIES].iter().any(|stem| is_named(name, stem))
}

fn is_named(name: &str, stem: &str) -> bool {
    base(name).strip_prefix(stem).is_some_and(|ending| matches!(ending, ".txt" | ".csv"))
}

fn find<'a>(store: &'a FileStore, stem: &str) -> Option<&'a str> {
    let files = store.files().into_iter().map(|(name, _)| name);
    files.filter(|name| is_named(name, stem)).min_by_key(|name| name.split('/').count())
}

/// Name and text of a label file, inside the root or else beside it.
fn find_label_file(store: &FileStore, stem: &str) -> Result<Option<(String, String)>> {
    if let Some(name) = find(store, stem) {
        return Ok(Some((base(name).to_owned(), read_text(store, name, MAX_TEXT_BYTES)?)));
    }
    for name in [".txt", ".csv"].map(|ending| format!("{stem}{ending}")) {
        if let Some(text) = read_beside(store, &name, MAX_TEXT_BYTES)? {
            return Ok(Some((name, text)));
        }
    }
    Ok(None)
}

fn label_file(store: &FileStore, stem: &str) -> Result<(String, String)> {
    let missing = || Error::layout(NAME, store.root(), format!("{stem}.txt"), "no such file");
    find_label_file(store, stem)?.ok_or_else(missing)
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
        self.image_with(split, index, Exif::Apply)
    }

    fn image_with(&self, split: Split, index: usize, exif: Exif) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let file = &self.splits[split.position()][index].file;
        self.store.picture(file, base(file), exif)
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
    fn remarks(&self) -> Vec<String> {
        let pictures = self.splits.iter().map(Vec::len).sum();
        partial(&[(pictures, PICTURES, "pictures")])
    }
}
