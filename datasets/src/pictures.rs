//! Data sets whose pictures are files: what is the same for all of them.

use image::RgbImage;
use vdvae_io::Exif;

use crate::fingerprint::Fingerprint;
use crate::store::FileStore;
use crate::{Dataset, Labels, Result, Split};

/// A picture, by its file.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Name in the store.
    pub(crate) file: String,
    /// Length of the key, which is the end of `file`.
    key: usize,
    /// Its class.
    pub(crate) label: u32,
}

impl Picture {
    /// A picture whose key is the end of its file's name.
    pub(crate) fn new(file: &str, key: &str, label: u32) -> Self {
        debug_assert!(file.ends_with(key));
        Self { file: file.to_owned(), key: key.len(), label }
    }

    pub(crate) fn key(&self) -> &str {
        &self.file[self.file.len() - self.key..]
    }
}

/// The pictures of a store, dealt out to splits.
#[derive(Debug)]
pub(crate) struct Pictures {
    pub(crate) store: FileStore,
    pub(crate) splits: [Vec<Picture>; 3],
    /// Names of the classes of all splits, where there are any.
    pub(crate) classes: Option<Vec<String>>,
    /// See [`Dataset::remarks`].
    pub(crate) remarks: Vec<String>,
    fingerprint: String,
}

impl Pictures {
    pub(crate) fn new(
        store: FileStore,
        splits: [Vec<Picture>; 3],
        classes: Option<Vec<String>>,
    ) -> Self {
        Self { store, splits, classes, remarks: Vec::new(), fingerprint: String::new() }
    }

    /// The pictures of a split.
    pub(crate) fn of(&self, split: Split) -> &[Picture] {
        &self.splits[split.position()]
    }

    /// Lengths of the files in bytes, by split and in order.
    pub(crate) fn lengths(&self) -> Vec<u64> {
        let files = self.splits.iter().flatten();
        files.map(|picture| self.store.length(&picture.file).unwrap_or_default()).collect()
    }
}

/// A [`Dataset`] of such pictures: what its reader still has to say.
pub(crate) trait FileDataset: Send + Sync {
    /// See [`Dataset::name`].
    fn title(&self) -> &str;

    fn pictures(&self) -> &Pictures;

    fn pictures_mut(&mut self) -> &mut Pictures;

    /// See [`Dataset::groups`].
    fn groups_of(&self, _split: Split) -> Option<Vec<u64>> {
        None
    }

    /// See [`Dataset::split_hint`].
    fn hint(&self) -> String;

    /// Computes the fingerprint, of `name`, all that is known about the pictures, and the lengths
    /// of files.
    fn identified(mut self, name: &str, lengths: impl IntoIterator<Item = u64>) -> Self
    where
        Self: Sized,
    {
        let hash = Fingerprint::new(name).dataset(&self);
        self.pictures_mut().fingerprint = lengths.into_iter().fold(hash, Fingerprint::number).hex();
        self
    }
}

impl<T: FileDataset> Dataset for T {
    fn name(&self) -> &str {
        self.title()
    }

    fn len(&self, split: Split) -> usize {
        self.pictures().of(split).len()
    }

    fn key(&self, split: Split, index: usize) -> String {
        self.pictures().of(split)[index].key().to_owned()
    }

    /// All splits share one list of names.
    fn labels(&self, split: Split) -> Labels {
        let Some(names) = self.pictures().classes.clone() else { return Labels::None };
        let labels = self.pictures().of(split).iter().map(|picture| picture.label).collect();
        Labels::Classes { names, labels }
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        self.groups_of(split)
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.image_with(split, index, Exif::Apply)
    }

    fn image_with(&self, split: Split, index: usize, exif: Exif) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let picture = &self.pictures().of(split)[index];
        self.pictures().store.picture(&picture.file, picture.key(), exif)
    }

    fn fingerprint(&self) -> String {
        self.pictures().fingerprint.clone()
    }

    fn stamp(&self) -> String {
        let pictures = self.pictures();
        Fingerprint::new(&pictures.fingerprint).fact(pictures.store.stamp().as_bytes()).hex()
    }

    fn split_hint(&self) -> String {
        self.hint()
    }

    fn remarks(&self) -> Vec<String> {
        self.pictures().remarks.clone()
    }
}
