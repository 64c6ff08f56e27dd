//! One pass over the rows: the losses and gradients of many fits by two matrix products a block.
//!
//! Rows are cut into spans that depend on the problem alone, not on the number of threads. Each
//! span goes through its blocks and keeps its own sums, which are added in order: results repeat
//! exactly.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::design::Design;
use super::fitting::Found;
use super::float::Float;
use super::gemm::product_here;
use super::job::Response;
use super::loss::{Sums, residuals};
use super::rows::BLOCK_ROWS;
use crate::Result;

/// Spans that can run at the same time, while their sums fit `SUM_BYTES`.
const MOST_SPANS: usize = 16;
const SUM_BYTES: usize = 256 << 20;

/// Outputs whose decision values of a block exist at the same time.
const OUTPUTS_TOGETHER: usize = 256;

/// What a pass is asked for.
pub(super) struct Points<'a> {
    /// `(fits · outputs, D + 1)`, the intercept last.
    pub(super) parameters: ArrayView2<'a, f64>,
    /// One a fit.
    pub(super) responses: Vec<Response<'a>>,
    /// Outputs of every fit.
    pub(super) outputs: usize,
}

/// Gradients of the loss, `(fits · outputs, D + 1)`, and the sums of every fit.
type Losses = (Array2<f64>, Vec<Sums>);

/// Evaluates the loss, without the penalty, at all points in precision `T`, on rows less their
/// `centre`, `(D)`.
pub(super) fn evaluate<T: Float>(
    design: &Design,
    centre: Option<&Array1<f64>>,
    points: &Points<'_>,
) -> Result<Vec<Found>> {
    let columns = design.columns();
    let cast = Cast {
        weights: points.parameters.slice(s![.., ..columns]).mapv(T::of),
        intercepts: points.parameters.column(columns).mapv(T::of),
        responses: &points.responses,
        outputs: points.outputs,
    };
    let fit_in = SUM_BYTES / (8 * points.parameters.len()).max(1);
    let spans = spans(design.rows(), fit_in.clamp(4, MOST_SPANS));
    let found = spans
        .into_par_iter()
        .map(|rows| span(design, centre, &cast, rows))
        .collect::<Result<Vec<Losses>>>()?;
    let mut total: Option<Losses> = None;
    for (gradients, sums) in found {
        match &mut total {
            None => total = Some((gradients, sums)),
            Some(total) => {
                total.0 += &gradients;
                total.1.iter_mut().zip(&sums).for_each(|(a, b)| a.add(b));
            }
        }
    }
    let (mut gradients, sums) = total.unwrap_or_else(|| cast.nothing());
    let residuals = sums.iter().flat_map(|sums| &sums.residual);
    gradients.column_mut(columns).iter_mut().zip(residuals).for_each(|(to, sum)| *to = *sum);
    let found = gradients.axis_chunks_iter(Axis(0), points.outputs).zip(&sums);
    Ok(found
        .map(|(gradient, sums)| Found {
            objective: sums.loss,
            gradient: gradient.iter().copied().collect(),
            variance: sums.variance.iter().map(|sum| sum / design.rows() as f64).collect(),
        })
        .collect())
}

/// At most `most` ranges of rows of nearly the same size.
fn spans(rows: usize, most: usize) -> Vec<Range<usize>> {
    let size = rows.div_ceil(most).max(64);
    (0..rows).step_by(size).map(|at| at..(at + size).min(rows)).collect()
}

/// Points in the precision of a pass.
struct Cast<'a, T> {
    weights: Array2<T>,
    intercepts: Array1<T>,
    responses: &'a [Response<'a>],
    outputs: usize,
}

impl<T: Float> Cast<'_, T> {
    fn nothing(&self) -> Losses {
        let (all, columns) = self.weights.dim();
        (Array2::zeros((all, columns + 1)), vec![Sums::zeros(self.outputs); self.responses.len()])
    }
}

/// Sums over one span of rows. The last column of the gradients stays zero.
fn span<T: Float>(
    design: &Design,
    centre: Option<&Array1<f64>>,
    points: &Cast<'_, T>,
    rows: Range<usize>,
) -> Result<Losses> {
    let (mut gradients, mut sums) = points.nothing();
    let (all, columns) = points.weights.dim();
    let together = (OUTPUTS_TOGETHER / points.outputs).max(1) * points.outputs;
    let size = rows.len().div_ceil(rows.len().div_ceil(BLOCK_ROWS));
    let mut z = vec![T::of(0.0); together.min(all) * size];
    let mut part = Array2::from_elem((together.min(all), columns), T::of(0.0));
    let (mut raw, mut cast) = (Array2::zeros((0, 0)), Array2::from_elem((0, 0), T::of(0.0)));
    for first in rows.clone().step_by(size) {
        let block = first..(first + size).min(rows.end);
        let x = T::rows(design.read(block.clone(), &mut raw)?, centre, &mut cast);
        for at in (0..all).step_by(together) {
            let own = at..(at + together).min(all);
            let z = &mut z[..own.len() * block.len()];
            let fits = own.start / points.outputs..own.end / points.outputs;
            decide(points, own.clone(), x, z);
            let each = z.chunks_exact_mut(points.outputs * block.len());
            for ((z, response), sums) in
                each.zip(&points.responses[fits.clone()]).zip(&mut sums[fits])
            {
                residuals(response, block.clone(), z, sums);
            }
            let residuals = ArrayView2::from_shape((own.len(), block.len()), z)
                .expect("one residual an output and row");
            let mut part = part.slice_mut(s![..own.len(), ..]);
            product_here(T::of(0.0), part.view_mut(), residuals, x);
            let mut sum = gradients.slice_mut(s![own, ..columns]);
            sum.zip_mut_with(&part, |sum, part| *sum += part.to_f64());
        }
    }
    Ok((gradients, sums))
}

/// Decision values of some outputs, `(outputs, n)`, on a block of rows.
fn decide<T: Float>(points: &Cast<'_, T>, own: Range<usize>, x: ArrayView2<'_, T>, z: &mut [T]) {
    let mut z = ndarray::ArrayViewMut2::from_shape((own.len(), x.nrows()), z)
        .expect("one decision value an output and row");
    for (mut z, &intercept) in
        z.rows_mut().into_iter().zip(&points.intercepts.slice(s![own.clone()]))
    {
        z.fill(intercept);
    }
    let weights = points.weights.slice_axis(Axis(0), own.into());
    product_here(T::of(1.0), z, weights, x.t());
}
