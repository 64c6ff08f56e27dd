//! The normal equations of ridge regression, for no more columns than rows.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use vdvae_features::FeatureTable;

use crate::Result;
use crate::matrix::{add_gram, add_product, solve};
use crate::standardise::Standardiser;

/// Rows added to the sums at a time, so that few of them stand in memory in float64.
const BLOCK: usize = 1024;

/// Everything that does not depend on the strength, for targets that miss the same rows: sums over the
/// rows of train, and of train and validation.
pub(super) struct System {
    train: Sums,
    both: Sums,
}

impl System {
    /// `responses`: `(N, K)` of train and of validation; `kept`: the rows of each in which none of the
    /// K is missing.
    pub(super) fn new(
        tables: [&FeatureTable; 2],
        standardiser: &Standardiser,
        responses: &[Array2<f64>; 2],
        kept: &[Vec<usize>; 2],
    ) -> Result<Self> {
        let mut train = Sums::new(tables[0].features.ncols(), responses[0].ncols());
        train.add(tables[0].view(), standardiser, &responses[0], &kept[0])?;
        let mut both = train.clone();
        both.add(tables[1].view(), standardiser, &responses[1], &kept[1])?;
        Ok(Self { train, both })
    }

    /// Weights `(D, K)` and intercepts `(K)` of the responses at `members`, fitted on train.
    pub(super) fn solve_train(
        &self,
        strength: f64,
        members: &[usize],
    ) -> Result<(Array2<f64>, Array1<f64>)> {
        self.train.solve(strength, members)
    }

    /// Weights and intercepts as [`Self::solve_train`] gives them, but fitted on train and validation.
    pub(super) fn solve_both(
        &self,
        strength: f64,
        members: &[usize],
    ) -> Result<(Array2<f64>, Array1<f64>)> {
        self.both.solve(strength, members)
    }
}

/// Named in errors.
const WHAT: &str = "ridge";

/// Sums over rows of standardised features `x`, `(D)`, and responses `y`, `(K)`.
#[derive(Clone)]
struct Sums {
    rows: f64,
    /// `(D)`.
    x: Array1<f64>,
    /// `(K)`.
    y: Array1<f64>,
    /// `(D, D)`, the lower half.
    xx: Array2<f64>,
    /// `(D, K)`.
    xy: Array2<f64>,
}

impl Sums {
    fn new(columns: usize, responses: usize) -> Self {
        Self {
            rows: 0.0,
            x: Array1::zeros(columns),
            y: Array1::zeros(responses),
            xx: Array2::zeros((columns, columns)),
            xy: Array2::zeros((columns, responses)),
        }
    }

    fn add(
        &mut self,
        features: ArrayView2<'_, f32>,
        standardiser: &Standardiser,
        responses: &Array2<f64>,
        kept: &[usize],
    ) -> Result<()> {
        for rows in kept.chunks(BLOCK) {
            let x = standardiser.apply(features.select(Axis(0), rows).view())?;
            let y = responses.select(Axis(0), rows);
            self.rows += rows.len() as f64;
            self.x += &x.sum_axis(Axis(0));
            self.y += &y.sum_axis(Axis(0));
            add_gram(&mut self.xx, x.t());
            add_product(&mut self.xy, x.t(), y.view());
        }
        Ok(())
    }

    fn solve(&self, strength: f64, members: &[usize]) -> Result<(Array2<f64>, Array1<f64>)> {
        // Sums of centred rows; standardised means are small, so that nothing is lost.
        let (x_mean, y_mean) = (&self.x / self.rows, self.y.select(Axis(0), members) / self.rows);
        let column = x_mean.view().insert_axis(Axis(1));
        let mut matrix = &self.xx - &(&column * &self.x);
        matrix.diag_mut().mapv_inplace(|value| value + strength);
        let right =
            self.xy.select(Axis(1), members) - &(&self.x.view().insert_axis(Axis(1)) * &y_mean);
        let weights = solve(&matrix, right, WHAT)?;
        let intercept = y_mean - x_mean.dot(&weights);
        Ok((weights, intercept))
    }
}
