//! Pairs and transposes: numbers moved to where products read them.

use half::bf16;

use super::lanes::for_each_brain;
use crate::simd::multiversion;

multiversion! {
    /// Lines of `width` pairs from rows that are `stride` apart, of which there are `count`.
    pub(super) fn interleave(
        rows: &[bf16], stride: usize, count: usize, width: usize, lines: &mut [u32],
    ) {
        for (pair, line) in lines.chunks_exact_mut(width).enumerate() {
            if 2 * pair >= count {
                line.fill(0);
                continue;
            }
            let even = &rows[2 * pair * stride..][..width];
            if 2 * pair + 1 == count {
                for (pair, x) in line.iter_mut().zip(even) {
                    *pair = u32::from(x.to_bits());
                }
                continue;
            }
            let odd = &rows[(2 * pair + 1) * stride..][..width];
            for (pair, (even, odd)) in line.iter_mut().zip(even.iter().zip(odd)) {
                *pair = u32::from(even.to_bits()) | u32::from(odd.to_bits()) << 16;
            }
        }
    }
}

/// Side of the tiles that a transposed matrix is copied in.
const TILE: usize = 16;

/// Rows of a matrix, and how many.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) rows: &'a [bf16],
    pub(super) stride: usize,
    pub(super) count: usize,
    pub(super) columns: usize,
}

for_each_brain! {
    /// Row j of `to` are the numbers j of the rows, and zeros after them to `whole`, which is a
    /// multiple of sixteen.
    pub(super) fn transpose<B>(from: Given<'_>, to: &mut [bf16], to_stride: usize, whole: usize) {
        let Given { rows, stride, count, columns } = from;
        for row in (0..whole).step_by(TILE) {
            let live = TILE.min(count.saturating_sub(row));
            for column in (0..columns).step_by(TILE) {
                let width = TILE.min(columns - column);
                let to = &mut to[column * to_stride + row..];
                if (live, width) == (TILE, TILE) {
                    let from = &rows[row * stride + column..];
                    assert!(from.len() >= (TILE - 1) * stride + TILE, "rows to be transposed");
                    assert!(to.len() >= (TILE - 1) * to_stride + TILE, "room for a transpose");
                    // SAFETY: the caller's promise; there are as many numbers.
                    unsafe { B::transpose((from.as_ptr(), stride), (to.as_mut_ptr(), to_stride)) };
                    continue;
                }
                for (j, to) in to.chunks_mut(to_stride).take(width).enumerate() {
                    for (i, to) in to[..TILE].iter_mut().enumerate() {
                        let from = (i < live).then(|| rows[(row + i) * stride + column + j]);
                        *to = from.unwrap_or(bf16::ZERO);
                    }
                }
            }
        }
    }
}

for_each_brain! {
    /// Lines of `width` pairs from as many columns, one after another, of a number each for every line.
    /// There are whole tiles of both.
    pub(super) fn columns_to_lines<B>(columns: &[bf16], width: usize, lines: &mut [u32]) {
        let count = lines.len() / width;
        assert!(width.is_multiple_of(TILE) && count.is_multiple_of(TILE), "whole tiles");
        assert_eq!((lines.len(), columns.len()), (count * width, 2 * count * width), "as many pairs");
        let (from, to) = (columns.as_ptr().cast::<u32>(), lines.as_mut_ptr());
        for line in (0..count).step_by(TILE) {
            for column in (0..width).step_by(TILE) {
                // SAFETY: the caller's promise; tiles inside both.
                unsafe {
                    let from = (from.wrapping_add(column * count + line), count);
                    B::transpose_pairs(from, (to.add(line * width + column), width));
                }
            }
        }
    }
}
