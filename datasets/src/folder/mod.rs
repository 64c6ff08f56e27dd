//! Folders of pictures: class-named or flat, split by folder or by a seeded hash of the names.
//!
//! Folders that are named like splits (`train`, `Testing`, `seg_val`; see `split_names`) are those
//! splits, below any number of folders around everything. Only `train` must be there: `valid` and
//! `test` are drawn from it, and where only `valid` was published it serves as `test`. Without split
//! folders all pictures are drawn: ranked by SHA-256 of (seed, key), the first tenth is `test`, the
//! next `valid`, the rest `train`. If every picture lies in a folder of its split, the first folder
//! is its class. What looks like splits and does not fit is an error.

mod classes;
#[cfg(all(test, unix))]
mod container_tests;
mod layout;
#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::str::FromStr;

use self::classes::{check_classes, classes};
use self::layout::{Layout, Misfit, Placed, as_told, by_names};
use crate::pictures::{FileDataset, Picture, Pictures};
use crate::split_names::split_word;
use crate::store::FileStore;
use crate::{Error, Result, Split, ranking};

const NAME: &str = "folder";
/// One picture in this many goes to `valid`, and one to `test`.
const HELD_OUT: usize = 10;

/// Pictures of a folder (or of an archive of one).
#[derive(Debug)]
pub struct Folder {
    name: String,
    pictures: Pictures,
}

/// A folder that holds the pictures of a split, as in `train=images/part1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitFolder {
    /// The split.
    pub split: Split,
    /// The folder, relative to the root of the data set; `.` is the root.
    pub folder: String,
}

impl FromStr for SplitFolder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('=').filter(|(_, folder)| !folder.is_empty());
        let split = parts.and_then(|(name, folder)| Some((split_word(name)?, folder)));
        let (split, folder) = split.ok_or_else(|| Error::UnknownName {
            what: "folder of a split",
            expected: "train=DIR, valid=DIR, test=DIR",
            found: text.to_owned(),
        })?;
        Ok(Self { split, folder: folder.to_owned() })
    }
}

impl Folder {
    /// Opens a folder of pictures; `seed` decides splits that the folders do not.
    ///
    /// # Errors
    /// [`Error::Layout`] where there is no picture; [`Error::Splits`] where it is not clear which
    /// folders are splits or classes, or where training lacks a class; [`Error::Archive`];
    /// [`Error::Io`].
    pub fn open(root: &Path, seed: u64) -> Result<Self> {
        Self::open_splits(root, &[], seed)
    }

    /// As [`Folder::open`], with folders that are the splits whatever their names; without any, names
    /// tell.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn open_splits(root: &Path, split_folders: &[SplitFolder], seed: u64) -> Result<Self> {
        let store = FileStore::open_pictures(NAME, root)?;
        let files: Vec<_> = store.files().into_iter().map(|(name, _)| name).collect();
        let mut remarks = store.left_out();
        if files.is_empty() {
            let found = if remarks.is_empty() { "none".into() } else { remarks.join("; ") };
            return Err(Error::layout(NAME, store.root(), "pictures", found));
        }
        let layout = match split_folders {
            [] => by_names(&files),
            folders => as_told(&files, folders),
        };
        let misfit = |Misfit { expected, found }| {
            let path = store.root().to_owned();
            Error::Splits { dataset: NAME, path, expected, found }
        };
        let Layout { splits, unsplit, remarks: of_layout } = layout.map_err(misfit)?;
        let classes = classes(&splits).map_err(misfit)?;
        remarks.extend(of_layout);
        remarks.extend(check_classes(&splits).map_err(misfit)?);
        let splits = match unsplit {
            true => {
                let splits = by_hash(splits.into_iter().flatten().collect(), seed);
                let [train, valid, test] = splits.each_ref().map(Vec::len);
                remarks.push(format!(
                    "no folder is named after a split: {train} pictures are drawn for train, \
                     {valid} for valid, {test} for test"
                ));
                splits
            }
            false => complete(splits, !split_folders.is_empty(), seed, &mut remarks),
        };
        let picture = |placed: &Placed<'_>| {
            let rank = placed.class.and_then(|class| {
                classes.as_ref()?.binary_search_by(|name| name.as_str().cmp(class)).ok()
            });
            Picture::new(placed.file, placed.file, rank.unwrap_or_default() as u32)
        };
        let splits = splits.map(|split| split.iter().map(picture).collect());
        let name = format!("{NAME}:{}", store.root().display());
        let lengths: Vec<u64> = store.files().into_iter().map(|(_, length)| length).collect();
        let mut pictures = Pictures::new(store, splits, classes);
        pictures.remarks = remarks;
        Ok(Self { name, pictures }.identified(NAME, lengths))
    }
}

/// Draws the splits that are missing from the training pictures and says so. What was published as
/// `valid` alone is read once, at the end: it serves as `test`, unless the user told otherwise.
fn complete<'a>(
    splits: [Vec<Placed<'a>>; 3],
    told: bool,
    seed: u64,
    remarks: &mut Vec<String>,
) -> [Vec<Placed<'a>>; 3] {
    let [train, valid, test] = splits;
    match (valid.is_empty(), test.is_empty()) {
        (true, true) => {
            remarks.push("valid and test are a tenth each drawn from train".to_owned());
            by_hash(train, seed)
        }
        (true, false) => {
            remarks.push("valid is a tenth drawn from train".to_owned());
            let (train, valid) = hold_out(train, seed);
            [train, valid, test]
        }
        (false, true) if !told => {
            let remark = "the validation pictures serve as test; valid is a tenth drawn from train";
            remarks.push(remark.to_owned());
            let (train, drawn) = hold_out(train, seed);
            [train, drawn, valid]
        }
        _ => [train, valid, test],
    }
}

fn ranked(pictures: Vec<Placed<'_>>, seed: u64) -> Vec<Placed<'_>> {
    ranking::ranked(pictures, seed, |picture| picture.file)
}

fn sorted(mut pictures: Vec<Placed<'_>>) -> Vec<Placed<'_>> {
    pictures.sort_by_key(|picture| picture.file);
    pictures
}

fn by_hash(pictures: Vec<Placed<'_>>, seed: u64) -> [Vec<Placed<'_>>; 3] {
    let mut test = ranked(pictures, seed);
    let held = held_out(test.len());
    let mut valid = test.split_off(held);
    let train = valid.split_off(held.min(valid.len()));
    [sorted(train), sorted(valid), sorted(test)]
}

fn hold_out(pictures: Vec<Placed<'_>>, seed: u64) -> (Vec<Placed<'_>>, Vec<Placed<'_>>) {
    let mut valid = ranked(pictures, seed);
    let train = valid.split_off(held_out(valid.len()));
    (sorted(train), sorted(valid))
}

/// A tenth, but at least one of three or more.
fn held_out(pictures: usize) -> usize {
    if pictures < 3 { 0 } else { (pictures / HELD_OUT).max(1) }
}

impl FileDataset for Folder {
    fn title(&self) -> &str {
        &self.name
    }

    fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    fn pictures_mut(&mut self) -> &mut Pictures {
        &mut self.pictures
    }

    fn hint(&self) -> String {
        let root = self.pictures.store.root().display();
        format!("in {root}; add pictures, or folders named train, valid and test")
    }
}
