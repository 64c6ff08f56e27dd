//! 3×3 convolutions by Winograd's minimal filtering F(4×4, 3×3).
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308. A tile of
//! 4×4 results takes 36 products a pair of channels instead of 144: the 6×6 pixels it depends on
//! and the 3×3 weights are transformed, multiplied element by element (as 36 matrix products over
//! tiles), and transformed back.
//!
//! The price is precision, and how much depends on the points at which the polynomials behind the
//! transforms are evaluated. With the paper's 0, ±1, ±2 and ∞ the largest error on normal input is
//! 6.8e-6 of the largest result (96 channels); with 0, ±3/4, ±3/2 and ∞, used here, 1.7e-6, hardly
//! more than direct sums have, at no more operations. Barabasz et al., "Error analysis and improving
//! the accuracy of Winograd convolution", arXiv 1803.10986, explain why points near 1 are better.
//! What remains is cancellation: taps that add up to zero on pixels that hardly change lose up to
//! 1e-5.

mod transforms;

use std::ops::Range;

use super::buffer::Buffer;
use super::im2col::Grid;
use super::matrix::Matrix;
use super::panels::{MAX_LANES, Panels, Start, multiply, outer};
use crate::team::{share_chunks, share_map};
use transforms::{
    Patches, Results, Upstream, transform_gradient, transform_patches, transform_results,
    transform_upstream, transform_weights,
};
use vdvae_io::InstructionSet;

/// Side of a tile of results.
const TILE: usize = 4;
/// Side of what it depends on.
const PATCH: usize = 6;
/// Products a tile and pair of channels.
const POINTS: usize = PATCH * PATCH;
/// Tiles a task takes at once: enough rows to use each panel of weights twice from a register
/// tile's point of view, few enough that both transforms stay in the second-level cache.
const TILES: usize = 16;

/// Pixels from which the time saved makes up for that of transforming the weights.
const PIXELS: usize = 1024;

/// Whether a convolution can be computed this way, and is faster so.
pub(crate) fn suits(grid: Grid, input: usize, output: usize) -> bool {
    let whole = |size: usize| size.is_multiple_of(TILE) && size >= 2 * TILE;
    let lanes = |channels: usize| channels.is_multiple_of(MAX_LANES);
    whole(grid.height)
        && whole(grid.width)
        && lanes(input)
        && lanes(output)
        && grid.pixels() >= PIXELS
}

/// Which way a convolution carries its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Inputs to outputs.
    Forward,
    /// Gradients of the outputs to those of the inputs: channels exchanged, taps reversed.
    Backward,
}

/// Transformed weights, one packed (k × columns) matrix a point.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    set: InstructionSet,
    points: Vec<Panels>,
}

impl Weights {
    /// Transforms weights (output, 3, 3, input).
    pub(crate) fn new(
        set: InstructionSet,
        weights: &[f32],
        (input, output): (usize, usize),
        direction: Direction,
    ) -> Self {
        let mut transformed = Buffer::stale(POINTS * output * input);
        // Chunks of one point are strided through the result, so outputs are taken one by one.
        let rows: Vec<Vec<f32>> = share_map(output, |o| {
            transform_weights(&weights[o * 9 * input..][..9 * input], input, direction)
        });
        for (o, row) in rows.iter().enumerate() {
            for (point, values) in row.chunks_exact(input).enumerate() {
                transformed[(point * output + o) * input..][..input].copy_from_slice(values);
            }
        }
        let points = share_map(POINTS, |point| {
            let matrix = Matrix::new(&transformed[point * output * input..], output, input, input);
            match direction {
                Direction::Forward => Panels::pack(set, matrix.transposed()),
                Direction::Backward => Panels::pack(set, matrix),
            }
        });
        Self { set, points }
    }

    /// The same in memory of its own size, to be kept.
    pub(crate) fn kept(self) -> Self {
        Self { points: self.points.into_iter().map(Panels::kept).collect(), ..self }
    }

    fn output(&self) -> usize {
        self.points[0].columns()
    }
}

/// Rows of tiles, numbered through the batch, so that consecutive rows are consecutive pixels.
#[derive(Clone, Copy)]
struct TileRows {
    grid: Grid,
}

impl TileRows {
    fn per_row(self) -> usize {
        self.grid.width / TILE
    }

    fn count(self) -> usize {
        self.grid.n * self.grid.height / TILE
    }

    /// Rows a task takes.
    fn per_task(self) -> usize {
        (TILES / self.per_row()).max(1)
    }

    fn pixels(self, rows: usize) -> usize {
        rows * TILE * self.grid.width
    }
}

/// `out = bias + convolution of x`, with zeros around each picture; `finish` is called with each
/// finished block of pixels.
pub(crate) fn convolve(
    grid: Grid,
    x: &[f32],
    weights: &Weights,
    bias: Option<&[f32]>,
    out: &mut [f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let output = weights.output();
    let input = x.len() / grid.pixels();
    let rows = TileRows { grid };
    let (each, set) = (rows.per_task(), weights.set);
    let zeros = vec![0.0; output];
    let bias = bias.unwrap_or(&zeros);
    let block = rows.pixels(each) * output;
    share_chunks(out, block, |chunks| {
        let most = POINTS * each * rows.per_row();
        let (mut patches, mut products) =
            (Buffer::stale(most * input), Buffer::stale(most * output));
        for (task, out) in chunks {
            let first = task * each;
            let range = first..(first + each).min(rows.count());
            let tiles = range.len() * rows.per_row();
            let patches = &mut patches[..POINTS * tiles * input];
            let products = &mut products[..POINTS * tiles * output];
            transform_patches(set, Patches { rows, range, x, channels: input, out: patches });
            let of_point = patches.chunks_exact(tiles * input);
            for ((patch, product), panels) in
                of_point.zip(products.chunks_exact_mut(tiles * output)).zip(&weights.points)
            {
                let patch = Matrix::new(patch, tiles, input, input);
                multiply(patch, panels, Start::Zero, product, output);
            }
            let per_row = rows.per_row();
            transform_results(set, Results { products, tiles, per_row, bias, out });
            finish(rows.pixels(first), out);
        }
    });
}

/// Gradient of weights (output, 3, 3, input), added up over consecutive rows of tiles by each
/// thread and then in order.
pub(crate) fn weight_gradient(
    set: InstructionSet,
    grid: Grid,
    x: &[f32],
    upstream: &[f32],
    gradient: &mut [f32],
) {
    let (input, output) = (x.len() / grid.pixels(), upstream.len() / grid.pixels());
    let rows = TileRows { grid };
    let threads = rayon::current_num_threads().min(rows.count());
    let share = |i: usize| rows.count() * i / threads;
    let parts: Vec<Buffer<f32>> = share_map(threads, |i| {
        point_gradients(set, rows, share(i)..share(i + 1), (x, input), (upstream, output))
    });
    let point = output * input;
    share_chunks(gradient, 9 * input, |chunks| {
        let mut sum = Buffer::stale(POINTS * input);
        for (o, gradient) in chunks {
            sum.fill(0.0);
            for part in &parts {
                for (q, sum) in sum.chunks_exact_mut(input).enumerate() {
                    let part = &part[q * point + o * input..][..input];
                    sum.iter_mut().zip(part).for_each(|(s, &p)| *s += p);
                }
            }
            transform_gradient(&sum, input, gradient);
        }
    });
}

/// Gradients of the transformed weights from some rows of tiles: 36 (output × input) matrices.
fn point_gradients(
    set: InstructionSet,
    rows: TileRows,
    range: Range<usize>,
    (x, input): (&[f32], usize),
    (upstream, output): (&[f32], usize),
) -> Buffer<f32> {
    let mut sums = Buffer::stale(POINTS * output * input);
    let each = rows.per_task();
    let tiles = POINTS * each * rows.per_row();
    let (mut patches, mut spread) = (Buffer::stale(tiles * input), Buffer::stale(tiles * output));
    for first in range.clone().step_by(each) {
        let add = first > range.start;
        let range = first..(first + each).min(range.end);
        let tiles = range.len() * rows.per_row();
        let patches = &mut patches[..POINTS * tiles * input];
        let spread = &mut spread[..POINTS * tiles * output];
        let upstream = &upstream[rows.pixels(first) * output..];
        transform_patches(set, Patches { rows, range, x, channels: input, out: patches });
        let per_row = rows.per_row();
        transform_upstream(
            set,
            Upstream { upstream, tiles, per_row, channels: output, out: spread },
        );
        let points = patches.chunks_exact(tiles * input).zip(spread.chunks_exact(tiles * output));
        for ((patch, spread), sum) in points.zip(sums.chunks_exact_mut(output * input)) {
            let patch = Matrix::new(patch, tiles, input, input);
            outer(set, Matrix::new(spread, tiles, output, output), patch, sum, add);
        }
    }
    sums
}
