//! Cholesky factors of large matrices by matrix products (left-looking, in blocks).
//!
//! faer has a factor, too, but fails where a matrix is all but singular, with its own regularisation
//! of pivots as well (150 rows of rank 3).

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

use super::gemm::product;

/// Columns factored at a time: small enough that the scalar part is negligible, large enough for
/// the products to run at full speed.
const BLOCK: usize = 96;

/// Pivots below this share of the largest diagonal element are raised to it: the factor is then
/// that of a slightly larger matrix, and always exists.
const PIVOT_FLOOR: f64 = 1e-13;

/// The lower factor of a symmetric matrix, its diagonal blocks inverted.
#[derive(Debug)]
pub(super) struct Cholesky {
    /// `(D, D)`; below the diagonal blocks the factor, in them its inverse.
    factor: Array2<f64>,
}

impl Cholesky {
    /// Factors a positive semi-definite matrix of which the lower half is read.
    pub(super) fn new(mut matrix: Array2<f64>) -> Self {
        let size = matrix.nrows();
        let floor = PIVOT_FLOOR * matrix.diag().iter().copied().fold(1e-100, f64::max);
        for at in (0..size).step_by(BLOCK) {
            let end = (at + BLOCK).min(size);
            let (done, mut panel) = matrix.multi_slice_mut((s![at.., ..at], s![at.., at..end]));
            let top = done.slice(s![..end - at, ..]);
            product(1.0, panel.view_mut(), -1.0, done.view(), top.t());
            let (mut diagonal, mut below) = panel.split_at(Axis(0), end - at);
            factor_small(diagonal.view_mut(), floor);
            invert_small(diagonal.view_mut());
            if end < size {
                let unscaled = below.to_owned();
                product(0.0, below.view_mut(), 1.0, unscaled.view(), diagonal.t());
            }
        }
        Self { factor: matrix }
    }

    /// Solves for every column of `right`, `(D, K)`, in place.
    pub(super) fn solve(&self, mut right: ArrayViewMut2<'_, f64>) {
        let size = self.factor.nrows();
        let blocks: Vec<usize> = (0..size).step_by(BLOCK).collect();
        for &at in &blocks {
            let end = (at + BLOCK).min(size);
            let (done, mut rest) = right.view_mut().split_at(Axis(0), at);
            let mut own = rest.slice_mut(s![..end - at, ..]);
            let left = self.factor.slice(s![at..end, ..at]);
            product(1.0, own.view_mut(), -1.0, left, done.view());
            self.scale_block(at, end, own, false);
        }
        for &at in blocks.iter().rev() {
            let end = (at + BLOCK).min(size);
            let (mut upper, done) = right.view_mut().split_at(Axis(0), end);
            let mut own = upper.slice_mut(s![at.., ..]);
            let below = self.factor.slice(s![end.., at..end]);
            product(1.0, own.view_mut(), -1.0, below.t(), done.view());
            self.scale_block(at, end, own, true);
        }
    }

    /// Multiplies a block of rows by the inverse of its diagonal block, or by its transpose.
    fn scale_block(
        &self,
        at: usize,
        end: usize,
        mut own: ArrayViewMut2<'_, f64>,
        transposed: bool,
    ) {
        let inverse: ArrayView2<'_, f64> = self.factor.slice(s![at..end, at..end]);
        let inverse = if transposed { inverse.reversed_axes() } else { inverse };
        let unscaled = own.to_owned();
        product(0.0, own.view_mut(), 1.0, inverse, unscaled.view());
    }
}

/// Lower Cholesky factor in place; the upper half becomes zero.
fn factor_small(mut a: ArrayViewMut2<'_, f64>, floor: f64) {
    for j in 0..a.nrows() {
        for i in j..a.nrows() {
            let dot: f64 = (0..j).map(|k| a[[i, k]] * a[[j, k]]).sum();
            a[[i, j]] -= dot;
        }
        let pivot = a[[j, j]].max(floor).sqrt();
        a.slice_mut(s![j + 1.., j]).mapv_inplace(|value| value / pivot);
        a[[j, j]] = pivot;
        a.slice_mut(s![j, j + 1..]).fill(0.0);
    }
}

/// Inverse of a lower triangular matrix in place.
fn invert_small(mut a: ArrayViewMut2<'_, f64>) {
    for j in 0..a.nrows() {
        let pivot = 1.0 / a[[j, j]];
        a[[j, j]] = pivot;
        for i in j + 1..a.nrows() {
            // Columns j.. of the rows above i already hold the inverse, row i still the factor.
            let dot: f64 = (j..i).map(|k| a[[i, k]] * a[[k, j]]).sum();
            a[[i, j]] = -dot / a[[i, i]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of full rank, more than two blocks in size.
    fn matrix(size: usize, rank: usize) -> Array2<f64> {
        let root =
            Array2::from_shape_fn((size, rank), |(i, j)| ((i * 37 + j * j * 11) as f64).sin());
        root.dot(&root.t())
    }

    #[test]
    fn solves_across_blocks() {
        for size in [1, 95, 96, 97, 250] {
            let mut a = matrix(size, size);
            a.diag_mut().mapv_inplace(|value| value + 1.0);
            let expected = Array2::from_shape_fn((size, 3), |(i, j)| ((i + 2 * j) as f64).cos());
            let mut found = a.dot(&expected);
            Cholesky::new(a).solve(found.view_mut());
            // The condition number is below 1e4.
            let error = (&found - &expected).iter().fold(0.0, |m: f64, e| m.max(e.abs()));
            assert!(error < 1e-10, "{size}: {error}");
        }
    }

    #[test]
    fn a_singular_matrix_has_a_factor() {
        let mut found = Array2::ones((150, 1));
        Cholesky::new(matrix(150, 3)).solve(found.view_mut());
        assert!(found.iter().all(|value| value.is_finite()));
        let mut found = Array2::ones((4, 1));
        Cholesky::new(Array2::zeros((4, 4))).solve(found.view_mut());
        assert!(found.iter().all(|value| value.is_finite()));
    }
}
