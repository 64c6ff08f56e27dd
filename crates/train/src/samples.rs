//! A grid of samples from the prior, as a PNG.

use std::io::Cursor;

use candle_core::Tensor;
use image::{ImageFormat, RgbImage, imageops};
use vdvae_model::Vdvae;

use crate::Result;

/// Pictures on a side of the grid.
const MOST: usize = 8;
/// Space between pictures, in pixels.
const GAP: usize = 2;

/// Samples a square grid of no more pictures than `limit` and no more than 8×8, and encodes it.
pub(crate) fn sample_grid(model: &Vdvae, limit: usize, seed: u64) -> Result<Vec<u8>> {
    let side = limit.isqrt().clamp(1, MOST);
    let pictures = model.sample(side * side, 1.0, seed)?;
    let mut png = Cursor::new(Vec::new());
    let grid = grid(&pictures, side)?;
    grid.write_to(&mut png, ImageFormat::Png).expect("memory can be written to");
    Ok(png.into_inner())
}

/// Lays out (side², H, W, 3) row by row.
fn grid(pictures: &Tensor, side: usize) -> Result<RgbImage> {
    let (_, height, width, _) = pictures.dims4()?;
    let length = |pixels: usize| (side * (pixels + GAP) - GAP) as u32;
    let mut canvas = RgbImage::from_pixel(length(width), length(height), image::Rgb([255; 3]));
    for i in 0..side * side {
        let bytes = pictures.get(i)?.flatten_all()?.to_vec1::<u8>()?;
        let picture = RgbImage::from_raw(width as u32, height as u32, bytes)
            .expect("a picture holds H × W × 3 bytes");
        let at = |place: usize, pixels: usize| (place * (pixels + GAP)) as i64;
        imageops::replace(&mut canvas, &picture, at(i % side, width), at(i / side, height));
    }
    Ok(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn pictures_are_laid_out_row_by_row() {
        let bytes: Vec<u8> = (0..4u8).flat_map(|i| vec![i; 3 * 5 * 3]).collect();
        let pictures = Tensor::from_vec(bytes, (4, 3, 5, 3), &Device::Cpu).unwrap();
        let canvas = grid(&pictures, 2).unwrap();
        assert_eq!(canvas.dimensions(), (12, 8));
        let at = |x, y| canvas.get_pixel(x, y).0[0];
        assert_eq!(
            [at(0, 0), at(7, 2), at(4, 5), at(11, 7), at(5, 0), at(0, 3)],
            [0, 1, 2, 3, 255, 255]
        );
    }
}
