//! What a verification leaves behind.

use super::pairs::Pair;
use super::protocol::Verification;
use super::scorer::{Scorer, VerificationScore};
use crate::compare::{Entry, compare_entries};
use crate::means::{Means, unit_means};
use crate::moments::standard_error;
use crate::networks::OfNetwork;
use crate::result::{Comparison, Metric, ProbeResult, TargetResult, VerificationInfo};

/// The one target of a verification.
const SAME_PERSON: &str = "same person";

impl Verification {
    /// The entry of `results.json`; of latents without layers until
    /// [`ProbeResult::with_origin`] says more. Its interval is Student's, around the mean of the
    /// folds, and ends where accuracies do.
    pub fn result(
        self,
        score: VerificationScore,
        scorer: &Scorer,
        pairs: &[Vec<Pair>],
    ) -> ProbeResult {
        let half = Means::student(&self.fold_accuracies).half_width();
        ProbeResult {
            train_fraction: 1.0,
            probe: score.to_string(),
            solver: "closed-form".to_owned(),
            metric: Metric::Accuracy,
            value: Some(self.accuracy),
            ci95: half.map(|half| interval(self.accuracy, half)),
            converged: true,
            per_target: vec![TargetResult {
                target: SAME_PERSON.to_owned(),
                auroc: self.auc,
                accuracy: Some(self.accuracy),
                ..TargetResult::default()
            }],
            verification: Some(VerificationInfo {
                dimensions: scorer.dimensions(),
                pairs: pairs.iter().map(Vec::len).sum(),
                standard_error: self.standard_error,
                tar_at_far: self.tar_at_far,
                fold_accuracies: self.fold_accuracies,
                thresholds: self.thresholds,
                roc: self.roc,
            }),
            ..ProbeResult::default()
        }
    }
}

/// Accuracies are shares.
fn interval(mean: f64, half: f64) -> [f64; 2] {
    [(mean - half).max(0.0), (mean + half).min(1.0)]
}

impl OfNetwork for ProbeResult {
    fn result(&self) -> &ProbeResult {
        self
    }

    /// Thresholds and curves are those of a network, and a mean has none.
    fn average(networks: &[&Self]) -> Self {
        let infos: Vec<&VerificationInfo> =
            networks.iter().filter_map(|one| one.verification.as_ref()).collect();
        let fold_accuracies = unit_means(infos.iter().map(|info| &info.fold_accuracies[..]));
        let result = Self::of_networks(networks.iter().copied());
        let means = Means::student(&fold_accuracies).over(&result.networks);
        let value = (!fold_accuracies.is_empty()).then(|| means.mean());
        let half = means.half_width();
        let ci95 = value.zip(half).map(|(value, half)| interval(value, half));
        let tar = |at: usize| {
            let tars = infos.iter().map(|info| info.tar_at_far[at].1);
            let tars: Option<Vec<f64>> = tars.collect();
            tars.map(|tars| crate::moments::mean(&tars))
        };
        let verification = infos.first().map(|first| VerificationInfo {
            dimensions: first.dimensions,
            pairs: first.pairs,
            standard_error: standard_error(&fold_accuracies).unwrap_or(0.0),
            tar_at_far: first
                .tar_at_far
                .iter()
                .enumerate()
                .map(|(at, one)| (one.0, tar(at)))
                .collect(),
            fold_accuracies,
            thresholds: Vec::new(),
            roc: Vec::new(),
        });
        Self { value, ci95, verification, ..result }
    }
}

/// Paired differences between verifications of the same folds, within one score and number of
/// matched columns; the pairs are those of [`compare`](crate::compare). Results of other tasks are
/// passed over.
///
/// # Panics
/// When two results have other numbers of folds.
pub fn compare_verification(results: &[ProbeResult]) -> Vec<Comparison> {
    fn entry(result: &ProbeResult) -> Option<Entry<Means>> {
        let folds = &result.verification.as_ref()?.fold_accuracies;
        Some(Entry::new(result, Means::student(folds).over(&result.networks)))
    }
    compare_entries(&results.iter().filter_map(entry).collect::<Vec<_>>())
}
