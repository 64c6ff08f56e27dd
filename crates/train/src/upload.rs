//! Batches on their way to the device.

use candle_core::{Device, Tensor};
#[cfg(feature = "cuda")]
use vdvae_ops::cuda::Uploader;

use crate::Result;

/// Makes tensors of batches; on a GPU without waiting for the work that is queued there.
#[derive(Debug)]
pub(crate) struct Upload {
    device: Device,
    #[cfg(feature = "cuda")]
    uploader: Option<Uploader>,
}

impl Upload {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        Ok(Self {
            device: device.clone(),
            #[cfg(feature = "cuda")]
            uploader: device.is_cuda().then(|| Uploader::new(device)).transpose()?,
        })
    }

    /// # Shapes
    /// - `bytes`: row-major; result: `shape`
    pub(crate) fn tensor(
        &mut self,
        bytes: Vec<u8>,
        shape: (usize, usize, usize, usize),
    ) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if let Some(uploader) = &mut self.uploader {
            return Ok(uploader.upload(&bytes, shape)?);
        }
        Ok(Tensor::from_vec(bytes, shape, &self.device)?)
    }
}
