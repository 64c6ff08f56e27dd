//! What can go wrong while a probe is fitted or scored.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no [`Solver`](crate::Solver) or [`Source`](crate::Source) has.
    #[error("{what}: expected one of {expected}, found {found:?}")]
    UnknownName {
        /// What was being named.
        what: &'static str,
        /// The names there are.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A number outside its range.
    #[error("{what}: expected {expected}, found {found}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// The range.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// Rows that a design streams could not be read.
    #[error("features: {source}")]
    Rows {
        /// What went wrong, such as an [`std::io::Error`].
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two things that should have the same size do not.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was counted.
        what: String,
        /// The size asked for.
        expected: usize,
        /// The size found.
        found: usize,
    },
    /// The tables of one evaluation describe different targets.
    #[error("{split} table: expected {expected}, found {found}")]
    Targets {
        /// The table that differs.
        split: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A table that contradicts itself.
    #[error("{split} table: {source}")]
    Table {
        /// The table.
        split: &'static str,
        /// What is wrong with it.
        source: Box<vdvae_features::Error>,
    },
    /// A solver asked for something only another solver does.
    #[error("solver {solver}: cannot fit {what}; use --solver {instead}")]
    Unsupported {
        /// The solver.
        solver: &'static str,
        /// What it was asked to fit.
        what: &'static str,
        /// The solver that does it.
        instead: &'static str,
    },
    /// linfa failed, or returned something that is not a fit.
    #[error("linfa-logistic at strength {strength}: {what}; are the features standardised?")]
    Linfa {
        /// Strength of the penalty.
        strength: f64,
        /// What it returned.
        what: String,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
