//! The arithmetic of a block and of its gradient, on slices.

use std::sync::Arc;

use crate::arithmetic::Arithmetic;
use crate::conv::run_conv;
use crate::cpu::buffer::Buffer;
use crate::cpu::gelu::{gelu, gelu_backward};
use crate::cpu::im2col::Grid;
use crate::cpu::matrix::Matrix;
use crate::cpu::product::{Kernels, Packed, Rows, Weights, bias_gradient, product};
use crate::cpu::winograd::Direction;
use crate::kept::Kept;
use crate::real::Real;
use crate::shape::{BlockShape, ConvShape};
use crate::team::{Out, share_chunks, share_new};

/// Hidden states (pixels × middle), before GELU, in the number type of the call.
type Hidden<T> = [Buffer<T>; 3];

/// One call of a block.
pub(crate) struct Fused {
    pub(super) shape: BlockShape,
    pub(super) arithmetic: Arithmetic,
    /// The hidden states for the gradient; without them it computes them again.
    pub(super) kept: Kept,
    /// What is known of parameters that never change.
    packed: Option<Arc<[Packed; 4]>>,
}

/// One input of a block.
#[derive(Clone, Copy)]
pub(super) struct Input<'a, T> {
    pub(super) x: &'a [T],
    pub(super) channels: usize,
    /// Where this input's columns begin in the first weights.
    pub(super) offset: usize,
}

pub(super) fn inputs_of<'a, T>(slices: &[(&'a [T], usize)]) -> Vec<Input<'a, T>> {
    let mut offset = 0;
    slices
        .iter()
        .map(|&(x, channels)| {
            let input = Input { x, channels, offset };
            offset += channels;
            input
        })
        .collect()
}

/// One convolution's weights and bias.
pub(super) type Parameters<'a, T> = (ConvShape, &'a [T], &'a [T]);

/// Numbers a task takes at once of what is done number by number.
const CHUNK: usize = 1 << 14;

/// `gelu(x)` of a whole batch.
fn gelu_all<T: Kernels>(x: &[T]) -> Buffer<T> {
    let mut y = Buffer::stale(x.len());
    share_chunks(&mut y, CHUNK, |chunks| {
        chunks.for_each(|(i, y)| gelu(&x[i * CHUNK..][..y.len()], y));
    });
    y
}

impl Fused {
    pub(super) fn new(
        shape: BlockShape,
        arithmetic: Arithmetic,
        keep: bool,
        packed: Option<Arc<[Packed; 4]>>,
    ) -> Self {
        Self { shape, arithmetic, kept: Kept::new(keep), packed }
    }

    pub(super) fn packed(&self, convolution: usize) -> Option<&Packed> {
        self.packed.as_ref().map(|packed| &packed[convolution])
    }

    pub(super) fn split<'a, T>(&self, mut flat: &'a [T]) -> [Parameters<'a, T>; 4] {
        self.shape.convolutions().map(|conv| {
            let (weights, rest) = flat.split_at(conv.weights());
            let (bias, rest) = rest.split_at(conv.output);
            flat = rest;
            (conv, weights, bias)
        })
    }

    fn hidden<T: Kernels>(&self, grid: Grid, inputs: &[Input<'_, T>], flat: &[T]) -> Hidden<T> {
        let parameters = self.split(flat);
        let (first, weights, bias) = parameters[0];
        let operands: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(index, i)| {
                let weights =
                    Matrix::new(&weights[i.offset..], first.output, i.channels, first.input);
                let cell = self.packed(0).map(|packed| &packed.panels[index]);
                let weights = Weights::kept_in(cell, weights.transposed());
                (Rows::Gelu { x: i.x, channels: i.channels }, weights)
            })
            .collect();
        let (mut h1, how) = (Buffer::stale(grid.pixels() * first.output), self.arithmetic);
        product(&operands, Some(bias), first.output, Out::Held(&mut h1), how, |_, _| ());
        let h2 = self.middle(grid, parameters[1], self.packed(1), &h1);
        let h3 = self.middle(grid, parameters[2], self.packed(2), &h2);
        [h1, h2, h3]
    }

    fn middle<T: Kernels>(
        &self,
        grid: Grid,
        (conv, weights, bias): Parameters<'_, T>,
        packed: Option<&Packed>,
        h: &[T],
    ) -> Buffer<T> {
        let mut out = Buffer::stale(h.len());
        if conv.kernel == 1 {
            let rows = Rows::Gelu { x: h, channels: conv.input };
            let weights = Matrix::new(weights, conv.output, conv.input, conv.input).transposed();
            let weights = Weights::kept_in(packed.map(|packed| &packed.panels[0]), weights);
            let (operand, out, how) = ((rows, weights), Out::Held(&mut out), self.arithmetic);
            product(&[operand], Some(bias), conv.output, out, how, |_, _| ());
        } else {
            let how = (grid, &conv, Direction::Forward);
            let by = (packed, self.arithmetic);
            run_conv(how, (&gelu_all(h), weights, Some(bias)), by, &mut out, |_, _| ());
        }
        out
    }

    /// The result.
    pub(super) fn result<T: Kernels>(
        &self,
        grid: Grid,
        slices: &[(&[T], usize)],
        flat: &[T],
    ) -> Vec<T> {
        let inputs = inputs_of(slices);
        let hidden = self.hidden(grid, &inputs, flat);
        let (last, weights, bias) = self.split(flat)[3];
        let mut out = vec![];
        let new = Out::New(&mut out, grid.pixels() * last.output);
        let rows = Rows::Gelu { x: &hidden[2], channels: last.input };
        let weights = Matrix::new(weights, last.output, last.input, last.input).transposed();
        let weights = Weights::kept_in(self.packed(3).map(|packed| &packed.panels[0]), weights);
        let how = self.arithmetic;
        product(&[(rows, weights)], Some(bias), last.output, new, how, |first, block| {
            if self.shape.residual {
                let channels = self.shape.input;
                add_to_tails(block, last.output, &inputs[0].x[first * channels..], channels);
            }
        });
        self.kept.put(hidden);
        out
    }

    /// Gradients of the inputs that are `wanted`, added to those held, and of the flat parameters.
    pub(super) fn backward<T: Kernels>(
        &self,
        grid: Grid,
        slices: &[(&[T], usize)],
        flat: &[T],
        upstream: &[T],
        (wanted, held): (&[bool], &[Option<&[T]>]),
    ) -> (Vec<Option<Vec<T>>>, Vec<T>) {
        let inputs = inputs_of(slices);
        let kept = self.kept.take::<Hidden<T>>();
        let [h1, h2, h3] = kept.unwrap_or_else(|| self.hidden(grid, &inputs, flat));
        let parameters = self.split(flat);
        let mut gradient = share_new(flat.len(), CHUNK, |_| ());
        let [g1, g2, g3, g4] = split_mut(&self.shape, &mut gradient);

        let d3 = self.hidden_gradient(grid, &parameters[3], upstream, &h3);
        let middle = self.shape.middle;
        let rows = Rows::Gelu { x: &h3, channels: middle };
        T::weight_gradient(&rows, upstream, self.shape.output, (g4.0, middle), self.arithmetic);
        bias_gradient(upstream, g4.1);

        let d2 = self.hidden_gradient(grid, &parameters[2], &d3, &h2);
        self.middle_gradient(grid, &h2, &d3, g3);
        drop((h3, d3));
        let d1 = self.hidden_gradient(grid, &parameters[1], &d2, &h1);
        self.middle_gradient(grid, &h1, &d2, g2);
        drop((h1, h2, d2));

        for input in &inputs {
            let rows = Rows::Gelu { x: input.x, channels: input.channels };
            let of_input = (&mut g1.0[input.offset..], self.shape.input);
            T::weight_gradient(&rows, &d1, middle, of_input, self.arithmetic);
        }
        bias_gradient(&d1, g1.1);
        let dx = inputs
            .iter()
            .zip(wanted.iter().zip(held))
            .map(|(input, (wanted, held))| {
                let of = (&d1[..], upstream);
                wanted.then(|| self.input_gradient(&parameters[0], input, of, *held))
            })
            .collect();
        (dx, gradient)
    }

    /// Carries a gradient back through a convolution and the GELU before it.
    fn hidden_gradient<T: Kernels>(
        &self,
        grid: Grid,
        (conv, weights, _): &Parameters<'_, T>,
        upstream: &[T],
        h: &[T],
    ) -> Buffer<T> {
        let mut out = Buffer::stale(h.len());
        let how = (grid, conv, Direction::Backward);
        let by = (None, self.arithmetic);
        run_conv(how, (upstream, weights, None), by, &mut out, |first, block| {
            gelu_backward(&h[first * conv.input..][..block.len()], block);
        });
        out
    }

    fn middle_gradient<T: Kernels>(
        &self,
        grid: Grid,
        h: &[T],
        upstream: &[T],
        (weights, bias): (&mut [T], &mut [T]),
    ) {
        let middle = self.shape.middle;
        let activated;
        let rows = if self.shape.kernel == 1 {
            Rows::Gelu { x: h, channels: middle }
        } else {
            activated = gelu_all(h);
            Rows::Neighbours { grid, x: &activated, channels: middle }
        };
        let how = self.arithmetic;
        T::weight_gradient(&rows, upstream, middle, (weights, rows.width()), how);
        bias_gradient(upstream, bias);
    }

    fn input_gradient<T: Kernels>(
        &self,
        (conv, weights, _): &Parameters<'_, T>,
        input: &Input<'_, T>,
        (d1, upstream): (&[T], &[T]),
        held: Option<&[T]>,
    ) -> Vec<T> {
        let channels = input.channels;
        let weights = Matrix::new(&weights[input.offset..], conv.output, channels, conv.input);
        let rows = Rows::Plain { x: d1, channels: conv.output, stride: conv.output };
        let mut dx = vec![];
        let new = Out::New(&mut dx, input.x.len());
        let output = self.shape.output;
        let how = self.arithmetic;
        product(&[(rows, weights.into())], None, channels, new, how, |first, block| {
            gelu_backward(&input.x[first * channels..][..block.len()], block);
            if let Some(held) = held {
                let held = &held[first * channels..];
                block.iter_mut().zip(held).for_each(|(dx, &held)| *dx += held);
            }
            if self.shape.residual {
                let upstream = upstream[first * output..].chunks_exact(output);
                for (dx, upstream) in block.chunks_exact_mut(channels).zip(upstream) {
                    let tail = &upstream[output - channels..];
                    dx.iter_mut().zip(tail).for_each(|(d, &u)| *d += u);
                }
            }
        });
        dx
    }
}

/// Adds each pixel of `x` (`channels` numbers) to the last channels of the same pixel of `block`.
fn add_to_tails<T: Real>(block: &mut [T], output: usize, x: &[T], channels: usize) {
    for (out, x) in block.chunks_exact_mut(output).zip(x.chunks_exact(channels)) {
        out[output - channels..].iter_mut().zip(x).for_each(|(o, &x)| *o += x);
    }
}

pub(super) type GradientParts<'a, T> = (&'a mut [T], &'a mut [T]);

pub(super) fn split_mut<'a, T>(
    shape: &BlockShape,
    mut flat: &'a mut [T],
) -> [GradientParts<'a, T>; 4] {
    shape.convolutions().map(|conv| {
        let (weights, rest) = std::mem::take(&mut flat).split_at_mut(conv.weights());
        let (bias, rest) = rest.split_at_mut(conv.output);
        flat = rest;
        (weights, bias)
    })
}
