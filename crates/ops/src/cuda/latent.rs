//! A layer's latent, its KL and their gradients; the sum of the KL; the likelihood of pixels.

use candle_core::cuda_backend::cudarc::driver::DevicePtr as _;
use candle_core::{CudaStorage, Result};

use super::gpu::{Gpu, launch, slice_address};
use super::memory::{Buffer, Kind, View, address_of, kernel};
use crate::cpu::latent::Inputs;

impl Inputs<View<'_>> {
    fn n(&self) -> usize {
        self.posterior.len / 2
    }

    /// latent | KL
    pub(crate) fn forward(&self, gpu: &Gpu) -> Result<Buffer> {
        let kind = self.posterior.kind;
        let out = gpu.stale(kind, self.posterior.len)?;
        launch!(gpu, kernel!(kind, "latent"), (gpu.blocks(self.n()), 1, 1), (256, 1, 1), 0;
            self.posterior.address, self.prior.address, address_of(self.noise),
            out.view().address, self.n() as u64, self.latent_channels as i32,
            self.prior_width as i32);
        Ok(out)
    }

    /// Gradients of posterior and prior, where they are wanted. That of the prior is added to the
    /// one `held`, if any, instead of returned.
    pub(crate) fn backward(
        &self,
        gpu: &Gpu,
        upstream: View<'_>,
        (want_posterior, want_prior): (bool, bool),
        held: Option<View<'_>>,
    ) -> Result<(Option<Buffer>, Option<Buffer>)> {
        let kind = self.posterior.kind;
        let posterior = want_posterior.then(|| gpu.stale(kind, self.posterior.len)).transpose()?;
        // Zeros in what follows the statistics.
        let fresh = want_prior && held.is_none();
        let prior = fresh.then(|| gpu.zeros(kind, self.prior.len)).transpose()?;
        let of_posterior = posterior.as_ref().map(Buffer::view);
        let of_prior = prior.as_ref().map(Buffer::view).or(held.filter(|_| want_prior));
        launch!(gpu, kernel!(kind, "latent_backward"), (gpu.blocks(self.n()), 1, 1), (256, 1, 1), 0;
            self.posterior.address, self.prior.address, address_of(self.noise), upstream.address,
            address_of(of_posterior), address_of(of_prior), self.n() as u64,
            self.latent_channels as i32, self.prior_width as i32);
        Ok((posterior, prior))
    }
}

/// Float64 partial sums a row become float32, times `scale`.
fn finish_sums(gpu: &Gpu, partial: u64, rows: usize, count: u32, scale: f64) -> Result<Buffer> {
    let out = gpu.stale(Kind::F32, rows)?;
    launch!(gpu, "finish_sums", (rows as u32, 1, 1), (128, 1, 1), 0;
        partial, out.view().address, count as i32, scale);
    Ok(out)
}

/// Sums of the KL half of `images` images, float32.
pub(crate) fn kl_sum(gpu: &Gpu, latent: View<'_>, images: usize, z: usize) -> Result<Buffer> {
    let pixels = latent.len / (images * 2 * z);
    let blocks = (pixels * z).div_ceil(256 * 8).clamp(1, 256) as u32;
    let partial = gpu.partial_sums(images * blocks as usize)?;
    let address = slice_address(gpu, &partial);
    launch!(gpu, kernel!(latent.kind, "kl_partial"), (blocks, images as u32, 1), (256, 1, 1), 0;
        latent.address, address, pixels as u64, z as i32);
    finish_sums(gpu, address, images, blocks, 1.0)
}

/// The gradient of the latents, `n` numbers of type `kind`, from that of the images' sums.
pub(crate) fn spread_kl(
    gpu: &Gpu,
    (kind, n): (Kind, usize),
    upstream: View<'_>,
    z: usize,
) -> Result<Buffer> {
    let out = gpu.stale(kind, n)?;
    launch!(gpu, kernel!(kind, "spread_kl"), (gpu.blocks(n), 1, 1), (256, 1, 1), 0;
        upstream.address, out.view().address, n as u64, (n / upstream.len) as u64, z as i32);
    Ok(out)
}

/// Constants of a mixture likelihood.
#[derive(Clone, Copy)]
pub(crate) struct Mixture {
    pub(crate) images: usize,
    pub(crate) image_pixels: usize,
    pub(crate) components: usize,
    pub(crate) low_bit: bool,
}

/// Shared memory that every GPU gives a block without asking.
const SHARED: usize = 48 << 10;

impl Mixture {
    /// Nats per dimension of each image, and their gradient by the logits if `want`ed. Float32.
    pub(crate) fn evaluate(
        &self,
        gpu: &Gpu,
        logits: View<'_>,
        pixels: &CudaStorage,
        first_pixel: usize,
        want: bool,
    ) -> Result<(Buffer, Option<Buffer>)> {
        let Self { images, image_pixels, components, low_bit } = *self;
        let bytes = pixels.as_cuda_slice::<u8>()?;
        let bytes = bytes.device_ptr(&gpu.stream).0 + first_pixel as u64;
        let row = (10 * components + 1 + components + (components + 1) % 2) * 4;
        // Whole warps; the sum over a block uses 264 bytes of its own.
        let threads = ((SHARED - 512) / row / 32 * 32).min(128);
        if threads == 0 {
            candle_core::bail!(
                "mixture_nll: {components} components are more than the GPU's kernel takes"
            );
        }
        let blocks = image_pixels.div_ceil(threads) as u32;
        let levels = if low_bit { 31.0f32 } else { 255.0 };
        let dimensions = (image_pixels * 3) as f64;
        let gradient = want.then(|| gpu.stale(Kind::F32, logits.len)).transpose()?;
        let partial = gpu.partial_sums(images * blocks as usize)?;
        let address = slice_address(gpu, &partial);
        launch!(gpu, "mixture_nll", (blocks, images as u32, 1), (threads as u32, 1, 1),
            (threads * row) as u32;
            logits.address, bytes, address_of(gradient.as_ref().map(Buffer::view)), address,
            image_pixels as i32, components as i32, i32::from(low_bit), 1.0 / levels,
            (levels / 2.0).ln(), (-1.0 / dimensions) as f32);
        let values = finish_sums(gpu, address, images, blocks, -1.0 / dimensions)?;
        Ok((values, gradient))
    }
}

/// Multiplies every image's numbers by the gradient of its result.
pub(crate) fn scale_images(gpu: &Gpu, gradient: View<'_>, upstream: View<'_>) -> Result<()> {
    let (n, image) = (gradient.len, gradient.len / upstream.len);
    launch!(gpu, "scale_images", (gpu.blocks(n), 1, 1), (256, 1, 1), 0;
        gradient.address, upstream.address, n as u64, image as u64);
    Ok(())
}
