//! What can go wrong between a name and a file.

use std::path::{Path, PathBuf};

/// Errors of this crate. Every message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
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
    /// A file is no Parquet table of the kind that is read.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// Which columns of a table to predict is not clear, or they cannot be predicted; others may be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Targets {
        /// The file.
        path: PathBuf,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with the path it happened at.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

impl From<vdvae_parquet::Error> for Error {
    fn from(error: vdvae_parquet::Error) -> Self {
        match error {
            vdvae_parquet::Error::Io { path, source } => Self::Io { path, source },
            vdvae_parquet::Error::Damaged { path, found } => {
                Self::Table { path, expected: "a whole Parquet file".to_owned(), found }
            }
        }
    }
}
