//! Where the rows of a design come from: a matrix in memory, or whatever can read the same rows again
//! and again, such as a file that is larger than memory.

use std::fmt;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, s};

use crate::{Result, Standardiser};

/// A source of feature rows that can be read in blocks, any number of times, and from several threads
/// at once.
///
/// A fit reads all rows once in every iteration, in blocks of at most [`BLOCK_ROWS`] rows. What it
/// keeps in memory therefore does not grow with the number of rows.
pub trait RowBlocks: Send + Sync {
    /// `(N, D)`: how many rows there are, and how many columns each has.
    fn shape(&self) -> (usize, usize);

    /// The `n` rows of a range, `(n, D)`. An implementation that has them in memory returns a view of
    /// them; another one writes them into `buffer`, which it may replace, and returns a view of that.
    /// Reading the same range again must give the same numbers.
    ///
    /// # Errors
    /// [`Error::Rows`](crate::Error::Rows) where the rows cannot be read; the fit then ends with that
    /// error.
    fn read<'a>(
        &'a self,
        rows: Range<usize>,
        buffer: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>>;
}

/// The largest number of rows that a fit reads at a time: enough for its matrix products to run at
/// full speed.
pub const BLOCK_ROWS: usize = 1024;

impl RowBlocks for Array2<f64> {
    fn shape(&self) -> (usize, usize) {
        self.dim()
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
    fn shape(&self) -> (usize, usize) {
        self.dim()
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

/// A table in float32 whose columns are standardised while its blocks are read. It takes half the
/// memory of a table that was standardised beforehand in float64, and gives the same numbers.
#[derive(Debug, Clone)]
pub struct ScaledTable {
    features: Array2<f32>,
    standardiser: Standardiser,
}

impl ScaledTable {
    /// A table of features, and the statistics that its columns are standardised by.
    ///
    /// # Shapes
    /// `features`: `(N, D)`, as they were before they were standardised.
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
    fn shape(&self) -> (usize, usize) {
        self.features.dim()
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
        let (rows, columns) = self.shape();
        write!(f, "RowBlocks({rows}×{columns})")
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
        assert_eq!(scaled.shape(), (3, 2));
        assert_eq!(scaled.read(1..3, &mut buffer).unwrap(), expected.slice(s![1.., ..]));
        let other = ScaledTable::new(Array2::zeros((3, 1)), standardiser).unwrap_err();
        assert_eq!(other.to_string(), "feature columns: expected 2, found 1");
    }
}
