//! What learns from the labelled rows of an episode.

use std::fmt;
use std::str::FromStr;

use pulp::{Simd, WithSimd};

use super::dual::Dual;
use super::episode::Episode;
use super::nearest::{centroids, gather, products};
use super::rows::{Rows, Scale};
use crate::error::check_range;
use crate::strengths::check_strength;
use crate::{Error, Result};

/// Temperature of the votes, as in [`KnnProbe`](crate::KnnProbe).
const TEMPERATURE: f32 = 0.07;

/// How the queries of an episode are classified. Of classes that score the same, the first is the
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Classifier {
    /// The class with the nearest mean of standardised rows of unit length, by Euclidean distance:
    /// CL2N of SimpleShot (Wang et al. 2019).
    #[default]
    Cl2n,
    /// The class with the nearest mean of the standardised rows.
    Centroid,
    /// Votes `exp(cosine / 0.07)` of the nearest labelled rows, by the cosine of standardised rows.
    Knn {
        /// Rows that vote, or all where there are fewer.
        neighbours: usize,
    },
    /// Softmax regression on standardised rows of unit length, as "Rethinking few-shot" (Tian et al.
    /// 2020) evaluates embeddings; the objective is that of [`logistic`](crate::logistic).
    Logistic {
        /// Strength of the penalty, scikit-learn's `1 / C`.
        strength: f64,
    },
}

impl Classifier {
    /// The name in flags and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cl2n => "cl2n",
            Self::Centroid => "centroid",
            Self::Knn { .. } => "knn",
            Self::Logistic { .. } => "logistic",
        }
    }

    /// Neighbours that vote, where some do.
    pub fn neighbours(self) -> Option<usize> {
        if let Self::Knn { neighbours } = self { Some(neighbours) } else { None }
    }

    /// Strength of the penalty, where there is one.
    pub fn strength(self) -> Option<f64> {
        if let Self::Logistic { strength } = self { Some(strength) } else { None }
    }

    pub(super) fn scale(self) -> Scale {
        if self == Self::Centroid { Scale::Together } else { Scale::Each }
    }

    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Knn { neighbours } => {
                check_range(neighbours > 0, "neighbours", "at least 1", neighbours)
            }
            Self::Logistic { strength } => check_strength(strength),
            Self::Cl2n | Self::Centroid => Ok(()),
        }
    }
}

impl fmt::Display for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Classifier {
    type Err = Error;

    /// By name: `knn` with 5 neighbours, `logistic` with strength 1.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cl2n" => Ok(Self::Cl2n),
            "centroid" => Ok(Self::Centroid),
            "knn" => Ok(Self::Knn { neighbours: 5 }),
            "logistic" => Ok(Self::Logistic { strength: 1.0 }),
            _ => Err(Error::UnknownName {
                what: "classifier",
                expected: "cl2n, centroid, knn, logistic",
                found: name.to_owned(),
            }),
        }
    }
}

/// What one thread needs for an episode, kept for the next.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    bank: Vec<f32>,
    half_squares: Vec<f32>,
    scores: Vec<f32>,
    order: Vec<usize>,
    votes: Vec<f32>,
    dual: Dual,
}

/// Queries that were classified rightly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) right: usize,
    pub(super) converged: bool,
}

/// An episode to be classified, by the widest instructions there are.
pub(super) struct Classification<'a> {
    pub(super) workspace: &'a mut Workspace,
    pub(super) rows: &'a Rows,
    pub(super) episode: &'a Episode,
    pub(super) classifier: Classifier,
}

impl WithSimd for Classification<'_> {
    type Output = Outcome;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Outcome {
        let Self { workspace, rows, episode, classifier } = self;
        let mut converged = true;
        let right = match classifier {
            Classifier::Cl2n | Classifier::Centroid => {
                workspace.nearest_centroid(simd, rows, episode)
            }
            Classifier::Knn { neighbours } => workspace.vote(simd, rows, episode, neighbours),
            Classifier::Logistic { strength } => {
                converged = workspace.fit_dual(simd, rows, episode, strength);
                workspace.decide_dual(simd, rows, episode)
            }
        };
        Outcome { right, converged }
    }
}

impl Workspace {
    #[inline(always)]
    fn nearest_centroid<S: Simd>(&mut self, simd: S, rows: &Rows, episode: &Episode) -> usize {
        let Self { bank, half_squares, scores, .. } = self;
        centroids(simd, rows, episode, bank, half_squares);
        scores.resize(half_squares.len(), 0.0);
        let mut right = 0;
        for (&query, &way) in episode.query.iter().zip(&episode.query_ways) {
            products(simd, rows.row(query), bank, scores);
            scores.iter_mut().zip(&*half_squares).for_each(|(score, half)| *score -= half);
            right += usize::from(first_of_largest(scores) == way as usize);
        }
        right
    }

    #[inline(always)]
    fn vote<S: Simd>(
        &mut self,
        simd: S,
        rows: &Rows,
        episode: &Episode,
        neighbours: usize,
    ) -> usize {
        let Self { bank, scores, order, votes, .. } = self;
        gather(rows, episode, bank);
        let count = episode.support.len();
        scores.resize(count, 0.0);
        votes.resize(episode.classes.len(), 0.0);
        let mut right = 0;
        for (&query, &way) in episode.query.iter().zip(&episode.query_ways) {
            products(simd, rows.row(query), bank, scores);
            order.clear();
            order.extend(0..count);
            // The first of equals is the nearer.
            order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            votes.fill(0.0);
            for &row in order.iter().take(neighbours) {
                let weight = ((scores[row] - scores[order[0]]) / TEMPERATURE).exp();
                votes[episode.support_ways[row] as usize] += weight;
            }
            right += usize::from(first_of_largest(votes) == way as usize);
        }
        right
    }

    /// Whether the fit converged.
    #[inline(always)]
    fn fit_dual<S: Simd>(
        &mut self,
        simd: S,
        rows: &Rows,
        episode: &Episode,
        strength: f64,
    ) -> bool {
        let Self { bank, scores, dual, .. } = self;
        gather(rows, episode, bank);
        let count = episode.support.len();
        scores.resize(count, 0.0);
        dual.reset(&episode.support_ways, episode.classes.len());
        for (row, own) in bank.chunks_exact(rows.width).enumerate() {
            products(simd, own, bank, scores);
            dual.set_products(row, scores);
        }
        dual.fit(strength)
    }

    #[inline(always)]
    fn decide_dual<S: Simd>(&mut self, simd: S, rows: &Rows, episode: &Episode) -> usize {
        let Self { bank, scores, votes, dual, .. } = self;
        votes.resize(episode.classes.len(), 0.0);
        let mut right = 0;
        for (&query, &way) in episode.query.iter().zip(&episode.query_ways) {
            products(simd, rows.row(query), bank, scores);
            dual.decide(scores, votes);
            right += usize::from(first_of_largest(votes) == way as usize);
        }
        right
    }
}

/// Where the largest number stands, the first of equals.
#[inline(always)]
fn first_of_largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (at, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = at;
        }
    }
    best
}
