//! Few-shot episodes: N classes, K labelled pictures of each, and queries to tell apart.
//!
//! Which rows an episode holds is a pure function of the labels, the seed and its number
//! ([`EpisodeSampler`]), so that every selection of layers, every control and every classifier is
//! scored on the same episodes, and differences between them have intervals of their own
//! ([`EpisodeScores::minus`]). Rows are standardised by the *base* rows, those of the classes that no
//! episode draws from, and scaled to unit length once, before the first episode. That is CL2N of
//! SimpleShot (Wang et al. 2019) on columns of one scale: the layers of a network differ in theirs by
//! orders of magnitude, and without it the widest rule. [`Standardiser::centring`](crate::Standardiser::centring) leaves it out.
//!
//! ```
//! use ndarray::Array2;
//! use vdvae_probes::{Classifier, EpisodeConfig, FewShot, Standardiser};
//!
//! // Six classes of twenty rows; the class is the column that stands out.
//! let labels: Vec<u32> = (0..120).map(|row| row / 20).collect();
//! let features = Array2::from_shape_fn((120, 6), |(row, column)| {
//!     let noise = ((row * 7 + column * 13) as f32).sin();
//!     noise + if labels[row] as usize == column { 4.0 } else { 0.0 }
//! });
//! let base = Array2::from_shape_fn((10, 6), |(row, column)| ((row * 5 + column) as f32).cos());
//! let config = EpisodeConfig { ways: 5, shots: 1, queries: 15, seed: 0 };
//! let few_shot = FewShot::new(&labels, config, 600)?;
//! let scores = few_shot.evaluate(features.view(), &Standardiser::of(base.view())?, Classifier::Cl2n)?;
//! assert!(scores.mean() > 0.9);
//! # Ok::<(), vdvae_probes::Error>(())
//! ```

mod classifier;
mod dual;
mod episode;
mod evaluate;
mod nearest;
mod result;
mod rows;
mod scores;
#[cfg(test)]
mod tests;

pub use classifier::Classifier;
pub use episode::{Episode, EpisodeConfig, EpisodeSampler};
pub use evaluate::{FewShot, score_episodes};
pub use result::{EvaluatedEpisodes, compare_episodes, few_shot};
pub use scores::EpisodeScores;
