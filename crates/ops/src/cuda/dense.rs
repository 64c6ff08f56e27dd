//! A convolution with bias by itself, and the projection of a latent into the state.

use candle_core::Result;

use super::blas::{Matrix, Product};
use super::block::{backward, bias_gradient, forward, is_wide, weight_gradient};
use super::gpu::{Gpu, launch};
use super::memory::{Buffer, Kind, View, kernel};
use super::shapes::Conv3;
use super::weights::Weights;
use crate::cpu::im2col::Grid;
use crate::shape::ConvShape;

fn conv3_of((grid, shape, tf32): (Grid, ConvShape, bool)) -> Conv3 {
    let Grid { n, height, width } = grid;
    Conv3 { n, height, width, input: shape.input, output: shape.output, tf32 }
}

/// A convolution of `x` with flat parameters. With the shape comes whether operands of float32 are
/// rounded to TensorFloat-32 (so below).
pub(crate) fn conv(
    gpu: &Gpu,
    of: (Grid, ConvShape, bool),
    x: View<'_>,
    parameters: View<'_>,
) -> Result<Buffer> {
    let (grid, shape, tf32) = of;
    let ConvShape { input, output, kernel } = shape;
    let weights = Weights::new(gpu, parameters, x.kind, [shape], tf32)?;
    let [convolution] = weights.convolutions();
    let n = grid.pixels() * output;
    let out = gpu.stale(x.kind, n)?;
    if kernel == 1 {
        let (rows, to) = (Matrix::new(x, input), Matrix::new(out.view(), output));
        let product = forward(grid.pixels(), &convolution, rows, to);
        gpu.product(&Product { bias: Some(convolution.cast_bias), ..product })?;
        return Ok(out);
    }
    gpu.conv3(conv3_of(of), x, convolution.weights, out.view())?;
    launch!(gpu, kernel!(x.kind, "add_bias"), (gpu.blocks(n), 1, 1), (256, 1, 1), 0;
        out.view().address, convolution.bias.address, n as u64, output as i32);
    Ok(out)
}

/// Gradients of input and parameters, where they are wanted.
pub(crate) fn conv_backward(
    gpu: &Gpu,
    of: (Grid, ConvShape, bool),
    (x, parameters, upstream): (View<'_>, View<'_>, View<'_>),
    (want_x, want_parameters): (bool, bool),
) -> Result<(Option<Buffer>, Option<Buffer>)> {
    let (grid, shape, tf32) = of;
    let ConvShape { input, output, kernel } = shape;
    let (pixels, rows) = (grid.pixels(), Matrix::new(upstream, output));
    let weights = Weights::new(gpu, parameters, x.kind, [shape], tf32)?;
    let [convolution] = weights.convolutions();
    let dx = match want_x {
        true => {
            let dx = gpu.stale(x.kind, x.len)?;
            if kernel == 1 {
                let out = Matrix::new(dx.view(), input);
                gpu.product(&backward(pixels, &convolution, rows, out))?;
            } else {
                gpu.conv3_data(conv3_of(of), convolution.weights, upstream, dx.view())?;
            }
            Some(dx)
        }
        false => None,
    };
    let dp = match want_parameters {
        true => {
            let dp = gpu.stale(Kind::F32, shape.parameters())?;
            let dw = dp.view().part(0, shape.weights());
            if kernel == 1 {
                let x = (Matrix::new(x, input), input);
                weight_gradient(gpu, (pixels, tf32), (rows, output), x, dw)?;
            } else {
                gpu.conv3_filter(conv3_of(of), x, upstream, dw)?;
            }
            let db = dp.view().from(shape.weights());
            bias_gradient(gpu, upstream, (pixels, output), db)?;
            Some(dp)
        }
        false => None,
    };
    Ok((dx, dp))
}

/// `base[.., P - W..] + latent[.., ..Z] · weightsᵀ + bias`, all in one product's epilogue.
pub(crate) fn project_add(
    gpu: &Gpu,
    (pixels, shape, tf32): (usize, ConvShape, bool),
    (base, base_width): (View<'_>, usize),
    (latent, latent_width): (View<'_>, usize),
    parameters: View<'_>,
) -> Result<Buffer> {
    let weights = Weights::new(gpu, parameters, base.kind, [shape], tf32)?;
    let [convolution] = weights.convolutions();
    let out = gpu.stale(base.kind, pixels * shape.output)?;
    let rows = Matrix::new(latent, latent_width);
    gpu.product(&Product {
        bias: Some(convolution.cast_bias),
        add: Some(Matrix::new(base.from(base_width - shape.output), base_width)),
        ..forward(pixels, &convolution, rows, Matrix::new(out.view(), shape.output))
    })?;
    Ok(out)
}

/// Gradients of base, latent and parameters. That of the latent is added to the one `held`, if any,
/// instead of returned.
pub(crate) fn project_add_backward(
    gpu: &Gpu,
    (pixels, shape, tf32): (usize, ConvShape, bool),
    base_width: usize,
    (latent, latent_width): (View<'_>, usize),
    (parameters, upstream): (View<'_>, View<'_>),
    held: Option<View<'_>>,
) -> Result<(Buffer, Option<Buffer>, Buffer)> {
    let ConvShape { input, output, .. } = shape;
    let kind = upstream.kind;
    let weights = Weights::new(gpu, parameters, kind, [shape], tf32)?;
    let [convolution] = weights.convolutions();
    let rows = Matrix::new(upstream, output);

    let db = gpu.stale(kind, pixels * base_width)?;
    let wide = is_wide(kind, &[upstream, db.view()], &[output, base_width]);
    let packs = pixels * base_width / if wide { kind.pack() } else { 1 };
    launch!(gpu, kernel!(kind, "pad_front"), (gpu.blocks(packs), 1, 1), (256, 1, 1), 0;
        upstream.address, db.view().address, pixels as u64, output as i32, base_width as i32,
        i32::from(wide));

    // Zeros in what follows the latent.
    let dl = match held {
        Some(_) => None,
        None => Some(gpu.zeros(kind, pixels * latent_width)?),
    };
    let place = held.or(dl.as_ref().map(Buffer::view)).expect("one of the two");
    let onto = held.map(|held| Matrix::new(held, latent_width));
    let out = Matrix::new(place, latent_width);
    gpu.product(&Product { add: onto, ..backward(pixels, &convolution, rows, out) })?;

    let dp = gpu.stale(Kind::F32, shape.parameters())?;
    let x = Matrix::new(latent, latent_width);
    let dw = dp.view().part(0, shape.weights());
    weight_gradient(gpu, (pixels, tf32), (rows, output), (x, input), dw)?;
    bias_gradient(gpu, upstream, (pixels, output), dp.view().from(shape.weights()))?;
    Ok((db, dl, dp))
}
