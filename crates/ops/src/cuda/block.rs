//! The fused residual block: products and convolutions by the libraries, everything between them
//! in one kernel a step.
//!
//! The biases of the first three convolutions are added where their results are read, in the GELU
//! kernel; the last one's, and the residual, in the last product's epilogue. The kernel that
//! carries a gradient back through GELU also writes the activation that the weights' gradient
//! reads next, and the sums that are the bias's gradient.

use candle_core::Result;

use super::blas::{Matrix, Product};
use super::gpu::{Gpu, SUM_THREADS, launch};
use super::memory::{Buffer, Kind, View, address_of, kernel};
use super::shapes::Conv3;
use super::weights::{Convolution, Weights};
use crate::cpu::im2col::Grid;
use crate::shape::{BlockShape, ConvShape};

/// One input: its numbers and its channels.
pub(crate) type Input<'a> = (View<'a>, usize);

/// Results of the first three convolutions, without their biases.
pub(crate) type Hidden = [Buffer; 3];

/// What a block is computed on.
pub(crate) struct Call<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) grid: Grid,
    pub(crate) shape: BlockShape,
    /// One input, or two that lie side by side.
    pub(crate) inputs: &'a [Input<'a>],
    /// Float32.
    pub(crate) parameters: View<'a>,
    /// Whether operands of float32 are rounded to TensorFloat-32.
    pub(crate) tf32: bool,
}

/// Gradients of the inputs that are wanted, and of the parameters.
pub(crate) struct Gradients {
    pub(crate) inputs: Vec<Option<Buffer>>,
    pub(crate) parameters: Buffer,
}

impl Call<'_> {
    fn kind(&self) -> Kind {
        self.inputs[0].0.kind
    }

    fn pixels(&self) -> usize {
        self.grid.pixels()
    }

    fn weights(&self) -> Result<Weights<'_, 4>> {
        let shapes = self.shape.convolutions();
        Weights::new(self.gpu, self.parameters, self.kind(), shapes, self.tf32)
    }

    fn stale(&self, channels: usize) -> Result<Buffer> {
        self.gpu.stale(self.kind(), self.pixels() * channels)
    }

    /// The result, and the hidden states for the gradient.
    pub(crate) fn forward(&self) -> Result<(Buffer, Hidden)> {
        let weights = self.weights()?;
        let convolutions = weights.convolutions();
        let hidden = self.hidden(&convolutions)?;
        let last = &convolutions[3];
        let activated = self.activated(&hidden[2], convolutions[2].bias)?;
        let out = self.stale(self.shape.output)?;
        self.last_product(last, activated.view(), out.view())?;
        Ok((out, hidden))
    }

    fn hidden(&self, convolutions: &[Convolution<'_>; 4]) -> Result<Hidden> {
        let BlockShape { input, middle, .. } = self.shape;
        let first = self.stale(middle)?;
        let activated = self.activated_inputs()?;
        let (rows, out) = (Matrix::new(activated.view(), input), Matrix::new(first.view(), middle));
        self.gpu.product(&forward(self.pixels(), &convolutions[0], rows, out))?;
        drop(activated);
        let second = self.middle(&convolutions[1], &first, convolutions[0].bias)?;
        let third = self.middle(&convolutions[2], &second, convolutions[1].bias)?;
        Ok([first, second, third])
    }

    /// GELU of all inputs, side by side.
    fn activated_inputs(&self) -> Result<Buffer> {
        let out = self.stale(self.shape.input)?;
        let mut offset = 0;
        for &(x, channels) in self.inputs {
            let part = out.view().from(offset);
            gelu(self.gpu, (self.pixels(), channels), x, None, (part, self.shape.input))?;
            offset += channels;
        }
        Ok(out)
    }

    /// GELU of a hidden state and its bias.
    fn activated(&self, hidden: &Buffer, bias: View<'_>) -> Result<Buffer> {
        let middle = self.shape.middle;
        let out = self.stale(middle)?;
        let rows = (self.pixels(), middle);
        gelu(self.gpu, rows, hidden.view(), Some(bias), (out.view(), middle))?;
        Ok(out)
    }

    fn middle(
        &self,
        convolution: &Convolution<'_>,
        hidden: &Buffer,
        bias: View<'_>,
    ) -> Result<Buffer> {
        let middle = self.shape.middle;
        let activated = self.activated(hidden, bias)?;
        let out = self.stale(middle)?;
        if self.shape.kernel == 1 {
            let [rows, out] = [&activated, &out].map(|of| Matrix::new(of.view(), middle));
            self.gpu.product(&forward(self.pixels(), convolution, rows, out))?;
        } else {
            self.gpu.conv3(self.conv3(), activated.view(), convolution.weights, out.view())?;
        }
        Ok(out)
    }

    fn conv3(&self) -> Conv3 {
        let (Grid { n, height, width }, middle) = (self.grid, self.shape.middle);
        Conv3 { n, height, width, input: middle, output: middle, tf32: self.tf32 }
    }

    /// The last convolution with its bias and the residual, which is added to the last channels.
    fn last_product(
        &self,
        last: &Convolution<'_>,
        activated: View<'_>,
        out: View<'_>,
    ) -> Result<()> {
        let BlockShape { input, output, middle, residual, .. } = self.shape;
        let rows = Matrix::new(activated, middle);
        let plain = if residual { output - input } else { output };
        let columns = |first: usize, columns: usize, add| Product {
            columns,
            b: Matrix::new(last.weights.from(first * middle), middle).transposed(),
            add,
            bias: Some(last.cast_bias.from(first)),
            ..forward(self.pixels(), last, rows, Matrix::new(out.from(first), output))
        };
        if plain > 0 {
            self.gpu.product(&columns(0, plain, None))?;
        }
        if residual {
            let x = Matrix::new(self.inputs[0].0, input);
            self.gpu.product(&columns(plain, input, Some(x)))?;
        }
        Ok(())
    }

    /// Gradients, from the hidden states (computed again where they were not kept) and the
    /// gradient of the result. Those of the inputs where they are wanted, added to those held.
    pub(crate) fn backward(
        &self,
        hidden: Option<Hidden>,
        upstream: View<'_>,
        onto: (&[bool], &[Option<View<'_>>]),
    ) -> Result<Gradients> {
        let weights = self.weights()?;
        let convolutions = weights.convolutions();
        let [h1, h2, h3] = match hidden {
            Some(hidden) => hidden,
            None => self.hidden(&convolutions)?,
        };
        let BlockShape { input, middle, output, .. } = self.shape;
        let gradient = self.gpu.stale(Kind::F32, self.shape.parameters())?;
        let [g1, g2, g3, g4] = parts(&self.shape, gradient.view());
        let [c1, c2, c3, c4] = &convolutions;

        let d3 = self.stale(middle)?;
        let (rows, out) = (Matrix::new(upstream, output), Matrix::new(d3.view(), middle));
        self.gpu.product(&backward(self.pixels(), c4, rows, out))?;
        let a3 = self.gelu_backward(&h3, c3.bias, &d3, g3.1)?;
        drop(h3);
        self.weight_gradient(rows, Matrix::new(a3.view(), middle), (output, middle), g4.0)?;
        bias_gradient(self.gpu, upstream, (self.pixels(), output), g4.1)?;
        drop(a3);

        let d2 = self.middle_data(c3, &d3)?;
        let a2 = self.gelu_backward(&h2, c2.bias, &d2, g2.1)?;
        drop(h2);
        self.middle_filter(&a2, &d3, g3.0)?;
        drop((a2, d3));

        let d1 = self.middle_data(c2, &d2)?;
        let a1 = self.gelu_backward(&h1, c1.bias, &d1, g1.1)?;
        drop(h1);
        self.middle_filter(&a1, &d2, g2.0)?;
        drop((a1, d2));

        let d0 = self.stale(input)?;
        let (rows, out) = (Matrix::new(d1.view(), middle), Matrix::new(d0.view(), input));
        self.gpu.product(&backward(self.pixels(), c1, rows, out))?;
        let inputs = self.input_gradients(&d0, upstream, onto)?;
        // d0 holds the activated inputs now.
        self.weight_gradient(rows, out, (middle, input), g1.0)?;
        Ok(Gradients { inputs, parameters: gradient })
    }

    /// Turns `d` from the gradient of an activation into that of the hidden state; returns the
    /// activation.
    fn gelu_backward(
        &self,
        hidden: &Buffer,
        bias: View<'_>,
        d: &Buffer,
        bias_gradient: View<'_>,
    ) -> Result<Buffer> {
        let (gpu, middle, kind) = (self.gpu, self.shape.middle, self.kind());
        let activated = self.stale(middle)?;
        let views = [hidden.view(), d.view(), activated.view()];
        let sums = Sums::new(gpu, (self.pixels(), middle), &views);
        let partial = sums.partial(gpu)?;
        launch!(gpu, kernel!(kind, "gelu_backward"), sums.grid, (SUM_THREADS, 1, 1), 0;
            hidden.view().address, bias.address, d.view().address, activated.view().address,
            partial.view().address, self.pixels() as u64, middle as i32, sums.lanes,
            i32::from(sums.wide));
        sums.finish(gpu, partial.view(), bias_gradient)?;
        Ok(activated)
    }

    fn middle_data(&self, convolution: &Convolution<'_>, d: &Buffer) -> Result<Buffer> {
        let middle = self.shape.middle;
        let out = self.stale(middle)?;
        if self.shape.kernel == 1 {
            let [rows, out] = [d, &out].map(|of| Matrix::new(of.view(), middle));
            self.gpu.product(&backward(self.pixels(), convolution, rows, out))?;
        } else {
            self.gpu.conv3_data(self.conv3(), convolution.weights, d.view(), out.view())?;
        }
        Ok(out)
    }

    fn middle_filter(&self, activated: &Buffer, d: &Buffer, out: View<'_>) -> Result<()> {
        let middle = self.shape.middle;
        if self.shape.kernel == 1 {
            let (d, x) = (Matrix::new(d.view(), middle), Matrix::new(activated.view(), middle));
            return self.weight_gradient(d, x, (middle, middle), out);
        }
        self.gpu.conv3_filter(self.conv3(), activated.view(), d.view(), out)
    }

    fn weight_gradient(
        &self,
        upstream: Matrix<'_>,
        x: Matrix<'_>,
        (output, input): (usize, usize),
        out: View<'_>,
    ) -> Result<()> {
        let how = (self.pixels(), self.tf32);
        weight_gradient(self.gpu, how, (upstream, output), (x, input), out)
    }

    /// Gradients of the inputs from that of the activated inputs, which becomes the activated
    /// inputs themselves.
    fn input_gradients(
        &self,
        d0: &Buffer,
        upstream: View<'_>,
        (wanted, held): (&[bool], &[Option<View<'_>>]),
    ) -> Result<Vec<Option<Buffer>>> {
        let BlockShape { input, output, residual, .. } = self.shape;
        let (gpu, kind, pixels) = (self.gpu, self.kind(), self.pixels());
        let mut offset = 0;
        let mut gradients = Vec::with_capacity(self.inputs.len());
        for ((&(x, channels), &wanted), &held) in self.inputs.iter().zip(wanted).zip(held) {
            let part = d0.view().from(offset);
            offset += channels;
            if !wanted {
                gelu(gpu, (pixels, channels), x, None, (part, input))?;
                gradients.push(None);
                continue;
            }
            let tail = residual.then(|| upstream.from(output - input));
            let dx = self.stale(channels)?;
            let mut views = vec![x, part, dx.view()];
            views.extend(tail.into_iter().chain(held));
            let wide = is_wide(kind, &views, &[channels, input, output]);
            let packs = pixels * channels / if wide { kind.pack() } else { 1 };
            check_packs(packs)?;
            launch!(gpu, kernel!(kind, "input_backward"), (gpu.blocks(packs), 1, 1),
                (256, 1, 1), 0;
                x.address, part.address, input as i32, address_of(tail), output as i32,
                address_of(held), dx.view().address, pixels as u64, channels as i32,
                i32::from(wide));
            gradients.push(Some(dx));
        }
        Ok(gradients)
    }
}

/// `out = rows · weightsᵀ`
pub(crate) fn forward<'a>(
    pixels: usize,
    convolution: &Convolution<'a>,
    rows: Matrix<'a>,
    out: Matrix<'a>,
) -> Product<'a> {
    let ConvShape { input, output, .. } = convolution.shape;
    let weights = Matrix::new(convolution.weights, input).transposed();
    Product::new([pixels, input, output], [rows, weights], out, convolution.tf32)
}

/// `out = upstream · weights`
pub(crate) fn backward<'a>(
    pixels: usize,
    convolution: &Convolution<'a>,
    upstream: Matrix<'a>,
    out: Matrix<'a>,
) -> Product<'a> {
    let ConvShape { input, output, .. } = convolution.shape;
    let weights = Matrix::new(convolution.weights, input);
    Product::new([pixels, output, input], [upstream, weights], out, convolution.tf32)
}

/// `out = upstreamᵀ · x`, in float32.
pub(crate) fn weight_gradient(
    gpu: &Gpu,
    (pixels, tf32): (usize, bool),
    (upstream, output): (Matrix<'_>, usize),
    (x, input): (Matrix<'_>, usize),
    out: View<'_>,
) -> Result<()> {
    let (sizes, out) = ([output, pixels, input], Matrix::new(out, input));
    gpu.product(&Product::new(sizes, [upstream.transposed(), x], out, tf32))
}

/// The gradient of a bias, in float32: sums of the columns of `upstream`.
pub(crate) fn bias_gradient(
    gpu: &Gpu,
    upstream: View<'_>,
    (pixels, channels): (usize, usize),
    out: View<'_>,
) -> Result<()> {
    let sums = Sums::new(gpu, (pixels, channels), &[upstream]);
    let partial = sums.partial(gpu)?;
    launch!(gpu, kernel!(upstream.kind, "column_sums"), sums.grid, (SUM_THREADS, 1, 1), 0;
        upstream.address, partial.view().address, pixels as u64, channels as i32, sums.lanes,
        i32::from(sums.wide));
    sums.finish(gpu, partial.view(), out)
}

/// How threads lie over rows in kernels that sum columns.
struct Sums {
    /// (blocks, parts of the columns, 1)
    grid: (u32, u32, u32),
    /// Threads side by side in a row.
    lanes: i32,
    wide: bool,
    channels: usize,
}

impl Sums {
    fn new(gpu: &Gpu, (pixels, channels): (usize, usize), views: &[View<'_>]) -> Self {
        let kind = views[0].kind;
        let wide = is_wide(kind, views, &[channels]);
        let packs = channels / if wide { kind.pack() } else { 1 };
        let lanes = packs.min(SUM_THREADS as usize);
        let rows = SUM_THREADS as usize / lanes;
        let blocks = pixels.div_ceil(rows).clamp(1, gpu.sum_blocks as usize) as u32;
        let grid = (blocks, packs.div_ceil(lanes) as u32, 1);
        Self { grid, lanes: lanes as i32, wide, channels }
    }

    fn partial(&self, gpu: &Gpu) -> Result<Buffer> {
        gpu.stale(Kind::F32, self.grid.0 as usize * self.channels)
    }

    fn finish(&self, gpu: &Gpu, partial: View<'_>, out: View<'_>) -> Result<()> {
        sum_partials(gpu, partial, (self.grid.0, self.channels), out)
    }
}

/// Adds up the rows of (blocks, channels) partial sums.
pub(crate) fn sum_partials(
    gpu: &Gpu,
    partial: View<'_>,
    (blocks, channels): (u32, usize),
    out: View<'_>,
) -> Result<()> {
    launch!(gpu, "sum_partials", (channels.div_ceil(32) as u32, 1, 1), (32, 32, 1), 0;
        partial.address, out.address, blocks as i32, channels as i32);
    Ok(())
}

/// Whether rows can be read and written a pack at a time.
pub(crate) fn is_wide(kind: Kind, views: &[View<'_>], widths: &[usize]) -> bool {
    views.iter().all(|view| view.address.is_multiple_of(16))
        && widths.iter().all(|width| width.is_multiple_of(kind.pack()))
}

fn check_packs(packs: usize) -> Result<()> {
    if u32::try_from(packs).is_ok() {
        return Ok(());
    }
    candle_core::bail!("residual block: {packs} packs of numbers are more than one launch takes")
}

/// `out = gelu(x + bias)`; rows of `out` are `stride` apart.
fn gelu(
    gpu: &Gpu,
    (pixels, channels): (usize, usize),
    x: View<'_>,
    bias: Option<View<'_>>,
    (out, stride): (View<'_>, usize),
) -> Result<()> {
    let wide = is_wide(x.kind, &[x, out], &[channels, stride]);
    let packs = pixels * channels / if wide { x.kind.pack() } else { 1 };
    check_packs(packs)?;
    launch!(gpu, kernel!(x.kind, "gelu"), (gpu.blocks(packs), 1, 1), (256, 1, 1), 0;
        x.address, address_of(bias), out.address, pixels as u64, channels as i32, stride as i32,
        i32::from(wide));
    Ok(())
}

/// Weights and bias of each convolution in the flat gradient.
fn parts<'a>(shape: &BlockShape, flat: View<'a>) -> [(View<'a>, View<'a>); 4] {
    let mut offset = 0;
    shape.convolutions().map(|conv| {
        let part = flat.from(offset);
        offset += conv.parameters();
        (part, part.from(conv.weights()))
    })
}
