//! Pictures on their way to the GPU, through memory that is pinned: a copy from ordinary memory
//! waits until everything queued before it is done.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaEvent, PinnedHostSlice, result};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Result, Shape, Storage, Tensor};

use super::gpu::{Gpu, slice_address};

/// Buffers that take turns: while one is copied, the next is filled.
const BUFFERS: usize = 3;

/// Copies bytes to a GPU without waiting for it.
pub struct Uploader {
    gpu: Arc<Gpu>,
    buffers: Vec<Pinned>,
    next: usize,
}

/// Pinned memory, and the end of the copy that reads it. cudarc's own record of that is off where
/// it does not track events.
struct Pinned {
    bytes: PinnedHostSlice<u8>,
    copied: CudaEvent,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Where even this fails, the context is lost and nothing reads the memory any more.
        let _ = self.copied.synchronize();
    }
}

impl std::fmt::Debug for Uploader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploader").finish_non_exhaustive()
    }
}

impl Uploader {
    /// To a GPU.
    ///
    /// # Errors
    /// On a device other than a GPU.
    pub fn new(device: &Device) -> Result<Self> {
        let Device::Cuda(device) = device else {
            candle_core::bail!("upload: expected a GPU");
        };
        Ok(Self { gpu: Gpu::of(device)?, buffers: vec![], next: 0 })
    }

    /// A tensor of bytes on the GPU. Waits only where the buffer of the third call before is still
    /// being copied.
    ///
    /// # Errors
    /// Where the shape holds another number of bytes.
    pub fn upload(&mut self, bytes: &[u8], shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if bytes.is_empty() || shape.elem_count() != bytes.len() {
            candle_core::bail!("upload: {} bytes do not fill {shape:?}", bytes.len());
        }
        let index = self.next;
        self.next = (index + 1) % BUFFERS;
        let fits = self.buffers.get(index).is_some_and(|buffer| buffer.bytes.len() >= bytes.len());
        if !fits {
            // SAFETY: filled below before anything reads it.
            let pinned = unsafe { self.gpu.stream.context().alloc_pinned(bytes.len()) }.w()?;
            let copied = self.gpu.stream.record_event(None).w()?;
            let pinned = Pinned { bytes: pinned, copied };
            match self.buffers.get_mut(index) {
                Some(old) => *old = pinned,
                None => self.buffers.push(pinned),
            }
        }
        let pinned = &mut self.buffers[index];
        pinned.copied.synchronize().w()?;
        pinned.bytes.as_mut_slice().w()?.copy_from_slice(bytes);
        // SAFETY: written whole by the copy that follows.
        let slice = unsafe { self.gpu.device.alloc::<u8>(bytes.len())? };
        let (to, stream) = (slice_address(&self.gpu, &slice), self.gpu.stream.cu_stream());
        let from = &pinned.bytes.as_slice().w()?[..bytes.len()];
        // SAFETY: both hold as many bytes, and the event below says when they were read.
        unsafe { result::memcpy_htod_async(to, from, stream) }.w()?;
        pinned.copied.record(&self.gpu.stream).w()?;
        let storage =
            CudaStorage { slice: CudaStorageSlice::U8(slice), device: self.gpu.device.clone() };
        Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
    }
}
