//! From features and episodes to accuracies.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::classifier::{Classification, Classifier, Outcome, Workspace};
use super::episode::{Episode, EpisodeConfig, EpisodeSampler};
use super::rows::Rows;
use super::scores::EpisodeScores;
use crate::Result;
use crate::error::{check_count, check_range};
use crate::simd::arch;
use crate::standardise::Standardiser;

/// A number of sampled episodes, the same for every set of features of the same rows.
#[derive(Debug, Clone)]
pub struct FewShot {
    sampler: EpisodeSampler,
    episodes: u64,
}

impl FewShot {
    /// `episodes` episodes of rows with these labels.
    ///
    /// # Errors
    /// Those of [`EpisodeSampler::new`]; [`Error::OutOfRange`](crate::Error::OutOfRange) for no
    /// episodes.
    pub fn new(labels: &[u32], config: EpisodeConfig, episodes: u64) -> Result<Self> {
        check_range(episodes > 0, "episodes", "at least 1", episodes)?;
        Ok(Self { sampler: EpisodeSampler::new(labels, config)?, episodes })
    }

    /// The sampler that draws the episodes.
    pub fn sampler(&self) -> &EpisodeSampler {
        &self.sampler
    }

    /// The number of episodes.
    pub fn episodes(&self) -> u64 {
        self.episodes
    }

    /// The accuracy of a classifier on every episode, whatever the number of threads.
    ///
    /// # Shapes
    /// `features`: `(N, D)`, one row a label; `base`: of `D` columns, from the rows of other
    /// classes: [`Standardiser::of`], or [`Standardiser::centring`] for CL2N as published.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for another number of rows or columns,
    /// [`Error::NotFinite`](crate::Error::NotFinite) for features that are not finite,
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for no neighbours or a strength of zero.
    pub fn evaluate(
        &self,
        features: ArrayView2<'_, f32>,
        base: &Standardiser,
        classifier: Classifier,
    ) -> Result<EpisodeScores> {
        check_count("feature rows", self.sampler.rows(), features.nrows())?;
        classifier.check()?;
        let rows = Rows::new(features, base, classifier.scale())?;
        let episodes = (0..self.episodes).into_par_iter();
        let outcomes = episodes.map_init(Workspace::default, |workspace, index| {
            score(workspace, &rows, &self.sampler.episode(index), classifier)
        });
        Ok(gather(outcomes.collect(), classifier))
    }
}

/// The accuracy of a classifier on given episodes, such as the published runs of Omniglot.
///
/// # Shapes
/// As in [`FewShot::evaluate`].
///
/// # Errors
/// Those of [`FewShot::evaluate`] and [`Episode::validate`];
/// [`Error::OutOfRange`](crate::Error::OutOfRange) for no episodes or a row that the features do
/// not have.
pub fn score_episodes(
    features: ArrayView2<'_, f32>,
    base: &Standardiser,
    episodes: &[Episode],
    classifier: Classifier,
) -> Result<EpisodeScores> {
    check_range(!episodes.is_empty(), "episodes", "at least 1", 0)?;
    for episode in episodes {
        episode.validate()?;
        for &row in episode.support.iter().chain(&episode.query) {
            let (what, count) = ("row of an episode", features.nrows());
            let found = format_args!("{row} of {count}");
            check_range(row < count, what, "an index below the number of rows", found)?;
        }
    }
    classifier.check()?;
    let rows = Rows::new(features, base, classifier.scale())?;
    let outcomes = episodes.par_iter().map_init(Workspace::default, |workspace, episode| {
        score(workspace, &rows, episode, classifier)
    });
    Ok(gather(outcomes.collect(), classifier))
}

/// Accuracy, and whether the fit converged.
fn score(
    workspace: &mut Workspace,
    rows: &Rows,
    episode: &Episode,
    classifier: Classifier,
) -> (f64, bool) {
    let classification = Classification { workspace, rows, episode, classifier };
    let Outcome { right, converged } = arch().dispatch(classification);
    (right as f64 / episode.query.len() as f64, converged)
}

fn gather(outcomes: Vec<(f64, bool)>, classifier: Classifier) -> EpisodeScores {
    let converged = outcomes.iter().all(|(_, converged)| *converged);
    EpisodeScores {
        accuracies: outcomes.into_iter().map(|(accuracy, _)| accuracy).collect(),
        converged: classifier.strength().map(|_| converged),
    }
}
