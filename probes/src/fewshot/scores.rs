//! Accuracies of the same episodes, their mean, and differences.

use crate::bootstrap::PairedDifference;
use crate::means::Means;
use crate::moments::mean;

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
        Means::normal(&self.accuracies).half_width()
    }

    /// The 95% interval of the mean. It is not cut at 0 and 1, so that its half width stays what
    /// papers quote.
    pub fn ci95(&self) -> Option<[f64; 2]> {
        let (mean, half) = (self.mean(), self.half_width()?);
        Some([mean - half, mean + half])
    }

    /// `self - other` on the same episodes: mean, normal interval, and the two-sided normal p-value
    /// of no difference; no p-value where all differences are equal but not zero.
    ///
    /// # Panics
    /// When the two have other numbers of episodes.
    pub fn minus(&self, other: &Self) -> PairedDifference {
        Means::normal(&self.accuracies).minus(&Means::normal(&other.accuracies))
    }
}
