//! What can go wrong in an experiment.

use std::path::PathBuf;

use vdvae_datasets::Split;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is no task's.
    #[error("task: expected {expected}, found `{found}`")]
    UnknownTask {
        /// The forms that names have.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A setting that cannot be what it is.
    #[error("{setting}: {problem}")]
    Setting {
        /// The setting, in words.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The task asks for something that the data set does not have.
    #[error("{what}: {problem}")]
    Unfit {
        /// The data set or the task.
        what: String,
        /// What was expected, and what was found.
        problem: String,
    },
    /// A solver that cannot fit the classes of a data set.
    #[error(
        "solver {solver}: cannot fit the classes of {data}, only binary targets; use {instead}"
    )]
    Solver {
        /// Name of the solver.
        solver: &'static str,
        /// Name of the data set.
        data: String,
        /// Name of a solver that can.
        instead: &'static str,
    },
    /// The network does not have the layers of a selection.
    #[error(transparent)]
    Layers(Box<vdvae_features::Error>),
    /// Episodes of this shape cannot be drawn from the data set.
    #[error(transparent)]
    Episodes(vdvae_probes::Error),
    /// That many pairs cannot be drawn from the data set.
    #[error("{task}: {source}")]
    Pairs {
        /// Name of the task.
        task: String,
        /// What is missing.
        source: Box<vdvae_probes::Error>,
    },
    /// There would be no probe to save, more than one, or one that reads other features than
    /// those of pictures prepared as usual.
    #[error(
        "a probe to save: expected one selection of layers and one linear probe on all rows, of \
         columns that are not matched and pictures that are cut and resized as by default"
    )]
    NotSavable,
    /// No picture of a split could be read.
    #[error("{data}: no picture of split `{split}` could be read")]
    NoPictures {
        /// Name of the data set.
        data: String,
        /// The split.
        split: Split,
    },
    /// Published episodes need pictures that could not be read.
    #[error("{task}: expected all {expected} pictures, found {found} that can be read")]
    MissingPictures {
        /// Name of the task.
        task: String,
        /// Pictures of the episodes.
        expected: usize,
        /// Pictures that could be read.
        found: usize,
    },
    /// A published pair needs a picture that could not be read.
    #[error("{key}: a pair needs this picture")]
    MissingPicture {
        /// Key of the picture.
        key: String,
    },
    /// A published episode contradicts itself.
    #[error("{episode}: {source}")]
    Episode {
        /// Name of the episode.
        episode: String,
        /// What is wrong with it.
        source: Box<vdvae_probes::Error>,
    },
    /// A file of an earlier run is not what it should be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The data set failed.
    #[error(transparent)]
    Data(#[from] vdvae_datasets::Error),
    /// The network failed.
    #[error(transparent)]
    Model(Box<vdvae_model::Error>),
    /// The features could not be read.
    #[error(transparent)]
    Features(Box<vdvae_features::Error>),
    /// A probe failed.
    #[error(transparent)]
    Probes(#[from] vdvae_probes::Error),
    /// The results could not be written.
    #[error(transparent)]
    Report(#[from] vdvae_report::Error),
    /// The network's configuration could not be put into JSON.
    #[error("configuration of the network: {0}")]
    Json(#[from] serde_json::Error),
}

// Boxed: they are several times larger than the others.
impl From<vdvae_model::Error> for Error {
    fn from(error: vdvae_model::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        vdvae_model::Error::from(error).into()
    }
}

impl From<vdvae_features::Error> for Error {
    fn from(error: vdvae_features::Error) -> Self {
        Self::Features(Box::new(error))
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
