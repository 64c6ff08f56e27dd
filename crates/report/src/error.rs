//! What can go wrong while a report is written.

use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be written.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The results could not be put into JSON.
    #[error("results.json: {0}")]
    Json(#[from] serde_json::Error),
    /// The results could not be put into CSV.
    #[error("results.csv: {0}")]
    Csv(#[from] ::csv::Error),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Replaces a file as a whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    vdvae_io::write(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}
