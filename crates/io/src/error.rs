//! What can go wrong between a file and a picture that the network sees.

/// Errors about pictures. Every message is one line; [`Fault`](crate::Fault) is what parsers
/// report, [`std::io::Error`] what writing does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture cannot be read or decoded.
    #[error("picture {key}: {reason}")]
    Picture {
        /// Its key in a data set, or its path.
        key: String,
        /// What the decoder says.
        reason: String,
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
    /// A size of prepared pictures is out of range.
    #[error("picture size: expected 1 to {max} pixels, found {found}")]
    Size {
        /// Largest size.
        max: usize,
        /// The size asked for.
        found: usize,
    },
}

/// Result of what is done with pictures.
pub type Result<T, E = Error> = std::result::Result<T, E>;
