//! The inverse Hessian of one softmax fit, approximately.
//!
//! The Hessian is the sum over rows of `(diag p − p pᵀ) ⊗ x xᵀ` and the ridge. Here every row has
//! the same matrix of classes, the mean `M`, but its own weight `1 − Σ p²`: confident rows curve
//! little. In the eigenbasis of `M` it falls apart into one weighted ridge problem a direction of classes.
//!
//! Measured on 4,000 rows × 128 correlated columns, 10 classes, at strengths 0.001, 0.1 and 10 to a
//! relative gradient of 10⁻⁶: 28, 28 and 25 iterations, where one unweighted factor a class, with
//! its own mean variance, takes 184, 441 and 115.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};

use super::design::Design;
use super::float::Float;
use super::loss::softmax;
use super::preconditioner::{FEW_ROWS, NARROW, Preconditioner, add_products};
use super::rows::BLOCK_ROWS;
use crate::Result;
use crate::matrix::eigen;

/// Rows it is computed from, as a multiple of the columns: sampling then changes it by less than
/// the approximation does.
const ROWS_PER_COLUMN: usize = 16;

/// Directions of classes are taken to curve at least this share of the most curved. That of equal
/// changes to all classes does not curve at all.
const FLATTEST: f64 = 1e-6;

/// An approximate inverse Hessian of one softmax fit, as the head of this file describes it.
#[derive(Debug)]
pub(super) struct Curvature {
    /// `(C, C)`, one direction of classes a row.
    basis: Array2<f64>,
    /// Curvature of each direction.
    values: Vec<f64>,
    ridge: Preconditioner,
}

impl Curvature {
    /// Whether a factor of its own costs a fit less than the iterations it saves.
    pub(super) fn pays(design: &Design) -> bool {
        design.rows() >= FEW_ROWS && (1..=NARROW).contains(&design.columns())
    }

    /// At parameters `(C, D + 1)`, the intercept last, of rows less their `centre`.
    pub(super) fn new(
        design: &Design,
        centre: Option<&Array1<f64>>,
        (parameters, classes): (&[f64], usize),
    ) -> Result<Self> {
        let columns = design.columns();
        let parameters = ArrayView2::from_shape((classes, columns + 1), parameters)
            .expect("parameters are (C, D + 1)");
        let mut sums = Weighted::zeros(classes, columns);
        let (mut raw, mut moved) = (Array2::zeros((0, 0)), Array2::zeros((0, 0)));
        let rows = design.rows();
        let blocks = rows.min(ROWS_PER_COLUMN * columns).div_ceil(BLOCK_ROWS);
        let used = |block: usize| {
            // Evenly spread, in case the rows are sorted.
            let first = block * rows / blocks;
            first..(first + BLOCK_ROWS).min((block + 1) * rows / blocks)
        };
        for block in 0..blocks {
            let x = f64::rows(design.read(used(block), &mut raw)?, centre, &mut moved);
            sums.add(x, parameters);
        }
        let share = (0..blocks).map(|block| used(block).len()).sum::<usize>() as f64 / rows as f64;
        Ok(sums.finish(share))
    }

    /// Multiplies `(C, D + 1)` by the inverse Hessian at a strength.
    pub(super) fn apply(&mut self, mut rows: ArrayViewMut2<'_, f64>, strength: f64) {
        let mut turned = self.basis.dot(&rows);
        let kinds: Vec<(f64, f64)> = self.values.iter().map(|&value| (strength, value)).collect();
        self.ridge.apply(turned.view_mut(), &kinds);
        rows.assign(&self.basis.t().dot(&turned));
    }
}

/// Sums over rows.
struct Weighted {
    /// `Σ diag p − p pᵀ`, `(C, C)`.
    classes: Array2<f64>,
    /// `Σ weight · x`, `(D)`.
    sum: Array1<f64>,
    /// Lower half of `Σ weight · x xᵀ`, `(D, D)`.
    gram: Array2<f64>,
    weight: f64,
}

impl Weighted {
    fn zeros(classes: usize, columns: usize) -> Self {
        Self {
            classes: Array2::zeros((classes, classes)),
            sum: Array1::zeros(columns),
            gram: Array2::zeros((columns, columns)),
            weight: 0.0,
        }
    }

    /// Adds a block of rows, `(n, D)`.
    fn add(&mut self, x: ArrayView2<'_, f64>, parameters: ArrayView2<'_, f64>) {
        let columns = x.ncols();
        let mut shares = x.dot(&parameters.slice(s![.., ..columns]).t());
        shares += &parameters.column(columns);
        for mut row in shares.rows_mut() {
            let mut scores = row.to_vec();
            softmax(&mut scores);
            row.assign(&ArrayView1::from(&scores));
        }
        self.classes -= &shares.t().dot(&shares);
        self.classes.diag_mut().zip_mut_with(&shares.sum_axis(Axis(0)), |to, sum| *to += sum);
        let weights = shares.map_axis(Axis(1), |row| 1.0 - row.dot(&row));
        self.weight += weights.sum();
        self.sum += &weights.dot(&x);
        let roots = weights.mapv(|weight| weight.max(0.0).sqrt()).insert_axis(Axis(1));
        add_products(&mut self.gram, (&x * &roots).view());
    }

    /// `share`: of all rows that were added.
    fn finish(self, share: f64) -> Curvature {
        let Self { classes, sum, mut gram, weight } = self;
        // Where all rows are sure of their class nothing curves: any small weight will do.
        let weight = weight.max(1e-12);
        let mean = sum / weight;
        for (mut row, &own) in gram.rows_mut().into_iter().zip(&mean) {
            row.scaled_add(-own * weight, &mean);
        }
        gram.diag_mut().map_inplace(|value| *value = value.max(0.0));
        gram /= share;
        let classes = classes / weight;
        let (values, basis) = match eigen(&classes, "curvature of classes") {
            Ok((mut values, mut vectors)) => {
                // The flattest first.
                values.reverse();
                vectors.invert_axis(Axis(1));
                (values, vectors.t().as_standard_layout().into_owned())
            }
            // The classes themselves are directions, too.
            Err(_) => (classes.diag().to_vec(), Array2::eye(classes.nrows())),
        };
        let most = values.iter().copied().fold(1e-12, f64::max);
        let values = values.into_iter().map(|value| value.max(FLATTEST * most)).collect();
        Curvature { basis, values, ridge: Preconditioner::weighted(weight / share, mean, gram) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At zero weights every row has the same curvature, and the approximation is exact.
    #[test]
    fn it_is_exact_where_all_rows_are_alike() {
        let (rows, columns, classes) = (700, 5, 3);
        let x = Array2::from_shape_fn((rows, columns), |(i, j)| {
            ((i * (j + 2)) as f64 * 0.53).sin() + 0.3 * j as f64
        });
        let design = Design::new(&[x.view()]).unwrap();
        let mut parameters = Array2::zeros((classes, columns + 1));
        parameters.column_mut(columns).assign(&Array1::from_vec(vec![0.5, -1.0, 0.2]));
        let flat: Vec<f64> = parameters.iter().copied().collect();
        let mut curvature = Curvature::new(&design, None, (&flat, classes)).unwrap();

        let mut shares = vec![0.5, -1.0, 0.2];
        softmax(&mut shares);
        let mut ones = Array2::ones((rows, columns + 1));
        ones.slice_mut(s![.., ..columns]).assign(&x);
        let gram = ones.t().dot(&ones);
        let mut expected =
            Array2::from_shape_fn((classes, columns + 1), |(c, j)| ((c * 5 + j * 3) as f64).cos());
        // No change common to all classes: that direction of intercepts is free.
        let common = expected.mean_axis(Axis(0)).unwrap();
        expected -= &common;
        let strength = 1e-3;
        let mut found = Array2::zeros(expected.dim());
        for a in 0..classes {
            for b in 0..classes {
                let own = f64::from(u8::from(a == b));
                let weight = shares[a] * (own - shares[b]);
                let mut row = found.row_mut(a);
                row.scaled_add(weight, &gram.dot(&expected.row(b)));
            }
            let weights = expected.slice(s![a, ..columns]);
            found.slice_mut(s![a, ..columns]).scaled_add(strength, &weights);
        }
        curvature.apply(found.view_mut(), strength);
        // Ridges are rounded to a quarter of a decade; here they are a millionth of the rest.
        let error = (&found - &expected).iter().fold(0.0, |m: f64, e| m.max(e.abs()));
        assert!(error < 1e-4, "{error}: {found} {expected}");
    }
}
