//! What a verification leaves behind.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::pairs::Pair;
use super::protocol::Verification;
use super::scorer::{Scorer, VerificationScore};
use crate::bootstrap::PairedDifference;
use crate::compare::{Entry, Paired, compare_entries};
use crate::moments::{mean, standard_error};
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
        let half = self.standard_error * quantile(self.fold_accuracies.len());
        ProbeResult {
            train_fraction: 1.0,
            probe: score.to_string(),
            solver: "closed-form".to_owned(),
            metric: Metric::Accuracy,
            value: Some(self.accuracy),
            ci95: Some([(self.accuracy - half).max(0.0), (self.accuracy + half).min(1.0)]),
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

/// Student's 97.5% quantile for the mean of `n` numbers.
fn quantile(n: usize) -> f64 {
    let freedom = n.saturating_sub(1).max(1) as f64;
    student(freedom).inverse_cdf(0.975)
}

fn student(freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, freedom).expect("freedom is positive")
}

/// Accuracies on the same folds.
struct Folds<'a>(&'a [f64]);

impl Paired for Folds<'_> {
    fn value(&self) -> Option<f64> {
        Some(mean(self.0))
    }

    /// Student's paired test over the folds.
    fn difference(&self, other: &Self) -> Option<PairedDifference> {
        assert_eq!(self.0.len(), other.0.len(), "results of the same folds");
        let differences: Vec<f64> = self.0.iter().zip(other.0).map(|(a, b)| a - b).collect();
        let (n, difference) = (differences.len() as f64, mean(&differences));
        let error = standard_error(&differences)?;
        let half = error * quantile(differences.len());
        let p_value = match error > 0.0 {
            true => 2.0 * student(n - 1.0).cdf(-(difference / error).abs()),
            false if difference == 0.0 => 1.0,
            false => 0.0,
        };
        Some(PairedDifference {
            value: difference,
            ci95: Some([difference - half, difference + half]),
            p_value: Some(p_value),
        })
    }
}

/// Paired differences between verifications of the same folds, within one score and number of
/// matched columns; the pairs are those of [`compare`](crate::compare). Results of other tasks are
/// passed over.
///
/// # Panics
/// When two results have other numbers of folds.
pub fn compare_verification(results: &[ProbeResult]) -> Vec<Comparison> {
    fn entry(result: &ProbeResult) -> Option<Entry<Folds<'_>>> {
        let folds = Folds(&result.verification.as_ref()?.fold_accuracies);
        Some(Entry::new(result, folds))
    }
    compare_entries(&results.iter().filter_map(entry).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.ttest_rel([.9, .8, .85, .95], [.85, .8, .8, .85]): t = 2.4495, p = 0.0917.
    #[test]
    fn folds_are_compared_by_students_paired_test() {
        let (a, b) = ([0.9, 0.8, 0.85, 0.95], [0.85, 0.8, 0.8, 0.85]);
        let found = Folds(&a).difference(&Folds(&b)).unwrap();
        assert!((found.value - 0.05).abs() < 1e-12);
        assert!((found.p_value.unwrap() - 0.0917).abs() < 1e-4, "{found:?}");
        // 0.05 ± 3.1824 · 0.020412.
        let [low, high] = found.ci95.unwrap();
        assert!((low + 0.01496).abs() < 1e-4 && (high - 0.11496).abs() < 1e-4, "{low} {high}");
        let same = Folds(&a).difference(&Folds(&a)).unwrap();
        assert_eq!((same.value, same.p_value), (0.0, Some(1.0)));
    }
}
