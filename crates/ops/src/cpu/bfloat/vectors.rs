//! Products in vector registers.

// Kernels use plain loops, see `cpu/panels.rs`.
#![allow(clippy::needless_range_loop)]

use super::lanes::for_each_brain;
use super::product::{Piece, ROWS, STEP, TILE_ROWS};
use crate::cpu::lanes::Lanes;
use vdvae_io::InstructionSet;

/// Columns of a result tile, in registers.
const COLUMNS: usize = 2;

/// Rows of the tallest result tile.
const MOST_ROWS: usize = 8;

/// # Safety
/// As of [`Piece`]; the set must be present.
pub(super) unsafe fn multiply(set: InstructionSet, piece: Piece) {
    of_piece(set, piece);
}

for_each_brain! {
    /// Only for [`multiply`]: what `piece` says must be so.
    fn of_piece<B>(piece: Piece) {
        let Piece { ref a, a_stride, segments, steps, b, width, out, out_stride, add } = piece;
        let lines = steps * STEP / 2;
        for column in (0..width).step_by(COLUMNS * B::Wide::N) {
            for row in (0..ROWS).step_by(B::TILE_ROWS) {
                // SAFETY: the caller's promise: the sizes are multiples of a tile's.
                unsafe {
                    let out = out.add(row * out_stride + column);
                    let mut sums = [[B::Wide::splat(0.0); COLUMNS]; MOST_ROWS];
                    if add {
                        for i in 0..B::TILE_ROWS {
                            for j in 0..COLUMNS {
                                sums[i][j] = B::Wide::load(out.add(i * out_stride + j * B::Wide::N));
                            }
                        }
                    }
                    for segment in 0..segments {
                        let a = a[segment][row / TILE_ROWS].add(row % TILE_ROWS * a_stride);
                        let mut left = [a; MOST_ROWS];
                        for i in 0..B::TILE_ROWS {
                            left[i] = a.add(i * a_stride);
                        }
                        let b = b.add(segment * lines * width + column);
                        for line in 0..lines {
                            let b = b.add(line * width);
                            let right = [B::load_pairs(b), B::load_pairs(b.add(B::Wide::N))];
                            for i in 0..B::TILE_ROWS {
                                let pair = left[i].cast::<u32>().add(line).read_unaligned();
                                for j in 0..COLUMNS {
                                    sums[i][j] = B::add_products(sums[i][j], pair, right[j]);
                                }
                            }
                        }
                    }
                    for i in 0..B::TILE_ROWS {
                        for j in 0..COLUMNS {
                            sums[i][j].store(out.add(i * out_stride + j * B::Wide::N));
                        }
                    }
                }
            }
        }
    }
}
