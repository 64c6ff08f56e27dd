//! How alike two rows are.

use std::collections::BTreeSet;

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::pairs::{Pair, check_row};
use super::projection::{Projection, discriminants, whitening};
use crate::error::check_count;
use crate::matrix::product;
use crate::named::named;
use crate::neighbours::unit_length;
use crate::standardise::Standardiser;
use crate::{Error, Result};

/// Rows handled at a time.
const BLOCK: usize = 512;

/// What the likeness of two rows is. Columns are standardised by the training rows first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerificationScore {
    /// Cosine.
    #[default]
    Cosine,
    /// Less the Euclidean distance.
    Euclidean,
    /// Cosine of whitened principal components.
    Whitened,
    /// Cosine of linear discriminants of the training identities.
    Lda,
}

named!(
    "score",
    VerificationScore {
        Cosine: "cosine",
        Euclidean: "euclidean",
        Whitened: "whitened",
        Lda: "lda"
    }
);

/// Rows to fit a scorer on.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// `(N, D)`.
    pub features: ArrayView2<'a, f32>,
    /// Who each row shows, `(N)`.
    pub identities: &'a [u64],
}

/// A score that is ready for pairs.
#[derive(Debug, Clone)]
pub struct Scorer {
    score: VerificationScore,
    standardiser: Standardiser,
    /// `(D, dimensions)`.
    basis: Option<Array2<f64>>,
}

impl Scorer {
    /// Fits on training rows. `tested` are the identities of the rows that occur in the test pairs:
    /// none of them may be among those of the training rows.
    ///
    /// # Errors
    /// [`Error::SharedIdentity`] where one is; [`Error::Mismatch`] unless there is one identity a
    /// training row; [`Error::OutOfRange`] without training rows or for settings out of range;
    /// [`Error::NotFinite`] for features that are not finite; [`Error::Pairs`] where all training
    /// rows are equal, or discriminants have fewer than two identities of several rows;
    /// [`Error::Singular`] where eigenvectors cannot be found.
    pub fn fit(
        score: VerificationScore,
        training: Training<'_>,
        tested: &[u64],
        projection: Projection,
    ) -> Result<Self> {
        projection.check()?;
        let Training { features, identities } = training;
        check_count("training identities", features.nrows(), identities.len())?;
        let tested: BTreeSet<u64> = tested.iter().copied().collect();
        if let Some(&identity) = identities.iter().find(|identity| tested.contains(identity)) {
            return Err(Error::SharedIdentity { identity });
        }
        check_finite("training features", features)?;
        let standardiser = Standardiser::of(features)?;
        let basis = match score {
            VerificationScore::Cosine | VerificationScore::Euclidean => None,
            VerificationScore::Whitened => Some(whitening(features, &standardiser, projection)?),
            VerificationScore::Lda => {
                Some(discriminants(features, identities, &standardiser, projection)?)
            }
        };
        Ok(Self { score, standardiser, basis })
    }

    /// Dimensions in which rows are compared.
    pub fn dimensions(&self) -> usize {
        self.basis.as_ref().map_or(self.standardiser.mean.len(), Array2::ncols)
    }

    /// Scores of pairs of rows, larger where the two are more alike.
    ///
    /// # Shapes
    /// `features`: `(N, D)`. Returns one score a pair.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for other columns than the training rows had, [`Error::OutOfRange`] for a
    /// pair of a row that is not there, [`Error::NotFinite`] for features that are not finite.
    pub fn score(
        &self,
        features: ArrayView2<'_, f32>,
        pairs: &[Vec<Pair>],
    ) -> Result<Vec<Vec<f64>>> {
        let mut rows = BTreeSet::new();
        for Pair { a, b, .. } in pairs.iter().flatten() {
            rows.extend([*a, *b]);
        }
        if let Some(&last) = rows.last() {
            check_row(last, features.nrows())?;
        }
        // Only rows that occur in a pair are projected; `place` says where they went.
        let rows: Vec<usize> = rows.into_iter().collect();
        let mut place = vec![0; features.nrows()];
        rows.iter().enumerate().for_each(|(at, &row)| place[row] = at);
        let embedded = self.embed(features, &rows)?;
        let likeness = |pair: &Pair| {
            let [a, b] = [pair.a, pair.b].map(|row| {
                embedded.row(place[row]).to_slice().expect("embedded rows are contiguous")
            });
            if self.score == VerificationScore::Euclidean { -distance(a, b) } else { cosine(a, b) }
        };
        Ok(pairs.par_iter().map(|fold| fold.iter().map(likeness).collect()).collect())
    }

    /// The given rows as they are compared: unit rows, but for distances.
    fn embed(&self, features: ArrayView2<'_, f32>, rows: &[usize]) -> Result<Array2<f32>> {
        let mut embedded = Array2::zeros((rows.len(), self.dimensions()));
        let blocks = embedded.axis_chunks_iter_mut(Axis(0), BLOCK).into_par_iter();
        blocks.zip(rows.par_chunks(BLOCK)).try_for_each(|(mut into, rows)| {
            let block = features.select(Axis(0), rows);
            check_finite("features", block.view())?;
            let mut block = self.standardiser.apply(block.view())?;
            if let Some(basis) = &self.basis {
                block = product(block.view(), basis.view());
            }
            if self.score != VerificationScore::Euclidean {
                block = unit_length(block);
            }
            into.zip_mut_with(&block, |to, from| *to = *from as f32);
            Ok(())
        })?;
        Ok(embedded)
    }
}

fn check_finite(what: &'static str, features: ArrayView2<'_, f32>) -> Result<()> {
    let rows: Vec<_> = features.rows().into_iter().collect();
    let found = rows.par_iter().enumerate().find_map_first(|(row, values)| {
        values.iter().find(|value| !value.is_finite()).map(|value| (row, f64::from(*value)))
    });
    found.map_or(Ok(()), |(row, found)| {
        Err(Error::NotFinite { what, at: format!("row {row}"), found })
    })
}

/// The cosine of the angle between two rows of unit length.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| a * b)
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| (a - b) * (a - b)).sqrt()
}

/// Sum of terms in float64, eight side by side.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += term(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| term(f64::from(a), f64::from(b)));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}
