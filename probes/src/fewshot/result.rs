//! What a few-shot evaluation leaves behind.

use serde::{Deserialize, Serialize};

use super::classifier::Classifier;
use super::evaluate::FewShot;
use super::scores::EpisodeScores;
use crate::compare::{Entry, compare_entries};
use crate::{Compared, Comparison, Origin, Source};

/// How well one classifier did on one set of features.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FewShotResult {
    /// Name of the task, such as `omniglot-5way-1shot`.
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
    /// Name of the classifier.
    pub classifier: String,
    /// Neighbours that vote, where some do.
    pub neighbours: Option<usize>,
    /// Strength of the penalty, where there is one.
    pub strength: Option<f64>,
    /// Whether every fit converged; none for classifiers in closed form.
    pub converged: Option<bool>,
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
    /// Mean over the episodes of the share of queries that were classified rightly.
    pub accuracy: f64,
    /// 95% interval of `accuracy`: 1.96 standard errors on either side.
    pub ci95: Option<[f64; 2]>,
}

/// A result, and the accuracies behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatedEpisodes {
    /// The entry of `results.json`.
    pub result: FewShotResult,
    /// The accuracy on every episode.
    pub scores: EpisodeScores,
}

impl EvaluatedEpisodes {
    /// The result of sampled episodes; of latents without layers until
    /// [`Self::with_origin`] says more.
    pub fn sampled(
        task: &str,
        few_shot: &FewShot,
        classifier: Classifier,
        scores: EpisodeScores,
    ) -> Self {
        let config = few_shot.sampler().config();
        let shape = [config.ways, config.shots, config.queries];
        Self::new(task, shape, Some(config.seed), classifier, scores)
    }

    /// The result of published one-shot runs of `ways` classes and `queries` queries of each.
    pub fn published(
        task: &str,
        [ways, queries]: [usize; 2],
        classifier: Classifier,
        scores: EpisodeScores,
    ) -> Self {
        Self::new(task, [ways, 1, queries], None, classifier, scores)
    }

    fn new(
        task: &str,
        [ways, shots, queries]: [usize; 3],
        seed: Option<u64>,
        classifier: Classifier,
        scores: EpisodeScores,
    ) -> Self {
        let result = FewShotResult {
            task: task.to_owned(),
            classifier: classifier.name().to_owned(),
            neighbours: classifier.neighbours(),
            strength: classifier.strength(),
            converged: scores.converged,
            ways,
            shots,
            queries,
            episodes: scores.accuracies.len(),
            seed,
            accuracy: scores.mean(),
            ci95: scores.ci95(),
            ..FewShotResult::default()
        };
        Self { result, scores }
    }

    /// Says where the features came from; shares of training rows have no meaning here.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        let Origin { source, layers, resolution, columns, matched_columns, .. } = origin;
        self.result =
            FewShotResult { source, layers, resolution, columns, matched_columns, ..self.result };
        self
    }
}

impl FewShotResult {
    /// What a [`Comparison`] calls this result; its probe is the classifier.
    pub fn side(&self) -> Compared {
        Compared {
            source: self.source,
            layers: self.layers.clone(),
            probe: self.classifier.clone(),
            matched_columns: self.matched_columns,
            train_fraction: 1.0,
        }
    }
}

/// Paired differences between results of one task on the same episodes, within one classifier and
/// number of matched columns; the pairs are those of [`compare`](crate::compare).
///
/// # Panics
/// When two results have other numbers of episodes.
pub fn compare_episodes(evaluated: &[EvaluatedEpisodes]) -> Vec<Comparison> {
    let entry = |one: &EvaluatedEpisodes| {
        let EvaluatedEpisodes { result, scores } = one;
        Entry::new(result.side(), result.columns, result.resolution, scores.clone())
    };
    compare_entries(&evaluated.iter().map(entry).collect::<Vec<_>>())
}
