//! The same with operands rounded to bfloat16, for whatever is no block.

use super::{Convolution, Finish, Operand, Rows, block_size, by_share, scratch};
use crate::arithmetic::Arithmetic;
use crate::cpu::bfloat::{
    Left, Panels, Rows as Rounded, Sums, Taps, WeightGradient, add_up, multiply,
};
use crate::cpu::buffer::Buffer;
use crate::cpu::matrix::Matrix;
use crate::team::Out;
use vdvae_io::InstructionSet;

/// As [`super::product_f32`], with operands rounded to bfloat16.
pub(super) fn product_bf16(
    set: InstructionSet,
    operands: &[Operand<'_, f32>],
    bias: Option<&[f32]>,
    outputs: usize,
    out: Out<'_, f32>,
    finish: Finish<'_, f32>,
) {
    let size = block_size(out.len() / outputs);
    let packed: Vec<_> =
        operands.iter().map(|(_, weights)| Panels::pack(set, weights.matrix)).collect();
    out.share_chunks(size * outputs, |chunks| {
        let mut scratch = scratch(operands, size);
        let rounded = |(rows, _): &Operand<'_, f32>| Rounded::stale(size, rows.width());
        let mut rounded: Vec<_> = operands.iter().map(rounded).collect();
        let mut sums = Sums::stale(size, outputs);
        for (i, out) in chunks {
            let (first, count) = (i * size, out.len() / outputs);
            let each = operands.iter().zip(&mut rounded).zip(&packed);
            for (j, (((rows, _), rounded), panels)) in each.enumerate() {
                rounded.round(set, rows.block(first, count, &mut scratch));
                multiply(set, (Left::Rows(rounded), count), panels, &mut sums, j > 0);
            }
            sums.copy_to(out, bias, outputs);
            finish(first, out);
        }
    });
}

pub(super) fn convolve_bf16(
    set: InstructionSet,
    convolution: Convolution<'_, f32>,
    x: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    finish: Finish<'_, f32>,
) {
    let (read, written) = convolution.channels();
    let rows = Rows::Neighbours { grid: convolution.grid, x, channels: read };
    convolution.with_matrix(|weights| {
        product_bf16(set, &[(rows, weights)], bias, written, Out::Held(out), finish);
    });
}

pub(super) fn weight_gradient_bf16(
    (set, _): (InstructionSet, Arithmetic),
    rows: &Rows<'_, f32>,
    upstream: &[f32],
    outputs: usize,
    (gradient, row_stride): (&mut [f32], usize),
) {
    const BLOCK: usize = 256;
    let width = rows.width();
    let parts = by_share(upstream.len() / outputs, |range| {
        let block = BLOCK.min(range.len());
        let mut sum = WeightGradient::new((outputs, width), block);
        let (mut left, mut right) = (Rounded::stale(block, outputs), Rounded::stale(block, width));
        let mut scratch = Buffer::stale(rows.scratch(block));
        for first in range.clone().step_by(BLOCK) {
            let count = BLOCK.min(range.end - first);
            left.round(set, Matrix::new(&upstream[first * outputs..], count, outputs, outputs));
            right.round(set, rows.block(first, count, &mut scratch));
            sum.add(set, (left.data(), left.stride()), Left::Rows(&right), count);
        }
        sum
    });
    add_up(&parts, outputs, Taps::one(width), gradient, row_stride);
}
