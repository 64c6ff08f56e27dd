//! What a few-shot evaluation leaves behind.

use super::classifier::Classifier;
use super::evaluate::FewShot;
use super::scores::EpisodeScores;
use crate::compare::{Entry, compare_entries};
use crate::result::{Comparison, EpisodeInfo, Metric, Origin, ProbeResult};

/// A result, and the accuracies behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluatedEpisodes {
    /// The entry of `results.json`. Its interval is 1.96 standard errors on either side.
    pub result: ProbeResult,
    /// The accuracy on every episode.
    pub scores: EpisodeScores,
}

impl EvaluatedEpisodes {
    /// The result of sampled episodes; of latents without layers until
    /// [`Self::with_origin`] says more.
    pub fn sampled(few_shot: &FewShot, classifier: Classifier, scores: EpisodeScores) -> Self {
        let config = few_shot.sampler().config();
        let shape = [config.ways, config.shots, config.queries];
        Self::new(shape, Some(config.seed), classifier, scores)
    }

    /// The result of published one-shot runs of `ways` classes and `queries` queries of each.
    pub fn published(
        [ways, queries]: [usize; 2],
        classifier: Classifier,
        scores: EpisodeScores,
    ) -> Self {
        Self::new([ways, 1, queries], None, classifier, scores)
    }

    fn new(
        [ways, shots, queries]: [usize; 3],
        seed: Option<u64>,
        classifier: Classifier,
        scores: EpisodeScores,
    ) -> Self {
        let strength = classifier.strength();
        let result = ProbeResult {
            train_fraction: 1.0,
            probe: classifier.name().to_owned(),
            solver: if strength.is_some() { "dual" } else { "closed-form" }.to_owned(),
            metric: Metric::Accuracy,
            value: Some(scores.mean()),
            ci95: scores.ci95(),
            converged: scores.converged.unwrap_or(true),
            few_shot: Some(EpisodeInfo {
                ways,
                shots,
                queries,
                episodes: scores.accuracies.len(),
                seed,
                neighbours: classifier.neighbours(),
                strength,
            }),
            ..ProbeResult::default()
        };
        Self { result, scores }
    }

    /// Says where the features came from.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { result: self.result.with_origin(origin), ..self }
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
        Entry::new(result, scores.clone())
    };
    compare_entries(&evaluated.iter().map(entry).collect::<Vec<_>>())
}
