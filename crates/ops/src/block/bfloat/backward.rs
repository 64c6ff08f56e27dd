//! The gradient of a block with products in bfloat16.

use std::mem::MaybeUninit;
use std::ops::Range;

use half::bf16;

use super::{Call, Hidden, written};
use crate::block::fused::{GradientParts, Input};
use crate::cpu::bfloat::{
    Left, Lines, LinesMut, Panels, Rows, Sums, Taps, WeightGradient, add_rows, add_up,
    gelu_rows_of_rounded, hidden_gradient_rows, input_gradient_rows, multiply, padded,
};
use crate::cpu::matrix::Matrix;
use crate::cpu::product::shares;
use crate::shape::ConvShape;
use crate::team::share_chunks;

/// Pixels whose products are added to a gradient of weights at once: enough that loading and storing
/// the sums takes less time than the products.
const BACKWARD: usize = 256;

impl Call<'_> {
    /// Panels that carry gradients back through a convolution.
    fn backward_panels(&self, convolution: usize) -> Panels {
        let (ConvShape { input, output, kernel }, weights, _) = self.parameters[convolution];
        let (taps, stride) = (kernel * kernel, if kernel == 1 { output } else { padded(output) });
        Panels::of_rows(self.set, taps * stride, input, |row| {
            let (tap, o) = (taps - 1 - row / stride, row % stride);
            if o < output { &weights[(o * taps + tap) * input..][..input] } else { &[] }
        })
    }

    /// Gradients of the inputs that are `wanted`, added to those held, and of the parameters.
    pub(super) fn gradients(
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
