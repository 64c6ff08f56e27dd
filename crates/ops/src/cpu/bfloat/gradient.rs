//! Gradients of weight matrices: products whose inner dimension is pixels.

use half::bf16;

use super::pairs::{Given, transpose};
use super::panels::Panels;
use super::product::{Left, Rows, Sums, multiply};
use crate::team::share_chunks;
use vdvae_io::InstructionSet;

/// `Σ_pixels left[pixel]ᵀ right[pixel]` of the pixels that one thread goes through.
pub(crate) struct WeightGradient {
    rows: usize,
    left: Rows,
    right: Panels,
    sums: Sums,
    /// Whether the sums hold any pixels yet.
    begun: bool,
}

impl WeightGradient {
    /// Room for a (rows × columns) matrix from up to `pixels` at once; zeros where there are none.
    pub(crate) fn new((rows, columns): (usize, usize), pixels: usize) -> Self {
        let (left, right) = (Rows::stale(rows, pixels), Panels::of_pixels(pixels, columns));
        let sums = match pixels {
            0 => Sums::zeros(rows, columns),
            _ => Sums::stale(rows, columns),
        };
        Self { rows, left, right, sums, begun: false }
    }

    /// Adds the first `count` pixels: `left` has rows of as many numbers as the matrix has rows,
    /// `stride` apart, `right` rows of as many as it has columns.
    pub(crate) fn add(
        &mut self,
        set: InstructionSet,
        (left, stride): (&[bf16], usize),
        right: Left<'_>,
        count: usize,
    ) {
        self.right.set(right, count);
        let from = Given { rows: left, stride, count, columns: self.rows };
        let to_stride = self.left.stride();
        transpose(set, from, self.left.data_mut(), to_stride, self.right.k());
        multiply(set, (Left::Rows(&self.left), self.rows), &self.right, &mut self.sums, self.begun);
        self.begun = true;
    }

    /// One number of the matrix.
    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.sums.row(row)[column]
    }
}

/// How the numbers of a row lie in sums: `taps` runs of `channels` numbers, `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Taps {
    pub(crate) taps: usize,
    pub(crate) channels: usize,
    pub(crate) stride: usize,
}

impl Taps {
    /// A row without gaps.
    pub(crate) fn one(columns: usize) -> Self {
        Self { taps: 1, channels: columns, stride: columns }
    }
}

/// The matrix of all parts, of `rows` rows, added up in order, in rows `row_stride` apart.
pub(crate) fn add_up(
    parts: &[WeightGradient],
    rows: usize,
    Taps { taps, channels, stride }: Taps,
    to: &mut [f32],
    row_stride: usize,
) {
    let columns = taps * channels;
    share_chunks(&mut to[..(rows - 1) * row_stride + columns], row_stride, |chunks| {
        for (row, to) in chunks {
            for (tap, to) in to[..columns].chunks_exact_mut(channels).enumerate() {
                let first = tap * stride;
                to.copy_from_slice(&parts[0].sums.row(row)[first..][..channels]);
                for part in &parts[1..] {
                    let part = &part.sums.row(row)[first..];
                    to.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
                }
            }
        }
    });
}
