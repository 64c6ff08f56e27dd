//! Gradients of weight matrices: products whose inner dimension is pixels.

use half::bf16;

use super::pairs::transpose;
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
    /// Room for a (rows × columns) matrix from up to `pixels` at once.
    pub(crate) fn new((rows, columns): (usize, usize), pixels: usize) -> Self {
        let (left, right) = (Rows::zeros(rows, pixels), Panels::of_pixels(pixels, columns));
        Self { rows, left, right, sums: Sums::zeros(rows, columns), begun: false }
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
        let to_stride = self.left.stride();
        let to = self.left.data_mut();
        transpose(left, stride, (count, self.right.k()), self.rows, to, to_stride);
        multiply(set, (Left::Rows(&self.left), self.rows), &self.right, &mut self.sums, self.begun);
        self.begun = true;
    }

    /// One number of the matrix.
    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.sums.row(row)[column]
    }
}

/// The (rows × columns) matrix of all parts, added up in order, in rows `stride` apart.
pub(crate) fn add_up(
    parts: &[WeightGradient],
    (rows, columns): (usize, usize),
    to: &mut [f32],
    stride: usize,
) {
    share_chunks(&mut to[..(rows - 1) * stride + columns], stride, |chunks| {
        for (row, to) in chunks {
            let to = &mut to[..columns];
            to.copy_from_slice(&parts[0].sums.row(row)[..columns]);
            for part in &parts[1..] {
                to.iter_mut().zip(part.sums.row(row)).for_each(|(sum, &part)| *sum += part);
            }
        }
    });
}
