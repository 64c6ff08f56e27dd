//! What results say of the network, the data, and the protocol behind them.

use serde::{Deserialize, Serialize};

/// The network the latents came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name or path the user gave.
    pub name: String,
    /// SHA-256 of the weights file, in hexadecimal.
    pub sha256: Option<String>,
    /// The network's configuration as its checkpoint holds it.
    pub config: serde_json::Value,
}

/// The data set and the sizes of its splits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataInfo {
    /// Name of the data set.
    pub name: String,
    /// Training images.
    pub n_train: usize,
    /// Validation images.
    pub n_valid: usize,
    /// Test images.
    pub n_test: usize,
    /// What opening the data set decided or left out, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// The episodes behind a few-shot result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpisodeInfo {
    /// Classes of an episode.
    pub ways: usize,
    /// Labelled rows of each class.
    pub shots: usize,
    /// Rows of each class that are classified.
    pub queries: usize,
    /// Episodes.
    pub episodes: usize,
    /// Seed of the episodes; none for published runs.
    pub seed: Option<u64>,
    /// Neighbours that vote, where some do.
    pub neighbours: Option<usize>,
    /// Strength of the penalty, where there is one.
    pub strength: Option<f64>,
}

/// The share of genuine pairs that are accepted at a share of impostor pairs that are, `None` where
/// the pairs cannot tell.
pub type TarAtFar = (f64, Option<f64>);

/// What a face verification measures beside its accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerificationInfo {
    /// Dimensions in which rows were compared.
    pub dimensions: usize,
    /// Pairs in all folds.
    pub pairs: usize,
    /// Standard error of the accuracy over the folds.
    pub standard_error: f64,
    /// Shares of genuine pairs accepted where at most a share of the impostors is; null where there
    /// are too few impostors to tell.
    pub tar_at_far: Vec<TarAtFar>,
    /// The accuracy on each fold.
    pub fold_accuracies: Vec<f64>,
    /// The threshold of each fold.
    pub thresholds: Vec<f64>,
    /// Shares of impostor and genuine pairs accepted, from (0, 0) to (1, 1), at most 200 points.
    pub roc: Vec<[f64; 2]>,
}
