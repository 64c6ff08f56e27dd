//! The likelihood against PyTorch, its own normalisation, and finite differences.

use candle_core::{Device, Var};

use super::sample::mixture_sample;
use super::*;
use crate::testing::{
    check_float32, check_gradients, close, message, same_on_any_threads, values, wave, waves,
};

/// Bytes with every special case: both edges, and many values between.
fn pixels(n: usize, h: usize, w: usize) -> Tensor {
    let mut bytes: Vec<u8> =
        (0..n * h * w * 3).map(|k| ((37 * k * k + 11 * k) % 256) as u8).collect();
    (bytes[0], bytes[1], bytes[2]) = (0, 255, 0);
    Tensor::from_vec(bytes, (n, h, w, 3), &Device::Cpu).unwrap()
}

fn nll(logits: Vec<f64>, pixel: [u8; 3], low_bit: bool) -> f64 {
    let pixels = Tensor::from_vec(pixel.to_vec(), (1, 1, 1, 3), &Device::Cpu).unwrap();
    let channels = logits.len();
    let logits = Tensor::from_vec(logits, (1, 1, 1, channels), &Device::Cpu).unwrap();
    values(&mixture_nll(&logits, &pixels, low_bit).unwrap())[0]
}

/// Scale of the logits, low_bit, values, sum of absolute gradients, gradients · wave(·, 1, 0.9),
/// for logits `waves(&[2, 2, 3, 30], scale, 0.5)`, the pixels above, and 2 · nll[0] + 3 · nll[1].
///
/// From PyTorch 2.15 in float64, with the published likelihood; `l` is the logits as a leaf:
/// ```python
/// nll = discretized_mix_logistic_loss(targets, l, low_bit)
/// (2 * nll[0] + 3 * nll[1]).backward(); g = l.grad.flatten()
/// print(nll, g.abs().sum(), (g * wave(g.numel(), 1, 0.9)).sum())
/// ```
/// At scale 12 most log scales are below the clamp or so wide that the density is used.
type Golden = (f64, bool, [f64; 2], f64, f64);
const GOLDEN: [Golden; 6] = [
    (1.0, false, [5.703759840688942, 6.417409458496348], 8.684095574890176, 2.045243019442607),
    (1.0, true, [4.125537422012783, 4.307607317620422], 8.331383385310385, 2.137924530903737),
    (4.0, false, [9.215164480439231, 13.39232406662833], 45.08100148661282, 19.18669535692214),
    (4.0, true, [7.8766782206958545, 11.258245737023842], 44.78152918753143, 19.46583854513355),
    (12.0, false, [574.6542933256129, 402.0867829533233], 864.8448769760939, 131.8935033461911),
    (12.0, true, [573.5860692648001, 395.14158767781487], 864.4794015535185, 131.70617158123827),
];

#[test]
fn values_and_gradients_agree_with_pytorch() {
    for (scale, low_bit, expected, sum, projection) in GOLDEN {
        let logits = Var::from_tensor(&waves(&[2, 2, 3, 30], scale, 0.5)).unwrap();
        let nll = mixture_nll(&logits, &pixels(2, 2, 3), low_bit).unwrap();
        // Float64 on both sides; the reference subtracts two sigmoids, which costs it digits.
        close(&values(&nll), &expected, 1e-10, "nll");
        let weights = Tensor::new(&[2.0, 3.0], &Device::Cpu).unwrap();
        let store = (nll * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = values(store.get(&logits).unwrap());
        let absolute = gradient.iter().map(|g| g.abs()).sum();
        let weights = wave(gradient.len(), 1.0, 0.9);
        let weighed = gradient.iter().zip(weights).map(|(g, w)| g * w).sum();
        close(&[absolute, weighed], &[sum, projection], 1e-9, "gradient");
    }
}

#[test]
fn gradients_are_slopes() {
    for low_bit in [false, true] {
        // The smaller scale meets the exact probability, the larger the density and the clamp.
        for (scale, tolerance) in [(1.0, 1e-8), (9.0, 1e-6)] {
            let logits = waves(&[3, 2, 1, 20], scale, 0.3);
            check_gradients(&[logits], tolerance, |x| {
                mixture_nll(&x[0], &pixels(3, 2, 1), low_bit)
            });
        }
    }
}

#[test]
fn float32_agrees_with_float64() {
    for low_bit in [false, true] {
        for (scale, components) in [(1.0, 10), (4.0, 10), (9.0, 2)] {
            // More pixels than one chunk, and not a multiple of it.
            let logits = waves(&[2, 7, 9, 10 * components], scale, 0.3);
            check_float32(&[logits], 1e-5, |x| mixture_nll(&x[0], &pixels(2, 7, 9), low_bit));
        }
    }
}

#[test]
fn a_second_backward_pass_gives_the_same_gradient() {
    let logits = Var::from_tensor(&waves(&[2, 2, 3, 30], 1.0, 0.5)).unwrap();
    let loss = mixture_nll(&logits, &pixels(2, 2, 3), false).unwrap().sum_all().unwrap();
    let gradient = || values(loss.backward().unwrap().get(&logits).unwrap());
    assert_eq!(gradient(), gradient());
}

#[test]
fn probabilities_of_all_bytes_sum_to_one() {
    // One component, wide enough for the exact probability of every byte; nothing ties the other
    // colours to red, so their probabilities are the same factor in every term.
    let logits = vec![0.0, 0.2, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let total: f64 =
        (0..=255).map(|red| (-3.0 * nll(logits.clone(), [red, 7, 200], false)).exp()).sum();
    let other = |byte: f64| {
        let cdf = |x: f64| 1.0 / (1.0 + (-x).exp());
        let value = (byte - 127.5) / 127.5;
        cdf(value + 1.0 / 255.0) - cdf(value - 1.0 / 255.0)
    };
    let ratio = total / (other(7.0) * other(200.0));
    assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
}

#[test]
fn low_bit_sees_only_the_upper_five_bits() {
    let logits = wave(20, 1.0, 0.2);
    assert_eq!(nll(logits.clone(), [8, 127, 255], true), nll(logits.clone(), [15, 120, 248], true));
    assert_ne!(nll(logits.clone(), [8, 127, 255], false), nll(logits, [15, 120, 248], false));
}

#[test]
fn extreme_parameters_stay_finite_and_nan_stays() {
    for log_scale in [-1e30, -50.0, 40.0, 80.0] {
        for mean in [-1e3, 0.0, 1e3] {
            for pixel in [[0u8, 255, 128], [255, 0, 1]] {
                let mut logits = vec![0.0; 10];
                for colour in 0..3 {
                    (logits[1 + 3 * colour], logits[2 + 3 * colour]) = (mean, log_scale);
                }
                let logits = Tensor::from_vec(logits, (1, 1, 1, 10), &Device::Cpu).unwrap();
                let bytes = Tensor::from_vec(pixel.to_vec(), (1, 1, 1, 3), &Device::Cpu).unwrap();
                check_float32(&[logits], 1e-5, |x| mixture_nll(&x[0], &bytes, false));
            }
        }
    }
    for place in 0..3 {
        let mut logits = [0.1f32; 10];
        logits[place] = f32::NAN;
        let logits = Tensor::from_vec(logits.to_vec(), (1, 1, 1, 10), &Device::Cpu).unwrap();
        assert!(values(&mixture_nll(&logits, &pixels(1, 1, 1), false).unwrap())[0].is_nan());
    }
}

#[test]
fn the_value_is_the_same_with_and_without_a_gradient() {
    let logits = waves(&[2, 5, 9, 40], 2.0, 0.3).to_dtype(DType::F32).unwrap();
    let constant = mixture_nll(&logits, &pixels(2, 5, 9), false).unwrap();
    let variable = Var::from_tensor(&logits).unwrap();
    let tracked = mixture_nll(&variable, &pixels(2, 5, 9), false).unwrap();
    assert_eq!(values(&constant), values(&tracked));
}

#[test]
fn threads_do_not_change_the_result() {
    let logits = waves(&[2, 20, 20, 20], 2.0, 0.3).to_dtype(DType::F32).unwrap();
    same_on_any_threads(|| values(&mixture_nll(&logits, &pixels(2, 20, 20), false).unwrap()));
}

/// A uniform generator, Knuth's MMIX.
fn uniform() -> impl FnMut() -> f64 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn certain_samples_are_the_means() {
    // A certain component with the smallest scale: red 0.5, green tied to red by tanh(1), blue
    // -0.5; scale exp(-7) is an eighth of a byte, which the logistic rarely leaves by sixteen.
    let mut logits = vec![0.0f32; 20];
    logits[0] = 100.0;
    for (colour, mean) in [0.5, 0.0, -0.5].into_iter().enumerate() {
        (logits[2 + 6 * colour], logits[4 + 6 * colour]) = (mean, -9.0);
    }
    logits[6] = 1.0;
    let logits = Tensor::from_vec(logits, (1, 1, 1, 20), &Device::Cpu).unwrap();
    let found = values(&mixture_sample(&logits, uniform()).unwrap());
    let expected = [1.5, 1.0 + 0.5 * 1f64.tanh(), 0.5].map(|v| v * 127.5);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 2.0, "{found} {expected}");
    }
}

#[test]
fn samples_have_the_frequencies_of_the_likelihood() {
    // Red alone: two components of different weight, place and width.
    let mut pixel = [0.0; 20];
    (pixel[0], pixel[1]) = (1.0, 0.0);
    (pixel[2], pixel[3], pixel[4], pixel[5]) = (-0.6, 0.7, -2.5, -1.8);
    let count = 40_000;
    let logits = Tensor::from_vec(pixel.repeat(count), (1, 200, 200, 20), &Device::Cpu).unwrap();
    let samples = values(&mixture_sample(&logits, uniform()).unwrap());
    // A sample below byte b is one below b / 127.5 - 1.
    for byte in [20, 60, 128, 200, 240] {
        let below = samples.iter().step_by(3).filter(|&&v| v < f64::from(byte)).count();
        let cdf = |mean: f64, log_scale: f64| {
            let x = f64::from(byte) / 127.5 - 1.0;
            1.0 / (1.0 + (-(x - mean) / log_scale.exp()).exp())
        };
        let weight = 1.0 / (1.0 + (-1f64).exp());
        let expected = weight * cdf(-0.6, -2.5) + (1.0 - weight) * cdf(0.7, -1.8);
        // Four standard errors.
        let tolerance = 4.0 * (expected * (1.0 - expected) / count as f64).sqrt();
        let found = below as f64 / count as f64;
        assert!((found - expected).abs() < tolerance, "below {byte}: {found}, not {expected}");
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let logits = waves(&[1, 2, 2, 20], 1.0, 0.0);
    let error = message(mixture_nll(&logits, &pixels(1, 2, 3), false));
    assert!(error.contains("expected pixels of [1, 2, 2, 3], found [1, 2, 3, 3]"), "{error}");
    let error = message(mixture_nll(&logits, &waves(&[1, 2, 2, 3], 1.0, 0.0), false));
    assert!(error.contains("expected pixels of type U8, found F64"), "{error}");
    let odd = waves(&[1, 2, 2, 19], 1.0, 0.0);
    let expected = "expected 10M channels of logits, found 19";
    assert!(message(mixture_nll(&odd, &pixels(1, 2, 2), false)).contains(expected));
    assert!(message(mixture_sample(&odd, || 0.5)).contains(expected));
}
