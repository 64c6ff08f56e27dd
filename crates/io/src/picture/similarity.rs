//! How alike two pictures are.

/// Side of the window of [`ssim`], and the deviation of its weights, as published.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;
/// The largest value of a number of a picture.
const PEAK: f64 = 255.0;
/// Numbers of a pixel.
const COLOURS: usize = 3;

/// Peak signal-to-noise ratio of two pictures, in decibels; infinite for equal ones.
///
/// # Panics
/// When they have other numbers of pixels.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "pictures of one size");
    let squares = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    let mean = squares.sum::<f64>() / a.len() as f64;
    10.0 * (PEAK * PEAK / mean).log10()
}

/// Structural similarity of two pictures, 1 for equal ones: the mean over colours and over every place
/// where the window fits.
///
/// Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with
/// their window, Gaussian weights of deviation 1.5 over 11×11 pixels, and their constants.
///
/// # Shapes
/// - `a`, `b`: (height, width, 3), row-major
/// - `size`: width and height
///
/// # Panics
/// When the pictures are not of that size, or smaller than the window.
pub fn ssim(a: &[u8], b: &[u8], [width, height]: [usize; 2]) -> f64 {
    assert!(width >= WINDOW && height >= WINDOW, "pictures of at least {WINDOW} pixels a side");
    assert_eq!([a.len(), b.len()], [width * height * COLOURS; 2], "pictures of the size given");
    let (luminance, contrast) = ((0.01 * PEAK).powi(2), (0.03 * PEAK).powi(2));
    let of_colour = |colour: usize| {
        let [a, b] = [a, b].map(|picture| {
            let values = picture.iter().skip(colour).step_by(COLOURS);
            values.map(|&value| f64::from(value)).collect::<Vec<_>>()
        });
        let mean = |of: fn(f64, f64) -> f64| {
            let values: Vec<f64> = a.iter().zip(&b).map(|(&a, &b)| of(a, b)).collect();
            windows(&windows(&values, width), height)
        };
        let [a, b, aa, bb, ab] = [
            mean(|a, _| a),
            mean(|_, b| b),
            mean(|a, _| a * a),
            mean(|_, b| b * b),
            mean(|a, b| a * b),
        ];
        let places = (0..a.len()).map(|at| {
            let (a, b) = (a[at], b[at]);
            let (variances, covariance) = (aa[at] - a * a + bb[at] - b * b, ab[at] - a * b);
            (2.0 * a * b + luminance) * (2.0 * covariance + contrast)
                / ((a * a + b * b + luminance) * (variances + contrast))
        });
        places.sum::<f64>() / a.len() as f64
    };
    (0..COLOURS).map(of_colour).sum::<f64>() / COLOURS as f64
}

/// Weighted means along rows of `width`, wherever the window fits, transposed: what was a row is a column.
fn windows(values: &[f64], width: usize) -> Vec<f64> {
    let weight = |at: usize| {
        let distance = (at as f64 - (WINDOW / 2) as f64) / DEVIATION;
        (-0.5 * distance * distance).exp()
    };
    let weights: Vec<f64> = (0..WINDOW).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    let mean = |window: &[f64]| {
        window.iter().zip(&weights).map(|(value, weight)| value * weight).sum::<f64>() / sum
    };
    let fits = width - WINDOW + 1;
    let column = |at: usize| values.chunks_exact(width).map(move |row| &row[at..at + WINDOW]);
    (0..fits).flat_map(column).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 × 13 pixels that are a little off each other.
    fn pictures() -> [Vec<u8>; 2] {
        let picture = |off: bool| {
            let pixel = move |at: usize| {
                let (x, y, c) = (at / 3 % 16, at / 48, at % 3);
                let error = if off { x * y * 5 % 23 } else { 0 };
                ((x * x + 3 * y * (c + 1) + 7 * c + error) % 256) as u8
            };
            (0..13 * 16 * 3).map(pixel).collect()
        };
        [picture(false), picture(true)]
    }

    /// scikit-image 0.26.0: `peak_signal_noise_ratio(a, b, data_range=255)`, `structural_similarity(a, b,
    /// channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.
    #[test]
    fn both_are_those_of_scikit_image() {
        let [a, b] = pictures();
        assert!((psnr(&a, &b) - 16.795_706_234_262_955).abs() < 1e-9, "{}", psnr(&a, &b));
        let found = ssim(&a, &b, [16, 13]);
        assert!((found - 0.926_135_306_788_864_8).abs() < 1e-9, "{found}");
    }

    #[test]
    fn equal_pictures_are_as_alike_as_can_be() {
        let [a, _] = pictures();
        assert_eq!(psnr(&a, &a), f64::INFINITY);
        assert!((ssim(&a, &a, [16, 13]) - 1.0).abs() < 1e-12);
    }
}
