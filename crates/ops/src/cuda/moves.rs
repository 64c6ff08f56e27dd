//! Pooling, upsampling, gain and bias.

use candle_core::Result;

use super::block::sum_partials;
use super::gpu::{Gpu, launch};
use super::memory::{Buffer, Kind, View, address_of, kernel};
use crate::resampling::Resampling;

/// Means of cells, widened with zeros.
pub(crate) fn pool(gpu: &Gpu, sizes: Resampling, x: View<'_>) -> Result<Buffer> {
    let Resampling { rate, fine, coarse, .. } = sizes;
    let [height, width] = [sizes.height, sizes.width].map(|size| size / rate);
    let n = x.len / (rate * rate * fine) * coarse;
    let out = gpu.stale(x.kind, n)?;
    launch!(gpu, kernel!(x.kind, "pool"), (gpu.blocks(n), 1, 1), (256, 1, 1), 0;
        x.address, out.view().address, n as u64, height as i32, width as i32, fine as i32,
        coarse as i32, rate as i32);
    Ok(out)
}

/// The gradient of the input, of `n` numbers.
pub(crate) fn pool_backward(
    gpu: &Gpu,
    sizes: Resampling,
    upstream: View<'_>,
    n: usize,
) -> Result<Buffer> {
    let Resampling { rate, fine, coarse, .. } = sizes;
    let [height, width] = [sizes.height, sizes.width].map(|size| size / rate);
    let out = gpu.stale(upstream.kind, n)?;
    launch!(gpu, kernel!(upstream.kind, "pool_backward"), (gpu.blocks(n), 1, 1), (256, 1, 1), 0;
        upstream.address, out.view().address, n as u64, height as i32, width as i32,
        fine as i32, coarse as i32, rate as i32);
    Ok(out)
}

/// Pixels repeated, cut or widened, plus a bias that all images share.
pub(crate) fn upsample(
    gpu: &Gpu,
    sizes: Resampling,
    low: View<'_>,
    bias: Option<View<'_>>,
) -> Result<Buffer> {
    let Resampling { rate, height, width, fine, coarse } = sizes;
    let n = low.len / coarse * rate * rate * fine;
    let out = gpu.stale(low.kind, n)?;
    launch!(gpu, kernel!(low.kind, "upsample"), (gpu.blocks(n), 1, 1), (256, 1, 1), 0;
        low.address, address_of(bias), out.view().address, n as u64, height as i32,
        width as i32, coarse as i32, fine as i32, rate as i32);
    Ok(out)
}

/// The gradient of the lower state, of `n` numbers.
pub(crate) fn upsample_backward(
    gpu: &Gpu,
    sizes: Resampling,
    upstream: View<'_>,
    n: usize,
) -> Result<Buffer> {
    let Resampling { rate, width, fine, coarse, .. } = sizes;
    let out = gpu.stale(upstream.kind, n)?;
    launch!(gpu, kernel!(upstream.kind, "upsample_backward"), (gpu.blocks(n), 1, 1), (256, 1, 1),
        0; upstream.address, out.view().address, n as u64, width as i32, coarse as i32,
        fine as i32, rate as i32);
    Ok(out)
}

/// The gradient of the shared bias, of `image` numbers, in float32.
pub(crate) fn sum_images(gpu: &Gpu, upstream: View<'_>, image: usize) -> Result<Buffer> {
    let out = gpu.stale(Kind::F32, image)?;
    launch!(gpu, kernel!(upstream.kind, "sum_images"), (gpu.blocks(image), 1, 1), (256, 1, 1), 0;
        upstream.address, out.view().address, image as u64, (upstream.len / image) as i32);
    Ok(out)
}

/// `x · gain + bias`
pub(crate) fn gain_bias(gpu: &Gpu, x: View<'_>, gains: View<'_>) -> Result<Buffer> {
    let out = gpu.stale(x.kind, x.len)?;
    launch!(gpu, kernel!(x.kind, "gain_bias"), (gpu.blocks(x.len), 1, 1), (256, 1, 1), 0;
        x.address, gains.address, out.view().address, x.len as u64, (gains.len / 2) as i32);
    Ok(out)
}

/// Gradients of `x` and of gains and biases, the latter in float32.
pub(crate) fn gain_bias_backward(
    gpu: &Gpu,
    (x, gains, upstream): (View<'_>, View<'_>, View<'_>),
) -> Result<(Buffer, Buffer)> {
    let channels = gains.len / 2;
    let pixels = x.len / channels;
    let blocks = pixels.clamp(1, gpu.sum_blocks as usize * 8) as u32;
    let threads = channels.next_multiple_of(32).clamp(32, 1024) as u32;
    let dx = gpu.stale(x.kind, x.len)?;
    let partial = gpu.stale(Kind::F32, blocks as usize * gains.len)?;
    launch!(gpu, kernel!(x.kind, "gain_bias_backward"), (blocks, 1, 1), (threads, 1, 1), 0;
        x.address, gains.address, upstream.address, dx.view().address, partial.view().address,
        pixels as u64, channels as i32);
    let dp = gpu.stale(Kind::F32, gains.len)?;
    sum_partials(gpu, partial.view(), (blocks, gains.len), dp.view())?;
    Ok((dx, dp))
}
