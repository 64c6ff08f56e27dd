//! Right-hand sides of products.

use half::bf16;

use super::elementwise::{round, round_rows};
use super::lines::padded;
use super::pairs::{columns_to_lines, interleave};
use super::product::{Left, STEP};
use crate::cpu::buffer::Buffer;
use crate::cpu::matrix::Matrix;
use crate::team::{alone, share_chunks};
use vdvae_io::InstructionSet;

/// Columns of a panel: two tiles.
pub(super) const WIDTH: usize = 32;
/// Columns of a tile. The last panel has one tile where that is enough.
const TILE: usize = 16;

/// Numbers from which packing is shared between threads.
const PARALLEL: usize = 1 << 14;

/// Rows that are rounded at once.
const ROWS_AT_ONCE: usize = 32;

/// Divides chunks among threads, or, where they are few numbers, leaves them to this one.
fn share_or_alone<T: Send>(of: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let small = of.len() < PARALLEL;
    let mut all = || {
        share_chunks(of, size, |chunks| chunks.for_each(|(i, chunk)| work(i, chunk)));
    };
    if small { alone(all) } else { all() }
}

/// A (k × columns) matrix in panels of [`WIDTH`] columns. In a panel, rows 2i and 2i + 1 are one
/// line of pairs, the even row's numbers in the low halves. What is missing to whole steps of the
/// inner dimension and to whole tiles of columns is zero.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    /// Rows, a multiple of [`STEP`].
    k: usize,
    /// Columns, a multiple of [`TILE`].
    columns: usize,
    data: Buffer<u32>,
}

impl Panels {
    fn stale(k: usize, columns: usize) -> Self {
        let (k, columns) = (k.next_multiple_of(STEP), columns.next_multiple_of(TILE));
        Self { k, columns, data: Buffer::stale(k / 2 * columns) }
    }

    /// Packs a matrix.
    pub(crate) fn pack(set: InstructionSet, matrix: Matrix<'_, f32>) -> Self {
        if matrix.column_stride == 1 {
            let row = |i: usize| &matrix.data[i * matrix.row_stride..][..matrix.columns];
            Self::of_rows(set, matrix.rows, matrix.columns, row)
        } else {
            assert_eq!(matrix.row_stride, 1, "rows or columns of a matrix lie without gaps");
            Self::of_columns(set, matrix, (1, matrix.rows))
        }
    }

    /// Packs the transpose of a matrix whose rows are `taps` runs of numbers, each of them padded to
    /// whole steps as the pixels of [`super::Lines`] are.
    pub(crate) fn of_taps(set: InstructionSet, matrix: Matrix<'_, f32>, taps: usize) -> Self {
        Self::of_columns(set, matrix.transposed(), (taps, padded(matrix.columns / taps)))
    }

    /// Packs the (k × columns) matrix of these rows; of an empty row all numbers are zero.
    pub(crate) fn of_rows<'a>(
        set: InstructionSet,
        k: usize,
        columns: usize,
        row: impl Fn(usize) -> &'a [f32] + Sync,
    ) -> Self {
        let panels = Self::stale(k, columns);
        let stride = panels.columns;
        let mut rounded = Buffer::stale(k * stride);
        share_or_alone(&mut rounded, ROWS_AT_ONCE * stride, |first, rows| {
            for (i, to) in rows.chunks_exact_mut(stride).enumerate() {
                let row = row(first * ROWS_AT_ONCE + i);
                round(set, row, &mut to[..row.len()]);
                to[row.len()..].fill(bf16::ZERO);
            }
        });
        panels.filled(|first, width, panel| {
            interleave(&rounded[first..], stride, k, width, panel);
        })
    }

    /// Packs a matrix whose columns are `taps` runs of numbers that are to be `stride` apart.
    fn of_columns(
        set: InstructionSet,
        matrix: Matrix<'_, f32>,
        (taps, stride): (usize, usize),
    ) -> Self {
        let run = matrix.rows / taps;
        Self::stale(taps * stride, matrix.columns).filled(|first, width, panel| {
            let k = 2 * panel.len() / width;
            let mut rounded = Buffer::zeros(k * width);
            let last = matrix.columns.min(first + width);
            for tap in 0..taps {
                let from = first * matrix.column_stride + tap * run;
                let to = (last - 1) * matrix.column_stride + (tap + 1) * run;
                let x = &matrix.data[from..to];
                round_rows(set, x, matrix.column_stride, run, &mut rounded[tap * stride..], k);
            }
            columns_to_lines(set, &rounded, width, panel);
        })
    }

    /// Calls `fill` with the first column, the width and the lines of each panel.
    fn filled(mut self, fill: impl Fn(usize, usize, &mut [u32]) + Sync) -> Self {
        let lines = self.k / 2;
        share_or_alone(&mut self.data, WIDTH * lines, |i, panel| {
            fill(i * WIDTH, panel.len() / lines, panel);
        });
        self
    }

    /// Room for the rows of up to `count` pixels, see [`Self::set`].
    pub(crate) fn of_pixels(count: usize, columns: usize) -> Self {
        Self::stale(count, columns)
    }

    /// The first `count` rows of `left`: pixels are the inner dimension.
    pub(crate) fn set(&mut self, left: Left<'_>, count: usize) {
        self.k = count.next_multiple_of(STEP);
        let lines = self.k / 2;
        assert!(lines * self.columns <= self.data.len(), "pixels of a product");
        let panels = self.data[..lines * self.columns].chunks_mut(WIDTH * lines).enumerate();
        match left {
            Left::Rows(rows) => panels.for_each(|(i, panel)| {
                let width = panel.len() / lines;
                interleave(rows.from(0, i * WIDTH), rows.stride(), count, width, panel);
            }),
            Left::Neighbours(of, first) => panels.for_each(|(i, panel)| {
                let (width, pixels) = (panel.len() / lines, of.pixels());
                // Panels end where segments end, or before.
                let (segment, column) = (i * WIDTH / of.width(), i * WIDTH % of.width());
                let (panel, rest) = panel.split_at_mut(count / 2 * width);
                for (line, panel) in panel.chunks_exact_mut(pixels / 2 * width).enumerate() {
                    let rows = &of.segment(first + line, segment)[column..];
                    interleave(rows, of.stride(), pixels, width, panel);
                }
                rest.fill(0);
            }),
        }
    }

    /// The same in memory of its own size, to be kept.
    pub(crate) fn kept(self) -> Self {
        Self { data: self.data.unpooled(), ..self }
    }

    /// Rows, to whole steps.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Columns, to whole tiles.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The first column and the lines of each panel.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let lines = self.k / 2;
        let panels = self.data[..lines * self.columns].chunks(WIDTH * lines);
        panels.enumerate().map(|(i, panel)| (i * WIDTH, panel))
    }
}
