//! Convolutions as products of pixel rows with weight matrices, and their gradients.
//!
//! Everything a residual block does is one of three things over blocks of pixels: a [`product`]
//! of rows (a 1×1 convolution, forward or backward), a 3×3 convolution ([`convolve`]), or a
//! [`weight_gradient`]. Rows are produced one block at a time ([`Rows`]), so that neighbourhoods
//! and activations that are cheap to recompute never exist for a whole batch.
//!
//! float32 goes through register tiles ([`super::panels`]) and, where it pays, Winograd's minimal
//! filtering ([`super::winograd`]); float64, the tests' oracle, through the `gemm` crate.

mod bfloat;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use super::bfloat::Panels as BfloatPanels;
use super::buffer::Buffer;
use super::gelu::{Normal, gelu};
use super::im2col::{Grid, Padded, im2col_3x3};
use super::matmul::matmul;
use super::matrix::Matrix;
use super::panels::{MAX_LANES, Panels, Start, multiply, multiply_neighbours, outer};
use super::window::Windows;
use super::winograd::{self, Direction};
use crate::arithmetic::Arithmetic;
use crate::real::Real;
use crate::team::{Out, share_chunks, share_map};
use bfloat::{convolve_bf16, product_bf16, weight_gradient_bf16};
use vdvae_io::{InstructionSet, instruction_set};

/// Pixels in one product: few enough that a block of 3×3 neighbourhoods stays in the second-level
/// cache, and that every thread finds work.
pub(super) const BLOCK: usize = 120;
/// Blocks are multiples of this: whole result tiles of six and of eight rows.
const BLOCK_STEP: usize = 24;

/// Where the rows of a product come from; a row belongs to a pixel.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a, T> {
    /// The first `channels` numbers of each pixel; pixels lie `stride` apart.
    Plain { x: &'a [T], channels: usize, stride: usize },
    /// `gelu(x)`.
    Gelu { x: &'a [T], channels: usize },
    /// The 3×3 neighbourhood of each pixel.
    Neighbours { grid: Grid, x: &'a [T], channels: usize },
    /// Any window of pixels.
    Windows(Windows<'a, T>),
}

impl<T: Normal> Rows<'_, T> {
    /// Numbers in a row.
    pub(crate) fn width(&self) -> usize {
        match *self {
            Self::Plain { channels, .. } | Self::Gelu { channels, .. } => channels,
            Self::Neighbours { channels, .. } => 9 * channels,
            Self::Windows(windows) => windows.width(),
        }
    }

    /// Numbers of scratch that [`Self::block`] needs for `count` pixels.
    fn scratch(&self, count: usize) -> usize {
        match self {
            Self::Plain { .. } => 0,
            Self::Gelu { .. } | Self::Neighbours { .. } | Self::Windows(_) => count * self.width(),
        }
    }

    /// The rows of pixels `first..first + count`, in place or written to `scratch`.
    fn block<'s>(&'s self, first: usize, count: usize, scratch: &'s mut [T]) -> Matrix<'s, T> {
        let width = self.width();
        match *self {
            Self::Plain { x, stride, .. } => {
                return Matrix::new(&x[first * stride..], count, width, stride);
            }
            Self::Gelu { x, .. } => {
                gelu(&x[first * width..][..count * width], &mut scratch[..count * width]);
            }
            Self::Neighbours { grid, x, channels } => {
                im2col_3x3(grid, (x, channels), (first, count), scratch, width);
            }
            Self::Windows(windows) => windows.rows(first, &mut scratch[..count * width]),
        }
        Matrix::new(scratch, count, width, width)
    }
}

/// A 3×3 convolution: its weights (output, 3, 3, input) and the way it is gone through.
#[derive(Clone, Copy)]
pub(crate) struct Convolution<'a, T> {
    pub(crate) grid: Grid,
    pub(crate) weights: &'a [T],
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) direction: Direction,
    /// Where what is computed from the weights is kept, if they are the same in every call.
    pub(crate) packed: Option<&'a Packed>,
    pub(crate) arithmetic: Arithmetic,
}

/// What is computed once from the weights of a convolution that never change, for its forward pass.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// The weights as a matrix, one for each input.
    pub(crate) panels: [OnceLock<Panels>; 2],
    /// The same in bfloat16.
    pub(crate) bfloat: [OnceLock<BfloatPanels>; 2],
    /// Their Winograd transforms.
    winograd: OnceLock<winograd::Weights>,
}

impl<T: Kernels> Convolution<'_, T> {
    /// Channels read and written.
    fn channels(&self) -> (usize, usize) {
        match self.direction {
            Direction::Forward => (self.input, self.output),
            Direction::Backward => (self.output, self.input),
        }
    }

    /// Calls `f` with the weights as a (9 · channels read) × (channels written) matrix.
    fn with_matrix<R>(&self, f: impl FnOnce(Weights<'_, T>) -> R) -> R {
        let (read, written) = self.channels();
        match self.direction {
            Direction::Forward => {
                let weights = Matrix::new(self.weights, written, 9 * read, 9 * read).transposed();
                f(Weights::kept_in(self.packed.map(|packed| &packed.panels[0]), weights))
            }
            Direction::Backward => {
                let mut reversed = Vec::with_capacity(self.weights.len());
                for tap in (0..9).rev() {
                    for o in 0..self.output {
                        let start = (o * 9 + tap) * self.input;
                        reversed.extend_from_slice(&self.weights[start..][..self.input]);
                    }
                }
                f(Matrix::new(&reversed, 9 * read, written, written).into())
            }
        }
    }
}

/// What is done with each finished block: called with the number of its first pixel.
pub(crate) type Finish<'a, T> = &'a (dyn Fn(usize, &mut [T]) + Sync);

/// The (row width × outputs) matrix that rows are multiplied with.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a, T> {
    matrix: Matrix<'a, T>,
    /// Where its packed form is kept from the first product on, if its numbers never change.
    packed: Option<&'a OnceLock<Panels>>,
}

impl<'a, T> From<Matrix<'a, T>> for Weights<'a, T> {
    fn from(matrix: Matrix<'a, T>) -> Self {
        Self { matrix, packed: None }
    }
}

impl<'a, T> Weights<'a, T> {
    /// A matrix whose packed form is kept in `cell`; its numbers must be the same in every call.
    pub(crate) fn kept_in(cell: Option<&'a OnceLock<Panels>>, matrix: Matrix<'a, T>) -> Self {
        Self { matrix, packed: cell }
    }
}

impl<'a> Weights<'a, f32> {
    /// The packed form.
    fn panels(&self, set: InstructionSet) -> Cow<'a, Panels> {
        let pack = || Panels::pack(set, self.matrix);
        match self.packed {
            Some(cell) => Cow::Borrowed(cell.get_or_init(|| pack().kept())),
            None => Cow::Owned(pack()),
        }
    }
}

/// Rows and what they are multiplied with.
pub(crate) type Operand<'a, T> = (Rows<'a, T>, Weights<'a, T>);

/// The loops of one number type.
pub(crate) trait Kernels: Normal {
    /// See [`product`].
    fn product(
        operands: &[Operand<'_, Self>],
        bias: Option<&[Self]>,
        outputs: usize,
        out: Out<'_, Self>,
        arithmetic: Arithmetic,
        finish: Finish<'_, Self>,
    );

    /// See [`convolve`].
    fn convolve(
        convolution: Convolution<'_, Self>,
        x: &[Self],
        bias: Option<&[Self]>,
        out: &mut [Self],
        finish: Finish<'_, Self>,
    );

    /// `gradient[output] = Σ_pixels upstream[pixel][output] rows[pixel]`; with `gradient` comes the
    /// distance between its rows.
    ///
    /// Pixels are divided among the threads; each sums its own part, and the parts are added in
    /// order, so that the result depends on the number of threads and on nothing else.
    fn weight_gradient(
        rows: &Rows<'_, Self>,
        upstream: &[Self],
        outputs: usize,
        gradient: (&mut [Self], usize),
        arithmetic: Arithmetic,
    );
}

/// `out[pixel] = bias + Σ rows[pixel] weights`, `outputs` numbers a pixel.
pub(crate) fn product<T: Kernels>(
    operands: &[Operand<'_, T>],
    bias: Option<&[T]>,
    outputs: usize,
    out: Out<'_, T>,
    arithmetic: Arithmetic,
    finish: impl Fn(usize, &mut [T]) + Sync,
) {
    T::product(operands, bias, outputs, out, arithmetic, &finish);
}

/// `out = bias + convolution of x`, with zeros around each picture.
pub(crate) fn convolve<T: Kernels>(
    convolution: Convolution<'_, T>,
    x: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
    finish: impl Fn(usize, &mut [T]) + Sync,
) {
    T::convolve(convolution, x, bias, out, &finish);
}

/// Room for a block of any operand's rows.
fn scratch<T: Kernels>(operands: &[Operand<'_, T>], pixels: usize) -> Buffer<T> {
    Buffer::stale(operands.iter().map(|(rows, _)| rows.scratch(pixels)).max().unwrap_or(0))
}

/// Pixels a task takes at once.
fn block_size(pixels: usize) -> usize {
    let each = pixels.div_ceil(8 * rayon::current_num_threads());
    each.next_multiple_of(BLOCK_STEP).min(BLOCK)
}

impl Kernels for f64 {
    fn product(
        operands: &[Operand<'_, f64>],
        bias: Option<&[f64]>,
        outputs: usize,
        out: Out<'_, f64>,
        _: Arithmetic,
        finish: Finish<'_, f64>,
    ) {
        let size = block_size(out.len() / outputs);
        out.share_chunks(size * outputs, |chunks| {
            let mut scratch = scratch(operands, size);
            for (i, out) in chunks {
                let (first, count) = (i * size, out.len() / outputs);
                if let Some(bias) = bias {
                    out.chunks_exact_mut(outputs).for_each(|pixel| pixel.copy_from_slice(bias));
                }
                for (j, (rows, weights)) in operands.iter().enumerate() {
                    let accumulate = j > 0 || bias.is_some();
                    let rows = rows.block(first, count, &mut scratch);
                    matmul(rows, weights.matrix, out, outputs, accumulate);
                }
                finish(first, out);
            }
        });
    }

    fn convolve(
        convolution: Convolution<'_, f64>,
        x: &[f64],
        bias: Option<&[f64]>,
        out: &mut [f64],
        finish: Finish<'_, f64>,
    ) {
        let (read, written) = convolution.channels();
        let rows = Rows::Neighbours { grid: convolution.grid, x, channels: read };
        convolution.with_matrix(|weights| {
            let how = convolution.arithmetic;
            Self::product(&[(rows, weights)], bias, written, Out::Held(out), how, finish);
        });
    }

    fn weight_gradient(
        rows: &Rows<'_, f64>,
        upstream: &[f64],
        outputs: usize,
        (gradient, row_stride): (&mut [f64], usize),
        _: Arithmetic,
    ) {
        let width = rows.width();
        let parts = by_share(upstream.len() / outputs, |range| {
            let mut sum = Buffer::zeros(outputs * width);
            let mut scratch = Buffer::stale(rows.scratch(BLOCK));
            for first in range.clone().step_by(BLOCK) {
                let count = BLOCK.min(range.end - first);
                let upstream = Matrix::new(&upstream[first * outputs..], count, outputs, outputs);
                let rows = rows.block(first, count, &mut scratch);
                matmul(upstream.transposed(), rows, &mut sum, width, true);
            }
            sum
        });
        add_parts(&parts, width, gradient, row_stride);
    }
}

impl Kernels for f32 {
    fn product(
        operands: &[Operand<'_, f32>],
        bias: Option<&[f32]>,
        outputs: usize,
        out: Out<'_, f32>,
        arithmetic: Arithmetic,
        finish: Finish<'_, f32>,
    ) {
        let by = if arithmetic.bf16 { product_bf16 } else { product_f32 };
        by(instruction_set(), operands, bias, outputs, out, finish);
    }

    fn convolve(
        convolution: Convolution<'_, f32>,
        x: &[f32],
        bias: Option<&[f32]>,
        out: &mut [f32],
        finish: Finish<'_, f32>,
    ) {
        let by = if convolution.arithmetic.bf16 { convolve_bf16 } else { convolve_f32 };
        by(instruction_set(), convolution, x, bias, out, finish);
    }

    fn weight_gradient(
        rows: &Rows<'_, f32>,
        upstream: &[f32],
        outputs: usize,
        gradient: (&mut [f32], usize),
        arithmetic: Arithmetic,
    ) {
        let by = if arithmetic.bf16 { weight_gradient_bf16 } else { weight_gradient_f32 };
        by((instruction_set(), arithmetic), rows, upstream, outputs, gradient);
    }
}

fn product_f32(
    set: InstructionSet,
    operands: &[Operand<'_, f32>],
    bias: Option<&[f32]>,
    outputs: usize,
    out: Out<'_, f32>,
    finish: Finish<'_, f32>,
) {
    let size = block_size(out.len() / outputs);
    let packed: Vec<_> = operands.iter().map(|(_, weights)| weights.panels(set)).collect();
    out.share_chunks(size * outputs, |chunks| {
        let mut scratch = scratch(operands, size);
        for (i, out) in chunks {
            let (first, count) = (i * size, out.len() / outputs);
            for (j, ((rows, _), panels)) in operands.iter().zip(&packed).enumerate() {
                let start = match (j, bias) {
                    (0, Some(bias)) => Start::Bias(bias),
                    (0, None) => Start::Zero,
                    _ => Start::Result,
                };
                multiply(rows.block(first, count, &mut scratch), panels, start, out, outputs);
            }
            finish(first, out);
        }
    });
}

fn convolve_f32(
    set: InstructionSet,
    convolution: Convolution<'_, f32>,
    x: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    finish: Finish<'_, f32>,
) {
    let Convolution { grid, weights, input, output, direction, packed, arithmetic } = convolution;
    let (read, written) = convolution.channels();
    if !arithmetic.exact && winograd::suits(grid, read, written) {
        let transform = || winograd::Weights::new(set, weights, (input, output), direction);
        let weights = match packed {
            Some(packed) => Cow::Borrowed(packed.winograd.get_or_init(|| transform().kept())),
            None => Cow::Owned(transform()),
        };
        return winograd::convolve(grid, x, &weights, bias, out, finish);
    }
    let padded = Padded::new(grid, x, read);
    let size = block_size(grid.pixels());
    convolution.with_matrix(|weights| {
        let panels = weights.panels(set);
        share_chunks(out, size * written, |chunks| {
            for (i, out) in chunks {
                let (first, count) = (i * size, out.len() / written);
                let start = bias.map_or(Start::Zero, Start::Bias);
                multiply_neighbours(&padded, (first, count), &panels, start, out);
                finish(first, out);
            }
        });
    });
}

fn weight_gradient_f32(
    (set, arithmetic): (InstructionSet, Arithmetic),
    rows: &Rows<'_, f32>,
    upstream: &[f32],
    outputs: usize,
    (gradient, row_stride): (&mut [f32], usize),
) {
    let width = rows.width();
    if let Rows::Neighbours { grid, x, channels } = *rows
        && !arithmetic.exact
        && row_stride == width
        && winograd::suits(grid, channels, outputs)
    {
        return winograd::weight_gradient(set, grid, x, upstream, gradient);
    }
    let neighbours = match *rows {
        Rows::Neighbours { grid, x, channels } => Some(Padded::new(grid, x, channels)),
        Rows::Plain { .. } | Rows::Gelu { .. } | Rows::Windows(_) => None,
    };
    let parts = by_share(upstream.len() / outputs, |range| {
        let mut sum = Buffer::stale(outputs * width);
        if range.is_empty() {
            sum.fill(0.0);
        }
        let mut scratch = Buffer::stale(rows.scratch(BLOCK));
        let mut padded = Buffer::stale(BLOCK * width.next_multiple_of(MAX_LANES));
        for first in range.clone().step_by(BLOCK) {
            let count = BLOCK.min(range.end - first);
            let upstream = Matrix::new(&upstream[first * outputs..], count, outputs, outputs);
            let rows = match &neighbours {
                Some(padded) => {
                    padded.im2col(first, &mut scratch[..count * width]);
                    Matrix::new(&scratch, count, width, width)
                }
                None => rows.block(first, count, &mut scratch),
            };
            let rows = whole_registers(rows, &mut padded);
            outer(set, upstream, rows, &mut sum, first > range.start);
        }
        sum
    });
    add_parts(&parts, width, gradient, row_stride);
}

/// The same matrix in rows that end with a whole register, copied where they do not.
fn whole_registers<'a>(rows: Matrix<'a, f32>, padded: &'a mut [f32]) -> Matrix<'a, f32> {
    let (count, width) = (rows.rows(), rows.columns());
    if width.is_multiple_of(MAX_LANES) {
        return rows;
    }
    let stride = width.next_multiple_of(MAX_LANES);
    let padded = &mut padded[..count * stride];
    rows.copy_block(0, width, stride, padded);
    Matrix::new(padded, count, width, stride)
}

/// `gradient[output] = Σ_pixels upstream[pixel][output]`.
pub(crate) fn bias_gradient<T: Real>(upstream: &[T], gradient: &mut [T]) {
    let outputs = gradient.len();
    let parts = by_share(upstream.len() / outputs, |range| {
        let mut sum = Buffer::zeros(outputs);
        for pixel in upstream[range.start * outputs..range.end * outputs].chunks_exact(outputs) {
            sum.iter_mut().zip(pixel).for_each(|(s, &p)| *s += p);
        }
        sum
    });
    add_parts(&parts, outputs, gradient, outputs);
}

/// One range of `all` a thread, `most` at most.
pub(crate) fn shares(all: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let count = rayon::current_num_threads().min(most).min(all).max(1);
    let edge = move |i: usize| all * i / count;
    (0..count).map(move |i| edge(i)..edge(i + 1))
}

/// Runs `work` on a range of pixels a thread, on fewer where there are few; results in order.
fn by_share<R: Send>(pixels: usize, work: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    let ranges: Vec<_> = shares(pixels, pixels.div_ceil(BLOCK)).collect();
    share_map(ranges.len(), |i| work(ranges[i].clone()))
}

/// Numbers of a gradient a task adds up at once.
const ADDED: usize = 1 << 13;

/// Adds parts of rows of `width` numbers, in order, into rows `row_stride` apart.
fn add_parts<T: Real>(parts: &[Buffer<T>], width: usize, gradient: &mut [T], row_stride: usize) {
    let rows = parts[0].len() / width;
    // Rows of the gradient lie `row_stride` apart, the last one may end where its numbers do.
    let gradient = &mut gradient[..(rows - 1) * row_stride + width];
    let together = (ADDED / width).max(1);
    share_chunks(gradient, together * row_stride, |chunks| {
        for (i, chunk) in chunks {
            for (row, out) in (i * together..).zip(chunk.chunks_mut(row_stride)) {
                let out = &mut out[..width];
                out.copy_from_slice(&parts[0][row * width..][..width]);
                for part in &parts[1..] {
                    let part = &part[row * width..][..width];
                    out.iter_mut().zip(part).for_each(|(o, &p)| *o += p);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests;
