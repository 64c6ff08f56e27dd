//! What can go wrong between a path and a picture.

use std::path::{Path, PathBuf};

use crate::Split;

/// Errors of this crate. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being read.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// No data set has this name.
    #[error("unknown data set `{found}`; expected one of: {expected}")]
    UnknownDataset {
        /// The name given.
        found: String,
        /// The names that would be valid.
        expected: String,
    },
    /// A value is not one of the few allowed.
    #[error("{what}: expected one of {expected}, found `{found}`")]
    UnknownName {
        /// What was being named.
        what: &'static str,
        /// The names that would be valid.
        expected: &'static str,
        /// The name given.
        found: String,
    },
    /// A data set needs a folder or an archive and none was given.
    #[error(
        "{dataset}: no path given: write `{dataset}:PATH`, or set VDVAE_DATA to a folder that holds \
         `{dataset}`"
    )]
    NoPath {
        /// Name of the data set.
        dataset: String,
    },
    /// A data set that could come from the hub is neither here nor to be had.
    #[error(
        "{dataset}: no pictures: write `{dataset}:PATH`, set VDVAE_DATA to a folder that holds \
         `{dataset}`, or let it come from the Hugging Face hub ({repository}): {reason}; `toy-faces` \
         needs none of them"
    )]
    NoData {
        /// Name of the data set.
        dataset: String,
        /// Where the hub has it.
        repository: String,
        /// Why the hub could not help.
        reason: String,
    },
    /// A name of something on the hub cannot be understood.
    #[error("{0}")]
    Address(String),
    /// Something could not be had from the hub, or from where the published weights are.
    #[error("{name}: {reason}")]
    Hub {
        /// What was asked for: `hf:owner/repo`, or an address.
        name: String,
        /// Why not.
        reason: String,
        /// Whether the cause is that there is neither a connection nor a copy.
        absent: bool,
    },
    /// A folder or archive is not in the layout its data set is published in.
    #[error("{dataset} in {}: expected {expected}, found {found}", path.display())]
    Layout {
        /// Name of the data set.
        dataset: &'static str,
        /// Folder, archive or file.
        path: PathBuf,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// It is not clear which folders hold which splits; the user may say so.
    #[error("{dataset} in {}: expected {expected}, found {found}", path.display())]
    Splits {
        /// Name of the data set.
        dataset: &'static str,
        /// Folder or archive.
        path: PathBuf,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// Columns of a table cannot be predicted together, or as they are; others may be.
    #[error("{file}, line {line}: expected {expected}, found {found}")]
    Targets {
        /// Name of the file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// Which columns of a file of the hub to predict is not clear, or they cannot be predicted; others
    /// may be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// A table can be read in several ways, or in none, and a choice says how.
    #[error("{file}, line {line}: expected {expected}, found {found}")]
    Undecided {
        /// What is to be chosen.
        choice: TableChoice,
        /// Name of the file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// A line of a text file cannot be understood.
    #[error("{file}, line {line}: expected {expected}, found {found}")]
    Table {
        /// Name of the file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// A picture exists that a text file says nothing about.
    #[error("{file}: picture {key} exists but has no line here")]
    NoLine {
        /// Name of the text file.
        file: String,
        /// Key of the picture.
        key: String,
    },
    /// An archive is truncated, corrupt or hostile.
    #[error("{}, member {member}: {reason}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The member being read, or the end of the archive.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// The header of a binary file is not what the format or this reader demands.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What the header should say.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The shape of an array does not say where the channels of its pictures are.
    #[error("{}: shape {shape:?} fits N×H×W×C and N×C×H×W: expected which of the two is meant", path.display())]
    AmbiguousArray {
        /// The file, and the array in it.
        path: PathBuf,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A picture cannot be decoded.
    #[error("picture {key}: {reason}")]
    Picture {
        /// Key of the picture.
        key: String,
        /// What the decoder says.
        reason: String,
    },
    /// A split holds no picture.
    #[error("{dataset}: split `{split}` is empty {hint}")]
    EmptySplit {
        /// Name of the data set.
        dataset: String,
        /// The split.
        split: Split,
        /// What decides the split, and what to do.
        hint: String,
    },
    /// An index lies outside its split.
    #[error("{dataset}, split `{split}`: expected an index below {len}, found {index}")]
    Index {
        /// Name of the data set.
        dataset: String,
        /// The split.
        split: Split,
        /// Pictures in the split.
        len: usize,
        /// The index asked for.
        index: usize,
    },
    /// A picture cannot be prepared as asked.
    #[error(transparent)]
    Preparation(vdvae_io::Error),
}

/// What a reader of a table may choose: a field of [`TableOptions`](crate::TableOptions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableChoice {
    /// The column of pictures.
    Path,
    /// The column of splits.
    Split,
    /// The column of groups.
    Group,
    /// What -1 says.
    Uncertain,
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A bad picture is told apart, so that it can be left out.
impl From<vdvae_io::Error> for Error {
    fn from(error: vdvae_io::Error) -> Self {
        match error {
            vdvae_io::Error::Picture { key, reason } => Self::Picture { key, reason },
            other => Self::Preparation(other),
        }
    }
}

impl Error {
    /// Wraps an I/O error with the path it happened at.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// A header error.
    pub(crate) fn header(
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Header { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }

    /// A layout error.
    pub(crate) fn layout(
        dataset: &'static str,
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Layout {
            dataset,
            path: path.to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}
