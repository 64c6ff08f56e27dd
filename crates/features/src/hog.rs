//! Histograms of oriented gradients: what one would use of pictures without a network.
//!
//! Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection" (2005), as `imageproc`
//! has it: nine orientations without sign, 8×8 cells, blocks of 2×2 cells at a stride of one, each
//! divided by its Euclidean norm. A 32×32 picture has 7·7·4·9 = 1764 numbers.

use image::{GrayImage, RgbImage, imageops};
use imageproc::hog::{HogOptions, HogSpec, hog};

use crate::{Error, Result};

/// Bins of half a turn.
pub(crate) const ORIENTATIONS: usize = 9;
/// Cells on a side.
const CELLS: usize = 8;

fn options(size: usize) -> Result<HogOptions> {
    if size < CELLS || !size.is_multiple_of(CELLS) {
        return Err(Error::HogSize { size, cells: CELLS });
    }
    Ok(HogOptions {
        orientations: ORIENTATIONS,
        signed: false,
        cell_side: size / CELLS,
        block_side: 2,
        block_stride: 1,
    })
}

/// Numbers of a picture of this size.
pub(crate) fn length(size: usize) -> Result<usize> {
    let spec = HogSpec::from_options(size as u32, size as u32, options(size)?);
    Ok(spec.expect("cells fill the picture").descriptor_length())
}

/// The numbers of a square picture, u8 (H, W, 3): (block row, block column, cell row, cell column,
/// orientation), row-major.
pub(crate) fn descriptor(pixels: &[u8]) -> Result<Vec<f32>> {
    let size = (pixels.len() / 3).isqrt();
    let picture = RgbImage::from_raw(size as u32, size as u32, pixels.to_vec());
    let grey: GrayImage = imageops::grayscale(&picture.expect("a square of pixels"));
    Ok(hog(&grey, options(size)?).expect("cells fill the picture"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose grey rises by 4 a pixel, along x or along y.
    fn ramp(along_x: bool) -> Vec<u8> {
        let grey = |x: usize, y: usize| 4 * (if along_x { x } else { y }) as u8;
        (0..32).flat_map(|y| (0..32).flat_map(move |x| [grey(x, y); 3])).collect()
    }

    /// The orientation that an inner block's cells agree on.
    fn strongest(descriptor: &[f32]) -> usize {
        let block = 4 * ORIENTATIONS;
        let cell = &descriptor[(3 * 7 + 3) * block..][..ORIENTATIONS];
        (0..ORIENTATIONS).max_by(|&a, &b| cell[a].total_cmp(&cell[b])).unwrap()
    }

    #[test]
    fn gradients_fall_into_their_orientation() {
        let [across, down] = [true, false].map(|along_x| descriptor(&ramp(along_x)).unwrap());
        assert_eq!((across.len(), length(32).unwrap()), (1764, 1764));
        assert!(across.iter().all(|value| (0.0..=1.0).contains(value)));
        // A quarter of a turn apart, of nine bins for half a turn.
        let apart = strongest(&across).abs_diff(strongest(&down));
        assert!(apart == 4 || apart == 5, "{apart}");
    }

    #[test]
    fn sizes_that_cells_do_not_fill_are_refused() {
        for size in [0, 4, 28] {
            let text = length(size).unwrap_err().to_string();
            assert!(text.contains("a multiple of 8") && text.contains(&size.to_string()), "{text}");
        }
    }
}
