//! What can go wrong while a probe is fitted, scored or kept.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that stands for nothing, such as a solver's or a source's.
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
    /// A probe or a solver asked for something that only others do.
    #[error("{who}: cannot {what}; use {instead}")]
    Unsupported {
        /// Which one, such as `solver linfa`.
        who: &'static str,
        /// What it was asked to do.
        what: &'static str,
        /// Those that do it.
        instead: &'static str,
    },
    /// A matrix that has no factor or no eigenvectors in float64.
    #[error(
        "{what}: expected a well-conditioned matrix, found a singular one; is the strength too small?"
    )]
    Singular {
        /// What needed it.
        what: &'static str,
    },
    /// A probe that has no file form.
    #[error("probe {probe}: cannot be saved; use logistic or ridge")]
    NotSavable {
        /// The probe.
        probe: &'static str,
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
    /// Episodes that the rows cannot make up.
    #[error("episodes: expected {expected}, found {found}")]
    Episodes {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Pairs for verification that the rows cannot make up, or that are no pairs.
    #[error("verification: expected {expected}, found {found}")]
    Pairs {
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A number that should be finite.
    #[error("{what}: expected finite numbers, found {found} in {at}")]
    NotFinite {
        /// Which numbers.
        what: &'static str,
        /// Where it stands.
        at: String,
        /// What was found.
        found: f64,
    },
    /// A person that a projection is fitted on and then tested with.
    #[error(
        "training identities: expected none of those in the test pairs, found {identity} in both"
    )]
    SharedIdentity {
        /// The identity.
        identity: u64,
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

/// Fails with [`Error::OutOfRange`] unless a number is valid.
pub(crate) fn check_range(
    valid: bool,
    what: &'static str,
    expected: &'static str,
    found: impl ToString,
) -> Result<()> {
    match valid {
        true => Ok(()),
        false => Err(Error::OutOfRange { what, expected, found: found.to_string() }),
    }
}

/// Fails with [`Error::Mismatch`] unless there are as many as expected.
pub(crate) fn check_count(what: impl Into<String>, expected: usize, found: usize) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Mismatch { what: what.into(), expected, found }),
    }
}
