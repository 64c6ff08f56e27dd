//! What a verification leaves behind.

use serde::{Deserialize, Serialize};

use super::pairs::Pair;
use super::protocol::Verification;
use super::roc::TarAtFar;
use super::scorer::{Scorer, VerificationScore};
use crate::{Origin, Source};

/// How well one score of one set of features told whether two pictures show one person.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VerificationResult {
    /// Name of the task, such as `lfw-verification`.
    pub task: String,
    /// Where the features came from.
    pub source: Source,
    /// The layers, as the user names them; none for pixels.
    pub layers: Option<String>,
    /// Resolution of the layers where they share one.
    pub resolution: Option<usize>,
    /// Columns of the features.
    pub columns: usize,
    /// Columns they were projected to, where sizes were matched.
    #[serde(default)]
    pub matched_columns: Option<usize>,
    /// The likeness of two rows.
    pub score: VerificationScore,
    /// Dimensions in which rows were compared.
    pub dimensions: usize,
    /// Folds.
    pub folds: usize,
    /// Pairs in all folds.
    pub pairs: usize,
    /// Mean over the folds of the accuracy at the threshold that is best on the others.
    pub accuracy: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Area under the pooled curve.
    pub auc: Option<f64>,
    /// Share of impostors accepted at the most, and the share of genuine pairs then accepted; null
    /// where there are too few impostors to tell.
    pub tar_at_far: Vec<TarAtFar>,
    /// The accuracy on each fold.
    pub fold_accuracies: Vec<f64>,
    /// The threshold of each fold.
    pub thresholds: Vec<f64>,
    /// Shares of impostor and genuine pairs accepted, from (0, 0) to (1, 1), at most 200 points.
    pub roc: Vec<[f64; 2]>,
}

impl VerificationResult {
    /// The result of latents without layers, until [`Self::with_origin`] says more.
    pub fn new(
        task: &str,
        score: VerificationScore,
        scorer: &Scorer,
        pairs: &[Vec<Pair>],
        verification: Verification,
    ) -> Self {
        Self {
            task: task.to_owned(),
            score,
            dimensions: scorer.dimensions(),
            folds: pairs.len(),
            pairs: pairs.iter().map(Vec::len).sum(),
            accuracy: verification.accuracy,
            standard_error: verification.standard_error,
            auc: verification.auc,
            tar_at_far: verification.tar_at_far,
            fold_accuracies: verification.fold_accuracies,
            thresholds: verification.thresholds,
            roc: verification.roc,
            ..Self::default()
        }
    }

    /// Says where the features came from; shares of training rows have no meaning here.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        let Origin { source, layers, resolution, columns, matched_columns, .. } = origin;
        Self { source, layers, resolution, columns, matched_columns, ..self }
    }
}
