//! Batches of prepared pictures, decoded in parallel, in the order asked for.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;

use crate::{Dataset, Error, Preparation, Result, Split};

/// What to do with a picture that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadImage {
    /// Stop with an error that names it.
    #[default]
    Fail,
    /// Leave it out and say so in [`Batch::skipped`].
    Skip,
}

impl fmt::Display for OnBadImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
        })
    }
}

impl FromStr for OnBadImage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "fail" => Ok(Self::Fail),
            "skip" => Ok(Self::Skip),
            _ => Err(Error::UnknownName {
                what: "on-bad-image",
                expected: "fail, skip",
                found: text.to_owned(),
            }),
        }
    }
}

/// Prepared pictures of one split.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// `(N, size, size, 3)`, row-major: the network's input.
    pub pixels: Vec<u8>,
    /// `(N)`: index in the split of every picture kept, in the order asked for.
    pub indices: Vec<usize>,
    /// Key and reason of every picture left out.
    pub skipped: Vec<(String, String)>,
}

impl Batch {
    /// Pictures kept.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Pictures asked for: those kept, and those left out.
    pub fn asked(&self) -> usize {
        self.indices.len() + self.skipped.len()
    }

    /// Whether no picture was kept.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Loads and prepares the pictures at `indices`, in parallel on rayon's current pool.
///
/// Pictures are in the order of `indices`, whatever the number of threads. Rendered data sets are
/// drawn at the size asked for.
///
/// # Errors
/// [`Error::Picture`] with [`OnBadImage::Fail`]: the first bad picture in the order of `indices`.
/// Always: [`Error::Preparation`], [`Error::Index`], [`Error::Io`].
///
/// ```
/// use vdvae_datasets::{Dataset, OnBadImage, Preparation, Split, ToyFaces, load_batch};
///
/// let faces = ToyFaces::new(0);
/// let prep = Preparation::new(32);
/// let batch = load_batch(&faces, Split::Test, &[5, 3], &prep, OnBadImage::Fail)?;
/// assert_eq!(batch.indices, [5, 3]);
/// assert_eq!(batch.pixels.len(), 2 * 32 * 32 * 3);
/// # Ok::<(), vdvae_datasets::Error>(())
/// ```
pub fn load_batch(
    dataset: &dyn Dataset,
    split: Split,
    indices: &[usize],
    prep: &Preparation,
    on_bad: OnBadImage,
) -> Result<Batch> {
    prep.validate()?;
    let pictures: Vec<Result<Vec<u8>>> =
        indices.par_iter().map(|&index| load_one(dataset, split, index, prep)).collect();
    let mut batch = Batch::default();
    for (&index, picture) in indices.iter().zip(pictures) {
        match picture {
            Ok(pixels) => {
                batch.pixels.extend_from_slice(&pixels);
                batch.indices.push(index);
            }
            Err(Error::Picture { key, reason }) if on_bad == OnBadImage::Skip => {
                batch.skipped.push((key, reason));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(batch)
}

fn load_one(
    dataset: &dyn Dataset,
    split: Split,
    index: usize,
    prep: &Preparation,
) -> Result<Vec<u8>> {
    dataset.check_index(split, index)?;
    let picture = match dataset.render(split, index, prep.size) {
        Some(picture) => picture,
        None => prep.apply(&dataset.image_with(split, index, prep.exif)?)?,
    };
    Ok(picture.into_raw())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixture::png;
    use crate::{Exif, Folder, ToyFaces};

    #[test]
    fn order_is_kept_and_pictures_are_those_of_the_data_set() {
        let faces = ToyFaces::new(1);
        let indices: Vec<usize> = (0..50).rev().collect();
        let prep = Preparation::new(16);
        let batch = load_batch(&faces, Split::Train, &indices, &prep, OnBadImage::Fail).unwrap();
        assert_eq!(batch.indices, indices);
        for (row, &index) in indices.iter().enumerate() {
            let picture = faces.render(Split::Train, index, 16).unwrap().into_raw();
            assert_eq!(batch.pixels[row * 768..][..768], picture);
        }
        let empty = load_batch(&faces, Split::Train, &[], &prep, OnBadImage::Fail).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn pictures_are_turned_as_their_files_say_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut png = png();
        // After the header of 33 bytes a chunk `eXIf`: orientation 6, lying on its left side.
        let exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let chunk = [&(exif.len() as u32).to_be_bytes()[..], b"eXIf", exif, b"\xd6\x67\x4b\x69"];
        png.splice(33..33, chunk.concat());
        fs::write(directory.path().join("a.png"), png).unwrap();
        let folder = Folder::open(directory.path(), 0).unwrap();
        let load = |exif| {
            let prep = Preparation { exif, ..Preparation::new(16) };
            load_batch(&folder, Split::Train, &[0], &prep, OnBadImage::Fail).unwrap().pixels
        };
        let stored = crate::fixture::picture();
        let prepared = |picture| Preparation::new(16).apply(&picture).unwrap().into_raw();
        assert_eq!(load(Exif::Apply), prepared(image::imageops::rotate90(&stored)));
        assert_eq!(load(Exif::Ignore), prepared(stored));
    }

    #[test]
    fn bad_pictures_fail_or_are_skipped_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let train = directory.path().join("train");
        fs::create_dir(&train).unwrap();
        for name in ["a.png", "b.png", "c.png"] {
            fs::write(train.join(name), png()).unwrap();
        }
        fs::write(train.join("b.png"), &png()[..60]).unwrap();
        for split in ["valid", "test"] {
            fs::create_dir(directory.path().join(split)).unwrap();
            fs::write(directory.path().join(split).join("d.png"), png()).unwrap();
        }
        let folder = Folder::open(directory.path(), 0).unwrap();
        let load = |indices: &[usize], on_bad| {
            load_batch(&folder, Split::Train, indices, &Preparation::new(8), on_bad)
        };
        let text = load(&[0, 1, 2], OnBadImage::Fail).unwrap_err().to_string();
        assert!(text.starts_with("picture train/b.png: "), "{text}");
        let batch = load(&[2, 1, 0], OnBadImage::Skip).unwrap();
        assert_eq!(batch.indices, [2, 0]);
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.pixels.len(), 2 * 8 * 8 * 3);
        assert_eq!(batch.skipped.len(), 1);
        assert_eq!(batch.skipped[0].0, "train/b.png");
        // An index out of range is a mistake of the caller, never a bad picture.
        let text = load(&[3], OnBadImage::Skip).unwrap_err().to_string();
        assert!(text.contains("expected an index below 3, found 3"), "{text}");
    }
}
