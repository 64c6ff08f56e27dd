//! What a few-shot evaluation leaves behind.

use vdvae_features::FeatureTable;

use super::classifier::Classifier;
use super::episode::EpisodeConfig;
use super::evaluate::FewShot;
use super::scores::EpisodeScores;
use crate::compare::{Entry, compare_entries};
use crate::means::{Means, unit_means};
use crate::networks::OfNetwork;
use crate::result::{Comparison, EpisodeInfo, Metric, Origin, ProbeResult};
use crate::standardise::Standardiser;
use crate::who::class_of_rows;
use crate::{Error, Result};

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

/// Scores a classifier on sampled episodes of test rows, which are the same for every table of the
/// same rows. `base` standardises them, by rows of other classes.
///
/// Episodes are of the classes of the test rows, or of their groups (people) where they have none.
/// The result is one of latents without layers until [`EvaluatedEpisodes::with_origin`] says more.
///
/// # Errors
/// [`Error::Episodes`] where the test rows have neither classes nor groups; those of
/// [`FewShot::new`] and [`FewShot::evaluate`].
pub fn few_shot(
    base: &Standardiser,
    test: &FeatureTable,
    config: EpisodeConfig,
    episodes: u64,
    classifier: Classifier,
) -> Result<EvaluatedEpisodes> {
    let classes = class_of_rows(&test.targets, test.groups.as_deref());
    let classes = classes.ok_or_else(|| Error::Episodes {
        expected: "rows with classes or groups".to_owned(),
        found: "neither".to_owned(),
    })?;
    let few_shot = FewShot::new(&classes, config, episodes)?;
    let scores = few_shot.evaluate(test.view(), base, classifier)?;
    Ok(EvaluatedEpisodes::sampled(&few_shot, classifier, scores))
}

impl OfNetwork for EvaluatedEpisodes {
    fn result(&self) -> &ProbeResult {
        &self.result
    }

    fn average(networks: &[&Self]) -> Self {
        let accuracies = unit_means(networks.iter().map(|one| &one.scores.accuracies[..]));
        let result = ProbeResult::of_networks(networks.iter().map(|one| &one.result));
        let means = Means::normal(&accuracies).over(&result.networks);
        let (mean, half) = (means.mean(), means.half_width());
        let ci95 = half.map(|half| [mean - half, mean + half]);
        let scores = EpisodeScores { accuracies, ..networks[0].scores.clone() };
        let converged = scores.converged.map(|_| result.converged);
        Self {
            result: ProbeResult { value: Some(mean), ci95, ..result },
            scores: EpisodeScores { converged, ..scores },
        }
    }
}

/// Paired differences between results of one task on the same episodes, within one classifier and
/// number of matched columns; the pairs are those of [`compare`](crate::compare). Those with random
/// weights of several seeds ([`average_networks`](crate::average_networks)) hold for other networks,
/// too.
///
/// # Panics
/// When two results have other numbers of episodes.
pub fn compare_episodes(evaluated: &[EvaluatedEpisodes]) -> Vec<Comparison> {
    let entry = |one: &EvaluatedEpisodes| {
        let EvaluatedEpisodes { result, scores } = one;
        Entry::new(result, Means::normal(&scores.accuracies).over(&result.networks))
    };
    compare_entries(&evaluated.iter().map(entry).collect::<Vec<_>>())
}
