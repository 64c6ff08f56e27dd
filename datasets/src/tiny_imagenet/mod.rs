//! Tiny-ImageNet-200 in its published layout: `train/nXXXXXXXX/images/*.JPEG`, `val/images/*.JPEG`
//! with `val_annotations.txt`, and `wnids.txt`; a folder or an archive of it. The folders `images` may
//! be left out below a class, `val` may be sorted into folders of classes, and there may be fewer
//! classes: of those that `train` lacks, validation pictures are not read.
//!
//! Le and Yang, Tiny ImageNet Visual Recognition Challenge, 2015. Pictures are taken at the size
//! they have; bounding boxes and the unlabelled `test` folder are not read. There are two ways to
//! split it, see [`TinyImageNetSplits`].

mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

#[cfg(doc)]
use crate::Dataset;
use crate::names::{base, is_picture, last_parts, tail};
use crate::pictures::{FileDataset, Picture, Pictures};
use crate::published::{grouped, partial};
use crate::ranking::ranked;
use crate::store::FileStore;
use crate::text::{Text, read_text};
use crate::{Error, Result, Split};

const NAME: &str = "tiny-imagenet";
const IDS: &str = "wnids.txt";
const WORDS: &str = "words.txt";
const ANNOTATIONS: &str = "val_annotations.txt";
/// Largest text file in bytes; the published `words.txt` has 2.7 MB.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Published classes, training pictures and validation pictures.
const PUBLISHED: [usize; 3] = [200, 100_000, 10_000];
/// One training picture of a class in this many is for validation.
const HELD_OUT: usize = 10;
/// One class in this many is for the test of few-shot learning, and one in that many for
/// validation: 40 and 20 of 200.
const TEST_CLASSES: usize = 5;
const VALID_CLASSES: usize = 10;

/// What the splits of [`TinyImageNet`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TinyImageNetSplits {
    /// All classes in every split. `test` is the official `val` folder; `valid` is a tenth of the
    /// pictures of every class of `train`, those that come first in the order of SHA-256 of (seed,
    /// key).
    Official,
    /// Classes apart, all of the official `train` folder: of the class folders in sorted order the
    /// last fifth (40 of 200) is `test`, the tenth before it (20) `valid`, the rest (140) `train`.
    /// The `val` folder is not used.
    FewShot,
}

impl fmt::Display for TinyImageNetSplits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Official => NAME,
            Self::FewShot => "tiny-imagenet-fewshot",
        })
    }
}

/// Tiny-ImageNet, open: labels in memory, pictures on disk.
#[derive(Debug)]
pub struct TinyImageNet {
    name: String,
    /// Classes are WordNet identifiers in sorted order.
    pictures: Pictures,
    words: Vec<String>,
}

impl TinyImageNet {
    /// Opens `tiny-imagenet-200`, a folder above it, or an archive of it.
    ///
    /// `seed` decides the validation pictures of [`TinyImageNetSplits::Official`]. Its `test` is
    /// empty where there is no `val` folder.
    ///
    /// # Errors
    /// [`Error::Layout`] without training pictures, where `wnids.txt` does not list their folders, or
    /// where a picture is there twice; [`Error::Table`] where a line cannot be read,
    /// [`Error::NoLine`] where a validation picture has none, [`Error::Archive`].
    pub fn open(root: &Path, splits: TinyImageNetSplits, seed: u64) -> Result<Self> {
        let few_shot = splits == TinyImageNetSplits::FewShot;
        let wanted = |name: &str| match place(name) {
            Some(place) => place.is_train || !few_shot,
            None => [IDS, WORDS].contains(&base(name)) || (!few_shot && base(name) == ANNOTATIONS),
        };
        let store = FileStore::open(NAME, root, &wanted)?;
        let names: Vec<&str> = store.files().into_iter().map(|(name, _)| name).collect();
        let classes = classes(&store, &names)?;
        let label =
            |id: &str| classes.binary_search_by(|class| class.as_str().cmp(id)).map(|at| at as u32);
        let train = train_pictures(&store, &names, &label)?;
        let mut counts = vec![
            (classes.len(), PUBLISHED[0], "classes"),
            (train.len(), PUBLISHED[1], "training pictures"),
        ];
        let mut remarks = Vec::new();
        let pictures = match splits {
            TinyImageNetSplits::FewShot => by_class(train, classes.len()),
            TinyImageNetSplits::Official => {
                let (train, valid) = hold_out(train, seed);
                let (test, left_out) = val_pictures(&store, &names, &label)?;
                counts.push((test.len(), PUBLISHED[2], "validation pictures"));
                if left_out > 0 {
                    let left_out = grouped(left_out);
                    remarks
                        .push(format!("{left_out} validation pictures of other classes left out"));
                }
                [train, valid, test]
            }
        };
        remarks.extend(partial(&counts));
        let words = match names.iter().find(|name| base(name) == WORDS) {
            None => classes.clone(),
            Some(name) => {
                let text = read_text(&store, name, MAX_TEXT_BYTES)?;
                tables::words(Text { file: base(name), text: &text }, &classes)?
            }
        };
        let name = splits.to_string();
        let mut pictures = Pictures::new(store, pictures, Some(classes));
        pictures.remarks = remarks;
        let lengths = pictures.lengths();
        Ok(Self { name: name.clone(), pictures, words }.identified(&name, lengths))
    }

    /// What every class shows, e.g. `goldfish, Carassius auratus`, in the order of the class names
    /// in [`Dataset::labels`], which are WordNet identifiers; the identifier itself where
    /// `words.txt` says nothing.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

/// Where a picture lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    is_train: bool,
    /// The folder named after its class; none of a validation picture as published.
    class: Option<&'a str>,
    /// Parts of the name below the published folder.
    parts: usize,
}

/// The place of a training or validation picture: `train/CLASS/images/x`, `train/CLASS/x`, the same
/// below `val`, and `val/images/x`.
fn place(name: &str) -> Option<Place<'_>> {
    let (set, class, parts) = match (last_parts(name), last_parts(name)?) {
        (_, ["val", "images", _]) => ("val", None, 3),
        (Some([set, class, "images", _]), _) => (set, Some(class), 4),
        (_, [_, "images", _]) => return None,
        (_, [set, class, _]) => (set, Some(class), 3),
    };
    let is_train = match set {
        "train" => true,
        "val" => false,
        _ => return None,
    };
    is_picture(name).then_some(Place { is_train, class, parts })
}

fn class_of(name: &str) -> Option<&str> {
    place(name)?.class
}

fn train_class(name: &str) -> Option<&str> {
    place(name).filter(|place| place.is_train)?.class
}

/// The name below the published folder, e.g. `train/n01443537/images/n01443537_0.JPEG`.
fn key_of(name: &str) -> &str {
    place(name).map_or(name, |place| tail(name, place.parts))
}

/// Sorted WordNet identifiers of the training folders, all of which `wnids.txt` lists where it is there.
fn classes(store: &FileStore, names: &[&str]) -> Result<Vec<String>> {
    let mut folders: Vec<&str> = names.iter().filter_map(|name| train_class(name)).collect();
    folders.sort_unstable();
    folders.dedup();
    if folders.is_empty() {
        let expected = "pictures in train/CLASS/images/ or train/CLASS/";
        return Err(Error::layout(NAME, store.root(), expected, "none"));
    }
    let unlisted = match names.iter().find(|name| base(name) == IDS) {
        None => None,
        Some(name) => {
            let text = read_text(store, name, MAX_TEXT_BYTES)?;
            let listed = tables::ids(Text { file: base(name), text: &text })?;
            let is_listed = |id: &str| listed.binary_search_by(|known| known.as_str().cmp(id));
            folders.iter().find(|id| is_listed(id).is_err())
        }
    };
    match unlisted {
        None => Ok(folders.into_iter().map(str::to_owned).collect()),
        Some(&id) => {
            Err(Error::layout(NAME, store.root(), format!("every class in {IDS}"), id.to_owned()))
        }
    }
}

/// Training pictures in the order of their keys: class by class, whatever lies above them.
fn train_pictures(
    store: &FileStore,
    names: &[&str],
    label: &dyn Fn(&str) -> Result<u32, usize>,
) -> Result<Vec<Picture>> {
    let picture = |&name: &&'_ str| {
        let label = label(train_class(name)?).ok()?;
        Some(Picture::new(name, key_of(name), label))
    };
    once(store, names.iter().filter_map(picture).collect())
}

/// Sorts pictures by their keys, no two of which may be the same.
fn once(store: &FileStore, mut pictures: Vec<Picture>) -> Result<Vec<Picture>> {
    pictures.sort_by(|a, b| a.key().cmp(b.key()));
    match pictures.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
        None => Ok(pictures),
        Some(twice) => {
            let found = format!("{} and {}", twice[0].file, twice[1].file);
            Err(Error::layout(NAME, store.root(), "every picture once", found))
        }
    }
}

/// Validation pictures of the classes there are, and the number of those of other classes. As
/// published their classes are in a table, in copies their folders say them.
fn val_pictures(
    store: &FileStore,
    names: &[&str],
    label: &dyn Fn(&str) -> Result<u32, usize>,
) -> Result<(Vec<Picture>, usize)> {
    let val = |name: &&&str| place(name).is_some_and(|place| !place.is_train);
    let val: Vec<&str> = names.iter().filter(val).copied().collect();
    let sorted = val.iter().find(|name| class_of(name).is_some());
    let unsorted = val.iter().find(|name| class_of(name).is_none());
    let labels: Vec<Option<u32>> = match (sorted, unsorted) {
        (None, None) => return Ok((vec![], 0)),
        (Some(_), None) => {
            let label = |name: &&str| class_of(name).and_then(|class| label(class).ok());
            val.iter().map(label).collect()
        }
        (None, Some(_)) => annotated(store, names, &val, label)?,
        (Some(sorted), Some(unsorted)) => {
            let found = format!("{unsorted} and {sorted}");
            let expected = "pictures in val/images/ or in val/CLASS/, not both";
            return Err(Error::layout(NAME, store.root(), expected, found));
        }
    };
    let all = val.len();
    let known = val.into_iter().zip(labels).filter_map(|(name, label)| Some((name, label?)));
    let pictures = known.map(|(name, label)| Picture::new(name, key_of(name), label)).collect();
    let pictures = once(store, pictures)?;
    let left_out = all - pictures.len();
    Ok((pictures, left_out))
}

/// The classes of validation pictures that the table of annotations gives.
fn annotated(
    store: &FileStore,
    names: &[&str],
    pictures: &[&str],
    label: &dyn Fn(&str) -> Result<u32, usize>,
) -> Result<Vec<Option<u32>>> {
    let annotations = names.iter().find(|name| base(name) == ANNOTATIONS);
    let annotations = annotations
        .ok_or_else(|| Error::layout(NAME, store.root(), ANNOTATIONS, "no such file"))?;
    let text = read_text(store, annotations, MAX_TEXT_BYTES)?;
    let files: Vec<&str> = pictures.iter().map(|name| base(name)).collect();
    tables::annotations(Text { file: ANNOTATIONS, text: &text }, &files, label)
}

/// Splits of [`TinyImageNetSplits::FewShot`].
fn by_class(pictures: Vec<Picture>, classes: usize) -> [Vec<Picture>; 3] {
    let test = classes - classes / TEST_CLASSES;
    let valid = test - classes / VALID_CLASSES;
    let mut splits: [Vec<Picture>; 3] = Default::default();
    for picture in pictures {
        let split = match picture.label as usize {
            class if class >= test => Split::Test,
            class if class >= valid => Split::Valid,
            _ => Split::Train,
        };
        splits[split.position()].push(picture);
    }
    splits
}

/// A tenth of every class, at least one of three or more; both parts in the order given.
fn hold_out(pictures: Vec<Picture>, seed: u64) -> (Vec<Picture>, Vec<Picture>) {
    let (mut train, mut valid) = (Vec::new(), Vec::new());
    for class in pictures.chunk_by(|a, b| a.label == b.label) {
        let held = if class.len() < 3 { 0 } else { (class.len() / HELD_OUT).max(1) };
        let mut held_out = ranked(class.to_vec(), seed, Picture::key);
        let mut kept = held_out.split_off(held);
        for (part, split) in [(&mut held_out, &mut valid), (&mut kept, &mut train)] {
            part.sort_by(|a, b| a.key().cmp(b.key()));
            split.append(part);
        }
    }
    (train, valid)
}

impl FileDataset for TinyImageNet {
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
        format!("in {}; are all its folders there?", self.pictures.store.root().display())
    }
}
