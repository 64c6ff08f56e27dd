//! What every data set offers: keys, labels, groups and pictures, by split.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use vdvae_io::Exif;

use crate::{Error, Result};

/// A part of a data set with one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// For fitting.
    Train,
    /// For choosing.
    Valid,
    /// Read once, at the end.
    Test,
}

impl Split {
    /// All splits, in the order train, valid, test.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// Position in [`Split::ALL`].
    pub(crate) fn position(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|split| split.to_string() == text).ok_or_else(|| {
            Error::UnknownName { what: "split", expected: "train, valid, test", found: text.into() }
        })
    }
}

/// What is known about the pictures of one split.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Nothing.
    None,
    /// Named binary attributes.
    Binary {
        /// One name an attribute.
        names: Vec<String>,
        /// `(N, names)`, row-major: 1 present, 0 absent, -1 missing.
        values: Vec<i8>,
    },
    /// One class a picture.
    Classes {
        /// Name of every class; a label indexes this list.
        names: Vec<String>,
        /// `(N)` indices into `names`; within [`Labels::Several`] some may be
        /// [`Labels::UNKNOWN_CLASS`].
        labels: Vec<u32>,
    },
    /// Named numbers.
    Real {
        /// One name a number.
        names: Vec<String>,
        /// `(N, names)`, row-major; NaN is missing, and nothing is infinite.
        values: Vec<f64>,
    },
    /// Labels of several kinds, each about all N pictures and none of them several again, with
    /// names that differ: `binary`, `real`, or `NAME:class`.
    Several(Vec<(String, Labels)>),
}

impl Labels {
    /// Stands for a class that is not known.
    pub const UNKNOWN_CLASS: u32 = u32::MAX;
}

/// A set of labelled pictures, in any layout.
///
/// Everything but the pixels is known once the data set is open; pixels are read when asked for.
pub trait Dataset: Send + Sync {
    /// Name, e.g. `celeba`.
    fn name(&self) -> &str;

    /// Pictures in a split.
    fn len(&self, split: Split) -> usize;

    /// Whether a split holds no picture.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// A stable name of one picture, unique in the data set, e.g. `000001.jpg`.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    fn key(&self, split: Split, index: usize) -> String;

    /// The split that a picture was published in, or drawn for: this one, but where a data set holds the
    /// pictures of several as one.
    fn origin(&self, split: Split, _index: usize) -> Split {
        split
    }

    /// Labels of a split, one row a picture, in order.
    fn labels(&self, split: Split) -> Labels;

    /// Group (identity) of every picture of a split, where the data set knows it.
    fn groups(&self, _split: Split) -> Option<Vec<u64>> {
        None
    }

    /// One picture at its own size, turned as its file says.
    ///
    /// # Errors
    /// [`Error::Picture`] where it cannot be decoded, [`Error::Index`] past the end of the split.
    fn image(&self, split: Split, index: usize) -> Result<RgbImage>;

    /// As [`Dataset::image`], or with the pixels as its file stores them; for data sets whose
    /// pictures are no files (the default) there is no difference.
    ///
    /// # Errors
    /// As [`Dataset::image`].
    fn image_with(&self, split: Split, index: usize, _exif: Exif) -> Result<RgbImage> {
        self.image(split, index)
    }

    /// The picture drawn directly at `size`×`size`, for data sets that are rendered rather than
    /// read; `None` (the default) for all others.
    fn render(&self, _split: Split, _index: usize, _size: usize) -> Option<RgbImage> {
        None
    }

    /// SHA-256, in hex, over what identifies the data: keys, sizes and labels, and the pixels only
    /// where a reader says so. It is the same for every copy of the data, on every machine.
    fn fingerprint(&self) -> String;

    /// SHA-256, in hex, that changes whenever the pictures may have: what a cache of things
    /// computed from them goes by.
    ///
    /// For files it covers the fingerprint, and the length and the time of the last change of every
    /// file (of the archive where they lie in one), so that a copy has another stamp. For data in
    /// memory, or rendered, it is the fingerprint, which then covers the pixels.
    fn stamp(&self) -> String {
        self.fingerprint()
    }

    /// What decides the splits and how to change it, to follow "split `test` is empty".
    fn split_hint(&self) -> String {
        "in this data set".to_owned()
    }

    /// What opening it decided or left out that its user should know, a line each: pictures that
    /// are not read, by reason; where splits and kinds of targets come from. Programs print them,
    /// manifests and reports keep them.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Fails where one of `splits` is empty, so that long work does not start in vain.
    ///
    /// # Errors
    /// [`Error::EmptySplit`], with the data set's hint.
    fn require(&self, splits: &[Split]) -> Result<()> {
        match splits.iter().find(|&&split| self.is_empty(split)) {
            None => Ok(()),
            Some(&split) => Err(Error::EmptySplit {
                dataset: self.name().to_owned(),
                split,
                hint: self.split_hint(),
            }),
        }
    }

    /// Fails where `index` lies outside the split.
    ///
    /// # Errors
    /// [`Error::Index`].
    fn check_index(&self, split: Split, index: usize) -> Result<()> {
        let len = self.len(split);
        if index < len {
            return Ok(());
        }
        Err(Error::Index { dataset: self.name().to_owned(), split, len, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_round_trip_through_text() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        }
        let message = "tset".parse::<Split>().unwrap_err().to_string();
        assert_eq!(message, "split: expected one of train, valid, test, found `tset`");
    }
}
