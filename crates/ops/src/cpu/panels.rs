//! float32 matrix products whose inner loops live in registers.
//!
//! A result tile of a few rows and a few registers of columns stays in registers while the inner
//! dimension runs; every step loads one row of the right-hand side's panel and broadcasts one number
//! a row of the left. Weights are packed into such panels once a call, padded with zeros to whole
//! registers, so no kernel knows about odd channel counts except where it stores.

// Kernels use plain loops: a closure is a function of its own, which does not inherit the
// instruction set and so keeps its vector operations from being inlined.
#![allow(clippy::needless_range_loop)]

use super::buffer::Buffer;
use super::im2col::Padded;
use super::lanes::{Lanes, for_each_set};
use super::matrix::Matrix;
use super::product::BLOCK;
use crate::team::{alone, share_chunks};
use vdvae_io::InstructionSet;

/// Rows of the tallest result tile; each instruction set uses its first [`Lanes::TILE_ROWS`], and
/// the others, never read, are no registers.
const MAX_ROWS: usize = 8;

/// Columns of a panel: registers times lanes of the widest tile an instruction set has.
fn panel_width(set: InstructionSet) -> usize {
    fn width<L: Lanes>() -> usize {
        L::N * L::TILE_COLUMNS
    }
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Amx | InstructionSet::Avx512Bf16 | InstructionSet::Avx512 => {
            width::<super::lanes::Avx512>()
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => width::<super::lanes::Avx2>(),
        _ => width::<super::lanes::Portable>(),
    }
}

/// Numbers from which packing is shared between threads.
const PARALLEL: usize = 1 << 14;

/// A (k × columns) matrix in panels of whole registers: panel by panel, row by row.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    set: InstructionSet,
    k: usize,
    columns: usize,
    width: usize,
    data: Buffer<f32>,
}

impl Panels {
    /// Packs a matrix.
    pub(crate) fn pack(set: InstructionSet, matrix: Matrix<'_, f32>) -> Self {
        let (k, columns) = (matrix.rows(), matrix.columns());
        let width = panel_width(set);
        let mut data = Buffer::stale(columns.div_ceil(width) * width * k);
        let small = data.len() < PARALLEL;
        let mut pack = || {
            share_chunks(&mut data, (width * k).max(1), |panels| {
                for (panel, data) in panels {
                    let first = panel * width;
                    let count = width.min(columns - first);
                    matrix.copy_block(first, count, width, data);
                    if count < width {
                        data.chunks_exact_mut(width).for_each(|row| row[count..].fill(0.0));
                    }
                }
            });
        };
        if small {
            alone(pack)
        } else {
            pack()
        }
        Self { set, k, columns, width, data }
    }

    /// The same in memory of its own size, to be kept.
    pub(crate) fn kept(self) -> Self {
        Self { data: self.data.unpooled(), ..self }
    }

    /// Columns of the matrix.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }
}

/// What a product adds its result to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zeros.
    Zero,
    /// One number a column.
    Bias(&'a [f32]),
    /// What the result holds.
    Result,
}

/// Where the rows of a left-hand side lie: each in segments, one after another in the product.
#[derive(Clone, Copy)]
struct Left<'a> {
    data: &'a [f32],
    /// Where each row begins; without, rows are `stride` apart.
    starts: Option<&'a [usize]>,
    stride: usize,
    segments: usize,
    /// Distance between the segments of a row.
    segment_stride: usize,
}

impl Left<'_> {
    #[inline(always)]
    fn start(&self, row: usize) -> usize {
        self.starts.map_or(row * self.stride, |starts| starts[row])
    }
}

/// `out = start + a · panels`; rows of `out` are `out_stride` apart.
pub(crate) struct Product<'a> {
    a: Left<'a>,
    rows: usize,
    panels: &'a Panels,
    start: Start<'a>,
    out: &'a mut [f32],
    out_stride: usize,
}

/// `out = start + a · panels`.
pub(crate) fn multiply(
    a: Matrix<'_, f32>,
    panels: &Panels,
    start: Start<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    let (a, rows, a_stride) = a.rows_of(panels.k);
    if rows == 0 || panels.columns == 0 {
        return;
    }
    assert!(a.len() >= (rows - 1) * a_stride + panels.k, "left-hand side of a product");
    let a = Left { data: a, starts: None, stride: a_stride, segments: 1, segment_stride: 0 };
    multiply_left(a, rows, panels, start, out, out_stride);
}

/// `out = start + neighbourhoods · panels`, of `rows` pixels from `first` on; rows of `out` lie
/// without gaps.
pub(crate) fn multiply_neighbours(
    padded: &Padded,
    (first, rows): (usize, usize),
    panels: &Panels,
    start: Start<'_>,
    out: &mut [f32],
) {
    if rows == 0 || panels.columns == 0 {
        return;
    }
    let (line, stride) = (padded.line(), padded.stride());
    assert_eq!(panels.k, 3 * line, "rows of the weights of a convolution");
    let mut starts = [0; BLOCK];
    let starts = &mut starts[..rows];
    starts.iter_mut().zip(padded.starts(first)).for_each(|(start, of)| *start = of);
    // They rise from pixel to pixel.
    let last = starts[rows - 1] + 2 * stride + line;
    assert!(padded.data().len() >= last, "left-hand side of a convolution");
    let a = Left {
        data: padded.data(),
        starts: Some(starts),
        stride: 0,
        segments: 3,
        segment_stride: stride,
    };
    multiply_left(a, rows, panels, start, out, panels.columns);
}

fn multiply_left(
    a: Left<'_>,
    rows: usize,
    panels: &Panels,
    start: Start<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    assert!(out.len() >= (rows - 1) * out_stride + panels.columns, "result of a product");
    assert!(out_stride >= panels.columns, "rows of a result overlap");
    if let Start::Bias(bias) = start {
        assert_eq!(bias.len(), panels.columns, "one bias a column");
    }
    run_product(panels.set, Product { a, rows, panels, start, out, out_stride });
}

for_each_set! { fn run_product = product_kernel(Product<'_>) }

/// # Safety
/// The instruction set of `L` must be present. [`multiply_left`] and its callers have checked the
/// sizes.
#[inline(always)]
unsafe fn product_kernel<L: Lanes>(p: Product<'_>) {
    let Product { a, rows, panels, start, out, out_stride } = p;
    let Panels { k, columns, width, ref data, .. } = *panels;
    for (panel, b) in data.chunks_exact(width * k).enumerate() {
        let first = panel * width;
        let count = width.min(columns - first);
        for row in (0..rows).step_by(L::TILE_ROWS) {
            let live = L::TILE_ROWS.min(rows - row);
            // Rows past the end repeat the last one; they are computed and not stored.
            let mut lines = [a.data.as_ptr(); MAX_ROWS];
            for (i, line) in lines.iter_mut().enumerate().take(L::TILE_ROWS) {
                *line = a.data[a.start(row + i.min(live - 1))..].as_ptr();
            }
            let left = Lines {
                rows: lines,
                step: 1,
                count: k / a.segments,
                segments: a.segments,
                segment_stride: a.segment_stride,
            };
            let out = &mut out[row * out_stride + first..];
            let bias = match start {
                Start::Bias(bias) => Some(&bias[first..][..count]),
                _ => None,
            };
            let target = Target { out, stride: out_stride, live, count };
            let add = matches!(start, Start::Result);
            // SAFETY: rows of `a` hold `k` numbers in their segments, the panel `k * width`.
            unsafe { tile::<L>(left, (b.as_ptr(), width), target, bias, add) }
        }
    }
}

/// The rows of a tile's left-hand side: `segments` of `count` numbers each, `step` apart.
#[derive(Clone, Copy)]
struct Lines {
    rows: [*const f32; MAX_ROWS],
    step: usize,
    count: usize,
    segments: usize,
    segment_stride: usize,
}

/// Sums the products of rows of `a` with the rows of `b`, which are `b_stride` apart, and stores it.
///
/// # Safety
/// Each row of `a` must be valid for all its numbers, each row of `b`, one for each of them, for as
/// many registers as `target.count` numbers fill; the instruction set of `L` must be present.
#[inline(always)]
unsafe fn tile<L: Lanes>(
    a: Lines,
    (b, b_stride): (*const f32, usize),
    target: Target<'_>,
    bias: Option<&[f32]>,
    add: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match target.count.div_ceil(L::N) {
            1 => Tile::<L, 1>::sum(a, b, b_stride).finish(target, bias, add),
            2 => Tile::<L, 2>::sum(a, b, b_stride).finish(target, bias, add),
            _ => Tile::<L, 3>::sum(a, b, b_stride).finish(target, bias, add),
        }
    }
}

/// `TILE_ROWS × C` registers.
struct Tile<L, const C: usize>([[L; C]; MAX_ROWS]);

/// Where a tile goes: `live` rows of `count` numbers.
struct Target<'a> {
    out: &'a mut [f32],
    stride: usize,
    live: usize,
    count: usize,
}

impl<L: Lanes, const C: usize> Tile<L, C> {
    /// See [`tile`].
    ///
    /// # Safety
    /// As of [`tile`], with `C` registers in each row of `b`.
    #[inline(always)]
    unsafe fn sum(a: Lines, b: *const f32, b_stride: usize) -> Self {
        // SAFETY: the caller's promise covers every pointer; the counts bound the offsets.
        unsafe {
            let mut sums = [[L::splat(0.0); C]; MAX_ROWS];
            for segment in 0..a.segments {
                let b = b.add(segment * a.count * b_stride);
                let mut rows = a.rows;
                for i in 0..L::TILE_ROWS {
                    rows[i] = rows[i].add(segment * a.segment_stride);
                }
                for step in 0..a.count {
                    let mut row = [L::splat(0.0); C];
                    for j in 0..C {
                        row[j] = L::load(b.add(step * b_stride + j * L::N));
                    }
                    for i in 0..L::TILE_ROWS {
                        let left = L::splat(*rows[i].add(step * a.step));
                        for j in 0..C {
                            sums[i][j] = left.mul_add(row[j], sums[i][j]);
                        }
                    }
                }
            }
            Self(sums)
        }
    }

    /// Adds the bias, or what is there, and stores.
    ///
    /// # Safety
    /// The instruction set of `L` must be present.
    #[inline(always)]
    unsafe fn finish(self, target: Target<'_>, bias: Option<&[f32]>, add: bool) {
        let Target { out, stride, live, count } = target;
        for (i, sums) in self.0.iter().enumerate().take(live) {
            let out = &mut out[i * stride..][..count];
            for (j, &sum) in sums.iter().enumerate() {
                let first = j * L::N;
                let n = L::N.min(count - first);
                let (out, bias) = (&mut out[first..][..n], bias.map(|bias| &bias[first..]));
                // SAFETY: whole registers are read and written only where a whole one is left.
                unsafe {
                    if n == L::N {
                        let sum = match bias {
                            Some(bias) => sum.add(L::load(bias.as_ptr())),
                            _ if add => sum.add(L::load(out.as_ptr())),
                            _ => sum,
                        };
                        sum.store(out.as_mut_ptr());
                    } else {
                        let sum = match bias {
                            Some(bias) => sum.add(L::load_part(bias.as_ptr(), n)),
                            _ if add => sum.add(L::load_part(out.as_ptr(), n)),
                            _ => sum,
                        };
                        sum.store_part(out.as_mut_ptr(), n);
                    }
                }
            }
        }
    }
}

/// `out = aᵀ b` over shared rows, or added to it: `a` is (rows × m), `b` (rows × n), `out` (m × n).
pub(crate) struct Outer<'a> {
    a: &'a [f32],
    a_stride: usize,
    m: usize,
    b: &'a [f32],
    b_stride: usize,
    n: usize,
    rows: usize,
    out: &'a mut [f32],
    add: bool,
}

/// `out = aᵀ b`, or added to what is there where told to `add`; rows of `a` and `b` are `a_stride`
/// and `b_stride` apart, `out` is m × n without gaps.
///
/// Registers run along `b`'s columns. Where they are no whole number of registers, the last ones
/// must exist in memory all the same (rows padded to whole registers), whatever they hold.
pub(crate) fn outer(
    set: InstructionSet,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    out: &mut [f32],
    add: bool,
) {
    let (m, n) = (a.columns(), b.columns());
    let (a, rows, a_stride) = a.rows_of(m);
    let (b, b_rows, b_stride) = b.rows_of(n);
    assert_eq!(rows, b_rows, "rows of an outer product");
    assert!(rows > 0, "rows of an outer product");
    if m == 0 || n == 0 {
        return;
    }
    assert!(a.len() >= (rows - 1) * a_stride + m, "left-hand side of an outer product");
    let whole = n.next_multiple_of(MAX_LANES);
    let enough = (rows - 1) * b_stride + if n % MAX_LANES == 0 { n } else { whole };
    assert!(b.len() >= enough, "right-hand side of an outer product");
    assert!(out.len() >= m * n, "result of an outer product");
    run_outer(set, Outer { a, a_stride, m, b, b_stride, n, rows, out, add });
}

/// Lanes of the widest register.
pub(crate) const MAX_LANES: usize = 16;

for_each_set! { fn run_outer = outer_kernel(Outer<'_>) }

/// # Safety
/// The instruction set of `L` must be present. [`outer`] has checked the sizes.
#[inline(always)]
unsafe fn outer_kernel<L: Lanes>(p: Outer<'_>) {
    let Outer { a, a_stride, m, b, b_stride, n, rows, out, add } = p;
    let width = L::N * L::TILE_COLUMNS;
    for first in (0..n).step_by(width) {
        let count = width.min(n - first);
        for row in (0..m).step_by(L::TILE_ROWS) {
            let live = L::TILE_ROWS.min(m - row);
            let mut lines = [a.as_ptr(); MAX_ROWS];
            for (i, line) in lines.iter_mut().enumerate().take(L::TILE_ROWS) {
                *line = a[row + i.min(live - 1)..].as_ptr();
            }
            let left =
                Lines { rows: lines, step: a_stride, count: rows, segments: 1, segment_stride: 0 };
            let target = Target { out: &mut out[row * n + first..], stride: n, live, count };
            let b = b[first..].as_ptr();
            // SAFETY: `a` has a number and `b` whole registers for every row, as checked.
            unsafe { tile::<L>(left, (b, b_stride), target, None, add) }
        }
    }
}
