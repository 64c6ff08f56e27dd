//! What can be wrong with a file.

use std::path::PathBuf;

/// Errors of this crate. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no whole Parquet file, or it claims more than it holds.
    #[error("{}: expected a whole Parquet file, found {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was there.
        found: String,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
