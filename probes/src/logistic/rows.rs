//! Where the rows of a design come from: memory, or anything that can be read again and again.

use std::fmt;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};

use crate::{Result, Standardiser};

/// Rows that can be read in blocks, any number of times, from several threads at once.
///
/// A fit reads all rows once an iteration, in blocks of at most [`BLOCK_ROWS`], so that what it
/// keeps in memory does not grow with their number.
pub trait RowBlocks: Send + Sync {
    /// How many rows there are, N.
    fn rows(&self) -> usize;

    /// How many columns each has, D.
    fn columns(&self) -> usize;

    /// The rows of a range, `(n, D)`: a view of what is in memory, or of `buffer`, filled. The
    /// same range must always give the same numbers.
    ///
    /// # Errors
    /// [`Error::Rows`](crate::Error::Rows) where they cannot be read; the fit then ends with that
    /// error.
    fn read<'a>(
        &'a self,
        rows: Range<usize>,
        buffer: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>>;
}

/// Most rows that are read at a time: enough for matrix products to run at full speed.
pub const BLOCK_ROWS: usize = 1024;

impl RowBlocks for Array2<f64> {
    fn rows(&self) -> usize {
        self.nrows()
    }

    fn columns(&self) -> usize {
        self.ncols()
    }

    fn read<'a>(
        &'a self,
        rows: Range<usize>,
        _: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>> {
        Ok(self.slice(s![rows, ..]))
    }
}

impl RowBlocks for Array2<f32> {
    fn rows(&self) -> usize {
        self.nrows()
    }

    fn columns(&self) -> usize {
        self.ncols()
    }

    fn read<'a>(
        &'a self,
        rows: Range<usize>,
        buffer: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>> {
        let block = self.slice(s![rows, ..]);
        if buffer.dim() != block.dim() {
            *buffer = Array2::zeros(block.dim());
        }
        buffer.zip_mut_with(&block, |to, &from| *to = f64::from(from));
        Ok(buffer.view())
    }
}

/// A float32 table and the standardiser of its columns, applied as blocks are read: half the memory
/// of scaled rows, and the same numbers.
#[derive(Debug, Clone)]
pub struct ScaledTable {
    features: Array2<f32>,
    standardiser: Standardiser,
}

impl ScaledTable {
    /// `features`: `(N, D)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) where the standardiser is of another number of
    /// columns.
    pub fn new(features: Array2<f32>, standardiser: Standardiser) -> Result<Self> {
        standardiser.apply(features.slice(s![..0, ..]))?;
        Ok(Self { features, standardiser })
    }
}

impl RowBlocks for ScaledTable {
    fn rows(&self) -> usize {
        self.features.nrows()
    }

    fn columns(&self) -> usize {
        self.features.ncols()
    }

    fn read<'a>(
        &'a self,
        rows: Range<usize>,
        buffer: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>> {
        *buffer = self.standardiser.apply(self.features.slice(s![rows, ..]))?;
        Ok(buffer.view())
    }
}

impl fmt::Debug for dyn RowBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowBlocks({}×{})", self.rows(), self.columns())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn tables_are_scaled_as_they_are_read() {
        let table = array![[1f32, 2.0], [3.0, -2.0], [8.0, 0.5]];
        let standardiser = Standardiser::of(table.view()).unwrap();
        let expected = standardiser.apply(table.view()).unwrap();
        let mut buffer = Array2::zeros((0, 0));
        assert_eq!(
            table.read(1..3, &mut buffer).unwrap(),
            table.slice(s![1.., ..]).mapv(f64::from)
        );
        let scaled = ScaledTable::new(table.clone(), standardiser.clone()).unwrap();
        assert_eq!((scaled.rows(), scaled.columns()), (3, 2));
        assert_eq!(scaled.read(1..3, &mut buffer).unwrap(), expected.slice(s![1.., ..]));
        let other = ScaledTable::new(Array2::zeros((3, 1)), standardiser).unwrap_err();
        assert_eq!(other.to_string(), "feature columns: expected 2, found 1");
    }
}
