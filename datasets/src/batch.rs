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
/// Always: [`Error::Size`], [`Error::Index`], [`Error::Io`].
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
        None => prep.apply(&dataset.image(split, index)?)?,
    };
    Ok(picture.into_raw())
}
