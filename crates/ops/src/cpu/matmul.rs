//! Single-threaded matrix products; callers split the work between threads.

use super::matrix::Matrix;
use crate::real::Real;

/// `c = a b`, or `c += a b` where `accumulate`; `c` is row-major, `row_stride` apart.
pub(crate) fn matmul<T: Real>(
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    c: &mut [T],
    row_stride: usize,
    accumulate: bool,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(b.rows, k, "inner dimensions of a product");
    if m == 0 || n == 0 {
        return;
    }
    assert!(row_stride >= n && c.len() >= (m - 1) * row_stride + n, "result of a product");
    // SAFETY: the three matrices lie inside their slices (checked above and in `Matrix::new`),
    // `c` is borrowed mutably, so it overlaps neither `a` nor `b`, and rows of `c` do not overlap.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_transposes_and_accumulation() {
        // a is 2×3 inside rows of 4; b is 3×2, given transposed.
        let a = [1.0, 2.0, 3.0, 9.0, 4.0, 5.0, 6.0, 9.0];
        let b = [1.0, 0.0, -1.0, 2.0, 1.0, 1.0];
        let mut c = [1.0f64; 6];
        let (a, b) = (Matrix::new(&a, 2, 3, 4), Matrix::new(&b, 2, 3, 3).transposed());
        matmul(a, b, &mut c, 3, false);
        assert_eq!(c, [-2.0, 7.0, 1.0, -2.0, 19.0, 1.0]);
        matmul(a, b, &mut c, 3, true);
        assert_eq!(c, [-4.0, 14.0, 1.0, -4.0, 38.0, 1.0]);
    }
}
