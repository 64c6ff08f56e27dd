//! Rows as episodes read them: standardised, scaled, and in whole registers.

use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::error::check_count;
use crate::standardise::{DEVIATION_FLOOR, Standardiser};
use crate::{Error, Result};

/// Rows are padded to whole registers of AVX-512, which are cache lines too.
const REGISTER: usize = 16;

/// How standardised rows are scaled.
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

impl Rows {
    /// # Shapes
    /// `features`: `(N, D)`; `base` is of `D` columns.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where `base` has other columns, [`Error::NotFinite`] for features or
    /// statistics that are not finite.
    pub(super) fn new(
        features: ArrayView2<'_, f32>,
        base: &Standardiser,
        scale: Scale,
    ) -> Result<Self> {
        let (count, columns) = features.dim();
        check_count("columns of the base rows", columns, base.mean.len())?;
        let finite = |column: &usize| (base.mean[*column] + base.deviation[*column]).is_finite();
        if let Some(column) = (0..columns).find(|column| !finite(column)) {
            let (at, found) = (format!("column {column}"), base.mean[column]);
            return Err(Error::NotFinite { what: "base mean", at, found });
        }
        let width = columns.next_multiple_of(REGISTER).max(REGISTER);
        let length = |row| standardised(features.row(row), base).map(|v| v * v).sum::<f64>().sqrt();
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
            for (to, value) in places.iter_mut().zip(standardised(features.row(row), base)) {
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

/// Columns that hardly vary in the base rows are left out: divided by the floor, one that does in other
/// rows would decide alone.
fn standardised<'a>(
    row: ArrayView1<'a, f32>,
    base: &'a Standardiser,
) -> impl Iterator<Item = f64> + use<'a> {
    let statistics = base.mean.iter().zip(&base.deviation);
    row.into_iter().zip(statistics).map(|(&value, (mean, &by))| {
        if by > DEVIATION_FLOOR { (f64::from(value) - mean) / by } else { 0.0 }
    })
}
