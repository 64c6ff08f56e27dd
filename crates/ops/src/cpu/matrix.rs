//! Matrices inside slices.

/// Side of the tiles that a transposed matrix is copied in.
const TILE: usize = 8;

/// A matrix inside a slice: element (i, j) lies at `offset + i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// `rows` rows of `columns` numbers, `row_stride` apart.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        let needed = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns };
        assert!(data.len() >= needed, "matrix of {needed} elements in a slice of {}", data.len());
        Self { data, rows, columns, row_stride, column_stride: 1 }
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
        }
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
        // Square tiles, so that what is read along columns is written along rows from registers.
        for (block, to) in to.chunks_mut(TILE * width).enumerate() {
            let rows = to.len() / width;
            for column in (0..count).step_by(TILE) {
                let columns = TILE.min(count - column);
                let start = block * TILE * self.row_stride + (first + column) * self.column_stride;
                let from = &self.data[start..];
                if self.row_stride == 1 && (rows, columns) == (TILE, TILE) {
                    let tile: [&[T; TILE]; TILE] = std::array::from_fn(|column| {
                        from[column * self.column_stride..]
                            .first_chunk()
                            .expect("inside the matrix")
                    });
                    for (row, to) in to.chunks_exact_mut(width).enumerate() {
                        let to = to[column..].first_chunk_mut::<TILE>().expect("inside the row");
                        (0..TILE).for_each(|column| to[column] = tile[column][row]);
                    }
                    continue;
                }
                for (row, to) in to.chunks_exact_mut(width).enumerate() {
                    for (j, to) in to[column..][..columns].iter_mut().enumerate() {
                        *to = from[row * self.row_stride + j * self.column_stride];
                    }
                }
            }
        }
    }
}
