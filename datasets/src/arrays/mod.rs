//! Pictures in arrays of numpy's: one in a `.npy` file, or several with labels in an `.npz` file.
//!
//! A single array has no splits: `valid` is a seeded tenth of it, `train` the rest, and `test` all of
//! it, so that extraction and evaluation see every picture, in order.

mod npz;
mod pictures;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use crate::fingerprint::Fingerprint;
use crate::{Dataset, Error, Labels, OpenOptions, Result, Split, ranking};
pub use pictures::ArrayLayout;
use pictures::{ArrayFile, PictureArray};

/// Pictures of arrays.
#[derive(Debug)]
pub struct Arrays {
    name: String,
    splits: [Part; 3],
    fingerprint: String,
    stamp: String,
    remarks: Vec<String>,
}

/// One split.
#[derive(Debug)]
struct Part {
    array: Arc<PictureArray>,
    /// What comes before a picture's number in its key.
    prefix: &'static str,
    /// Numbers of its pictures in the array.
    rows: Vec<usize>,
    /// Of these pictures.
    labels: Labels,
}

impl Part {
    fn new(array: &Arc<PictureArray>, prefix: &'static str, rows: Vec<usize>) -> Self {
        Self { array: array.clone(), prefix, rows, labels: Labels::None }
    }
}

impl Arrays {
    /// Opens a `.npy` file: bytes, other whole numbers from 0 to 255, or floats from 0 to 1 or from 0
    /// to 255; (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels, or grey (N, H, W).
    ///
    /// Where `train` is the only one of [`OpenOptions::splits`], it is all of the file.
    ///
    /// # Errors
    /// [`Error::Header`] where the file is not such an array, its length does not match, or a number
    /// is out of range; [`Error::AmbiguousArray`] where the shape fits two layouts and
    /// [`OpenOptions::layout`] does not choose; [`Error::Io`].
    pub fn open_npy(path: &Path, options: &OpenOptions) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        let (file, length) = (Arc::new(file), metadata.len());
        let array = ArrayFile { path: path.into(), file, offset: 0, length };
        let array = Arc::new(PictureArray::open(array, options.layout)?);
        let mut remarks: Vec<String> = array.remark().into_iter().collect();
        let (splits, remark) = of_one(&array, "", options);
        remarks.push(format!("{}: {remark}", path.display()));
        // Which of its pictures are in a split that is all of them depends on nothing else.
        let all = matches!(options.splits[..], [Split::Train | Split::Test]);
        let fingerprint = match all {
            true => array.fingerprint.clone(),
            false => Fingerprint::new(&array.fingerprint).number(options.seed).hex(),
        };
        let stamp = Fingerprint::new(&fingerprint).file(&metadata).hex();
        let name = format!("npy:{}", path.display());
        Ok(Self { name, splits, fingerprint, stamp, remarks })
    }
}

/// The splits of an array of pictures that nothing is known about, and what to say of them.
fn of_one(
    array: &Arc<PictureArray>,
    prefix: &'static str,
    options: &OpenOptions,
) -> ([Part; 3], &'static str) {
    let all: Vec<usize> = (0..array.len()).collect();
    let part = |rows| Part::new(array, prefix, rows);
    if options.splits == [Split::Train] {
        return ([all.clone(), vec![], all].map(part), "`train` is all of the array");
    }
    let [valid, train] = drawn(all.clone(), options.seed);
    let remark = "`valid` is a seeded tenth of the array, `train` the rest, `test` all of it";
    ([train, valid, all].map(part), remark)
}

/// Parts of a tenth each, and what remains.
fn drawn<const PARTS: usize>(rows: Vec<usize>, seed: u64) -> [Vec<usize>; PARTS] {
    let names: Vec<String> = (0..rows.len()).map(|row| row.to_string()).collect();
    ranking::draw(rows, |row| &names[row], seed)
}

impl Dataset for Arrays {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split.position()].rows.len()
    }

    fn key(&self, split: Split, index: usize) -> String {
        let part = &self.splits[split.position()];
        format!("{}{}", part.prefix, part.rows[index])
    }

    fn labels(&self, split: Split) -> Labels {
        self.splits[split.position()].labels.clone()
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let part = &self.splits[split.position()];
        part.array.picture(part.rows[index])
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn stamp(&self) -> String {
        self.stamp.clone()
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}
