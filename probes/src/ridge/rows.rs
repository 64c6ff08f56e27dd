//! Ridge regression by products of rows, for more columns than rows: its dual form.
//!
//! Weights are sums of rows, one coefficient a row, so that scores are products with the training rows
//! and the weights themselves are never needed: for thousands of targets they would be larger than the
//! features. Columns are standardised a few thousand at a time.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, concatenate, s};
use vdvae_features::FeatureTable;

use crate::Result;
use crate::matrix::{add_gram, add_product, mirror, product, solve};
use crate::probe::{Linear, Model};
use crate::standardise::Standardiser;

/// Named in errors.
const WHAT: &str = "ridge";
/// Columns that stand in memory in float64 at a time.
const COLUMNS: usize = 2048;

/// The rows of train, then of validation, and all their products.
pub(super) struct Rows {
    pub(super) n_train: usize,
    standardiser: Standardiser,
    /// `(N, D)`, as they were given.
    features: Array2<f32>,
    /// `(N, N)`, standardised.
    products: Array2<f64>,
}

impl Rows {
    pub(super) fn new(tables: [&FeatureTable; 2], standardiser: Standardiser) -> Result<Self> {
        let views = tables.map(FeatureTable::view);
        let features = concatenate(Axis(0), &views).expect("both have the same columns");
        let rows = features.nrows();
        let mut products = Array2::zeros((rows, rows));
        for columns in blocks(features.ncols()) {
            add_gram(&mut products, standard(&standardiser, features.view(), columns).view());
        }
        mirror(&mut products);
        Ok(Self { n_train: tables[0].rows(), standardiser, features, products })
    }

    /// Coefficients `(rows, K)` of some rows, and intercepts `(K)`, fitted to responses `(rows, K)`.
    pub(super) fn solve(
        &self,
        rows: &[usize],
        strength: f64,
        mut right: Array2<f64>,
    ) -> Result<(Array2<f64>, Array1<f64>)> {
        let count = rows.len() as f64;
        let shape = (rows.len(), rows.len());
        let mut matrix = Array2::from_shape_fn(shape, |(a, b)| self.products[(rows[a], rows[b])]);
        // Products of centred rows: the means of rows and columns go, that of all comes back.
        let means = matrix.sum_axis(Axis(0)) / count;
        let grand = means.sum() / count;
        for (mut row, mean) in matrix.rows_mut().into_iter().zip(&means) {
            row.zip_mut_with(&means, |value, other| *value += grand - mean - other);
        }
        matrix.diag_mut().mapv_inplace(|value| value + strength);
        let y_mean = right.sum_axis(Axis(0)) / count;
        right -= &y_mean;
        let dual = solve(&matrix, right, WHAT)?;
        // Centred responses give duals that sum to zero, so that the rows need no centring here; the
        // score of the mean row is the mean of theirs.
        let intercept = y_mean - means.dot(&dual);
        Ok((dual, intercept))
    }

    /// Products of the rows of validation with some others, `(n_valid, rows)`.
    pub(super) fn of_valid(&self, rows: &[usize]) -> Array2<f64> {
        self.products.slice(s![self.n_train.., ..]).select(Axis(1), rows)
    }

    /// What predicts from coefficients of all rows, `(N, outputs)`.
    pub(super) fn into_model(self, dual: Array2<f64>, intercept: Array1<f64>) -> Dual {
        let Self { standardiser, features, .. } = self;
        Dual { standardiser, features, dual, intercept }
    }
}

/// Sums of training rows, one an output.
#[derive(Debug)]
pub(super) struct Dual {
    standardiser: Standardiser,
    /// `(N, D)`, as they were given.
    features: Array2<f32>,
    /// `(N, outputs)`; zeros for rows and outputs that were left out.
    dual: Array2<f64>,
    /// `(outputs)`; NaN where an output could not be fitted.
    intercept: Array1<f64>,
}

impl Model for Dual {
    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        crate::error::check_count("feature columns", self.features.ncols(), features.ncols())?;
        let products = products(&self.standardiser, features, self.features.view());
        Ok(product(products.view(), self.dual.view()) + &self.intercept)
    }

    fn linear(&self) -> Option<Cow<'_, Linear>> {
        let mut weights = Array2::zeros((self.dual.ncols(), self.features.ncols()));
        for columns in blocks(self.features.ncols()) {
            let rows = standard(&self.standardiser, self.features.view(), columns.clone());
            let part = product(self.dual.t(), rows.view());
            weights.slice_mut(s![.., columns]).assign(&part);
        }
        Some(Cow::Owned(Linear {
            standardiser: self.standardiser.clone(),
            weights,
            intercept: self.intercept.clone(),
            softmax: false,
        }))
    }
}

fn blocks(columns: usize) -> impl Iterator<Item = Range<usize>> {
    (0..columns).step_by(COLUMNS).map(move |at| at..columns.min(at + COLUMNS))
}

/// Some columns, standardised.
fn standard(
    standardiser: &Standardiser,
    features: ArrayView2<'_, f32>,
    columns: Range<usize>,
) -> Array2<f64> {
    let mean = standardiser.mean.slice(s![columns.clone()]);
    let deviation = standardiser.deviation.slice(s![columns.clone()]);
    let mut rows = Array2::zeros((features.nrows(), columns.len()));
    let features = features.slice_move(s![.., columns]);
    Zip::from(rows.rows_mut()).and(features.rows()).par_for_each(|row, of| {
        Zip::from(row).and(of).and(mean).and(deviation).for_each(|to, &value, mean, deviation| {
            *to = (f64::from(value) - mean) / deviation;
        });
    });
    rows
}

/// `left · rightᵀ` of standardised rows.
fn products(
    standardiser: &Standardiser,
    left: ArrayView2<'_, f32>,
    right: ArrayView2<'_, f32>,
) -> Array2<f64> {
    let mut sums = Array2::zeros((left.nrows(), right.nrows()));
    for columns in blocks(left.ncols()) {
        let left = standard(standardiser, left, columns.clone());
        let right = standard(standardiser, right, columns);
        add_product(&mut sums, left.view(), right.t());
    }
    sums
}
