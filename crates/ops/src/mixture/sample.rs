//! Pictures drawn from the mixture.

use candle_core::{DType, Device, Result, Shape, Tensor};

use crate::cpu::mixture::{GROUPS, MIN_LOG_SCALE};
use crate::shape::nhwc;

/// The dimensions of logits, and M.
pub(super) fn logits_shape(op: &'static str, logits: &Shape) -> Result<([usize; 4], usize)> {
    let dims = nhwc(op, "logits", logits)?;
    match dims[3] % GROUPS {
        0 => Ok((dims, dims[3] / GROUPS)),
        _ => candle_core::bail!("{op}: expected 10M channels of logits, found {}", dims[3]),
    }
}

/// Draws pictures: a component by its logits, then one logistic a colour, cut to [-1, 1].
///
/// Bytes are (x + 1) · 127.5 without the fraction, as published.
///
/// # Shapes
/// - `logits`: (N, H, W, 10M)
/// - `uniform`: independent numbers, uniform in [0, 1); M + 3 are drawn for each pixel in turn
/// - result: u8 (N, H, W, 3)
///
/// # Errors
/// Where the shape does not fit.
pub fn mixture_sample(logits: &Tensor, mut uniform: impl FnMut() -> f64) -> Result<Tensor> {
    let ([n, h, w, channels], _) = logits_shape("mixture_sample", logits.shape())?;
    // One picture at a time, so that the float64 copy stays small.
    let mut pixels = Vec::with_capacity(n * h * w * 3);
    for image in 0..n {
        let logits = logits.get(image)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        for logits in logits.chunks_exact(channels) {
            pixels.extend_from_slice(&sample_pixel(logits, &mut uniform));
        }
    }
    Tensor::from_vec(pixels, (n, h, w, 3), &Device::Cpu)
}

fn sample_pixel(logits: &[f64], uniform: &mut impl FnMut() -> f64) -> [u8; 3] {
    let components = logits.len() / GROUPS;
    // The published code keeps its uniform numbers this far from 0 and 1.
    let mut draw = || 1e-5 + (1.0 - 2e-5) * uniform();
    // The largest logit plus Gumbel noise is a draw from their softmax.
    let (mut best, mut chosen) = (f64::NEG_INFINITY, 0);
    for (i, logit) in logits[..components].iter().enumerate() {
        let score = logit - (-draw().ln()).ln();
        if score > best {
            (best, chosen) = (score, i);
        }
    }
    let group = |i: usize| logits[i * components + chosen];
    let mut logistic = |colour: usize| {
        let u = draw();
        let scale = group(2 + 3 * colour).max(MIN_LOG_SCALE).exp();
        group(1 + 3 * colour) + scale * (u.ln() - (1.0 - u).ln())
    };
    let (red, green, blue) = (logistic(0), logistic(1), logistic(2));
    let coefficient = |i: usize| group(3 + 3 * i).tanh();
    let red = red.clamp(-1.0, 1.0);
    let green = (green + coefficient(0) * red).clamp(-1.0, 1.0);
    let blue = (blue + coefficient(1) * red + coefficient(2) * green).clamp(-1.0, 1.0);
    [red, green, blue].map(|x| ((x + 1.0) * 127.5) as u8)
}
