//! The arithmetic of a block and of its gradient with products in bfloat16.
//!
//! Inputs, results and the gradients of both are float32; what products read, and the hidden states
//! that are kept for the gradient, are bfloat16. Every pass goes through memory once: what a pixel
//! is read for, products with it and its share of the gradients of weights and biases, is done
//! while it is in cache.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

use half::bf16;

use super::fused::{Fused, GradientParts, Input, Parameters, inputs_of, split_mut};
use crate::cpu::bfloat::{
    Left, Lines, LinesMut, Panels, Rows, Sums, Tail, Taps, WeightGradient, add_rows, add_up,
    gelu_rows_of_rounded, hidden_gradient_rows, hidden_rows, input_gradient_rows, multiply,
    output_rows, padded,
};
use crate::cpu::buffer::Buffer;
use crate::cpu::im2col::Grid;
use crate::cpu::matrix::Matrix;
use crate::cpu::product::shares;
use crate::shape::ConvShape;
use crate::team::{share_chunks, share_new, share_side_by_side};
use vdvae_io::{InstructionSet, instruction_set};

/// Hidden states (pixels × middle), before GELU.
type Hidden = [Buffer<bf16>; 3];

/// Pixels a task of the forward pass takes at once: with all that is computed from them they stay in
/// the second-level cache.
const FORWARD: usize = 64;
/// Pixels whose products are added to a gradient of weights at once: enough that loading and storing
/// the sums takes less time than the products.
const BACKWARD: usize = 256;
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

    /// Panels that carry gradients back through a convolution.
    fn backward_panels(&self, convolution: usize) -> Panels {
        let (ConvShape { input, output, kernel }, weights, _) = self.parameters[convolution];
        let (taps, stride) = (kernel * kernel, if kernel == 1 { output } else { padded(output) });
        Panels::of_rows(self.set, taps * stride, input, |row| {
            let (tap, o) = (taps - 1 - row / stride, row % stride);
            if o < output { &weights[(o * taps + tap) * input..][..input] } else { &[] }
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

    /// Gradients of the inputs that are `wanted`, added to those held, and of the parameters.
    fn gradients(
        &self,
        [h1, h2, h3]: &Hidden,
        upstream: &[f32],
        (wanted, held): (&[bool], &[Option<&[f32]>]),
        [g1, g2, g3, g4]: [GradientParts<'_, f32>; 4],
    ) -> Vec<Option<Vec<f32>>> {
        let (d3, a2) = self.through_last(h3, upstream, (g4, g3.1), h2);
        let (d2, a1) = self.through_middle(2, (&d3, &a2), h2, (g3.0, g2.1), Some(h1));
        drop((d3, a2));
        let (d1, _) = self.through_middle(1, (&d2, &a1), h1, (g2.0, g1.1), None);
        drop((d2, a1));
        let each = self.inputs.iter().zip(wanted.iter().zip(held));
        each.map(|(input, (&wanted, &held))| {
            let weights = &mut g1.0[input.offset..];
            self.through_first(input, (&d1, upstream), (wanted, held), weights)
        })
        .collect()
    }

    /// Back through the last convolution, to the gradients of its weights and bias and of the bias
    /// of the one before. Returns the gradient of the last hidden state, and `gelu` of `other`.
    fn through_last(
        &self,
        h: &[bf16],
        upstream: &[f32],
        ((weights, last_bias), bias): (GradientParts<'_, f32>, &mut [f32]),
        other: &[bf16],
    ) -> (Lines, Lines) {
        let (middle, output) = (self.middle(), self.block.shape.output);
        let panels = self.backward_panels(3);
        let (mut d, mut activated) = (self.lines(), self.lines());
        let mut parts = self.parts((&mut d, Some(&mut activated)), (middle, output));
        share_chunks(&mut parts, 1, |chunks| {
            for (_, part) in chunks {
                let part = &mut part[0];
                part.upstream_sum.resize(output, 0.0);
                let size = self.grid.width * part.block;
                let (mut rows, mut sums) = (Rows::stale(size, output), Sums::stale(size, middle));
                let mut left = Rows::stale(size, middle);
                for lines in blocks(&part.lines, part.block) {
                    let (first, count) = self.pixels(&lines);
                    let upstream = &upstream[first * output..][..count * output];
                    rows.round(self.set, Matrix::new(upstream, count, output, output));
                    add_rows(upstream, &mut part.upstream_sum);
                    multiply(self.set, (Left::Rows(&rows), count), &panels, &mut sums, false);
                    part.hidden_gradient(self, &lines, &sums, h);
                    left.gelu_of_rounded(self.set, &h[first * middle..][..count * middle], middle);
                    let left = (left.data(), left.stride());
                    part.of_weights.add(self.set, left, Left::Rows(&rows), count);
                    part.activate(self, &lines, other);
                }
            }
        });
        finish_bias(parts.iter().map(|part| &part.upstream_sum), last_bias);
        finish_bias(parts.iter().map(|part| &part.bias), bias);
        // Inputs run along the rows of the sums here.
        share_chunks(weights, middle, |chunks| {
            for (output, weights) in chunks {
                for (input, weight) in weights.iter_mut().enumerate() {
                    *weight = parts.iter().map(|part| part.of_weights.at(input, output)).sum();
                }
            }
        });
        drop(parts);
        (d, activated)
    }

    /// Back through a convolution of the middle: from the gradient of its result, and its input,
    /// activated and before that, to the gradients of its weights and of the bias of the one before.
    /// Returns the gradient of its input, and `gelu` of `other`, if there is any.
    fn through_middle(
        &self,
        convolution: usize,
        (upstream, x): (&Lines, &Lines),
        h: &[bf16],
        (weights, bias): (&mut [f32], &mut [f32]),
        other: Option<&[bf16]>,
    ) -> (Lines, Lines) {
        let middle = self.middle();
        let conv = self.parameters[convolution].0;
        let (taps, stride) = (conv.kernel * conv.kernel, padded(middle));
        let panels = self.backward_panels(convolution);
        let (mut d, mut activated) = (self.lines(), self.lines());
        let of_other = other.is_some().then_some(&mut activated);
        let mut parts = self.parts((&mut d, of_other), (middle, taps * stride));
        share_chunks(&mut parts, 1, |chunks| {
            for (_, part) in chunks {
                let part = &mut part[0];
                let size = self.grid.width * part.block;
                let (mut scratch, mut sums) = (x.scratch(size), Sums::stale(size, middle));
                let mut left = Rows::stale(size, middle);
                for lines in blocks(&part.lines, part.block) {
                    let (_, count) = self.pixels(&lines);
                    let neighbours = upstream.left(lines.clone(), &mut scratch);
                    multiply(self.set, (neighbours, count), &panels, &mut sums, false);
                    part.hidden_gradient(self, &lines, &sums, h);
                    upstream.copy_pixels(lines.clone(), &mut left);
                    let neighbours = x.left(lines.clone(), &mut scratch);
                    let left = (left.data(), left.stride());
                    part.of_weights.add(self.set, left, neighbours, count);
                    if let Some(other) = other {
                        part.activate(self, &lines, other);
                    }
                }
            }
        });
        finish_bias(parts.iter().map(|part| &part.bias), bias);
        let taps = Taps { taps, channels: middle, stride };
        add_up(&of_weights(parts), middle, taps, weights, conv.row());
        (d, activated)
    }

    /// Back through the first convolution, to one input and its part of the weights, which lies
    /// in rows as long as all inputs have channels.
    fn through_first(
        &self,
        input: &Input<'_, f32>,
        (d, upstream): (&Lines, &[f32]),
        (wanted, held): (bool, Option<&[f32]>),
        weights: &mut [f32],
    ) -> Option<Vec<f32>> {
        let (middle, channels, output) = (self.middle(), input.channels, self.block.shape.output);
        let (conv, of_conv, _) = self.parameters[0];
        let of_input = Matrix::new(&of_conv[input.offset..], middle, channels, conv.input);
        let panels = wanted.then(|| Panels::pack(self.set, of_input));
        let write = |mut dx: &mut [MaybeUninit<f32>]| {
            let part = |lines: Range<usize>| {
                let len = if wanted { self.pixels(&lines).1 * channels } else { 0 };
                let dx = dx.split_off_mut(..len).expect("as many as the input has");
                (dx, Part::new(lines, None, self, (middle, channels)))
            };
            let mut parts: Vec<_> = self.shares().map(part).collect();
            share_chunks(&mut parts, 1, |chunks| {
                for (_, part) in chunks {
                    let (dx, part) = &mut part[0];
                    let size = self.grid.width * part.block;
                    let mut rows = Rows::stale(size, channels);
                    let mut left = Rows::stale(size, middle);
                    let mut sums = Sums::stale(size, if wanted { channels } else { 0 });
                    let start = part.lines.start * self.grid.width;
                    for lines in blocks(&part.lines, part.block) {
                        let (first, count) = self.pixels(&lines);
                        let x = input.pixels(first, count);
                        rows.gelu(self.set, x, channels);
                        d.copy_pixels(lines, &mut left);
                        let transposed = (left.data(), left.stride());
                        part.of_weights.add(self.set, transposed, Left::Rows(&rows), count);
                        let Some(panels) = &panels else { continue };
                        multiply(self.set, (Left::Rows(&left), count), panels, &mut sums, false);
                        let residual = self.block.shape.residual;
                        let tails = || (&upstream[(first + 1) * output - channels..], output);
                        let held = held.map(|held| (&held[first * channels..], channels));
                        let added = [held, residual.then(tails)];
                        let dx = &mut dx[(first - start) * channels..][..count * channels];
                        input_gradient_rows(
                            self.set,
                            sums.data(),
                            sums.stride(),
                            x,
                            channels,
                            added,
                            dx,
                        );
                    }
                }
            });
            let of_weights: Vec<_> = parts.into_iter().map(|(_, part)| part.of_weights).collect();
            add_up(&of_weights, middle, Taps::one(channels), weights, self.block.shape.input);
        };
        // SAFETY: the parts are all lines, and of each every row is written.
        let (dx, ()) = unsafe { written(if wanted { input.x.len() } else { 0 }, write) };
        wanted.then_some(dx)
    }

    /// The first pixel of some lines, and how many they have.
    fn pixels(&self, lines: &Range<usize>) -> (usize, usize) {
        (lines.start * self.grid.width, lines.len() * self.grid.width)
    }

    /// The lines of each thread: for fewer pixels the gradients of weights are more work than they.
    fn shares(&self) -> impl Iterator<Item = Range<usize>> {
        shares(self.grid.n * self.grid.height, self.grid.pixels().div_ceil(BACKWARD))
    }

    /// What each thread does on the way back to lines.
    fn parts<'p>(
        &self,
        (d, activated): (&'p mut Lines, Option<&'p mut Lines>),
        sizes: (usize, usize),
    ) -> Vec<Part<'p>> {
        let line = d.size();
        let mut activated = activated.map_or(&mut [][..], Lines::lines_mut);
        let mut d = d.lines_mut();
        let part = |lines: Range<usize>| {
            let len = lines.len() * line.0;
            let activated = activated.split_off_mut(..len.min(activated.len()));
            let both = [d.split_off_mut(..len), activated].map(Option::unwrap_or_default);
            Part::new(lines, Some((both, line)), self, sizes)
        };
        self.shares().map(part).collect()
    }
}

impl<'a> Input<'a, f32> {
    fn pixels(&self, first: usize, count: usize) -> &'a [f32] {
        &self.x[first * self.channels..][..count * self.channels]
    }
}

/// Lines in blocks.
fn blocks(lines: &Range<usize>, each: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = lines.end;
    lines.clone().step_by(each).map(move |first| first..(first + each).min(end))
}

/// Chunks of two states, and the size of their lines.
type States<'a> = ([&'a mut [bf16]; 2], (usize, usize));

/// What one thread does of a pass backward.
struct Part<'a> {
    lines: Range<usize>,
    /// Lines it takes at once.
    block: usize,
    /// Where the gradients that it carries back go, and another state, activated, with the size of
    /// their lines.
    out: [&'a mut [bf16]; 2],
    line: (usize, usize),
    of_weights: WeightGradient,
    /// Sums over the pixels of what it carries back.
    bias: Vec<f32>,
    /// Sums over the pixels of what comes to it.
    upstream_sum: Vec<f32>,
}

impl<'a> Part<'a> {
    fn new(
        lines: Range<usize>,
        out: Option<States<'a>>,
        call: &Call<'_>,
        sizes: (usize, usize),
    ) -> Self {
        let width = call.grid.width;
        let block = (BACKWARD / width).clamp(1, lines.len().max(1));
        let (out, line) = out.unwrap_or_default();
        Self {
            of_weights: WeightGradient::new(sizes, block * width),
            bias: vec![0.0; call.middle()],
            upstream_sum: vec![],
            lines,
            block,
            out,
            line,
        }
    }

    /// The chunk of some of its lines in one of its states.
    fn lines_mut(&mut self, state: usize, lines: &Range<usize>) -> LinesMut<'_> {
        let first = (lines.start - self.lines.start) * self.line.0;
        let out = &mut self.out[state][first..][..lines.len() * self.line.0];
        LinesMut::new(out, self.line)
    }

    /// Writes gradients of hidden states from those of their activations.
    fn hidden_gradient(&mut self, call: &Call<'_>, lines: &Range<usize>, sums: &Sums, h: &[bf16]) {
        let (width, middle, stride) = (call.grid.width, call.middle(), sums.stride());
        let h = &h[call.pixels(lines).0 * middle..];
        let mut bias = std::mem::take(&mut self.bias);
        self.lines_mut(0, lines).write(|line, out| {
            let first = line * width;
            let sums = &sums.data()[first * stride..][..width * stride];
            let h = &h[first * middle..];
            hidden_gradient_rows(call.set, sums, stride, h, out, padded(middle), &mut bias);
        });
        self.bias = bias;
    }

    /// Writes `gelu` of the other state.
    fn activate(&mut self, call: &Call<'_>, lines: &Range<usize>, h: &[bf16]) {
        let (middle, len) = (call.middle(), call.grid.width * call.middle());
        let h = &h[lines.start * len..];
        self.lines_mut(1, lines).write(|line, out| {
            let h = &h[line * len..][..len];
            gelu_rows_of_rounded(call.set, h, middle, out, padded(middle));
        });
    }
}

fn of_weights(parts: Vec<Part<'_>>) -> Vec<WeightGradient> {
    parts.into_iter().map(|part| part.of_weights).collect()
}

/// The gradient of a bias, added up in order.
fn finish_bias<'a>(parts: impl Iterator<Item = &'a Vec<f32>>, bias: &mut [f32]) {
    bias.fill(0.0);
    parts.for_each(|part| bias.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
}
