//! Single-threaded matrix products; callers split the work between threads.

use std::sync::OnceLock;

use super::panels::Panels;
use crate::Real;

/// A matrix inside a slice: element (i, j) lies at `offset + i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
    packed: Option<&'a OnceLock<Panels>>,
}

impl<'a, T> Matrix<'a, T> {
    /// `rows` rows of `columns` numbers, `row_stride` apart.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        let needed = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns };
        assert!(data.len() >= needed, "matrix of {needed} elements in a slice of {}", data.len());
        Self { data, rows, columns, row_stride, column_stride: 1, packed: None }
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            packed: None,
        }
    }

    /// The same matrix, whose packed form is kept in `cell` from its first product on; the numbers
    /// must be the same in every call.
    pub(crate) fn kept_in(self, cell: Option<&'a OnceLock<Panels>>) -> Self {
        Self { packed: cell, ..self }
    }

    /// Where its packed form is kept.
    pub(crate) fn packed(&self) -> Option<&'a OnceLock<Panels>> {
        self.packed
    }
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// The slice, rows and distance between rows of a matrix whose rows have no gaps.
    ///
    /// # Panics
    /// If the matrix is a transposed one, or has not `columns` columns.
    pub(crate) fn rows_of(self, columns: usize) -> (&'a [T], usize, usize) {
        assert_eq!((self.columns, self.column_stride), (columns, 1), "columns of a matrix");
        (self.data, self.rows, self.row_stride)
    }

    /// Copies `count` columns from `first` on, row by row, into rows `width` apart.
    pub(crate) fn copy_block(&self, first: usize, count: usize, width: usize, to: &mut [T]) {
        if self.column_stride == 1 {
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                let from = &self.data[row * self.row_stride + first..];
                to[..count].copy_from_slice(&from[..count]);
            }
            return;
        }
        // A few rows at a time, so that what is read along columns stays in cache until it is
        // written along rows.
        const ROWS: usize = 8;
        for (block, to) in to.chunks_mut(ROWS * width).enumerate() {
            for column in 0..count {
                let start = block * ROWS * self.row_stride + (first + column) * self.column_stride;
                let from = self.data[start..].iter().step_by(self.row_stride);
                let to = to[column..].iter_mut().step_by(width);
                to.zip(from).for_each(|(to, &from)| *to = from);
            }
        }
    }
}

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
