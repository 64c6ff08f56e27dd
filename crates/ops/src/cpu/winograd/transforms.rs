//! The transforms of F(4×4, 3×3): pixels, weights, results and gradients to 36 points and back.

// Kernels use plain loops, see the note in `panels`.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use super::{Direction, PATCH, POINTS, TILE, TileRows};
use crate::cpu::lanes::{Lanes, for_each_set};
use crate::cpu::panels::MAX_LANES;

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
pub(super) fn transform_weights(taps: &[f32], input: usize, direction: Direction) -> Vec<f32> {
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

/// `Gᵀ s G`: 36 × input numbers to 9 × input.
pub(super) fn transform_gradient(sum: &[f32], input: usize, gradient: &mut [f32]) {
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
pub(super) struct Patches<'a> {
    pub(super) rows: TileRows,
    pub(super) range: Range<usize>,
    pub(super) x: &'a [f32],
    pub(super) channels: usize,
    /// 36 × tiles × channels.
    pub(super) out: &'a mut [f32],
}

for_each_set! {
    /// `Bᵀ d B` of the 6×6 pixels around each tile.
    pub(super) fn transform_patches = patches_kernel(Patches<'_>)
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
pub(super) struct Results<'a> {
    /// 36 × tiles × channels.
    pub(super) products: &'a [f32],
    pub(super) tiles: usize,
    pub(super) per_row: usize,
    /// One number a channel.
    pub(super) bias: &'a [f32],
    /// The tiles' pixels.
    pub(super) out: &'a mut [f32],
}

for_each_set! {
    /// `Aᵀ m A`, plus the bias.
    pub(super) fn transform_results = results_kernel(Results<'_>)
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
pub(super) struct Upstream<'a> {
    /// The tiles' pixels.
    pub(super) upstream: &'a [f32],
    pub(super) tiles: usize,
    pub(super) per_row: usize,
    pub(super) channels: usize,
    /// 36 × tiles × channels.
    pub(super) out: &'a mut [f32],
}

for_each_set! {
    /// `A u Aᵀ`.
    pub(super) fn transform_upstream = upstream_kernel(Upstream<'_>)
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
