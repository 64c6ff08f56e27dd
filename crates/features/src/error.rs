//! What can go wrong between a model and a table of features.

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
    #[error("feature table: {key}, column {column}: expected a finite number, found {value}")]
    NotFinite {
        /// Row.
        key: String,
        /// Column.
        column: usize,
        /// What was found.
        value: f32,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
