//! Products, factors and eigenvectors of dense matrices, computed by faer on the current pool.
//!
//! faer and its kernels choose the instruction set by themselves, the widest that the machine has,
//! whatever `VDVAE_INSTRUCTION_SET` says.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::Solve;
use faer::traits::ComplexField;
use faer::{Accum, MatMut, MatRef, Par, Side};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, LinalgScalar};

use crate::{Error, Result};

/// `left · right`, for views of any strides.
///
/// # Shapes
/// `left`: `(m, k)`; `right`: `(k, n)`. Returns `(m, n)`.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn product<T: ComplexField + LinalgScalar>(
    left: ArrayView2<'_, T>,
    right: ArrayView2<'_, T>,
) -> Array2<T> {
    let mut into = Array2::zeros((left.nrows(), right.ncols()));
    add_product(&mut into, left, right);
    into
}

/// `into += left · right`; shapes as in [`product`].
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn add_product<T: ComplexField + LinalgScalar>(
    into: &mut Array2<T>,
    left: ArrayView2<'_, T>,
    right: ArrayView2<'_, T>,
) {
    let into = faer_mut(into.view_mut());
    matmul(into, Accum::Add, faer_view(left), faer_view(right), T::one(), Par::rayon(0));
}

/// `into += rows · rowsᵀ`, its lower half alone: half of the work of [`add_product`].
///
/// # Shapes
/// `into`: `(m, m)`; `rows`: `(m, k)`, of any strides.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn add_gram(into: &mut Array2<f64>, rows: ArrayView2<'_, f64>) {
    let (into, left, right) = (faer_mut(into.view_mut()), faer_view(rows), faer_view(rows.t()));
    let all = BlockStructure::Rectangular;
    let lower = BlockStructure::TriangularLower;
    triangular::matmul(into, lower, Accum::Add, left, all, right, all, 1.0, Par::rayon(0));
}

/// Copies the lower half of a square matrix to the upper one.
pub(crate) fn mirror(matrix: &mut Array2<f64>) {
    for row in 0..matrix.nrows() {
        for column in 0..row {
            matrix[(column, row)] = matrix[(row, column)];
        }
    }
}

/// Solves `matrix · x = right` for a positive definite matrix of which the lower half is read.
///
/// # Shapes
/// `matrix`: `(D, D)`; `right` and the result: `(D, K)`.
///
/// # Errors
/// [`Error::Singular`] where the matrix is not positive definite.
pub(crate) fn solve(
    matrix: &Array2<f64>,
    mut right: Array2<f64>,
    what: &'static str,
) -> Result<Array2<f64>> {
    let factor = faer_view(matrix.view()).llt(Side::Lower).map_err(|_| Error::Singular { what })?;
    factor.solve_in_place(faer_mut(right.view_mut()));
    Ok(right)
}

/// Eigenvalues, largest first, and their vectors as columns, of a symmetric matrix of which the
/// lower half is read.
///
/// # Errors
/// [`Error::Singular`] where the iteration does not converge.
pub(crate) fn eigen(matrix: &Array2<f64>, what: &'static str) -> Result<(Vec<f64>, Array2<f64>)> {
    let found = faer_view(matrix.view())
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| Error::Singular { what })?;
    let size = matrix.nrows();
    let values = (0..size).rev().map(|i| found.S()[i]).collect();
    let vectors = found.U();
    Ok((values, Array2::from_shape_fn((size, size), |(i, j)| vectors[(i, size - 1 - j)])))
}

/// An orthonormal basis of the columns of a tall matrix, `(m, n)` with `m ≥ n`.
pub(crate) fn orthonormal(columns: &Array2<f64>) -> Array2<f64> {
    let thin = faer_view(columns.view()).qr().compute_thin_Q();
    Array2::from_shape_fn(columns.dim(), |(i, j)| thin[(i, j)])
}

fn faer_view<T>(view: ArrayView2<'_, T>) -> MatRef<'_, T> {
    let ((rows, columns), strides) = (view.dim(), view.strides());
    // SAFETY: shape and strides are those of the view, whose numbers nobody changes while it lives.
    unsafe { MatRef::from_raw_parts(view.as_ptr(), rows, columns, strides[0], strides[1]) }
}

fn faer_mut<T>(mut view: ArrayViewMut2<'_, T>) -> MatMut<'_, T> {
    let (rows, columns) = view.dim();
    let (down, along) = (view.strides()[0], view.strides()[1]);
    // SAFETY: shape and strides are those of the view, which is the only way to its numbers.
    unsafe { MatMut::from_raw_parts_mut(view.as_mut_ptr(), rows, columns, down, along) }
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    fn wave(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 37 + j * j * 11 + 5) as f64).sin())
    }

    /// Rounding of a few hundred float64 products of numbers below 1.
    const TOLERANCE: f64 = 1e-12;

    #[test]
    fn products_of_any_layout() {
        let (a, b) = (wave(12, 9), wave(14, 9));
        let (strided, whole) = (a.slice(s![..;2, ..]), b.slice(s![2.., ..]));
        let found = product(strided, whole.t());
        let expected = strided.dot(&whole.t());
        assert!((&found - &expected).iter().all(|e| e.abs() < TOLERANCE));
        let mut gram = Array2::from_elem((6, 6), 1.0);
        add_gram(&mut gram, strided);
        mirror(&mut gram);
        let expected = strided.dot(&strided.t()) + 1.0;
        assert!((&gram - &expected).iter().all(|e| e.abs() < TOLERANCE));
        let nothing = product(Array2::<f32>::zeros((2, 0)).view(), Array2::zeros((0, 3)).view());
        assert_eq!(nothing, Array2::<f32>::zeros((2, 3)));
    }

    #[test]
    fn factors_and_eigenvectors_give_the_matrix_back() {
        let root = wave(6, 6);
        let matrix = root.dot(&root.t()) + Array2::<f64>::eye(6);
        let expected = wave(6, 2);
        let found = solve(&matrix, matrix.dot(&expected), "test").unwrap();
        assert!((&found - &expected).iter().all(|e| e.abs() < TOLERANCE));
        let (values, vectors) = eigen(&matrix, "test").unwrap();
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        let scaled = &vectors * &ndarray::Array1::from_vec(values);
        assert!((&scaled.dot(&vectors.t()) - &matrix).iter().all(|e| e.abs() < TOLERANCE));
        let basis = orthonormal(&wave(20, 4));
        let gram = basis.t().dot(&basis);
        assert!((&gram - &Array2::<f64>::eye(4)).iter().all(|e| e.abs() < TOLERANCE));
        let error = solve(&-&matrix, expected, "ridge").unwrap_err();
        assert!(error.to_string().starts_with("ridge: "), "{error}");
    }
}
