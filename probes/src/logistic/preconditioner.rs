//! An approximate inverse Hessian that all columns of a batch share.
//!
//! At mean variance `v = mean p(1 − p)` the Hessian of a fit is close to `v · (XᵀX + r I)` with
//! `r = strength / v`. One Cholesky factor a decade of `r` serves every target and strength; the
//! quasi-Newton steps have to learn only what is left. Intercepts are not penalised.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

use super::cholesky::Cholesky;
use super::gemm::product;

/// Widest diagonal block of `XᵀX` that is factored whole. Wider designs are cut into blocks, and
/// what couples them is left to the quasi-Newton steps: a factor of 4096 columns takes 134 MB.
const WIDEST: usize = 4096;

/// Below this many rows `XᵀX` of a wide design has a low rank, which the quasi-Newton steps learn
/// sooner than a wide factor is made: blocks stay narrow.
const FEW_ROWS: usize = 512;
const WIDEST_OF_FEW: usize = 256;

/// Columns of `XᵀX` computed at a time; only its lower half is needed.
const PANEL: usize = 512;

/// Factors of `XᵀX + r I` for a few `r`, made when they are first needed.
#[derive(Debug)]
pub(super) struct Preconditioner {
    /// Lower halves of diagonal blocks of `XᵀX`, in order.
    gram: Vec<Array2<f64>>,
    /// By the power of ten of the ridge, one factor a block.
    factors: BTreeMap<i32, Vec<Cholesky>>,
}

impl Preconditioner {
    /// `design`: `(N, D + 1)`, ones last.
    pub(super) fn new(design: ArrayView2<'_, f64>) -> Self {
        let few = design.nrows() < FEW_ROWS;
        Self::with_widest(design, if few { WIDEST_OF_FEW } else { WIDEST })
    }

    fn with_widest(design: ArrayView2<'_, f64>, widest: usize) -> Self {
        let columns = design.ncols();
        let width = columns.div_ceil(columns.div_ceil(widest));
        let gram = (0..columns)
            .step_by(width)
            .map(|at| lower_gram(design.slice(s![.., at..(at + width).min(columns)])))
            .collect();
        Self { gram, factors: BTreeMap::new() }
    }

    /// Multiplies each row of `rows`, `(K, D + 1)`, by the approximate inverse Hessian of its
    /// `(strength, variance)`.
    pub(super) fn apply(&mut self, mut rows: ArrayViewMut2<'_, f64>, kinds: &[(f64, f64)]) {
        let mut members: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (row, &(strength, variance)) in kinds.iter().enumerate() {
            let decade = (strength / variance.max(1e-12)).log10().round() as i32;
            members.entry(decade).or_default().push(row);
        }
        for (decade, members) in members {
            let factors = self.factors.entry(decade).or_insert_with(|| factor(&self.gram, decade));
            let mut chosen = rows.select(Axis(0), &members);
            let mut at = 0;
            for (factor, gram) in factors.iter().zip(&self.gram) {
                let block = chosen.slice_mut(s![.., at..at + gram.nrows()]);
                factor.solve(block.reversed_axes());
                at += gram.nrows();
            }
            for (solved, row) in chosen.rows().into_iter().zip(members) {
                let variance = kinds[row].1.max(1e-12);
                rows.row_mut(row).assign(&solved.mapv(|value| value / variance));
            }
        }
    }
}

/// Factors of every block at a ridge of `10^decade`; the last column, the intercept, has none.
fn factor(gram: &[Array2<f64>], decade: i32) -> Vec<Cholesky> {
    let last = gram.len() - 1;
    let factor_block = |(index, block): (usize, &Array2<f64>)| {
        let mut matrix = block.clone();
        let penalised = block.nrows() - usize::from(index == last);
        matrix.diag_mut().slice_mut(s![..penalised]).map_inplace(|v| *v += 10f64.powi(decade));
        Cholesky::new(matrix)
    };
    gram.iter().enumerate().map(factor_block).collect()
}

/// Lower half of `XᵀX`; above the diagonal only parts are filled.
fn lower_gram(design: ArrayView2<'_, f64>) -> Array2<f64> {
    let columns = design.ncols();
    let mut gram = Array2::zeros((columns, columns));
    for at in (0..columns).step_by(PANEL) {
        let end = (at + PANEL).min(columns);
        let (left, right) = (design.slice(s![.., at..]), design.slice(s![.., at..end]));
        product(0.0, gram.slice_mut(s![at.., at..end]), 1.0, left.t(), right);
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `v · (XᵀX + r I)` of the columns from `at` to `end`, no ridge on the last column of all.
    fn hessian(design: &Array2<f64>, at: usize, end: usize, ridge: f64, v: f64) -> Array2<f64> {
        let block = design.slice(s![.., at..end]);
        let mut hessian = block.t().dot(&block);
        let penalised = end.min(design.ncols() - 1) - at;
        hessian.diag_mut().slice_mut(s![..penalised]).mapv_inplace(|value| value + ridge);
        hessian * v
    }

    #[test]
    fn whole_or_in_blocks_each_row_by_its_own_ridge() {
        let mut design =
            Array2::from_shape_fn((30, 11), |(i, j)| ((i * 7 + j * i * i) as f64).sin());
        design.column_mut(10).fill(1.0);
        let rows = Array2::from_shape_fn((3, 11), |(i, j)| ((i + 3 * j) as f64).cos());
        // (strength, variance) and the decade of their ratio.
        let kinds = [(0.25, 0.25), (20.0, 0.25), (0.02, 0.01)];
        let ridges = [1.0, 100.0, 1.0];
        for (widest, blocks) in [(11, vec![(0, 11)]), (5, vec![(0, 4), (4, 8), (8, 11)])] {
            let mut solved = rows.clone();
            let mut preconditioner = Preconditioner::with_widest(design.view(), widest);
            preconditioner.apply(solved.view_mut(), &kinds);
            assert_eq!(preconditioner.factors.len(), 2);
            for row in 0..3 {
                for &(at, end) in &blocks {
                    let hessian = hessian(&design, at, end, ridges[row], kinds[row].1);
                    let back = hessian.dot(&solved.slice(s![row, at..end]));
                    let error = &back - &rows.slice(s![row, at..end]);
                    // Condition numbers below 1e4.
                    assert!(error.iter().all(|e| e.abs() < 1e-10), "{widest} {row}: {error}");
                }
            }
        }
    }
}
