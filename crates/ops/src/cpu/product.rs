//! Convolutions as products of pixel rows with weight matrices, and their gradients.
//!
//! Everything a residual block does is one of two products over blocks of pixels:
//! [`product`] (forward, and gradient with respect to the input) and [`weight_gradient`].
//! Rows are produced one block at a time ([`Rows`]), so that neighbourhoods and activations that
//! are cheap to recompute never exist for a whole batch.

use rayon::prelude::*;

use super::im2col::{Grid, im2col_3x3};
use super::matmul::{Matrix, matmul};
use crate::Real;

/// Pixels in one product: enough to amortise packing the weights, few enough that a block of
/// 3×3 neighbourhoods stays in the second-level cache.
const BLOCK: usize = 128;

/// Where the rows of a product come from; a row belongs to a pixel.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a, T> {
    /// The first `channels` numbers of each pixel; pixels lie `stride` apart.
    Plain { x: &'a [T], channels: usize, stride: usize },
    /// `gelu(x)`.
    Gelu { x: &'a [T], channels: usize },
    /// The 3×3 neighbourhood of each pixel.
    Neighbours { grid: Grid, x: &'a [T], channels: usize },
}

impl<T: Real> Rows<'_, T> {
    /// Numbers in a row.
    pub(crate) fn width(&self) -> usize {
        match *self {
            Self::Plain { channels, .. } | Self::Gelu { channels, .. } => channels,
            Self::Neighbours { channels, .. } => 9 * channels,
        }
    }

    /// The rows of pixels `first..first + count`, in place or written to `scratch`.
    fn block<'s>(&'s self, first: usize, count: usize, scratch: &'s mut Vec<T>) -> Matrix<'s, T> {
        let width = self.width();
        match *self {
            Self::Plain { x, stride, .. } => {
                Matrix::new(&x[first * stride..], count, width, stride)
            }
            Self::Gelu { x, .. } => {
                scratch.resize(count * width, T::zero());
                T::gelu(&x[first * width..][..count * width], scratch);
                Matrix::new(scratch, count, width, width)
            }
            Self::Neighbours { grid, x, channels } => {
                scratch.resize(count * width, T::zero());
                im2col_3x3(grid, x, channels, first, count, scratch);
                Matrix::new(scratch, count, width, width)
            }
        }
    }
}

/// Pixels a task takes at once, so that every thread finds work.
fn block_size(pixels: usize) -> usize {
    pixels.div_ceil(4 * rayon::current_num_threads()).clamp(32, BLOCK)
}

/// `out[pixel] = bias + Σ rows[pixel] weights`, `outputs` numbers a pixel.
///
/// `weights` holds one (row width × `outputs`) matrix for each entry of `rows`. `finish` is called
/// with each finished block, and the number of its first pixel, while it is in cache.
pub(crate) fn product<T: Real>(
    operands: &[(Rows<'_, T>, Matrix<'_, T>)],
    bias: Option<&[T]>,
    outputs: usize,
    out: &mut [T],
    finish: impl Fn(usize, &mut [T]) + Sync,
) {
    let size = block_size(out.len() / outputs);
    out.par_chunks_mut(size * outputs).enumerate().for_each_init(Vec::new, |scratch, (i, out)| {
        let (first, count) = (i * size, out.len() / outputs);
        if let Some(bias) = bias {
            out.chunks_exact_mut(outputs).for_each(|pixel| pixel.copy_from_slice(bias));
        }
        for (j, (rows, weights)) in operands.iter().enumerate() {
            let accumulate = j > 0 || bias.is_some();
            matmul(rows.block(first, count, scratch), *weights, out, outputs, accumulate);
        }
        finish(first, out);
    });
}

/// `gradient[output] = Σ_pixels upstream[pixel][output] rows[pixel]`, rows of `gradient`
/// `row_stride` apart.
///
/// Pixels are divided among the threads; each sums its own part, and the parts are added in
/// order, so that the result depends on the number of threads and on nothing else.
pub(crate) fn weight_gradient<T: Real>(
    rows: &Rows<'_, T>,
    upstream: &[T],
    outputs: usize,
    gradient: &mut [T],
    row_stride: usize,
) {
    let (pixels, width) = (upstream.len() / outputs, rows.width());
    let parts: Vec<Vec<T>> = shares(pixels)
        .into_par_iter()
        .map(|range| {
            let (mut sum, mut scratch) = (vec![T::zero(); outputs * width], Vec::new());
            for first in range.clone().step_by(BLOCK) {
                let count = BLOCK.min(range.end - first);
                let upstream = Matrix::new(&upstream[first * outputs..], count, outputs, outputs);
                let rows = rows.block(first, count, &mut scratch);
                matmul(upstream.transposed(), rows, &mut sum, width, true);
            }
            sum
        })
        .collect();
    for (output, row) in gradient.chunks_mut(row_stride).take(outputs).enumerate() {
        for (column, value) in row[..width].iter_mut().enumerate() {
            *value = parts.iter().map(|part| part[output * width + column]).sum();
        }
    }
}

/// `gradient[output] = Σ_pixels upstream[pixel][output]`.
pub(crate) fn bias_gradient<T: Real>(upstream: &[T], gradient: &mut [T]) {
    let outputs = gradient.len();
    let parts: Vec<Vec<T>> = shares(upstream.len() / outputs)
        .into_par_iter()
        .map(|range| {
            let mut sum = vec![T::zero(); outputs];
            for pixel in upstream[range.start * outputs..range.end * outputs].chunks_exact(outputs)
            {
                sum.iter_mut().zip(pixel).for_each(|(s, &p)| *s += p);
            }
            sum
        })
        .collect();
    for (output, value) in gradient.iter_mut().enumerate() {
        *value = parts.iter().map(|part| part[output]).sum();
    }
}

/// Splits pixels into one range a thread, fewer where there are few.
fn shares(pixels: usize) -> Vec<std::ops::Range<usize>> {
    let count = rayon::current_num_threads().min(pixels.div_ceil(BLOCK)).max(1);
    let each = pixels.div_ceil(count).max(1);
    (0..count).map(|i| (i * each).min(pixels)..((i + 1) * each).min(pixels)).collect()
}
