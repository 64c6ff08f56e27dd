//! The likelihood against PyTorch, its own normalisation, and finite differences.

use super::*;
use crate::testing::{check_gradients, wave};

/// Bytes with every special case: both edges, and many values between.
fn pixels(n: usize, h: usize, w: usize) -> Tensor {
    let mut bytes: Vec<u8> =
        (0..n * h * w * 3).map(|k| ((37 * k * k + 11 * k) % 256) as u8).collect();
    (bytes[0], bytes[1], bytes[2]) = (0, 255, 0);
    Tensor::from_vec(bytes, (n, h, w, 3), &Device::Cpu).unwrap()
}

/// From PyTorch 2.15 in float64, with the published likelihood: logits 4 sin(0.5 + 1.7 i +
/// 0.013 (i² mod 101)) in NHWC order, M = 3, the pixels above.
#[test]
fn values_and_gradients_agree_with_pytorch() {
    let cases = [
        (false, [9.215164448311306, 13.392324063898826], 17.548484108648125),
        (true, [7.876678187265775, 11.258245736073036], 17.406922725319564),
    ];
    for (low_bit, expected, gradient_norm) in cases {
        let logits = candle_core::Var::from_tensor(&wave(&[2, 2, 3, 30], 4.0, 0.5)).unwrap();
        let nll = mixture_nll(&logits, &pixels(2, 2, 3), low_bit).unwrap();
        let values = nll.to_vec1::<f64>().unwrap();
        // PyTorch's targets were rounded to float32.
        assert!(values.iter().zip(expected).all(|(v, e)| (v - e).abs() < 1e-6 * e), "{values:?}");
        let gradient = nll.backward().unwrap().remove(&logits).unwrap();
        let norm = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        assert!((norm - gradient_norm).abs() < 1e-6 * gradient_norm, "{norm}");
    }
}

#[test]
fn gradients_are_slopes() {
    for low_bit in [false, true] {
        // The smaller scale meets the exact branch, the larger the narrow one and the clamp.
        for scale in [1.0, 9.0] {
            let logits = wave(&[2, 2, 2, 20], scale, 0.3);
            check_gradients(&[logits], |x| mixture_nll(&x[0], &pixels(2, 2, 2), low_bit));
        }
    }
}

#[test]
fn probabilities_of_all_bytes_sum_to_one() {
    // One component whose scales are wide enough for the exact branch everywhere; the other two
    // colours' probabilities are the same factor in every term when nothing ties them to red.
    let mut logits = vec![0.0; 10];
    logits[1] = 0.2;
    logits[2] = -1.0;
    let given = |red: u8| {
        let pixels = Tensor::from_vec(vec![red, 7, 200], (1, 1, 1, 3), &Device::Cpu).unwrap();
        let logits = Tensor::from_vec(logits.clone(), (1, 1, 1, 10), &Device::Cpu).unwrap();
        let nll = mixture_nll(&logits, &pixels, false).unwrap().to_vec1::<f64>().unwrap()[0];
        (-3.0 * nll).exp()
    };
    let total: f64 = (0..=255).map(given).sum();
    // The factor of the other two colours: standard logistics at their means.
    let bin = |byte: f64| {
        let v = (byte - 127.5) / 127.5;
        let cdf = |x: f64| 1.0 / (1.0 + (-x).exp());
        cdf(v + 1.0 / 255.0) - cdf(v - 1.0 / 255.0)
    };
    let other = bin(7.0) * bin(200.0);
    assert!((total / other - 1.0).abs() < 1e-9, "{}", total / other);
}

#[test]
fn float32_agrees_with_float64() {
    for scale in [1.0, 9.0] {
        let logits = wave(&[2, 4, 4, 100], scale, 0.3);
        let narrow = logits.to_dtype(DType::F32).unwrap();
        let wide = mixture_nll(&logits, &pixels(2, 4, 4), false).unwrap();
        let narrow = mixture_nll(&narrow, &pixels(2, 4, 4), false).unwrap();
        let (wide, narrow) = (wide.to_vec1::<f64>().unwrap(), narrow.to_vec1::<f32>().unwrap());
        for (w, n) in wide.iter().zip(narrow) {
            assert!((w - f64::from(n)).abs() < 1e-5 * w.abs(), "{w} {n}");
        }
    }
}

#[test]
fn samples_follow_the_distribution() {
    // A certain component with narrow scales: red 0.5, green tied to red by tanh(1), blue -0.5.
    let mut logits = vec![0.0f32; 20];
    logits[0] = 100.0;
    let set = |logits: &mut [f32], colour, part, v| logits[place(2, colour, part, 0)] = v;
    for (colour, mean) in [(0, 0.5), (1, 0.0), (2, -0.5)] {
        set(&mut logits, colour, 0, mean);
        set(&mut logits, colour, 1, -7.0);
    }
    set(&mut logits, 0, 2, 1.0);
    let logits = Tensor::from_vec(logits, (1, 1, 1, 20), &Device::Cpu).unwrap();
    let mut state = 1u64;
    let uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let pixel = mixture_sample(&logits, uniform).unwrap().flatten_all().unwrap();
    let pixel = pixel.to_vec1::<u8>().unwrap();
    let expected = [1.5, 1.0 + 0.5 * 1f64.tanh(), 0.5].map(|v| v * 127.5);
    // Scale exp(-7) is a tenth of a byte; the logistic rarely leaves five of them.
    for (found, expected) in pixel.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() <= 2.0, "{pixel:?} {expected}");
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let logits = wave(&[1, 2, 2, 20], 1.0, 0.0);
    assert!(mixture_nll(&logits, &pixels(1, 2, 3), false).is_err());
    assert!(mixture_nll(&wave(&[1, 2, 2, 19], 1.0, 0.0), &pixels(1, 2, 2), false).is_err());
    let floats = wave(&[1, 2, 2, 3], 1.0, 0.0);
    assert!(mixture_nll(&logits, &floats, false).is_err());
}
