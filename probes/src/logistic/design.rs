//! The rows a regression is fitted on, standardised.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, CowArray, Ix2, s};

use super::rows::RowBlocks;
use crate::{Error, Result};

/// Standard deviations below this count as this: collapsed latents would otherwise be blown up to
/// noise of unit variance.
const DEVIATION_FLOOR: f64 = 1e-5;

/// Mean and deviation of every column of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    mean: Array1<f64>,
    deviation: Array1<f64>,
}

impl Scaling {
    /// Statistics of `(N, D)` training rows, summed in float64; the deviation is that of the
    /// population, floored at 10⁻⁵.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] without rows.
    pub fn of(features: ArrayView2<'_, f32>) -> Result<Self> {
        let rows = features.nrows();
        if rows == 0 {
            return Err(Error::OutOfRange {
                what: "training rows",
                expected: "at least one",
                found: "0".to_owned(),
            });
        }
        let mut mean = Array1::<f64>::zeros(features.ncols());
        for row in features.rows() {
            mean.zip_mut_with(&row, |sum, &value| *sum += f64::from(value));
        }
        mean /= rows as f64;
        let mut variance = Array1::<f64>::zeros(features.ncols());
        for row in features.rows() {
            ndarray::Zip::from(&mut variance)
                .and(&row)
                .and(&mean)
                .for_each(|sum, &value, mean| *sum += (f64::from(value) - mean).powi(2));
        }
        let deviation = variance.mapv(|sum| (sum / rows as f64).sqrt().max(DEVIATION_FLOOR));
        Ok(Self { mean, deviation })
    }

    /// Scales rows by the training statistics.
    ///
    /// # Shapes
    /// `features`: `(M, D)`. Returns `(M, D)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another number of columns than the training rows had.
    pub fn apply(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        if features.ncols() != self.mean.len() {
            return Err(Error::Mismatch {
                what: "feature columns".to_owned(),
                expected: self.mean.len(),
                found: features.ncols(),
            });
        }
        let mut scaled = Array2::zeros(features.dim());
        for (from, mut to) in features.rows().into_iter().zip(scaled.rows_mut()) {
            ndarray::Zip::from(&mut to)
                .and(&from)
                .and(&self.mean)
                .and(&self.deviation)
                .for_each(|to, &from, mean, deviation| *to = (f64::from(from) - mean) / deviation);
        }
        Ok(scaled)
    }
}

/// Rows to fit on, `(N, D)`. The intercept is not a column.
#[derive(Debug)]
pub struct Design {
    rows: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Array2<f64>),
    Blocks(Box<dyn RowBlocks>),
}

impl Design {
    /// Puts blocks of scaled rows, each `(n, D)`, under each other.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where blocks differ in columns.
    pub fn new(blocks: &[ArrayView2<'_, f64>]) -> Result<Self> {
        let columns = blocks.first().map_or(0, ArrayView2::ncols);
        if let Some(other) = blocks.iter().find(|block| block.ncols() != columns) {
            return Err(Error::Mismatch {
                what: "feature columns".to_owned(),
                expected: columns,
                found: other.ncols(),
            });
        }
        let count = blocks.iter().map(ArrayView2::nrows).sum();
        let mut rows = Array2::zeros((count, columns));
        let mut at = 0;
        for block in blocks {
            rows.slice_mut(s![at..at + block.nrows(), ..]).assign(block);
            at += block.nrows();
        }
        Ok(Self { rows: Source::Memory(rows) })
    }

    /// Rows that are read again in every iteration, such as a [`ScaledTable`](super::ScaledTable)
    /// or a file larger than memory.
    pub fn streamed(rows: impl RowBlocks + 'static) -> Self {
        Self { rows: Source::Blocks(Box::new(rows)) }
    }

    /// Rows, N.
    pub fn rows(&self) -> usize {
        self.source().rows()
    }

    /// Columns, D.
    pub fn columns(&self) -> usize {
        self.source().columns()
    }

    /// All rows, `(N, D)`: a view, or where they are streamed, a copy.
    ///
    /// # Errors
    /// What reading the rows returns.
    pub fn features(&self) -> Result<CowArray<'_, f64, Ix2>> {
        match &self.rows {
            Source::Memory(rows) => Ok(rows.view().into()),
            Source::Blocks(rows) => {
                let mut buffer = Array2::zeros((0, 0));
                Ok(rows.read(0..rows.rows(), &mut buffer)?.to_owned().into())
            }
        }
    }

    /// The rows of a range, `(n, D)`; see [`RowBlocks::read`].
    pub(super) fn read<'a>(
        &'a self,
        rows: Range<usize>,
        buffer: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>> {
        let expected = (rows.len(), self.columns());
        let found = self.source().read(rows, buffer)?;
        let mismatch = |what: &str, expected, found| Error::Mismatch {
            what: format!("{what} of a block of features"),
            expected,
            found,
        };
        if found.nrows() != expected.0 {
            return Err(mismatch("rows", expected.0, found.nrows()));
        }
        if found.ncols() != expected.1 {
            return Err(mismatch("columns", expected.1, found.ncols()));
        }
        Ok(found)
    }

    fn source(&self) -> &dyn RowBlocks {
        match &self.rows {
            Source::Memory(rows) => rows,
            Source::Blocks(rows) => rows.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn training_statistics_scale_other_rows() {
        let train = array![[1.0f32, 5.0, 1e-9], [3.0, 5.0, -1e-9]];
        let scaling = Scaling::of(train.view()).unwrap();
        let scaled = scaling.apply(array![[4.0f32, 6.0, 1e-9]].view()).unwrap();
        // Columns: deviation 1; constant, so the floor of 1e-5; below the floor.
        let expected = [2.0, 1e5, 1e-4];
        for (found, expected) in scaled.iter().zip(expected) {
            // f32 inputs and a floor: float64 rounding only.
            assert!((found / expected - 1.0).abs() < 1e-7, "{found} {expected}");
        }
        assert!(scaling.apply(array![[4.0f32]].view()).is_err());
        assert!(Scaling::of(Array2::zeros((0, 2)).view()).is_err());
    }

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
