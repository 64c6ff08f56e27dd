//! What can go wrong between a model and a table of features.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Parts of a table disagree about its size.
    #[error("feature table: expected {expected} {part}, found {found}")]
    TableShape {
        /// The part that differs.
        part: &'static str,
        /// Size of the features.
        expected: usize,
        /// Size of the part.
        found: usize,
    },
    /// A feature is NaN or infinite.
    #[error("features of {key}: column {column}: expected a finite number, found {value}")]
    NotFinite {
        /// Row.
        key: String,
        /// Column.
        column: usize,
        /// What was found.
        value: f32,
    },
    /// Histograms of oriented gradients do not fit pictures of this size.
    #[error("hog: expected pictures whose side is a multiple of {cells}, found {size}")]
    HogSize {
        /// Side of the pictures.
        size: usize,
        /// Cells on a side.
        cells: usize,
    },
    /// A name that stands for nothing.
    #[error("{what}: expected {expected}, found `{found}`")]
    Unknown {
        /// Kind of name.
        what: &'static str,
        /// What would be valid.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: expected {expected}, found {found}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A Parquet file is damaged, or cannot be read.
    #[error(transparent)]
    Parquet(#[from] vdvae_parquet::Error),
    /// The network failed.
    #[error(transparent)]
    Model(#[from] vdvae_model::Error),
    /// The data set failed.
    #[error(transparent)]
    Data(#[from] vdvae_datasets::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
