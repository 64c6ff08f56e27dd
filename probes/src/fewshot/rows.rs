//! Rows as episodes read them: centred, scaled, and in whole registers.

use ndarray::{Array1, ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::error::check_count;
use crate::standardise::column_means;
use crate::{Error, Result};

/// Rows are padded to whole registers of AVX-512, which are cache lines too.
const REGISTER: usize = 16;

/// How rows are scaled after the base mean was taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// By the length of the longest, which changes no decision and keeps products finite.
    Together,
    /// To unit length; rows at the base mean stay zero.
    Each,
}

/// `(N, width)`: rows padded with zeros, each beginning with a cache line.
#[derive(Debug)]
pub(super) struct Rows {
    values: Vec<f32>,
    /// Where the first row begins.
    start: usize,
    /// Numbers of a row, whole registers.
    pub(super) width: usize,
}

/// Mean of every column, `(D)`, summed in float64: of the *base* rows, for episodes.
///
/// # Errors
/// [`Error::OutOfRange`] without rows, [`Error::NotFinite`] where a column has no finite mean.
pub fn column_mean(features: ArrayView2<'_, f32>) -> Result<Array1<f64>> {
    let mean = column_means("base rows", features)?;
    check_mean(&mean)?;
    Ok(mean)
}

fn check_mean(mean: &Array1<f64>) -> Result<()> {
    let infinite = mean.iter().position(|value| !value.is_finite());
    infinite.map_or(Ok(()), |column| {
        let (at, found) = (format!("column {column}"), mean[column]);
        Err(Error::NotFinite { what: "base mean", at, found })
    })
}

impl Rows {
    /// # Shapes
    /// `features`: `(N, D)`; `base_mean`: `(D)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the mean has other columns, [`Error::NotFinite`] for features or
    /// means that are not finite.
    pub(super) fn new(
        features: ArrayView2<'_, f32>,
        base_mean: &Array1<f64>,
        scale: Scale,
    ) -> Result<Self> {
        let (count, columns) = features.dim();
        check_count("columns of the base mean", columns, base_mean.len())?;
        check_mean(base_mean)?;
        let width = columns.next_multiple_of(REGISTER).max(REGISTER);
        let length = |row| centred(features.row(row), base_mean).map(|v| v * v).sum::<f64>().sqrt();
        let lengths: Vec<f64> = (0..count).into_par_iter().map(length).collect();
        if let Some(row) = lengths.iter().position(|length| !length.is_finite()) {
            let (at, found) = (format!("row {row}"), lengths[row]);
            return Err(Error::NotFinite { what: "features", at, found });
        }
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let mut values = vec![0f32; count * width + REGISTER];
        let start = values.as_ptr().align_offset(size_of::<[f32; REGISTER]>()).min(REGISTER);
        let places = &mut values[start..start + count * width];
        places.par_chunks_exact_mut(width).enumerate().for_each(|(row, places)| {
            let by = if scale == Scale::Each { lengths[row] } else { longest };
            let factor = if by > 0.0 { 1.0 / by } else { 0.0 };
            for (to, value) in places.iter_mut().zip(centred(features.row(row), base_mean)) {
                *to = (value * factor) as f32;
            }
        });
        Ok(Self { values, start, width })
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        let at = self.start + row * self.width;
        &self.values[at..at + self.width]
    }
}

fn centred<'a>(
    row: ArrayView1<'a, f32>,
    mean: &'a Array1<f64>,
) -> impl Iterator<Item = f64> + use<'a> {
    row.into_iter().zip(mean).map(|(&value, mean)| f64::from(value) - mean)
}
