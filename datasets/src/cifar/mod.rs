//! CIFAR-10 and CIFAR-100 in their official binary or Python version, in a folder or an archive.
//!
//! Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. A binary record is one
//! byte of class (CIFAR-100: two, coarse and fine) and 32×32 pixels, plane by plane; the Python
//! version pickles the same pixels as a numpy array and the classes as a list or an array. It is
//! read without executing anything in it. Validation pictures are drawn from the training files as
//! the reference does for CIFAR-10: scikit-learn's `train_test_split(test_size=5000,
//! random_state=11172018)`, a tenth of what is there where files are cut short.

mod arrays;
mod sets;
#[cfg(test)]
mod tests;

use std::path::Path;

use image::RgbImage;
use vdvae_io::pickle::Pickle;

use crate::fingerprint::Fingerprint;
use crate::names::base;
use crate::numpy_rng::train_test_split;
use crate::published::partial;
use crate::store::{FileStore, Part};
use crate::{Dataset, Error, Labels, Result, Split};
pub use sets::CifarSet;
use sets::Version;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = 3 * PLANE;
/// Largest file, in records; the official ones have 10,000, or 50,000.
const MAX_RECORDS: u64 = 1 << 20;
/// Largest pickle in bytes; the largest official one, of CIFAR-100, has 155 MB.
const MAX_PICKLE_BYTES: u64 = 256 << 20;
const SPLIT_SEED: u32 = 11_172_018;
/// Pictures in the published training and test files of either set.
const PUBLISHED: [usize; 2] = [50_000, 10_000];

/// CIFAR-10 or CIFAR-100, open: labels in memory, pictures on disk.
#[derive(Debug)]
pub struct Cifar {
    set: CifarSet,
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

#[derive(Debug, Clone, Copy)]
struct Record {
    file: usize,
    number: usize,
    label: u32,
}

impl Cifar {
    /// Opens the folder `cifar-10-batches-bin` or `cifar-10-batches-py` (`cifar-100-binary`,
    /// `cifar-100-python`), one above it, or an archive of it. Where both versions are there the
    /// binary one is read.
    ///
    /// # Errors
    /// [`Error::Layout`] without training files, or with one twice; [`Error::Header`] where a file
    /// is no whole number of records, a pickle does not hold what it should, or a class is none.
    pub fn open(root: &Path, set: CifarSet) -> Result<Self> {
        let wanted = |name: &str| set.batch_of(name).is_some();
        let archive = |stem: &str| set.archives().iter().any(|start| stem.starts_with(start));
        let records = Part { what: "records", holds: &wanted, archive: &archive };
        let store = FileStore::open_parts(set.name(), root, &wanted, &[records])?;
        let names = batches(&store, set)?;
        let (mut files, mut train, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for (name, version, is_train) in names {
            let (pixels, labels) = match version {
                Version::Binary => read_records(&store, set, &name)?,
                Version::Python => read_pickle(&store, set, &name)?,
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
        let mut cifar = Self { set, store, splits, files, fingerprint: String::new() };
        cifar.fingerprint = Fingerprint::new(set.name()).dataset(&cifar).hex();
        Ok(cifar)
    }
}

/// The files of the version that has training files, each with whether it is one, in the order of
/// their names.
fn batches(store: &FileStore, set: CifarSet) -> Result<Vec<(String, Version, bool)>> {
    let files = store.files();
    let all = || {
        let batch = |&(name, _): &(&str, u64)| {
            set.batch_of(name).map(|(version, is_train)| (name.to_owned(), version, is_train))
        };
        files.iter().filter_map(batch)
    };
    let has_train = |version| all().any(|(_, found, is_train)| is_train && found == version);
    let versions = [Version::Binary, Version::Python];
    let Some(version) = versions.into_iter().find(|&version| has_train(version)) else {
        return Err(Error::layout(set.name(), store.root(), set.expected(), "none"));
    };
    let batches: Vec<_> = all().filter(|(_, found, _)| *found == version).collect();
    let twice = batches.iter().enumerate().find_map(|(at, (name, ..))| {
        let first = batches[..at].iter().find(|(other, ..)| base(other) == base(name))?;
        Some((&first.0, name))
    });
    match twice {
        None => Ok(batches),
        Some((first, second)) => {
            let found = format!("{first} and {second}; name one folder");
            Err(Error::layout(set.name(), store.root(), "every file once", found))
        }
    }
}

/// Where a file of binary records has its pixels, and their classes.
fn read_records(store: &FileStore, set: CifarSet, name: &str) -> Result<(Pixels, Vec<u32>)> {
    let length = store.length(name)?;
    let record = set.label_bytes() + PIXELS;
    if length == 0 || length % record as u64 != 0 {
        let expected = format!("a whole number of records of {record} bytes");
        return Err(header_error(store, name, expected, format!("{length} bytes")));
    }
    let bytes = store.read(name, MAX_RECORDS * record as u64)?;
    let label = |record: &[u8]| set.label_byte().map_or(0, |at| i64::from(record[at]));
    let labels = bytes.chunks_exact(record).map(label);
    let pixels = Pixels::Plain { first: set.label_bytes(), stride: record };
    Ok((pixels, classes(store, set, name, labels)?))
}

/// Where a pickle has its pixels, and their classes.
fn read_pickle(store: &FileStore, set: CifarSet, name: &str) -> Result<(Pixels, Vec<u32>)> {
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
    let labels = match set.pickled_labels() {
        None => vec![0; data.shape[0]],
        Some(key) => {
            let labels = arrays::get(&pickle, key);
            let labels = labels.and_then(|labels| arrays::integers(&pickle, labels));
            let expected = format!("a list or an array `{key}` of integers");
            labels.ok_or_else(|| error(&expected, "none"))?
        }
    };
    if labels.len() != data.shape[0] {
        let expected = format!("{} labels, one for each picture", data.shape[0]);
        return Err(error(&expected, &labels.len().to_string()));
    }
    Ok((Pixels::of_array(&data, &bytes), classes(store, set, name, labels.into_iter())?))
}

/// Labels, all of which are one of the classes; 0 where none are meant.
fn classes(
    store: &FileStore,
    set: CifarSet,
    name: &str,
    labels: impl Iterator<Item = i64>,
) -> Result<Vec<u32>> {
    let last = set.classes().len().saturating_sub(1) as i64;
    let label = |(number, class): (usize, i64)| match class {
        class if (0..=last).contains(&class) => Ok(class as u32),
        _ => {
            let expected = format!("a class of 0 to {last} in record {number}");
            Err(header_error(store, name, expected, class.to_string()))
        }
    };
    labels.enumerate().map(label).collect()
}

fn header_error(store: &FileStore, name: &str, expected: String, found: String) -> Error {
    Error::Header { path: store.root().join(name), expected, found }
}

impl Dataset for Cifar {
    fn name(&self) -> &str {
        self.set.name()
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
        let names: Vec<String> = self.set.classes().iter().map(|&name| name.to_owned()).collect();
        match names.is_empty() {
            true => Labels::None,
            false => {
                let labels = records.iter().map(|record| record.label).collect();
                Labels::Classes { names, labels }
            }
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
    fn remarks(&self) -> Vec<String> {
        let [train, valid, test] = Split::ALL.map(|split| self.len(split));
        let mut remarks = partial(&[
            (train + valid, PUBLISHED[0], "training pictures"),
            (test, PUBLISHED[1], "test pictures"),
        ]);
        if self.set == CifarSet::Cifar100 {
            let [fine, coarse] = [CifarSet::Cifar100Fine, CifarSet::Cifar100Coarse];
            remarks.push(format!("without labels; {fine} and {coarse} have them"));
        }
        remarks
    }
}
