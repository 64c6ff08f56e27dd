//! The one error type of this crate.

/// What [`crate`]'s functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with a PixelCNN++.
///
/// Every message is a single line that says where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the configuration makes no sense.
    #[error("config: {field}: expected {expected}, found {found}")]
    Config {
        /// The JSON key.
        field: &'static str,
        /// What would be valid.
        expected: &'static str,
        /// What is there.
        found: String,
    },

    /// Weights are not those of the configuration.
    #[error("{name}: expected weights of {expected}, found {found}")]
    Weights {
        /// The array.
        name: String,
        /// What the configuration asks for.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A tensor is no batch of pictures of the network.
    #[error("pictures: expected u8 (N, {size}, {size}, 3), found {found}")]
    Pictures {
        /// Pixels on a side.
        size: usize,
        /// Its type and shape.
        found: String,
    },

    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<Error> for vdvae_train::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(error) => Self::Candle(error),
            other => Self::Network(Box::new(other)),
        }
    }
}
