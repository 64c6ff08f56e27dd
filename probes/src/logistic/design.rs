//! The rows a regression is fitted on.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};

use super::rows::RowBlocks;
use crate::Result;
use crate::error::check_count;

/// Rows to fit on, `(N, D)`. The intercept is not a column.
#[derive(Debug)]
pub struct Design {
    rows: Box<dyn RowBlocks>,
}

impl Design {
    /// Puts blocks of scaled rows, each `(n, D)`, under each other.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) where blocks differ in columns.
    pub fn new(blocks: &[ArrayView2<'_, f64>]) -> Result<Self> {
        let columns = blocks.first().map_or(0, ArrayView2::ncols);
        for block in blocks {
            check_count("feature columns", columns, block.ncols())?;
        }
        let count = blocks.iter().map(ArrayView2::nrows).sum();
        let mut rows = Array2::zeros((count, columns));
        let mut at = 0;
        for block in blocks {
            rows.slice_mut(s![at..at + block.nrows(), ..]).assign(block);
            at += block.nrows();
        }
        Ok(Self::streamed(rows))
    }

    /// Rows that are read again in every iteration, such as a [`ScaledTable`](super::ScaledTable)
    /// or a file larger than memory.
    pub fn streamed(rows: impl RowBlocks + 'static) -> Self {
        Self { rows: Box::new(rows) }
    }

    /// How many rows there are, N.
    pub fn rows(&self) -> usize {
        self.rows.shape().0
    }

    /// How many columns each row has, D.
    pub fn columns(&self) -> usize {
        self.rows.shape().1
    }

    /// A copy of all rows, `(N, D)`.
    ///
    /// # Errors
    /// What reading the rows returns.
    pub fn features(&self) -> Result<Array2<f64>> {
        let mut buffer = Array2::zeros((0, 0));
        Ok(self.rows.read(0..self.rows(), &mut buffer)?.to_owned())
    }

    /// The rows of a range, `(n, D)`; see [`RowBlocks::read`].
    pub(super) fn read<'a>(
        &'a self,
        rows: Range<usize>,
        buffer: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>> {
        let (count, columns) = (rows.len(), self.columns());
        let found = self.rows.read(rows, buffer)?;
        check_count("rows of a block of features", count, found.nrows())?;
        check_count("columns of a block of features", columns, found.ncols())?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn designs_stack_rows() {
        let (a, b) = (array![[1.0, 2.0]], array![[3.0, 4.0], [5.0, 6.0]]);
        let design = Design::new(&[a.view(), b.view()]).unwrap();
        assert_eq!((design.rows(), design.columns()), (3, 2));
        let stacked = array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        assert_eq!(design.features().unwrap(), stacked);
        assert_eq!(
            design.read(1..3, &mut Array2::default((0, 0))).unwrap(),
            stacked.slice(s![1.., ..])
        );
        assert!(Design::new(&[a.view(), array![[1.0]].view()]).is_err());
    }
}
