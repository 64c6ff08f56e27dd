//! The rows a regression is fitted on: standardised, in float64, with a column of ones.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

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
        let mut scaled = features.mapv(f64::from);
        scaled -= &self.mean;
        scaled /= &self.deviation;
        Ok(scaled)
    }
}

/// Rows to fit on, `(N, D)`, and a last column of ones for the intercept.
#[derive(Debug, Clone)]
pub struct Design {
    /// `(N, D + 1)`.
    rows: Array2<f64>,
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
        let mut rows = Array2::ones((count, columns + 1));
        let mut at = 0;
        for block in blocks {
            rows.slice_mut(s![at..at + block.nrows(), ..columns]).assign(block);
            at += block.nrows();
        }
        Ok(Self { rows })
    }

    /// Rows, N.
    pub fn rows(&self) -> usize {
        self.rows.nrows()
    }

    /// Columns, D, without the one for the intercept.
    pub fn columns(&self) -> usize {
        self.rows.ncols() - 1
    }

    /// `(N, D)`.
    pub fn features(&self) -> ArrayView2<'_, f64> {
        self.rows.view().split_at(Axis(1), self.columns()).0
    }

    /// `(N, D + 1)`, ones last.
    pub(super) fn with_ones(&self) -> ArrayView2<'_, f64> {
        self.rows.view()
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
    fn designs_stack_rows_and_end_in_ones() {
        let (a, b) = (array![[1.0, 2.0]], array![[3.0, 4.0], [5.0, 6.0]]);
        let design = Design::new(&[a.view(), b.view()]).unwrap();
        assert_eq!((design.rows(), design.columns()), (3, 2));
        assert_eq!(design.with_ones(), array![[1.0, 2.0, 1.0], [3.0, 4.0, 1.0], [5.0, 6.0, 1.0]]);
        assert_eq!(design.features().row(2).to_vec(), [5.0, 6.0]);
        assert!(Design::new(&[a.view(), array![[1.0]].view()]).is_err());
    }
}
