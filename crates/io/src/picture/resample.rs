//! Separable resampling of a part of a picture, rows first, in float32, rounded once at the end.
//!
//! The weights are Pillow's: a filter whose support grows with the ratio when shrinking, so that
//! every pixel counts. Only the rows and columns of the part are read, one output row at a time:
//! the pass over rows runs along the picture's memory and leaves little for the other.

use image::RgbImage;

/// A filter: half its width at ratio 1, and its value at a distance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) support: f32,
    pub(super) value: fn(f32) -> f32,
}

/// Linear interpolation.
pub(super) const TRIANGLE: Filter = Filter { support: 1.0, value: |x| (1.0 - x.abs()).max(0.0) };

/// Keys' cubic convolution with a = -0.5.
pub(super) const CUBIC: Filter = Filter {
    support: 2.0,
    value: |x| match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    },
};

/// Left, top, width, height of a part of a picture, in pixels.
pub(super) type Part = [usize; 4];

/// Brings a part of a picture to `size`×`size`.
///
/// # Panics
/// If the part is empty or not inside the picture.
pub(super) fn resample(picture: &RgbImage, part: Part, size: usize, filter: Filter) -> RgbImage {
    let [left, top, width, height] = part;
    let stride = 3 * picture.width() as usize;
    let rows = Taps::new(height, size, filter);
    let columns = Taps::new(width, size, filter);
    let mut row = vec![0.0_f32; 3 * width];
    let mut pixels = Vec::with_capacity(3 * size * size);
    for y in 0..size {
        row.fill(0.0);
        let (first, weights) = rows.of(y);
        for (i, &weight) in weights.iter().enumerate() {
            let start = (top + first + i) * stride + 3 * left;
            let source = &picture.as_raw()[start..][..3 * width];
            for (sum, &value) in row.iter_mut().zip(source) {
                *sum += f32::from(value) * weight;
            }
        }
        for x in 0..size {
            let (first, weights) = columns.of(x);
            let mut sums = [0.0_f32; 3];
            for (pixel, &weight) in row[3 * first..].chunks_exact(3).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += value * weight;
                }
            }
            // The cast saturates at 0 and 255, where a cubic overshoots.
            pixels.extend(sums.map(|sum| (sum + 0.5) as u8));
        }
    }
    RgbImage::from_raw(size as u32, size as u32, pixels).expect("three bytes a pixel")
}

/// For every output along one side: its first input, and the weights from there on.
struct Taps {
    weights: Vec<f32>,
    /// First input, and the range of its weights.
    spans: Vec<(usize, std::ops::Range<usize>)>,
}

impl Taps {
    fn new(inputs: usize, outputs: usize, filter: Filter) -> Self {
        let ratio = inputs as f32 / outputs as f32;
        let stretch = ratio.max(1.0);
        let reach = filter.support * stretch;
        let mut taps = Self { weights: Vec::new(), spans: Vec::with_capacity(outputs) };
        for output in 0..outputs {
            let centre = (output as f32 + 0.5) * ratio;
            // Casts saturate at 0; there is always at least one input.
            let first = ((centre - reach).floor() as usize).min(inputs - 1);
            let end = ((centre + reach).ceil() as usize).clamp(first + 1, inputs);
            let start = taps.weights.len();
            let weight = |input| (filter.value)((input as f32 + 0.5 - centre) / stretch);
            taps.weights.extend((first..end).map(weight));
            let weights = &mut taps.weights[start..];
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            taps.spans.push((first, start..taps.weights.len()));
        }
        taps
    }

    fn of(&self, output: usize) -> (usize, &[f32]) {
        let (first, range) = &self.spans[output];
        (*first, &self.weights[range.clone()])
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::{self, FilterType};

    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        let value = |x: u32, y: u32, c: u32| ((x * 37 + y * 91 + c * 53 + x * y * 7) % 256) as u8;
        RgbImage::from_fn(width, height, |x, y| image::Rgb([0, 1, 2].map(|c| value(x, y, c))))
    }

    #[test]
    fn parts_agree_with_an_independent_implementation() {
        let picture = picture(61, 47);
        let filters = [(TRIANGLE, FilterType::Triangle), (CUBIC, FilterType::CatmullRom)];
        for (filter, theirs) in filters {
            for part in [[0, 0, 61, 47], [7, 0, 47, 47], [60, 46, 1, 1], [3, 5, 20, 33]] {
                let [x, y, w, h] = part.map(|side| side as u32);
                let cut = imageops::crop_imm(&picture, x, y, w, h).to_image();
                for size in [1, 2, 32, 47, 100] {
                    let found = resample(&picture, part, size, filter);
                    let expected = imageops::resize(&cut, size as u32, size as u32, theirs);
                    // The order of float32 sums may turn a half the other way.
                    let worst = found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b));
                    assert!(worst.max().unwrap() <= 1, "{part:?} to {size}");
                }
            }
        }
    }

    #[test]
    fn an_even_picture_stays_even() {
        for value in [0, 1, 254, 255] {
            let picture = RgbImage::from_pixel(89, 109, image::Rgb([value; 3]));
            for filter in [TRIANGLE, CUBIC] {
                let found = resample(&picture, [0, 10, 89, 89], 32, filter);
                assert!(found.iter().all(|&found| found == value), "{value}");
            }
        }
    }
}
