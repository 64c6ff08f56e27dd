//! The normal equations of ridge regression, of the columns or of the rows.

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use vdvae_features::FeatureTable;

use crate::Result;
use crate::matrix::{add_product, product, solve};
use crate::standardise::Standardiser;

/// Rows added to the sums at a time, so that few of them stand in memory in float64.
const BLOCK: usize = 1024;

/// Everything that does not depend on the strength, for targets that miss the same rows.
pub(super) enum System {
    /// Sums over rows, of train and of train and validation; for no more columns than rows.
    Columns(Box<[Sums; 2]>),
    /// Products of rows; for more columns than rows.
    Rows(Rows),
}

impl System {
    /// `responses`: `(N, K)` of train and of validation, all K of which miss the same rows.
    pub(super) fn new(
        tables: [&FeatureTable; 2],
        standardiser: &Standardiser,
        responses: &[Array2<f64>; 2],
    ) -> Result<Self> {
        let kept = responses.each_ref().map(|responses| {
            let observed = |row: &usize| responses.row(*row).iter().all(|value| !value.is_nan());
            (0..responses.nrows()).filter(observed).collect::<Vec<_>>()
        });
        let columns = tables[0].features.ncols();
        if columns > kept.iter().map(Vec::len).sum() {
            return Ok(Self::Rows(Rows::new(tables, standardiser, responses, &kept)?));
        }
        let mut train = Sums::new(columns, responses[0].ncols());
        train.add(tables[0].view(), standardiser, &responses[0], &kept[0])?;
        let mut both = train.clone();
        both.add(tables[1].view(), standardiser, &responses[1], &kept[1])?;
        Ok(Self::Columns(Box::new([train, both])))
    }

    /// Weights `(D, K)` and intercepts `(K)` of the responses at `members`, fitted on train.
    pub(super) fn solve_train(
        &self,
        strength: f64,
        members: &[usize],
    ) -> Result<(Array2<f64>, Array1<f64>)> {
        match self {
            Self::Columns(sums) => sums[0].solve(strength, members),
            Self::Rows(rows) => rows.solve(rows.n_train, strength, members),
        }
    }

    /// Weights and intercepts as [`Self::solve_train`] gives them, but fitted on train and validation.
    pub(super) fn solve_both(
        &self,
        strength: f64,
        members: &[usize],
    ) -> Result<(Array2<f64>, Array1<f64>)> {
        match self {
            Self::Columns(sums) => sums[1].solve(strength, members),
            Self::Rows(rows) => rows.solve(rows.features.nrows(), strength, members),
        }
    }
}

/// Named in errors.
const WHAT: &str = "ridge";

/// Sums over rows of standardised features `x`, `(D)`, and responses `y`, `(K)`.
#[derive(Clone)]
pub(super) struct Sums {
    rows: f64,
    /// `(D)`.
    x: Array1<f64>,
    /// `(K)`.
    y: Array1<f64>,
    /// `(D, D)`.
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
            add_product(&mut self.xx, x.t(), x.view());
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
        let weights = solve(&matrix, &right, WHAT)?;
        let intercept = y_mean - x_mean.dot(&weights);
        Ok((weights, intercept))
    }
}

/// Standardised rows of train, then of validation, and their products.
pub(super) struct Rows {
    n_train: usize,
    /// `(N, D)`.
    features: Array2<f64>,
    /// `(N, K)`.
    responses: Array2<f64>,
    /// `(N, N)`.
    products: Array2<f64>,
}

impl Rows {
    fn new(
        tables: [&FeatureTable; 2],
        standardiser: &Standardiser,
        responses: &[Array2<f64>; 2],
        kept: &[Vec<usize>; 2],
    ) -> Result<Self> {
        let scaled = |split: usize| {
            standardiser.apply(tables[split].features.select(Axis(0), &kept[split]).view())
        };
        let stack = |a: Array2<f64>, b: Array2<f64>| {
            concatenate(Axis(0), &[a.view(), b.view()]).expect("both have the same columns")
        };
        let features = stack(scaled(0)?, scaled(1)?);
        let responses =
            stack(responses[0].select(Axis(0), &kept[0]), responses[1].select(Axis(0), &kept[1]));
        let products = product(features.view(), features.t());
        Ok(Self { n_train: kept[0].len(), features, responses, products })
    }

    /// On the first `rows` rows.
    fn solve(
        &self,
        rows: usize,
        strength: f64,
        members: &[usize],
    ) -> Result<(Array2<f64>, Array1<f64>)> {
        let count = rows as f64;
        let mut matrix = self.products.slice(s![..rows, ..rows]).to_owned();
        // Products of centred rows: the means of rows and columns go, that of all comes back.
        let means = matrix.sum_axis(Axis(0)) / count;
        let grand = means.sum() / count;
        for (mut row, mean) in matrix.rows_mut().into_iter().zip(&means) {
            row.zip_mut_with(&means, |value, other| *value += grand - mean - other);
        }
        matrix.diag_mut().mapv_inplace(|value| value + strength);
        let features = self.features.slice(s![..rows, ..]);
        let right = self.responses.slice(s![..rows, ..]).select(Axis(1), members);
        let y_mean = right.sum_axis(Axis(0)) / count;
        let dual = solve(&matrix, &(&right - &y_mean), WHAT)?;
        let x_mean = features.sum_axis(Axis(0)) / count;
        // Centred responses give duals that sum to zero, so that the rows need no centring here.
        let weights = product(features.t(), dual.view());
        let intercept = y_mean - x_mean.dot(&weights);
        Ok((weights, intercept))
    }
}
