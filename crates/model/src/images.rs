//! Pictures as callers have them, made into the (N, H, W, 3) bytes the network reads.

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, RgbImage};
use vdvae_io::{Preparation, to_rgb};

use crate::{Error, Result};

/// One picture or a batch.
///
/// Pictures of another size are prepared as data sets are: cut to their central square and resized
/// with an antialiased triangle (bilinear) filter. Grey is repeated, alpha dropped. Tensors must
/// have the network's size already.
pub trait Images {
    /// The pixels that the network reads.
    ///
    /// # Shapes
    /// - result: (N, `size`, `size`, 3) u8
    ///
    /// # Errors
    /// [`Error::EmptyPicture`] for a picture without pixels, [`Error::PixelTensor`] for a tensor of
    /// another shape or type, [`Error::Preparation`] for a size beyond reason, [`Error::Candle`] where they do not fit the
    /// device's memory.
    fn to_pixels(&self, size: usize, device: &Device) -> Result<Tensor>;
}

fn pixels_of<'a>(
    pictures: impl Iterator<Item = std::borrow::Cow<'a, RgbImage>>,
    size: usize,
    device: &Device,
) -> Result<Tensor> {
    let mut bytes = Vec::new();
    for (index, picture) in pictures.enumerate() {
        if picture.width() == 0 || picture.height() == 0 {
            return Err(Error::EmptyPicture { index });
        }
        bytes.extend(Preparation::new(size).apply(&picture)?.into_raw());
    }
    let n = bytes.len() / (size * size * 3);
    Ok(Tensor::from_vec(bytes, (n, size, size, 3), device)?)
}

impl Images for RgbImage {
    fn to_pixels(&self, size: usize, device: &Device) -> Result<Tensor> {
        pixels_of(std::iter::once(std::borrow::Cow::Borrowed(self)), size, device)
    }
}

impl Images for DynamicImage {
    fn to_pixels(&self, size: usize, device: &Device) -> Result<Tensor> {
        std::slice::from_ref(self).to_pixels(size, device)
    }
}

impl Images for [RgbImage] {
    fn to_pixels(&self, size: usize, device: &Device) -> Result<Tensor> {
        pixels_of(self.iter().map(std::borrow::Cow::Borrowed), size, device)
    }
}

impl Images for [DynamicImage] {
    fn to_pixels(&self, size: usize, device: &Device) -> Result<Tensor> {
        let rgb = self.iter().map(|picture| match picture {
            DynamicImage::ImageRgb8(picture) => std::borrow::Cow::Borrowed(picture),
            other => std::borrow::Cow::Owned(to_rgb(other.clone())),
        });
        pixels_of(rgb, size, device)
    }
}

impl<T> Images for Vec<T>
where
    [T]: Images,
{
    fn to_pixels(&self, size: usize, device: &Device) -> Result<Tensor> {
        self.as_slice().to_pixels(size, device)
    }
}

impl Images for Tensor {
    fn to_pixels(&self, size: usize, device: &Device) -> Result<Tensor> {
        match (self.dtype(), self.dims()) {
            (DType::U8, &[_, h, w, 3]) if h == size && w == size => Ok(self.to_device(device)?),
            (dtype, dims) => {
                Err(Error::PixelTensor { size, dtype: format!("{dtype:?}"), found: dims.to_vec() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_rows() {
        // A picture whose left half is red and whose bottom right pixel is blue.
        let picture = RgbImage::from_fn(6, 4, |x, y| match (x, y) {
            (4, 3) => image::Rgb([0, 0, 255]),
            (0..=2, _) => image::Rgb([255, 0, 0]),
            _ => image::Rgb([0, 0, 0]),
        });
        let pixels = picture.to_pixels(4, &Device::Cpu).unwrap();
        assert_eq!(pixels.dims(), [1, 4, 4, 3]);
        // The central square drops one column on each side.
        let rows = pixels.squeeze(0).unwrap().to_vec3::<u8>().unwrap();
        assert_eq!(rows[0][0], [255, 0, 0]);
        assert_eq!(rows[0][2], [0, 0, 0]);
        assert_eq!(rows[3][3], [0, 0, 255]);
    }

    #[test]
    fn tensors_of_another_size_are_refused() {
        let pixels = Tensor::zeros((1, 8, 8, 3), DType::U8, &Device::Cpu).unwrap();
        let message = pixels.to_pixels(4, &Device::Cpu).unwrap_err().to_string();
        assert!(message.contains("(1, 8, 8, 3)"), "{message}");
    }
}
