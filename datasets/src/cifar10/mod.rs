//! CIFAR-10 in its official binary or Python version, in a folder or an archive.
//!
//! Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. A binary record is one
//! byte of class and 32×32 pixels, plane by plane; the Python version pickles the same pixels as a
//! numpy array and the classes as a list. It is read without executing anything in it. Validation pictures are drawn from the training files as
//! the reference does: scikit-learn's `train_test_split(test_size=5000, random_state=11172018)`,
//! a tenth of what is there where files are cut short.

mod arrays;
#[cfg(test)]
mod tests;

use std::path::Path;

use image::RgbImage;
use vdvae_io::pickle::Pickle;

use crate::fingerprint::Fingerprint;
use crate::names::base;
use crate::numpy_rng::train_test_split;
use crate::store::{FileStore, Part};
use crate::{Dataset, Error, Labels, Result, Split};

const NAME: &str = "cifar10";
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = 3 * PLANE;
const RECORD: usize = 1 + PIXELS;
/// Largest file, in records; the official ones have 10,000.
const MAX_RECORDS: u64 = 1 << 20;
/// Largest pickle in bytes; the official ones have 31 MB.
const MAX_PICKLE_BYTES: u64 = 64 << 20;
const SPLIT_SEED: u32 = 11_172_018;
/// The official names, in the order of `batches.meta.txt`.
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-10, open: labels in memory, pictures on disk.
#[derive(Debug)]
pub struct Cifar10 {
    store: FileStore,
    splits: [Vec<Record>; 3],
    files: Vec<RecordFile>,
    fingerprint: String,
}

/// A file of records.
#[derive(Debug)]
struct RecordFile {
    /// Name in the store.
    name: String,
    pixels: Pixels,
}

/// Where a file has its pixels: offsets in bytes.
#[derive(Debug)]
enum Pixels {
    /// Of the first picture, and from one to the next.
    Plain { first: usize, stride: usize },
    /// Of every picture and of the end: bytes written as text, see [`arrays::ByteArray`].
    AsText { starts: Vec<usize> },
}

impl Pixels {
    /// Of an array of a pickle.
    fn of_array(array: &arrays::ByteArray, file: &[u8]) -> Self {
        if !array.as_text {
            return Self::Plain { first: array.data.start, stride: PIXELS };
        }
        // The first byte of a character is not of the form 10xxxxxx.
        let characters = array.data.clone().filter(|&at| file[at] & 0xc0 != 0x80);
        let starts = characters.step_by(PIXELS).chain([array.data.end]);
        Self::AsText { starts: starts.collect() }
    }

    /// The three planes of one picture.
    fn read(&self, store: &FileStore, name: &str, number: usize) -> Result<Vec<u8>> {
        match self {
            Self::Plain { first, stride } => {
                store.read_at(name, (first + number * stride) as u64, PIXELS)
            }
            Self::AsText { starts } => {
                let length = starts[number + 1] - starts[number];
                let bytes = store.read_at(name, starts[number] as u64, length)?;
                let planes: Vec<u8> = std::str::from_utf8(&bytes)
                    .map(|text| text.chars().map(|c| c as u8).collect())
                    .unwrap_or_default();
                let changed = || {
                    let expected = format!("{PIXELS} bytes of pixels of record {number}");
                    header_error(store, name, expected, "a file that has changed".to_owned())
                };
                if planes.len() == PIXELS { Ok(planes) } else { Err(changed()) }
            }
        }
    }
}

/// The two official versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Binary,
    Python,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    file: usize,
    number: usize,
    label: u32,
}

impl Cifar10 {
    /// Opens the folder `cifar-10-batches-bin` or `cifar-10-batches-py`, one above it, or an archive
    /// of it. Where both versions are there the binary one is read.
    ///
    /// # Errors
    /// [`Error::Layout`] without training batches, [`Error::Header`] where a file is no whole number
    /// of records, a pickle does not hold what it should, or a class is above 9.
    pub fn open(root: &Path) -> Result<Self> {
        let wanted = |name: &str| batch_of(name).is_some();
        let archive =
            |stem: &str| ["cifar-10-binary", "cifar-10-python"].iter().any(|s| stem.starts_with(s));
        let records = Part { what: "records", holds: &wanted, archive: &archive };
        let store = FileStore::open_parts(NAME, root, &wanted, &[records])?;
        let names = || store.files().into_iter().map(|(name, _)| name.to_owned());
        let has_train = |version| names().any(|name| batch_of(&name) == Some((version, true)));
        let version = match [Version::Binary, Version::Python].into_iter().find(|&v| has_train(v)) {
            Some(version) => version,
            None => {
                let expected = "data_batch_*.bin, or data_batch_* of the Python version";
                return Err(Error::layout(NAME, store.root(), expected, "none"));
            }
        };
        let (mut files, mut train, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for name in names() {
            let Some((found, is_train)) = batch_of(&name) else { continue };
            if found != version {
                continue;
            }
            let (pixels, labels) = match version {
                Version::Binary => read_records(&store, &name)?,
                Version::Python => read_pickle(&store, &name)?,
            };
            let file = files.len();
            files.push(RecordFile { name, pixels });
            let records = labels.into_iter().enumerate();
            let records = records.map(|(number, label)| Record { file, number, label });
            if is_train { train.extend(records) } else { test.extend(records) }
        }
        let (kept, held_out) = train_test_split(SPLIT_SEED, train.len(), train.len() / 10);
        let select = |rows: Vec<usize>| rows.into_iter().map(|row| train[row]).collect();
        let splits = [select(kept), select(held_out), test];
        let mut cifar = Self { store, splits, files, fingerprint: String::new() };
        cifar.fingerprint = Fingerprint::new(NAME).dataset(&cifar).hex();
        Ok(cifar)
    }
}

/// The version of a file, and whether it is of the training set.
fn batch_of(name: &str) -> Option<(Version, bool)> {
    let base = base(name);
    let (stem, version) = match base.strip_suffix(".bin") {
        Some(stem) => (stem, Version::Binary),
        None => (base, Version::Python),
    };
    let number = stem.strip_prefix("data_batch_");
    match number {
        Some("1" | "2" | "3" | "4" | "5") => Some((version, true)),
        None if stem == "test_batch" => Some((version, false)),
        _ => None,
    }
}

/// Where a file of binary records has its pixels, and their classes.
fn read_records(store: &FileStore, name: &str) -> Result<(Pixels, Vec<u32>)> {
    let length = store.length(name)?;
    if length == 0 || length % RECORD as u64 != 0 {
        let expected = format!("a whole number of records of {RECORD} bytes");
        return Err(header_error(store, name, expected, format!("{length} bytes")));
    }
    let bytes = store.read(name, MAX_RECORDS * RECORD as u64)?;
    let labels = bytes.chunks_exact(RECORD).map(|record| i64::from(record[0]));
    let pixels = Pixels::Plain { first: 1, stride: RECORD };
    Ok((pixels, classes(store, name, labels)?))
}

/// Where a pickle has its pixels, and their classes.
fn read_pickle(store: &FileStore, name: &str) -> Result<(Pixels, Vec<u32>)> {
    let error = |expected: &str, found: &str| {
        header_error(store, name, expected.to_owned(), found.to_owned())
    };
    let bytes = store.read(name, MAX_PICKLE_BYTES)?;
    let pickle = Pickle::read(&bytes, 0, "pickle", arrays::RULES).map_err(|fault| {
        error(
            &format!("a pickle of plain data: {}: {}", fault.position, fault.expected),
            &fault.found,
        )
    })?;
    let data = arrays::get(&pickle, "data").and_then(|data| arrays::byte_array(&pickle, data));
    let data = data.filter(|data| matches!(data.shape[..], [n, PIXELS] if n > 0));
    let Some(data) = data else {
        let expected = format!("a numpy array `data` of N x {PIXELS} unsigned bytes");
        return Err(error(&expected, "none"));
    };
    let labels = arrays::get(&pickle, "labels");
    let labels = labels.and_then(|labels| arrays::integers(&pickle, labels));
    let labels = labels.ok_or_else(|| error("a list `labels` of integers", "none"))?;
    if labels.len() != data.shape[0] {
        let expected = format!("{} labels, one for each picture", data.shape[0]);
        return Err(error(&expected, &labels.len().to_string()));
    }
    Ok((Pixels::of_array(&data, &bytes), classes(store, name, labels.into_iter())?))
}

fn classes(store: &FileStore, name: &str, labels: impl Iterator<Item = i64>) -> Result<Vec<u32>> {
    let label = |(number, class): (usize, i64)| match class {
        0..=9 => Ok(class as u32),
        _ => {
            let expected = format!("a class of 0 to 9 in record {number}");
            Err(header_error(store, name, expected, class.to_string()))
        }
    };
    labels.enumerate().map(label).collect()
}

fn header_error(store: &FileStore, name: &str, expected: String, found: String) -> Error {
    Error::Header { path: store.root().join(name), expected, found }
}

impl Dataset for Cifar10 {
    fn name(&self) -> &str {
        NAME
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split.position()].len()
    }

    fn key(&self, split: Split, index: usize) -> String {
        let record = self.splits[split.position()][index];
        format!("{}/{:05}", base(&self.files[record.file].name), record.number)
    }

    fn labels(&self, split: Split) -> Labels {
        let records = &self.splits[split.position()];
        Labels::Classes {
            names: CLASSES.map(str::to_owned).to_vec(),
            labels: records.iter().map(|record| record.label).collect(),
        }
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let record = self.splits[split.position()][index];
        let file = &self.files[record.file];
        let planes = file.pixels.read(&self.store, &file.name, record.number)?;
        let pixels = (0..PLANE).flat_map(|i| [0, 1, 2].map(|channel| planes[channel * PLANE + i]));
        let side = SIDE as u32;
        Ok(RgbImage::from_raw(side, side, pixels.collect()).expect("a record has 3 planes"))
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn stamp(&self) -> String {
        Fingerprint::new(&self.fingerprint).fact(self.store.stamp().as_bytes()).hex()
    }

    fn split_hint(&self) -> String {
        format!("in {}; are all files there?", self.store.root().display())
    }
}
