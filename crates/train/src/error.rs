//! The one error type of this crate.

use std::path::PathBuf;

/// What [`crate`]'s functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong while training.
///
/// Every message is a single line that says where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the training configuration makes no sense.
    #[error("train: {field}: expected {expected}, found {found}")]
    Config {
        /// The JSON key.
        field: &'static str,
        /// What would be valid.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A new run was asked for in a folder that holds something already.
    #[error("{}: expected an empty or new folder, found `{found}`", path.display())]
    OutNotEmpty {
        /// The output folder.
        path: PathBuf,
        /// The name of something in it.
        found: String,
    },

    /// A second run was started in the folder of one that has not ended.
    #[error("{}: another run is writing into it", path.display())]
    InUse {
        /// The file that the other run holds.
        path: PathBuf,
    },

    /// The run in the output folder is not the one that was asked for.
    #[error("{file}: {field}: expected {expected} as the run was started, found {found}")]
    OtherRun {
        /// The checkpoint that was to be resumed.
        file: String,
        /// The first key that differs.
        field: String,
        /// Its value in the checkpoint.
        expected: String,
        /// Its value now.
        found: String,
    },

    /// A checkpoint holds no state of a training run.
    #[error("{file}: {position}: expected {expected}, found {found}")]
    Checkpoint {
        /// The file.
        file: String,
        /// Where in it.
        position: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A configuration file is not JSON of the documented form.
    #[error("{}: not a training configuration: {reason}", path.display())]
    ConfigJson {
        /// The file.
        path: PathBuf,
        /// What the JSON parser says, with line and column.
        reason: String,
    },

    /// Training on this device is not possible.
    #[error("device: expected cpu or cuda, found {found}: training on it is not supported")]
    Device {
        /// The device.
        found: String,
    },

    /// The loss or its gradient is not a number any more, whatever the pictures: no update follows.
    #[error(
        "step {step}: expected a finite loss and gradient, found none in {steps} steps; training may go \
         on from the weights of an earlier checkpoint, at a lower learning rate"
    )]
    Diverged {
        /// The last step, counted from 1.
        step: u64,
        /// Steps in a row without an update.
        steps: u64,
    },

    /// None of the pictures of a batch could be read.
    #[error("step {step}: expected at least one readable picture, found none of {asked}")]
    NoPictures {
        /// The step, counted from 1.
        step: u64,
        /// Pictures that were to be in the batch.
        asked: usize,
    },

    /// The operating system refused to read or write a file, or to start a thread.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, as a verb: `read`, `write`.
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// The operating system refused to start a thread.
    #[error("cannot start a thread: {source}")]
    Threads {
        /// What the operating system said.
        source: rayon::ThreadPoolBuildError,
    },

    /// The network or its checkpoint failed.
    #[error(transparent)]
    Model(#[from] vdvae_model::Error),

    /// The data set failed.
    #[error(transparent)]
    Data(#[from] vdvae_datasets::Error),

    /// A network of another kind failed.
    #[error(transparent)]
    Network(Box<dyn std::error::Error + Send + Sync>),

    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// Whether what was asked for cannot be done as asked, which was found before any work: a
    /// program should exit with its code for bad usage.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config { .. }
                | Self::OutNotEmpty { .. }
                | Self::InUse { .. }
                | Self::OtherRun { .. }
                | Self::ConfigJson { .. }
                | Self::Device { .. }
                | Self::Model(vdvae_model::Error::Precision { .. } | vdvae_model::Error::ExactBf16)
        )
    }
}

/// Adds the path to what the operating system said.
pub(crate) fn io_error(
    path: impl Into<PathBuf>,
    action: &'static str,
) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, action, source }
}
