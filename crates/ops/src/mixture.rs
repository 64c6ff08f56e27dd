//! The discretized mixture of logistics: likelihood, gradient and samples.
//!
//! Salimans et al., "PixelCNN++", arXiv 1701.05517, as the published VDVAE code uses it: ten
//! numbers a component and pixel. Channels of the logits: M mixture logits; then for each colour M
//! means, M log scales and M coefficients. The coefficients of the three colours' places tie green
//! to red, blue to red, and blue to green.

use std::sync::Mutex;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::Real;
use crate::conv::grid_of;
use crate::cpu::im2col::Grid;
use crate::real::{dispatch, slice, tensor, with_slice};

/// Numbers a component of the mixture takes.
const PER_COMPONENT: usize = 10;
/// Log scales are clamped from below, as published.
const MIN_LOG_SCALE: f64 = -7.0;

/// Negative log-likelihood of pictures.
///
/// # Shapes
/// - `logits`: (N, H, W, 10M)
/// - `pixels`: u8 (N, H, W, 3), a constant
/// - result: (N), nats per dimension: divided by H · W · 3
///
/// With `low_bit` the target is the pixel's upper five bits, ⌊x / 8⌋ · 8, with bins of 1/31 on
/// either side, as published for FFHQ-256.
pub fn mixture_nll(logits: &Tensor, pixels: &Tensor, low_bit: bool) -> Result<Tensor> {
    let pixels_shape = pixels.dims().to_vec();
    if pixels.dtype() != DType::U8 || pixels_shape.len() != 4 || pixels_shape[3] != 3 {
        candle_core::bail!(
            "{}: expected pixels u8 (N, H, W, 3), found {:?} {pixels_shape:?}",
            MixtureNll::NAME,
            pixels.dtype()
        );
    }
    let op = MixtureNll {
        pixels: pixels.flatten_all()?.to_vec1::<u8>()?,
        pixels_shape,
        low_bit,
        keep: logits.track_op(),
        gradient: Mutex::new(None),
    };
    logits.contiguous()?.apply_op1(op)
}

/// Draws pictures: a component by its logits, then one logistic a colour, cut to [-1, 1].
/// `uniform` gives numbers in [0, 1).
///
/// # Shapes
/// - `logits`: (N, H, W, 10M)
/// - result: u8 (N, H, W, 3)
pub fn mixture_sample(logits: &Tensor, mut uniform: impl FnMut() -> f64) -> Result<Tensor> {
    let (n, h, w, channels) = logits.dims4()?;
    components(channels)?;
    let logits = logits.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let mut pixels = Vec::with_capacity(n * h * w * 3);
    for logits in logits.chunks_exact(channels) {
        pixels.extend_from_slice(&sample_pixel(logits, &mut uniform));
    }
    Tensor::from_vec(pixels, (n, h, w, 3), &Device::Cpu)
}

fn components(channels: usize) -> Result<usize> {
    match channels % PER_COMPONENT {
        0 if channels > 0 => Ok(channels / PER_COMPONENT),
        _ => candle_core::bail!("mixture: expected 10M channels, found {channels}"),
    }
}

/// Index of a colour's mean, log scale (`part` 1) or coefficient (2) of component `k` of `m`.
#[inline(always)]
fn place(m: usize, colour: usize, part: usize, k: usize) -> usize {
    m + (3 * colour + part) * m + k
}

fn sample_pixel(logits: &[f64], uniform: &mut impl FnMut() -> f64) -> [u8; 3] {
    let m = logits.len() / PER_COMPONENT;
    // The published code keeps its uniform numbers this far from 0 and 1.
    let mut draw = || 1e-5 + (1.0 - 2e-5) * uniform();
    let (mut best, mut k) = (f64::NEG_INFINITY, 0);
    for (i, logit) in logits[..m].iter().enumerate() {
        let score = logit - (-draw().ln()).ln();
        if score > best {
            (best, k) = (score, i);
        }
    }
    let mut colours = [0.0f64; 3];
    for c in 0..3 {
        let u = draw();
        let scale = logits[place(m, c, 1, k)].max(MIN_LOG_SCALE).exp();
        colours[c] = logits[place(m, c, 0, k)] + scale * (u.ln() - (1.0 - u).ln());
    }
    let coefficient = |i: usize| logits[place(m, i, 2, k)].tanh();
    let cut = |v: f64| v.clamp(-1.0, 1.0);
    let red = cut(colours[0]);
    let green = cut(colours[1] + coefficient(0) * red);
    let blue = cut(colours[2] + coefficient(1) * red + coefficient(2) * green);
    [red, green, blue].map(|v| ((v + 1.0) * 127.5) as u8)
}

struct MixtureNll {
    pixels: Vec<u8>,
    pixels_shape: Vec<usize>,
    low_bit: bool,
    /// Computes the gradient with the value: they share every exponential.
    keep: bool,
    gradient: Mutex<Option<Tensor>>,
}

/// The larger of two numbers; a NaN in `x` stays, so that it is seen in the loss.
#[inline(always)]
fn at_least<T: Real>(x: T, floor: T) -> T {
    if x < floor { floor } else { x }
}

/// `ln(1 + exp x)` without overflow.
#[inline(always)]
fn softplus<T: Real>(x: T) -> T {
    at_least(x, T::zero()) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + exp -x)`.
#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exp())
}

/// Where a colour's value lies, and how wide its bin is.
#[derive(Clone, Copy)]
struct Bin<T> {
    /// In [-1, 1].
    value: T,
    /// Half the bin's width.
    half: T,
    /// `ln(2 / width)`, the density's factor in the narrow approximation.
    log_density: T,
}

/// Log probability of a bin under a logistic, and its derivatives by mean and log scale.
///
/// The probability is σ(hi) − σ(lo) = σ(hi) σ(−lo) (1 − exp(lo − hi)), a product without
/// cancellation; below 1e-5 the published code takes the density times the width instead.
#[inline(always)]
fn log_probability<T: Real>(bin: Bin<T>, mean: T, log_scale: T) -> (T, T, T) {
    let c = <T as WithDType>::from_f64;
    let inverse = (-log_scale).exp();
    let distance = bin.value - mean;
    let (hi, lo) = (inverse * (distance + bin.half), inverse * (distance - bin.half));
    // By hi and by lo; both move by -1/scale with the mean, and shrink with the log scale.
    let along = |by_hi: T, by_lo: T| (-inverse * (by_hi + by_lo), -(hi * by_hi + lo * by_lo));
    if bin.value < c(-0.999) {
        let (by_mean, by_scale) = along(sigmoid(-hi), T::zero());
        return (-softplus(-hi), by_mean, by_scale);
    }
    if bin.value > c(0.999) {
        let (by_mean, by_scale) = along(T::zero(), -sigmoid(lo));
        return (-softplus(lo), by_mean, by_scale);
    }
    let (s_hi, s_lo) = (sigmoid(hi), sigmoid(-lo));
    let gap = -(lo - hi).exp_m1();
    let probability = s_hi * s_lo * gap;
    if probability > c(1e-5) {
        let (by_mean, by_scale) =
            along(sigmoid(-hi) / (s_lo * gap), -sigmoid(lo) / (s_hi * gap));
        return (probability.ln(), by_mean, by_scale);
    }
    let mid = inverse * distance;
    let by_mid = T::one() - c(2.0) * sigmoid(mid);
    let value = mid - log_scale - c(2.0) * softplus(mid) - bin.log_density;
    (value, -inverse * by_mid, -mid * by_mid - T::one())
}

/// Scratch for one pixel: scores and softmax of the mixture logits.
struct Scratch<T> {
    scores: Vec<T>,
    prior: Vec<T>,
}

/// `ln Σ exp`, with the softmax left in `values`.
fn softmax<T: Real>(values: &mut [T]) -> T {
    let largest = values.iter().fold(T::neg_infinity(), |m, &v| at_least(m, v));
    let mut sum = T::zero();
    for v in values.iter_mut() {
        *v = (*v - largest).exp();
        sum += *v;
    }
    values.iter_mut().for_each(|v| *v /= sum);
    largest + sum.ln()
}

/// Negative log-likelihood of one pixel; its derivatives by the logits go to `gradient`, if any.
fn pixel_nll<T: Real>(
    logits: &[T],
    bins: [Bin<T>; 3],
    scratch: &mut Scratch<T>,
    mut gradient: Option<&mut [T]>,
) -> T {
    let m = scratch.scores.len();
    let Scratch { scores, prior } = scratch;
    prior.copy_from_slice(&logits[..m]);
    let normaliser = softmax(prior);
    let (red, green) = (bins[0].value, bins[1].value);
    for k in 0..m {
        let at = |colour, part| logits[place(m, colour, part, k)];
        let tie = [at(0, 2).tanh(), at(1, 2).tanh(), at(2, 2).tanh()];
        let means =
            [at(0, 0), at(1, 0) + tie[0] * red, at(2, 0) + tie[1] * red + tie[2] * green];
        let mut by_mean = [T::zero(); 3];
        scores[k] = logits[k] - normaliser;
        for c in 0..3 {
            let raw = at(c, 1);
            let floor = <T as WithDType>::from_f64(MIN_LOG_SCALE);
            let (value, mean, scale) = log_probability(bins[c], means[c], at_least(raw, floor));
            scores[k] += value;
            by_mean[c] = mean;
            if let Some(gradient) = gradient.as_deref_mut() {
                gradient[place(m, c, 0, k)] = mean;
                gradient[place(m, c, 1, k)] = if raw >= floor { scale } else { T::zero() };
            }
        }
        if let Some(gradient) = gradient.as_deref_mut() {
            let slope = |i: usize| T::one() - tie[i] * tie[i];
            gradient[place(m, 0, 2, k)] = by_mean[1] * red * slope(0);
            gradient[place(m, 1, 2, k)] = by_mean[2] * red * slope(1);
            gradient[place(m, 2, 2, k)] = by_mean[2] * green * slope(2);
        }
    }
    let log_likelihood = softmax(scores);
    if let Some(gradient) = gradient {
        // The softmax of the scores is each component's responsibility.
        for k in 0..m {
            gradient[k] = prior[k] - scores[k];
            for part in 0..PER_COMPONENT - 1 {
                gradient[m + part * m + k] *= -scores[k];
            }
        }
    }
    -log_likelihood
}

impl MixtureNll {
    const NAME: &'static str = "mixture_nll";

    fn grid(&self, logits: &Shape) -> Result<Grid> {
        let channels = logits.dims().last().copied().unwrap_or(0);
        components(channels)?;
        let grid = grid_of(Self::NAME, logits, channels)?;
        let found = &self.pixels_shape;
        if found[..3] != [grid.n, grid.height, grid.width] {
            candle_core::bail!(
                "{}: expected pixels of {:?}, found {found:?}",
                Self::NAME,
                [grid.n, grid.height, grid.width, 3]
            );
        }
        Ok(grid)
    }

    /// The bin of a byte.
    fn bin<T: Real>(&self, byte: u8) -> Bin<T> {
        let (byte, levels) = if self.low_bit { (byte / 8 * 8, 31.0) } else { (byte, 255.0) };
        let c = <T as WithDType>::from_f64;
        Bin {
            value: c((f64::from(byte) - 127.5) / 127.5),
            half: c(1.0 / levels),
            log_density: c((levels / 2.0f64).ln()),
        }
    }

    /// Nats per dimension of each picture, and their derivatives by the logits if asked for.
    fn evaluate<T: Real>(&self, grid: Grid, logits: &[T], want: bool) -> (Vec<T>, Vec<T>) {
        let channels = logits.len() / grid.pixels();
        let m = channels / PER_COMPONENT;
        let bins: Vec<Bin<T>> = (0..=255).map(|byte| self.bin(byte)).collect();
        let mut gradient = vec![T::zero(); if want { logits.len() } else { 0 }];
        let mut values = vec![0.0f64; grid.n * grid.height];
        let row = grid.width * channels;
        let dimensions = (grid.height * grid.width * 3) as f64;
        let scale = <T as WithDType>::from_f64(1.0 / dimensions);
        let line = |line: usize, value: &mut f64, mut gradient: Option<&mut [T]>| {
            let mut scratch = Scratch { scores: vec![T::zero(); m], prior: vec![T::zero(); m] };
            for x in 0..grid.width {
                let pixel = line * grid.width + x;
                let bytes = &self.pixels[pixel * 3..][..3];
                let targets = [0, 1, 2].map(|c| bins[usize::from(bytes[c])]);
                let gradient = gradient.as_deref_mut().map(|g| &mut g[x * channels..][..channels]);
                let logits = &logits[pixel * channels..][..channels];
                *value += WithDType::to_f64(pixel_nll(logits, targets, &mut scratch, gradient));
            }
            if let Some(gradient) = gradient {
                gradient.iter_mut().for_each(|g| *g *= scale);
            }
        };
        if want {
            let rows = gradient.par_chunks_mut(row);
            let rows = values.par_iter_mut().zip(rows).enumerate();
            rows.for_each(|(i, (value, gradient))| line(i, value, Some(gradient)));
        } else {
            values.par_iter_mut().enumerate().for_each(|(i, value)| line(i, value, None));
        }
        let picture = |rows: &[f64]| {
            <T as WithDType>::from_f64(rows.iter().sum::<f64>() / dimensions)
        };
        (values.chunks_exact(grid.height).map(picture).collect(), gradient)
    }
}

impl CustomOp1 for MixtureNll {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let grid = self.grid(layout.shape())?;
        dispatch!(logits.dtype(), Self::NAME, T => {
            let logits = slice::<T>(logits, layout, Self::NAME)?;
            let (values, gradient) = self.evaluate(grid, logits, self.keep);
            if self.keep {
                let gradient = tensor(gradient, layout.shape())?;
                *self.gradient.lock().expect("no panic while held") = Some(gradient);
            }
            Ok((WithDType::to_cpu_storage_owned(values), Shape::from(grid.n)))
        })
    }

    fn bwd(&self, logits: &Tensor, _result: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let grid = self.grid(logits.shape())?;
        let kept = self.gradient.lock().expect("no panic while held").clone();
        dispatch!(logits.dtype(), Self::NAME, T => {
            let scaled = |gradient: &[T]| with_slice::<T, _>(upstream, Self::NAME, |upstream| {
                let mut gradient = gradient.to_vec();
                let each = gradient.len() / grid.n;
                gradient.par_chunks_mut(each).zip(upstream).for_each(|(g, &u)| {
                    g.iter_mut().for_each(|g| *g *= u);
                });
                Ok(gradient)
            });
            let gradient = match kept {
                Some(kept) => with_slice::<T, _>(&kept, Self::NAME, scaled)?,
                None => with_slice::<T, _>(logits, Self::NAME, |logits| {
                    scaled(&self.evaluate(grid, logits, true).1)
                })?,
            };
            Ok(Some(tensor(gradient, logits.shape())?))
        })
    }
}

#[cfg(test)]
mod tests;
