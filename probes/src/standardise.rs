//! Columns in units of their own spread over the training rows.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Zip, s};
use rayon::prelude::*;

use crate::Result;
use crate::error::{check_count, check_range};

/// Probes divide columns by their standard deviation over the training rows, and by this where it is
/// smaller: collapsed latents would otherwise be blown up to noise of unit variance.
pub const DEVIATION_FLOOR: f64 = 1e-5;

/// Mean and deviation of every column of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    /// `(D)`.
    pub mean: Array1<f64>,
    /// `(D)`, that of the population, at least 10⁻⁵.
    pub deviation: Array1<f64>,
}

impl Standardiser {
    /// Statistics of `(N, D)` training rows, summed in float64.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) without rows.
    pub fn of(features: ArrayView2<'_, f32>) -> Result<Self> {
        let rows = features.nrows() as f64;
        let mean = column_means("training rows", features)?;
        let variance = by_columns(features, |features, columns| {
            let (mut variance, mean) = (Array1::zeros(columns.len()), mean.slice(s![columns]));
            for row in features.rows() {
                Zip::from(&mut variance)
                    .and(&row)
                    .and(mean)
                    .for_each(|sum, &value, mean| *sum += (f64::from(value) - mean).powi(2));
            }
            variance
        });
        let deviation = variance.mapv(|sum| (sum / rows).sqrt().max(DEVIATION_FLOOR));
        Ok(Self { mean, deviation })
    }

    /// The mean alone: columns keep their units.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) without rows.
    pub fn centring(features: ArrayView2<'_, f32>) -> Result<Self> {
        let mean = column_means("training rows", features)?;
        Ok(Self { deviation: Array1::ones(mean.len()), mean })
    }

    /// Scales rows by the training statistics.
    ///
    /// # Shapes
    /// `features`: `(M, D)`. Returns `(M, D)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for another number of columns than the training
    /// rows had.
    pub fn apply(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        check_count("feature columns", self.mean.len(), features.ncols())?;
        let mut scaled = Array2::zeros(features.dim());
        for (to, from) in scaled.rows_mut().into_iter().zip(features.rows()) {
            Zip::from(to).and(from).and(&self.mean).and(&self.deviation).for_each(
                |to, &value, mean, deviation| *to = (f64::from(value) - mean) / deviation,
            );
        }
        Ok(scaled)
    }

    /// Undoes [`Self::apply`].
    ///
    /// # Shapes
    /// `scaled`: `(M, D)`. Returns `(M, D)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for another number of columns than the training
    /// rows had.
    pub fn restore(&self, scaled: ArrayView2<'_, f64>) -> Result<Array2<f32>> {
        check_count("feature columns", self.mean.len(), scaled.ncols())?;
        let mut rows = Array2::zeros(scaled.dim());
        for (to, from) in rows.rows_mut().into_iter().zip(scaled.rows()) {
            Zip::from(to)
                .and(from)
                .and(&self.mean)
                .and(&self.deviation)
                .for_each(|to, &value, mean, deviation| *to = (value * deviation + mean) as f32);
        }
        Ok(rows)
    }

    /// Hands scaled rows to `take`, `size` of them at a time so that few stand in memory in
    /// float64, with the number of the first.
    pub(crate) fn for_blocks(
        &self,
        features: ArrayView2<'_, f32>,
        size: usize,
        mut take: impl FnMut(usize, Array2<f64>),
    ) -> Result<()> {
        for at in (0..features.nrows()).step_by(size) {
            let end = features.nrows().min(at + size);
            take(at, self.apply(features.slice(s![at..end, ..]))?);
        }
        Ok(())
    }
}

/// Mean of every column, `(D)`, summed in float64; `what` names the rows in errors.
pub(crate) fn column_means(
    what: &'static str,
    features: ArrayView2<'_, f32>,
) -> Result<Array1<f64>> {
    check_range(features.nrows() > 0, what, "at least one", 0)?;
    let sums = by_columns(features, |features, columns| {
        let mut sums = Array1::<f64>::zeros(columns.len());
        for row in features.rows() {
            sums.zip_mut_with(&row, |sum, &value| *sum += f64::from(value));
        }
        sums
    });
    Ok(sums / features.nrows() as f64)
}

/// One number a column, from some thousand columns at a time on each thread.
fn by_columns(
    features: ArrayView2<'_, f32>,
    of: impl Fn(ArrayView2<'_, f32>, Range<usize>) -> Array1<f64> + Sync,
) -> Array1<f64> {
    const COLUMNS: usize = 4096;
    let end = features.ncols();
    let starts: Vec<usize> = (0..end).step_by(COLUMNS).collect();
    let parts = starts.into_par_iter().map(|start| {
        let columns = start..end.min(start + COLUMNS);
        of(features.slice(s![.., columns.clone()]), columns)
    });
    parts.flat_map_iter(Array1::into_iter).collect::<Vec<f64>>().into()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn training_statistics_scale_other_rows() {
        let train = array![[1.0f32, 5.0, 1e-9], [3.0, 5.0, -1e-9]];
        let standardiser = Standardiser::of(train.view()).unwrap();
        let scaled = standardiser.apply(array![[4.0f32, 6.0, 1e-9]].view()).unwrap();
        // Columns: deviation 1; constant, so the floor of 1e-5; below the floor.
        for (found, expected) in scaled.iter().zip([2.0, 1e5, 1e-4]) {
            // f32 inputs and a floor: float64 rounding only.
            assert!((found / expected - 1.0).abs() < 1e-7, "{found} {expected}");
        }
        let restored = standardiser.restore(scaled.view()).unwrap();
        assert_eq!(restored, array![[4.0f32, 6.0, 1e-9]]);
        assert!(standardiser.apply(array![[4.0f32]].view()).is_err());
        assert!(standardiser.restore(scaled.slice(s![.., ..2])).is_err());
        assert!(Standardiser::of(Array2::zeros((0, 2)).view()).is_err());
    }
}
