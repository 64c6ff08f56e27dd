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

// Kernels use plain loops, see the note in `panels`.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::im2col::Grid;
use super::lanes::{Lanes, for_each_set};
use super::matmul::Matrix;
use super::panels::{MAX_LANES, Panels, Start, add_outer, multiply};
use crate::simd::InstructionSet;

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
        let rows: Vec<Vec<f32>> = weights
            .par_chunks_exact(9 * input)
            .map(|taps| transform_weights(taps, input, direction))
            .collect();
        for (o, row) in rows.iter().enumerate() {
            for (point, values) in row.chunks_exact(input).enumerate() {
                transformed[(point * output + o) * input..][..input].copy_from_slice(values);
            }
        }
        let points = transformed
            .par_chunks_exact(output * input)
            .map(|point| {
                let matrix = Matrix::new(point, output, input, input);
                match direction {
                    Direction::Forward => Panels::pack(set, matrix.transposed()),
                    Direction::Backward => Panels::pack(set, matrix),
                }
            })
            .collect();
        Self { set, points }
    }

    fn output(&self) -> usize {
        self.points[0].columns()
    }
}

/// The points are 0, ±P, ±Q and ∞; their powers are exact in float32.
const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;

/// `G` of the paper: (1, x, x²) at each point x, over the product of its distances to the others.
const G: [[f32; 3]; PATCH] = {
    const ZERO: f32 = 1.0 / (P2 * Q2);
    const AT_P: f32 = 1.0 / (2.0 * P2 * (P2 - Q2));
    const AT_Q: f32 = 1.0 / (2.0 * Q2 * (Q2 - P2));
    [
        [ZERO, 0.0, 0.0],
        [AT_P, P * AT_P, P2 * AT_P],
        [AT_P, -P * AT_P, P2 * AT_P],
        [AT_Q, Q * AT_Q, Q2 * AT_Q],
        [AT_Q, -Q * AT_Q, Q2 * AT_Q],
        [0.0, 0.0, 1.0],
    ]
};

/// `G w Gᵀ` of one output's weights (9 × input): 36 × input numbers.
fn transform_weights(taps: &[f32], input: usize, direction: Direction) -> Vec<f32> {
    let tap = |y: usize, x: usize| match direction {
        Direction::Forward => &taps[(3 * y + x) * input..][..input],
        Direction::Backward => &taps[(8 - 3 * y - x) * input..][..input],
    };
    let mut out = vec![0.0; POINTS * input];
    for (point, out) in out.chunks_exact_mut(input).enumerate() {
        let (row, column) = (&G[point / PATCH], &G[point % PATCH]);
        for y in 0..3 {
            for x in 0..3 {
                let factor = row[y] * column[x];
                if factor != 0.0 {
                    out.iter_mut().zip(tap(y, x)).for_each(|(o, &w)| *o += factor * w);
                }
            }
        }
    }
    out
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
    out.par_chunks_mut(block).enumerate().for_each_init(
        || {
            let tiles = POINTS * each * rows.per_row();
            (Buffer::stale(tiles * input), Buffer::stale(tiles * output))
        },
        |(patches, products), (task, out)| {
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
        },
    );
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
    let parts: Vec<Buffer<f32>> = (0..threads)
        .into_par_iter()
        .map(|i| point_gradients(set, rows, share(i)..share(i + 1), (x, input), (upstream, output)))
        .collect();
    let point = output * input;
    gradient.par_chunks_exact_mut(9 * input).enumerate().for_each(|(o, gradient)| {
        let mut sum = Buffer::zeros(POINTS * input);
        for part in &parts {
            for (q, sum) in sum.chunks_exact_mut(input).enumerate() {
                let part = &part[q * point + o * input..][..input];
                sum.iter_mut().zip(part).for_each(|(s, &p)| *s += p);
            }
        }
        transform_gradient(&sum, input, gradient);
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
    let mut sums = Buffer::zeros(POINTS * output * input);
    let each = rows.per_task();
    let tiles = POINTS * each * rows.per_row();
    let (mut patches, mut spread) = (Buffer::stale(tiles * input), Buffer::stale(tiles * output));
    for first in range.clone().step_by(each) {
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
            add_outer(set, Matrix::new(spread, tiles, output, output), patch, sum);
        }
    }
    sums
}

/// `Gᵀ s G`: 36 × input numbers to 9 × input.
fn transform_gradient(sum: &[f32], input: usize, gradient: &mut [f32]) {
    for (tap, out) in gradient.chunks_exact_mut(input).enumerate() {
        out.fill(0.0);
        for (point, sum) in sum.chunks_exact(input).enumerate() {
            let factor = G[point / PATCH][tap / 3] * G[point % PATCH][tap % 3];
            if factor != 0.0 {
                out.iter_mut().zip(sum).for_each(|(o, &s)| *o += factor * s);
            }
        }
    }
}

/// Input of [`transform_patches`]: some rows of tiles of a batch.
struct Patches<'a> {
    rows: TileRows,
    range: Range<usize>,
    x: &'a [f32],
    channels: usize,
    /// 36 × tiles × channels.
    out: &'a mut [f32],
}

for_each_set! {
    /// `Bᵀ d B` of the 6×6 pixels around each tile.
    fn transform_patches = patches_kernel(Patches<'_>)
}

/// `Bᵀ d` of one column.
///
/// # Safety
/// The instruction set of `L` must be present.
#[inline(always)]
unsafe fn b_transposed<L: Lanes>(d: [L; PATCH]) -> [L; PATCH] {
    // SAFETY: the caller's promise.
    unsafe {
        let (p, q) = (L::splat(P), L::splat(Q));
        let (minus_p, minus_q) = (L::splat(-P), L::splat(-Q));
        let (minus_p2, minus_q2) = (L::splat(-P2), L::splat(-Q2));
        // x (x² - q²) at ±p, and the same with p and q exchanged: even and odd parts.
        let (even_p, odd_p) = (minus_q2.mul_add(d[2], d[4]), minus_q2.mul_add(d[1], d[3]));
        let (even_q, odd_q) = (minus_p2.mul_add(d[2], d[4]), minus_p2.mul_add(d[1], d[3]));
        // (x² - p²) (x² - q²), at 0 and at ∞.
        let (product, minus_sum) = (L::splat(P2 * Q2), L::splat(-P2 - Q2));
        [
            product.mul_add(d[0], minus_sum.mul_add(d[2], d[4])),
            p.mul_add(odd_p, even_p),
            minus_p.mul_add(odd_p, even_p),
            q.mul_add(odd_q, even_q),
            minus_q.mul_add(odd_q, even_q),
            product.mul_add(d[1], minus_sum.mul_add(d[3], d[5])),
        ]
    }
}

/// # Safety
/// The instruction set of `L` must be present.
#[inline(always)]
unsafe fn patches_kernel<L: Lanes>(p: Patches<'_>) {
    let Patches { rows: TileRows { grid }, range, x, channels, out } = p;
    let per_row = grid.width / TILE;
    let tiles = range.len() * per_row;
    assert!(x.len() >= grid.pixels() * channels && out.len() >= POINTS * tiles * channels);
    assert!(channels.is_multiple_of(L::N));
    let outside = [0.0f32; MAX_LANES];
    for tile in 0..tiles {
        let (tile_row, tile_column) = (range.start + tile / per_row, tile % per_row);
        // First line of the tile, in its picture and in the batch.
        let (line, batch_line) = (tile_row * TILE % grid.height, tile_row * TILE);
        // Where each pixel of the patch lies, and how far its channels are apart: zeros outside
        // the picture are one register that is read again and again.
        let mut pixels = [(outside.as_ptr(), 0); POINTS];
        for (point, pixel) in pixels.iter_mut().enumerate() {
            // Coordinates plus one, so that the border needs no signed numbers.
            let (y, x1) = (line + point / PATCH, tile_column * TILE + point % PATCH);
            if (1..=grid.height).contains(&y) && (1..=grid.width).contains(&x1) {
                let start = (batch_line + point / PATCH - 1) * grid.width + x1 - 1;
                *pixel = (x[start * channels..][..channels].as_ptr(), 1);
            }
        }
        for channel in (0..channels).step_by(L::N) {
            // SAFETY: pixels hold `channels` numbers, a multiple of the registers' lanes; `out`
            // has room for every point, tile and channel (checked above).
            unsafe {
                let mut columns = [[L::splat(0.0); PATCH]; PATCH];
                for x1 in 0..PATCH {
                    let mut column = [L::splat(0.0); PATCH];
                    for y in 0..PATCH {
                        let (pixel, step) = pixels[y * PATCH + x1];
                        column[y] = L::load(pixel.add(channel * step));
                    }
                    columns[x1] = b_transposed(column);
                }
                for y in 0..PATCH {
                    let mut row = [L::splat(0.0); PATCH];
                    for x1 in 0..PATCH {
                        row[x1] = columns[x1][y];
                    }
                    let row = b_transposed(row);
                    for x1 in 0..PATCH {
                        let at = ((y * PATCH + x1) * tiles + tile) * channels + channel;
                        row[x1].store(out.as_mut_ptr().add(at));
                    }
                }
            }
        }
    }
}

/// Input of [`transform_results`]: consecutive rows of tiles.
struct Results<'a> {
    /// 36 × tiles × channels.
    products: &'a [f32],
    tiles: usize,
    per_row: usize,
    /// One number a channel.
    bias: &'a [f32],
    /// The tiles' pixels.
    out: &'a mut [f32],
}

for_each_set! {
    /// `Aᵀ m A`, plus the bias.
    fn transform_results = results_kernel(Results<'_>)
}

/// `Aᵀ m` of one column.
///
/// # Safety
/// The instruction set of `L` must be present.
#[inline(always)]
unsafe fn a_transposed<L: Lanes>(m: [L; PATCH]) -> [L; TILE] {
    // SAFETY: the caller's promise.
    unsafe {
        let (sum_p, difference_p) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum_q, difference_q) = (m[3].add(m[4]), m[3].sub(m[4]));
        let factor = L::splat;
        [
            m[0].add(sum_p).add(sum_q),
            factor(Q).mul_add(difference_q, factor(P).mul(difference_p)),
            factor(Q2).mul_add(sum_q, factor(P2).mul(sum_p)),
            factor(Q2 * Q).mul_add(difference_q, factor(P2 * P).mul_add(difference_p, m[5])),
        ]
    }
}

/// # Safety
/// The instruction set of `L` must be present.
#[inline(always)]
unsafe fn results_kernel<L: Lanes>(p: Results<'_>) {
    let Results { products, tiles, per_row, bias, out } = p;
    let (channels, width) = (bias.len(), per_row * TILE);
    assert!(products.len() >= POINTS * tiles * channels && channels.is_multiple_of(L::N));
    assert!(out.len() >= tiles * TILE * TILE * channels);
    for tile in 0..tiles {
        let first = (tile / per_row * TILE * width + tile % per_row * TILE) * channels;
        for channel in (0..channels).step_by(L::N) {
            // SAFETY: every index lies below the lengths checked above.
            unsafe {
                let from = products.as_ptr().add(tile * channels + channel);
                let mut columns = [[L::splat(0.0); TILE]; PATCH];
                for x in 0..PATCH {
                    let mut column = [L::splat(0.0); PATCH];
                    for y in 0..PATCH {
                        column[y] = L::load(from.add((y * PATCH + x) * tiles * channels));
                    }
                    columns[x] = a_transposed(column);
                }
                let bias = L::load(bias.as_ptr().add(channel));
                for y in 0..TILE {
                    let mut row = [L::splat(0.0); PATCH];
                    for x in 0..PATCH {
                        row[x] = columns[x][y];
                    }
                    let row = a_transposed(row);
                    for x in 0..TILE {
                        let to = first + (y * width + x) * channels + channel;
                        row[x].add(bias).store(out.as_mut_ptr().add(to));
                    }
                }
            }
        }
    }
}

/// Input of [`transform_upstream`]: consecutive rows of tiles.
struct Upstream<'a> {
    /// The tiles' pixels.
    upstream: &'a [f32],
    tiles: usize,
    per_row: usize,
    channels: usize,
    /// 36 × tiles × channels.
    out: &'a mut [f32],
}

for_each_set! {
    /// `A u Aᵀ`.
    fn transform_upstream = upstream_kernel(Upstream<'_>)
}

/// `A u` of one column.
///
/// # Safety
/// The instruction set of `L` must be present.
#[inline(always)]
unsafe fn a_times<L: Lanes>(u: [L; TILE]) -> [L; PATCH] {
    // SAFETY: the caller's promise.
    unsafe {
        let (p2, q2) = (L::splat(P2), L::splat(Q2));
        let (even_p, odd_p) = (p2.mul_add(u[2], u[0]), p2.mul_add(u[3], u[1]));
        let (even_q, odd_q) = (q2.mul_add(u[2], u[0]), q2.mul_add(u[3], u[1]));
        let factor = L::splat;
        [
            u[0],
            factor(P).mul_add(odd_p, even_p),
            factor(-P).mul_add(odd_p, even_p),
            factor(Q).mul_add(odd_q, even_q),
            factor(-Q).mul_add(odd_q, even_q),
            u[3],
        ]
    }
}

/// # Safety
/// The instruction set of `L` must be present.
#[inline(always)]
unsafe fn upstream_kernel<L: Lanes>(p: Upstream<'_>) {
    let Upstream { upstream, tiles, per_row, channels, out } = p;
    let width = per_row * TILE;
    assert!(upstream.len() >= tiles * TILE * TILE * channels && channels.is_multiple_of(L::N));
    assert!(out.len() >= POINTS * tiles * channels);
    for tile in 0..tiles {
        let first = (tile / per_row * TILE * width + tile % per_row * TILE) * channels;
        for channel in (0..channels).step_by(L::N) {
            // SAFETY: every index lies below the lengths checked above.
            unsafe {
                let from = upstream.as_ptr().add(first + channel);
                let mut columns = [[L::splat(0.0); PATCH]; TILE];
                for x in 0..TILE {
                    let mut column = [L::splat(0.0); TILE];
                    for y in 0..TILE {
                        column[y] = L::load(from.add((y * width + x) * channels));
                    }
                    columns[x] = a_times(column);
                }
                for y in 0..PATCH {
                    let mut row = [L::splat(0.0); TILE];
                    for x in 0..TILE {
                        row[x] = columns[x][y];
                    }
                    let row = a_times(row);
                    for x in 0..PATCH {
                        let at = ((y * PATCH + x) * tiles + tile) * channels + channel;
                        row[x].store(out.as_mut_ptr().add(at));
                    }
                }
            }
        }
    }
}
