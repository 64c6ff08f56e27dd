//! The arithmetic of a block and of its gradient with products in bfloat16.
//!
//! Inputs, results and the gradients of both are float32; what products read, and the hidden states
//! that are kept for the gradient, are bfloat16. Every pass goes through memory once: what a pixel
//! is read for, products with it and its share of the gradients of weights and biases, is done
//! while it is in cache.

mod backward;

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use half::bf16;

use super::fused::{Fused, Input, Parameters, inputs_of, split_mut};
use crate::cpu::bfloat::{
    Left, Lines, LinesMut, Panels, Rows, Sums, Tail, hidden_rows, multiply, output_rows, padded,
};
use crate::cpu::buffer::Buffer;
use crate::cpu::im2col::Grid;
use crate::cpu::matrix::Matrix;
use crate::team::{share_new, share_side_by_side};
use vdvae_io::{InstructionSet, instruction_set};

/// Hidden states (pixels × middle), before GELU.
type Hidden = [Buffer<bf16>; 3];

/// Pixels a task of the forward pass takes at once: with all that is computed from them they stay in
/// the second-level cache.
const FORWARD: usize = 64;
/// Numbers of a gradient a task writes at once.
const CHUNK: usize = 1 << 14;

/// One call of a block.
struct Call<'a> {
    block: &'a Fused,
    set: InstructionSet,
    grid: Grid,
    inputs: Vec<Input<'a, f32>>,
    parameters: [Parameters<'a, f32>; 4],
}

impl Fused {
    /// The result.
    pub(super) fn result_in_bf16(
        &self,
        grid: Grid,
        slices: &[(&[f32], usize)],
        flat: &[f32],
    ) -> Vec<f32> {
        let call = Call::new(self, grid, slices, flat);
        let mut hidden = call.hidden(self.kept.wanted());
        let activated = call.first_two(&mut hidden);
        let out = call.last_two(&activated, &mut hidden[2]);
        self.kept.put(hidden);
        out
    }

    /// As [`Self::backward`].
    pub(super) fn backward_in_bf16(
        &self,
        grid: Grid,
        slices: &[(&[f32], usize)],
        flat: &[f32],
        upstream: &[f32],
        (wanted, held): (&[bool], &[Option<&[f32]>]),
    ) -> (Vec<Option<Vec<f32>>>, Vec<f32>) {
        let call = Call::new(self, grid, slices, flat);
        let hidden = self.kept.take::<Hidden>().unwrap_or_else(|| {
            let mut hidden = call.hidden(true);
            let activated = call.first_two(&mut hidden);
            call.between(2, &activated, &mut hidden[2]);
            hidden
        });
        let mut gradient = share_new(flat.len(), CHUNK, |_| ());
        let of_parameters = split_mut(&self.shape, &mut gradient);
        let dx = call.gradients(&hidden, upstream, (wanted, held), of_parameters);
        (dx, gradient)
    }
}

/// The panels of weights, from where they are kept if they never change.
fn kept<'a>(cell: Option<&'a OnceLock<Panels>>, pack: impl Fn() -> Panels) -> Cow<'a, Panels> {
    match cell {
        Some(cell) => Cow::Borrowed(cell.get_or_init(|| pack().kept())),
        None => Cow::Owned(pack()),
    }
}

/// A new vector of `len` numbers.
///
/// # Safety
/// `write` must write every number.
unsafe fn written<T, R>(len: usize, write: impl FnOnce(&mut [MaybeUninit<T>]) -> R) -> (Vec<T>, R) {
    let mut out = Vec::with_capacity(len);
    let result = write(&mut out.spare_capacity_mut()[..len]);
    // SAFETY: the caller's promise.
    unsafe { out.set_len(len) };
    (out, result)
}

impl<'a> Call<'a> {
    fn new(block: &'a Fused, grid: Grid, slices: &[(&'a [f32], usize)], flat: &'a [f32]) -> Self {
        let (inputs, parameters) = (inputs_of(slices), block.split(flat));
        Self { block, set: instruction_set(), grid, inputs, parameters }
    }

    fn middle(&self) -> usize {
        self.block.shape.middle
    }

    fn lines(&self) -> Lines {
        Lines::stale(self.grid, self.middle(), self.block.shape.kernel)
    }

    /// Lines a task of the forward pass takes at once, and their pixels.
    fn task(&self) -> (usize, usize) {
        let each = self.grid.pixels().div_ceil(4 * rayon::current_num_threads());
        let lines = (each.next_multiple_of(FORWARD / 2).min(FORWARD) / self.grid.width).max(1);
        (lines, lines * self.grid.width)
    }

    /// Panels of a convolution's weights, or of their part for one input, for the forward pass.
    fn forward_panels(&self, convolution: usize, input: usize) -> Cow<'a, Panels> {
        let (conv, weights, _) = self.parameters[convolution];
        let cell = self.block.packed(convolution).map(|packed| &packed.bfloat[input]);
        let (offset, width) = match (convolution, self.inputs.get(input)) {
            (0, Some(input)) => (input.offset, input.channels),
            _ => (0, conv.row()),
        };
        let weights = || Matrix::new(&weights[offset..], conv.output, width, conv.row());
        kept(cell, || match conv.kernel {
            1 => Panels::pack(self.set, weights().transposed()),
            _ => Panels::of_taps(self.set, weights(), 9),
        })
    }

    /// Room for the hidden states, or none.
    fn hidden(&self, keep: bool) -> Hidden {
        let len = if keep { self.grid.pixels() * self.middle() } else { 0 };
        std::array::from_fn(|_| Buffer::stale(len))
    }

    /// The first two hidden states, where they are to be kept, and `gelu` of the second.
    fn first_two(&self, [first, second, _]: &mut Hidden) -> Lines {
        let activated = self.first(first);
        self.between(1, &activated, second)
    }

    fn first(&self, hidden: &mut [bf16]) -> Lines {
        let (middle, (lines, pixels)) = (self.middle(), self.task());
        let panels: Vec<_> = (0..self.inputs.len()).map(|i| self.forward_panels(0, i)).collect();
        let (_, _, bias) = self.parameters[0];
        let mut out = self.lines();
        let (line, size) = (out.size(), lines * out.size().0);
        share_side_by_side((out.lines_mut(), size), (hidden, pixels * middle), |chunks| {
            let new = |input: &Input<'_, f32>| Rows::stale(pixels, input.channels);
            let mut rows: Vec<_> = self.inputs.iter().map(new).collect();
            let mut sums = Sums::stale(pixels, middle);
            for (i, out, hidden) in chunks {
                let mut out = LinesMut::new(out, line);
                let (first, count) = (i * pixels, out.count() * self.grid.width);
                let each = self.inputs.iter().zip(&mut rows).zip(&panels);
                for (j, ((input, rows), panels)) in each.enumerate() {
                    rows.gelu(self.set, input.pixels(first, count), input.channels);
                    multiply(self.set, (Left::Rows(rows), count), panels, &mut sums, j > 0);
                }
                self.finish(&sums, bias, hidden, &mut out);
            }
        });
        out
    }

    /// A convolution of the middle, of what is already activated.
    fn between(&self, convolution: usize, x: &Lines, hidden: &mut [bf16]) -> Lines {
        let (middle, (lines, pixels)) = (self.middle(), self.task());
        let panels = self.forward_panels(convolution, 0);
        let (_, _, bias) = self.parameters[convolution];
        let mut out = self.lines();
        let (line, size) = (out.size(), lines * out.size().0);
        share_side_by_side((out.lines_mut(), size), (hidden, pixels * middle), |chunks| {
            let (mut scratch, mut sums) = (x.scratch(pixels), Sums::stale(pixels, middle));
            for (i, out, hidden) in chunks {
                let mut out = LinesMut::new(out, line);
                let (first, count) = (i * lines, out.count());
                let left = x.left(first..first + count, &mut scratch);
                let count = count * self.grid.width;
                multiply(self.set, (left, count), &panels, &mut sums, false);
                self.finish(&sums, bias, hidden, &mut out);
            }
        });
        out
    }

    /// Hidden states from sums, where they are kept, and `gelu` of them.
    fn finish(&self, sums: &Sums, bias: &[f32], hidden: &mut [bf16], out: &mut LinesMut<'_>) {
        let (middle, stride) = (self.middle(), sums.stride());
        let pixels = self.grid.width;
        out.write(|line, out| {
            let first = line * pixels;
            let sums = &sums.data()[first * stride..][..pixels * stride];
            let hidden = hidden.get_mut(first * middle..).unwrap_or_default();
            hidden_rows(self.set, sums, stride, bias, hidden, out, padded(middle));
        });
    }

    /// The last hidden state, where it is to be kept, and the result, from the second hidden state,
    /// activated.
    fn last_two(&self, x: &Lines, hidden: &mut [bf16]) -> Vec<f32> {
        let (middle, (lines, pixels)) = (self.middle(), self.task());
        let (panels, last_panels) = (self.forward_panels(2, 0), self.forward_panels(3, 0));
        let ((_, _, bias), (last, _, last_bias)) = (self.parameters[2], self.parameters[3]);
        let output = last.output;
        let (all, channels) = match self.block.shape.residual {
            true => (self.inputs[0].x, self.inputs[0].channels),
            false => (&[][..], 0),
        };
        let write = |out: &mut [MaybeUninit<f32>]| {
            let (size, hidden_size) = (pixels * output, pixels * middle);
            share_side_by_side((out, size), (hidden, hidden_size), |chunks| {
                let (mut scratch, mut sums) = (x.scratch(pixels), Sums::stale(pixels, middle));
                let mut activated = Rows::stale(pixels, middle);
                let mut last_sums = Sums::stale(pixels, output);
                for (i, out, hidden) in chunks {
                    let count = out.len() / output;
                    let range = i * lines..i * lines + count / self.grid.width;
                    let left = x.left(range, &mut scratch);
                    multiply(self.set, (left, count), &panels, &mut sums, false);
                    let (from, to) = (sums.stride(), activated.stride());
                    let rows = &sums.data()[..count * from];
                    hidden_rows(self.set, rows, from, bias, hidden, activated.data_mut(), to);
                    let left = (Left::Rows(&activated), count);
                    multiply(self.set, left, &last_panels, &mut last_sums, false);
                    let tail = Tail { x: &all[i * pixels * channels..], channels };
                    output_rows(
                        self.set,
                        last_sums.data(),
                        last_sums.stride(),
                        last_bias,
                        tail,
                        out,
                    );
                }
            });
        };
        // SAFETY: `output_rows` writes whole rows, and the chunks are all rows.
        unsafe { written(self.grid.pixels() * output, write).0 }
    }
}

impl<'a> Input<'a, f32> {
    fn pixels(&self, first: usize, count: usize) -> &'a [f32] {
        &self.x[first * self.channels..][..count * self.channels]
    }
}
