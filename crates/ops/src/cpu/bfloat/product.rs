//! `sums = rows · panels`.

use half::bf16;

use super::elementwise::{gelu_rows, gelu_rows_of_rounded, round_rows};
use super::lines::Lines;
use super::panels::Panels;
use super::{amx, vectors};
use crate::cpu::buffer::Buffer;
use crate::cpu::matrix::Matrix;
use vdvae_io::InstructionSet;

/// Numbers of the inner dimension a tile holds: operands are padded to whole steps.
pub(super) const STEP: usize = 32;
/// Rows that a kernel takes at once: two tiles. Operands and sums are padded to as many.
pub(super) const ROWS: usize = 32;
/// Rows of a tile.
pub(super) const TILE_ROWS: usize = 16;

/// A left-hand side, row by row: rows are padded with zeros to whole steps, and there are rows of
/// anything up to a multiple of [`ROWS`].
pub(crate) struct Rows {
    data: Buffer<bf16>,
    rows: usize,
    stride: usize,
}

impl Rows {
    /// Room for `rows` rows of `k` numbers, whatever they hold.
    pub(crate) fn stale(rows: usize, k: usize) -> Self {
        let (rows, stride) = (rows.next_multiple_of(ROWS), k.next_multiple_of(STEP));
        let mut data = Buffer::stale(rows * stride);
        if k < stride {
            data.chunks_exact_mut(stride).for_each(|row| row[k..].fill(bf16::ZERO));
        }
        Self { data, rows, stride }
    }

    /// Distance between rows.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The numbers from a column of a row on.
    pub(super) fn from(&self, row: usize, column: usize) -> &[bf16] {
        &self.data[row * self.stride + column..]
    }

    /// The numbers, row by row. Those behind the `k` of a row are to stay zero.
    pub(crate) fn data_mut(&mut self) -> &mut [bf16] {
        &mut self.data
    }

    /// The numbers, row by row.
    pub(crate) fn data(&self) -> &[bf16] {
        &self.data
    }

    /// Takes `gelu` of rows of `width` numbers over.
    pub(crate) fn gelu(&mut self, set: InstructionSet, x: &[f32], width: usize) {
        gelu_rows(set, x, width, &mut self.data, self.stride);
    }

    /// The same of numbers that were rounded before.
    pub(crate) fn gelu_of_rounded(&mut self, set: InstructionSet, x: &[bf16], width: usize) {
        gelu_rows_of_rounded(set, x, width, &mut self.data, self.stride);
    }

    /// Takes rows over, rounded.
    pub(crate) fn round(&mut self, set: InstructionSet, x: Matrix<'_, f32>) {
        let width = x.columns();
        let (x, rows, stride) = x.rows_of(width);
        assert!(rows <= self.rows && width <= self.stride, "rows to be rounded");
        let x = &x[..x.len().min(rows * stride)];
        round_rows(set, x, stride, width, &mut self.data, self.stride);
    }
}

/// Results of products, in float32: padded to whole tiles as the operands are.
pub(crate) struct Sums {
    data: Buffer<f32>,
    rows: usize,
    stride: usize,
}

impl Sums {
    /// Room for (rows × columns), whatever it holds.
    pub(crate) fn stale(rows: usize, columns: usize) -> Self {
        let (rows, stride) = (rows.next_multiple_of(ROWS), columns.next_multiple_of(ROWS));
        Self { data: Buffer::stale(rows * stride), rows, stride }
    }

    /// Zeros.
    pub(crate) fn zeros(rows: usize, columns: usize) -> Self {
        let mut sums = Self::stale(rows, columns);
        sums.data.fill(0.0);
        sums
    }

    /// Distance between rows.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The numbers, row by row.
    pub(crate) fn data(&self) -> &[f32] {
        &self.data
    }

    /// A row, with what it was padded by.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.stride..][..self.stride]
    }

    /// `out = bias + sums`, rows of `columns` numbers without gaps.
    pub(crate) fn copy_to(&self, out: &mut [f32], bias: Option<&[f32]>, columns: usize) {
        for (out, sums) in out.chunks_exact_mut(columns).zip(self.each()) {
            match bias {
                Some(bias) => out.iter_mut().zip(sums).zip(bias).for_each(|((o, s), b)| *o = s + b),
                None => out.copy_from_slice(&sums[..columns]),
            }
        }
    }

    /// Row by row.
    fn each(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks_exact(self.stride)
    }
}

/// The left-hand side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    Rows(&'a Rows),
    /// The neighbourhoods of the pixels from a line on, as they lie: [`Lines::in_tiles`].
    Neighbours(&'a Lines, usize),
}

impl Left<'_> {
    /// Lines of memory that a row lies in, one after another in the product.
    fn segments(self) -> usize {
        match self {
            Self::Rows(_) => 1,
            Self::Neighbours(lines, _) => lines.segments(),
        }
    }

    /// Distance between rows.
    fn stride(self) -> usize {
        match self {
            Self::Rows(rows) => rows.stride,
            Self::Neighbours(lines, _) => lines.stride(),
        }
    }

    /// The segments of a tile's rows from `row` on.
    fn tile(self, row: usize) -> [*const bf16; SEGMENTS] {
        match self {
            Self::Rows(rows) => [rows.from(row, 0).as_ptr(); SEGMENTS],
            Self::Neighbours(lines, first) => {
                let (line, x) = (first + row / lines.pixels(), row % lines.pixels());
                let start = |segment| lines.segment(line, segment)[x * lines.stride()..].as_ptr();
                std::array::from_fn(|segment| start(segment.min(lines.segments() - 1)))
            }
        }
    }
}

/// Most segments of a row.
const SEGMENTS: usize = 3;

/// A kernel's part of a product: [`ROWS`] rows times a panel.
///
/// All pointers are valid for what the sizes say: in each segment two tiles of rows, which lie
/// `a_stride` numbers apart, lines of `width` pairs without gaps, and rows of sums `out_stride`
/// numbers apart.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// Where the segments of both tiles begin.
    pub(super) a: [[*const bf16; 2]; SEGMENTS],
    pub(super) a_stride: usize,
    pub(super) segments: usize,
    /// Steps of the inner dimension in a segment, at least one.
    pub(super) steps: usize,
    pub(super) b: *const u32,
    /// Columns: one tile or two.
    pub(super) width: usize,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    /// Whether to add to what the sums hold.
    pub(super) add: bool,
}

/// `sums = left · panels` of the first `count` rows, or added to what is there.
pub(crate) fn multiply(
    set: InstructionSet,
    (left, count): (Left<'_>, usize),
    panels: &Panels,
    sums: &mut Sums,
    add: bool,
) {
    let (k, segments) = (panels.k(), left.segments());
    let steps = k / STEP / segments;
    let last = match left {
        Left::Rows(rows) => {
            assert!(k > 0 && k <= rows.stride, "inner dimension of a product");
            assert!(count <= rows.rows, "rows of a product");
            count.next_multiple_of(ROWS)
        }
        Left::Neighbours(lines, first) => {
            assert!(lines.in_tiles() && k == segments * lines.width(), "lines of a product");
            assert!(count.is_multiple_of(lines.pixels()), "lines of a product");
            assert!(first + count / lines.pixels() <= lines.count(), "lines of a product");
            count
        }
    };
    assert!(count <= sums.rows, "rows of sums");
    assert!(panels.columns() <= sums.stride, "columns of a product");
    let (out, out_stride) = (sums.data.as_mut_ptr(), sums.stride);
    let pieces = panels.each().flat_map(|(column, lines)| {
        (0..count).step_by(ROWS).map(move |row| {
            let first = left.tile(row);
            // Of an odd number of tiles the last is multiplied twice, into sums that nobody reads.
            let second = if row + TILE_ROWS < last { left.tile(row + TILE_ROWS) } else { first };
            Piece {
                a: std::array::from_fn(|segment| [first[segment], second[segment]]),
                a_stride: left.stride(),
                segments,
                steps,
                b: lines.as_ptr(),
                width: lines.len() / (k / 2),
                out: out.wrapping_add(row * out_stride + column),
                out_stride,
                add,
            }
        })
    });
    // SAFETY: the sizes were compared above; operands and sums are padded to whole pieces.
    unsafe {
        match set {
            InstructionSet::Amx => amx::multiply(pieces),
            _ => pieces.for_each(|piece| vectors::multiply(set, piece)),
        }
    }
}
