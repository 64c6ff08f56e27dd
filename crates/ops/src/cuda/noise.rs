//! Standard normal noise, made on the GPU.

use candle_core::{DType, Device, Result, Tensor};

use super::gpu::{Gpu, launch};
use super::memory::{Kind, kernel};

/// Standard normal numbers for one layer of `n` images: functions of (seed, image number, layer)
/// alone, the same in every batch and number type (but for its rounding). They are not the numbers
/// that the CPU draws.
///
/// # Shapes
/// - result: (n, r, r, z) for `shape` = (n, r, z)
///
/// # Errors
/// On a device other than a GPU, and for types other than float32 and bfloat16.
pub fn normal(
    seed: u64,
    first_image: u64,
    layer: u64,
    (n, r, z): (usize, usize, usize),
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    const NAME: &str = "normal";
    let Device::Cuda(device) = device else {
        candle_core::bail!("{NAME}: expected a GPU");
    };
    let (gpu, kind, each) = (Gpu::of(device)?, Kind::of(dtype, NAME)?, r * r * z);
    if n * each == 0 {
        candle_core::bail!("{NAME}: expected a shape that holds something, found {:?}", (n, r, z));
    }
    let out = gpu.stale(kind, n * each)?;
    let groups = n * each.div_ceil(4);
    launch!(gpu, kernel!(kind, "normal"), (gpu.blocks(groups), 1, 1), (256, 1, 1), 0;
        out.view().address, each as u64, n as i32, seed, first_image, layer as u32);
    Ok(out.into_tensor((n, r, r, z)))
}
