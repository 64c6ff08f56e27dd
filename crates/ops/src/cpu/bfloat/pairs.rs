//! Pairs and transposes: numbers moved to where products read them.

use half::bf16;

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

multiversion! {
    /// Row j of `to` are the numbers j of the first `count` rows, and zeros after them to `whole`.
    pub(super) fn transpose(
        rows: &[bf16],
        stride: usize,
        count_and_whole: (usize, usize),
        columns: usize,
        to: &mut [bf16],
        to_stride: usize,
    ) {
        let (count, whole) = count_and_whole;
        let mut tile = [[bf16::ZERO; TILE]; TILE];
        for row in (0..whole).step_by(TILE) {
            let live = TILE.min(count.saturating_sub(row));
            for column in (0..columns).step_by(TILE) {
                let width = TILE.min(columns - column);
                for (i, tile) in tile.iter_mut().enumerate() {
                    if i >= live {
                        tile.fill(bf16::ZERO);
                    } else if width == TILE {
                        tile.copy_from_slice(&rows[(row + i) * stride + column..][..TILE]);
                    } else {
                        tile[..width].copy_from_slice(&rows[(row + i) * stride + column..][..width]);
                    }
                }
                for j in 0..width {
                    let to = &mut to[(column + j) * to_stride + row..][..TILE];
                    for (to, from) in to.iter_mut().zip(&tile) {
                        *to = from[j];
                    }
                }
            }
        }
    }
}
