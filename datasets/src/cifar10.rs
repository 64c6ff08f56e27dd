//! CIFAR-10 as its official binary records, in a folder or an archive.
//!
//! Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009: a record is one byte of
//! class and 32×32 pixels, plane by plane. Validation pictures are drawn from the training files as
//! the reference does: scikit-learn's `train_test_split(test_size=5000, random_state=11172018)`,
//! a tenth of what is there where files are cut short.

use std::path::Path;

use image::RgbImage;

use crate::fingerprint::Fingerprint;
use crate::numpy_rng::train_test_split;
use crate::store::FileStore;
use crate::{Dataset, Error, Labels, Result, Split};

const NAME: &str = "cifar10";
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
/// Largest file, in records; the official ones have 10,000.
const MAX_RECORDS: u64 = 1 << 20;
const SPLIT_SEED: u32 = 11_172_018;
const TEST_FILE: &str = "test_batch.bin";
/// The official names, in the order of `batches.meta.txt`.
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-10, open: labels in memory, pictures on disk.
#[derive(Debug)]
pub struct Cifar10 {
    store: FileStore,
    splits: [Vec<Record>; 3],
    /// Names of the record files in the store.
    files: Vec<String>,
    fingerprint: String,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    file: usize,
    number: usize,
    label: u32,
}

impl Cifar10 {
    /// Opens the folder `cifar-10-batches-bin`, one above it, or an archive of it.
    ///
    /// # Errors
    /// [`Error::Layout`] without `data_batch_*.bin`, [`Error::Header`] where a file is no whole
    /// number of records or a class is above 9.
    pub fn open(root: &Path) -> Result<Self> {
        let wanted = |name: &str| is_train(name) || base(name) == TEST_FILE;
        let store = FileStore::open(NAME, root, &wanted)?;
        let files: Vec<String> =
            store.files().into_iter().map(|(name, _)| name.to_owned()).collect();
        if !files.iter().any(|name| is_train(name)) {
            return Err(Error::layout(NAME, store.root(), "data_batch_*.bin", "none"));
        }
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (file, name) in files.iter().enumerate() {
            let records = read_labels(&store, name)?;
            let records = records.into_iter().enumerate();
            let records = records.map(|(number, label)| Record { file, number, label });
            if is_train(name) { train.extend(records) } else { test.extend(records) }
        }
        let (kept, held_out) = train_test_split(SPLIT_SEED, train.len(), train.len() / 10);
        let select = |rows: Vec<usize>| rows.into_iter().map(|row| train[row]).collect();
        let splits = [select(kept), select(held_out), test];
        let mut cifar = Self { store, splits, files, fingerprint: String::new() };
        cifar.fingerprint = Fingerprint::new(NAME).dataset(&cifar).hex();
        Ok(cifar)
    }
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn is_train(name: &str) -> bool {
    let number = base(name).strip_prefix("data_batch_").and_then(|end| end.strip_suffix(".bin"));
    number.is_some_and(|number| matches!(number, "1" | "2" | "3" | "4" | "5"))
}

fn read_labels(store: &FileStore, name: &str) -> Result<Vec<u32>> {
    let error = |expected: String, found: String| Error::Header {
        path: store.root().join(name),
        expected,
        found,
    };
    let length = store.length(name)?;
    if length == 0 || length % RECORD as u64 != 0 {
        let expected = format!("a whole number of records of {RECORD} bytes");
        return Err(error(expected, format!("{length} bytes")));
    }
    let bytes = store.read(name, MAX_RECORDS * RECORD as u64)?;
    let classes = bytes.chunks_exact(RECORD).map(|record| record[0]).enumerate();
    let label = |(number, class): (usize, u8)| match class {
        0..=9 => Ok(u32::from(class)),
        _ => Err(error(format!("a class of 0 to 9 in record {number}"), class.to_string())),
    };
    classes.map(label).collect()
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
        format!("{}/{:05}", base(&self.files[record.file]), record.number)
    }

    fn labels(&self, split: Split) -> Labels {
        let records = &self.splits[split.position()];
        Labels::Classes {
            names: CLASSES.map(str::to_owned).to_vec(),
            labels: records.iter().map(|record| record.label).collect(),
        }
    }

    fn groups(&self, _split: Split) -> Option<Vec<u64>> {
        None
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let record = self.splits[split.position()][index];
        let offset = (record.number * RECORD + 1) as u64;
        let planes = self.store.read_at(&self.files[record.file], offset, 3 * PLANE)?;
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    /// `n` records of class `i % 10`, whose red, green and blue planes differ by position.
    fn records(n: usize) -> Vec<u8> {
        let plane = |i: usize, c: usize| (0..PLANE).map(move |p| (i + p * (c + 1)) as u8);
        let record = |i: usize| {
            let pixels = (0..3).flat_map(move |c| plane(i, c));
            std::iter::once((i % 10) as u8).chain(pixels).collect::<Vec<_>>()
        };
        (0..n).flat_map(record).collect()
    }

    fn folder(train: &[u8], test: &[u8]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("cifar-10-batches-bin");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("data_batch_1.bin"), train).unwrap();
        fs::write(inner.join("test_batch.bin"), test).unwrap();
        directory
    }

    #[test]
    fn records_are_read_upright_with_their_labels() {
        let directory = folder(&records(50), &records(7));
        let cifar = Cifar10::open(directory.path()).unwrap();
        assert_eq!(Split::ALL.map(|split| cifar.len(split)), [45, 5, 7]);
        let picture = cifar.image(Split::Test, 3).unwrap();
        assert_eq!(picture.get_pixel(5, 1).0, [3 + 37, 3 + 74, 3 + 111]);
        let Labels::Classes { labels, .. } = cifar.labels(Split::Test) else { panic!() };
        assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6]);
        // scikit-learn: train_test_split(range(50), test_size=5, random_state=11172018)
        let keys: Vec<_> = (0..5).map(|i| cifar.key(Split::Valid, i)).collect();
        let expected = [48, 6, 22, 32, 15].map(|i| format!("data_batch_1.bin/{i:05}"));
        assert_eq!(keys, expected);
        let all: HashSet<_> = Split::ALL
            .into_iter()
            .flat_map(|split| (0..cifar.len(split)).map(move |i| (split, i)))
            .map(|(split, i)| cifar.key(split, i))
            .collect();
        assert_eq!(all.len(), 57);
    }

    #[test]
    fn broken_files_are_one_clear_line() {
        let message = |train: &[u8]| {
            Cifar10::open(folder(train, &records(1)).path()).unwrap_err().to_string()
        };
        assert!(message(&records(2)[1..]).contains("records of 3073 bytes, found 6145 bytes"));
        assert!(message(&[]).contains("found 0 bytes"));
        let mut bytes = records(2);
        bytes[RECORD] = 10;
        assert!(message(&bytes).contains("a class of 0 to 9 in record 1, found 10"));
        let empty = tempfile::tempdir().unwrap();
        let text = Cifar10::open(empty.path()).unwrap_err().to_string();
        assert!(text.contains("expected data_batch_*.bin, found none"), "{text}");
    }
}
