//! Accuracies of the same episodes, their mean, and differences.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::bootstrap::PairedDifference;
use crate::compare::Paired;
use crate::moments::{mean, standard_error};

/// Quantile of the normal interval that few-shot papers quote.
const QUANTILE: f64 = 1.96;

/// The accuracy on every episode, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct EpisodeScores {
    /// Share of the queries that were classified rightly, one an episode.
    pub accuracies: Vec<f64>,
    /// Whether every fit converged; `None` for classifiers in closed form.
    pub converged: Option<bool>,
}

impl EpisodeScores {
    /// The mean of the accuracies over all episodes.
    pub fn mean(&self) -> f64 {
        mean(&self.accuracies)
    }

    /// Half the width of the 95% interval of the mean, as few-shot papers quote it: 1.96 standard
    /// deviations (of the sample) over the root of the number of episodes. `None` for fewer than
    /// two.
    pub fn half_width(&self) -> Option<f64> {
        Some(QUANTILE * standard_error(&self.accuracies)?)
    }

    /// The 95% interval of the mean. It is not cut at 0 and 1, so that its half width stays what
    /// papers quote.
    pub fn ci95(&self) -> Option<[f64; 2]> {
        around(self.mean(), self.half_width()?)
    }

    /// `self - other` on the same episodes: mean, normal interval, and the two-sided normal p-value
    /// of no difference; no p-value where all differences are equal but not zero.
    ///
    /// # Panics
    /// When the two have other numbers of episodes.
    pub fn minus(&self, other: &Self) -> PairedDifference {
        assert_eq!(self.accuracies.len(), other.accuracies.len(), "the same episodes");
        let pairs = self.accuracies.iter().zip(&other.accuracies);
        let differences: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
        let value = mean(&differences);
        let error = standard_error(&differences);
        let p_value = error.and_then(|error| match (error > 0.0, value == 0.0) {
            (true, _) => Some(2.0 * Normal::standard().sf((value / error).abs())),
            (false, equal) => equal.then_some(1.0),
        });
        let ci95 = error.and_then(|error| around(value, QUANTILE * error));
        PairedDifference { value, ci95, p_value }
    }
}

impl Paired for EpisodeScores {
    fn value(&self) -> Option<f64> {
        Some(self.mean())
    }

    fn difference(&self, other: &Self) -> Option<PairedDifference> {
        Some(self.minus(other))
    }
}

fn around(value: f64, half: f64) -> Option<[f64; 2]> {
    Some([value - half, value + half])
}
