//! The likelihood of a few pixels, and its gradient, in loops that vectorise.
//!
//! Pixels are taken apart into one array a group of channels, pixel after pixel with its M
//! components together, so that every elementwise loop is long whatever M is.

use super::elementary::Elementary;
use crate::simd::multiversion;

/// Groups of M channels.
pub(crate) const GROUPS: usize = 10;
/// Log scales are clamped from below, as published.
pub(crate) const MIN_LOG_SCALE: f64 = -7.0;

/// How bytes become the likelihood's targets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bins<T> {
    low_bit: bool,
    /// Half a bin's width: 1/255, or 1/31.
    half: T,
    /// `ln(1 / half / 2)`: what the narrow approximation takes off the log density.
    log_density: T,
    /// Factor of the gradient: -1 over the dimensions of a picture.
    gradient_factor: T,
}

impl<T: Elementary> Bins<T> {
    /// For pictures of `dimensions` bytes.
    pub(crate) fn new(low_bit: bool, dimensions: usize) -> Self {
        let levels = if low_bit { 31.0 } else { 255.0f64 };
        Self {
            low_bit,
            half: T::of(1.0 / levels),
            log_density: T::of((levels / 2.0).ln()),
            gradient_factor: T::of(-1.0 / dimensions as f64),
        }
    }

    /// A byte's place in [-1, 1].
    #[inline(always)]
    fn target(&self, byte: u8) -> T {
        let byte = if self.low_bit { byte / 8 * 8 } else { byte };
        T::of((f64::from(byte) - 127.5) / 127.5)
    }
}

/// Arrays of pixels · M numbers.
#[derive(Debug)]
pub(crate) struct Scratch<T> {
    components: usize,
    /// The logits, group by group; then their gradients in their places.
    groups: [Vec<T>; GROUPS],
    /// Each colour's target, M times.
    targets: [Vec<T>; 3],
    /// Log probability of pixel and component; then the component's responsibility.
    joint: Vec<T>,
}

impl<T: Elementary> Scratch<T> {
    pub(crate) fn new(components: usize, pixels: usize) -> Self {
        let array = || vec![T::zero(); pixels * components];
        Self {
            components,
            groups: std::array::from_fn(|_| array()),
            targets: std::array::from_fn(|_| array()),
            joint: array(),
        }
    }
}

multiversion! {
    /// Adds the log-likelihood of `pixels`, (P, 3), under `logits`, (P, 10M), to `sum`, and writes
    /// the gradient of the nats per dimension unless `gradient` is empty.
    pub(crate) fn chunk<T: Elementary>(
        logits: &[T],
        pixels: &[u8],
        bins: Bins<T>,
        scratch: &mut Scratch<T>,
        gradient: &mut [T],
        sum: &mut f64,
    ) {
        let m = scratch.components;
        let size = pixels.len() / 3 * m;
        take_apart(logits, pixels, bins, scratch);
        let Scratch { groups, targets, joint, .. } = scratch;
        let joint = &mut joint[..size];
        let [prior, m0, s0, c0, m1, s1, c1, m2, s2, c2] = groups.each_mut().map(|g| &mut g[..size]);
        let [red, green, blue] = targets.each_ref().map(|t| &t[..size]);
        for coefficients in [&mut *c0, &mut *c1, &mut *c2] {
            coefficients.iter_mut().for_each(|c| *c = tanh(*c));
        }
        tie(m1, c0, red);
        tie(m2, c1, red);
        tie(m2, c2, green);
        joint.copy_from_slice(prior);
        colour(red, bins, m0, s0, joint);
        colour(green, bins, m1, s1, joint);
        colour(blue, bins, m2, s2, joint);
        *sum += softmax(joint, m) - softmax(prior, m);
        if gradient.is_empty() {
            return;
        }
        let factor = bins.gradient_factor;
        for (prior, &posterior) in prior.iter_mut().zip(&*joint) {
            *prior = factor * (posterior - *prior);
        }
        joint.iter_mut().for_each(|posterior| *posterior *= factor);
        for gradient in [&mut *m0, &mut *s0, &mut *m1, &mut *s1, &mut *m2, &mut *s2] {
            gradient.iter_mut().zip(&*joint).for_each(|(g, &weight)| *g *= weight);
        }
        untie(c0, m1, red);
        untie(c1, m2, red);
        untie(c2, m2, green);
        put_together(scratch, gradient);
    }
}

/// Copies channels into their groups, and repeats every pixel's targets M times.
#[inline(always)]
fn take_apart<T: Elementary>(logits: &[T], pixels: &[u8], bins: Bins<T>, scratch: &mut Scratch<T>) {
    let m = scratch.components;
    for (p, logits) in logits.chunks_exact(GROUPS * m).enumerate() {
        for (group, values) in scratch.groups.iter_mut().zip(logits.chunks_exact(m)) {
            group[p * m..][..m].copy_from_slice(values);
        }
        for (targets, &byte) in scratch.targets.iter_mut().zip(&pixels[p * 3..]) {
            targets[p * m..][..m].fill(bins.target(byte));
        }
    }
}

/// Copies groups back to the order of channels.
#[inline(always)]
fn put_together<T: Elementary>(scratch: &Scratch<T>, gradient: &mut [T]) {
    let m = scratch.components;
    for (p, gradient) in gradient.chunks_exact_mut(GROUPS * m).enumerate() {
        for (group, values) in scratch.groups.iter().zip(gradient.chunks_exact_mut(m)) {
            values.copy_from_slice(&group[p * m..][..m]);
        }
    }
}

#[inline(always)]
fn tanh<T: Elementary>(x: T) -> T {
    let q = (T::of(-2.0) * num_traits::Float::abs(x)).quick_exp();
    let y = (T::one() - q) / (T::one() + q);
    if x < T::zero() { -y } else { y }
}

/// `means += coefficients · targets`: ties a colour's mean to another's value.
#[inline(always)]
fn tie<T: Elementary>(means: &mut [T], coefficients: &[T], targets: &[T]) {
    for ((mean, &c), &t) in means.iter_mut().zip(coefficients).zip(targets) {
        *mean += c * t;
    }
}

/// Turns coefficients, after tanh, into the gradients of what they were before.
#[inline(always)]
fn untie<T: Elementary>(coefficients: &mut [T], mean_gradients: &[T], targets: &[T]) {
    for ((c, &g), &t) in coefficients.iter_mut().zip(mean_gradients).zip(targets) {
        *c = g * t * (T::one() - *c * *c);
    }
}

/// Adds one colour's log probabilities to `joint`, and replaces means and log scales by the
/// derivatives of those.
#[inline(always)]
fn colour<T: Elementary>(
    targets: &[T],
    bins: Bins<T>,
    means: &mut [T],
    log_scales: &mut [T],
    joint: &mut [T],
) {
    let parameters = means.iter_mut().zip(log_scales.iter_mut());
    for (((mean, log_scale), &target), joint) in parameters.zip(targets).zip(joint) {
        let term = log_probability(bins, target, *mean, *log_scale);
        *joint += term.value;
        (*mean, *log_scale) = (term.by_mean, term.by_log_scale);
    }
}

/// A log probability and its derivatives.
struct Term<T> {
    value: T,
    by_mean: T,
    by_log_scale: T,
}

/// Log probability of a bin under a logistic distribution.
///
/// With x the target's distance from the mean and w the bin's half width, both in scales, the
/// probability is σ(x + w) − σ(x − w) = sinh w / (cosh x + cosh w). In E = exp(−|x|) and
/// e = exp(−w) that is E (1 − e²) / ((E + e) (1 + E e)): nothing cancels, nothing overflows, and
/// the tails and the density, which take the place of the probability in the first and last bin
/// and below 1e-5, are made of the same E and e. What remains is one logarithm and one quotient,
/// chosen by selects rather than branches, so that the loop over terms vectorises.
#[inline(always)]
fn log_probability<T: Elementary>(bins: Bins<T>, target: T, mean: T, log_scale: T) -> Term<T> {
    let (zero, one, two) = (T::zero(), T::one(), T::of(2.0));
    let floor = T::of(MIN_LOG_SCALE);
    let clamped = log_scale < floor;
    let log_scale = if clamped { floor } else { log_scale };
    let inverse_scale = (-log_scale).quick_exp();
    let x = inverse_scale * (target - mean);
    let w = inverse_scale * bins.half;
    let right = x >= zero;
    let distance = if right { x } else { -x };
    let (big_e, e) = ((-distance).quick_exp(), (-w).quick_exp());
    // 1 − e², the one difference that would cancel.
    let gap = (two * w).one_minus_exp_neg();
    let (near, far) = (one + big_e * e, big_e + e);

    let (first, last) = (target < T::of(-0.999), target > T::of(0.999));
    let edge = first | last;
    // The edge bin's outer side holds the mean: its probability is the larger part.
    let inside = (first & right) | (last & !right);
    let narrow = !edge & (big_e * gap <= T::of(1e-5) * near * far);

    let near_or_far = if inside { near } else { far };
    let density = (one + big_e) * (one + big_e);
    let inner = if narrow { density } else { near * far };
    let quotient = one / if edge { near_or_far } else { inner };
    let body = !edge & !narrow;

    // value = ln(ratio) − |x|, less the bin's width where the density stands in.
    let ratio = if body { gap * quotient } else { quotient };
    let offset = if inside { zero } else { -distance };
    let width = if narrow { log_scale + bins.log_density } else { zero };
    let value = offset - width + ratio.quick_ln();

    // By x: of ln σ(±x + w) in the edge bins, else −tanh-like in E.
    let tail = if inside { big_e * e } else { e } * quotient;
    let slope = (one - big_e * big_e) * if narrow { quotient } else { e * quotient };
    let by_x = if edge {
        if first { tail } else { -tail }
    } else if right {
        -slope
    } else {
        slope
    };
    // w times the derivative by w; the density does not depend on it, but on the scale alone.
    let by_w = if body { w * ((one + e * e) / gap - big_e * ratio) } else { w * tail };
    let by_w = if narrow { one } else { by_w };
    let by_log_scale = -(x * by_x + by_w);
    Term {
        value,
        by_mean: -inverse_scale * by_x,
        // PyTorch's clamp passes the gradient at the floor itself.
        by_log_scale: if clamped { zero } else { by_log_scale },
    }
}

/// Replaces every run of `m` numbers by its softmax; returns the sum of their `ln Σ exp`.
#[inline(always)]
fn softmax<T: Elementary>(values: &mut [T], m: usize) -> f64 {
    let mut total = 0.0;
    for run in values.chunks_exact_mut(m) {
        let largest = run.iter().fold(run[0], |a, &b| if b > a { b } else { a });
        run.iter_mut().for_each(|v| *v -= largest);
        total += candle_core::WithDType::to_f64(largest);
    }
    values.iter_mut().for_each(|v| *v = v.quick_exp());
    for run in values.chunks_exact_mut(m) {
        let sum = run.iter().fold(T::zero(), |a, &b| a + b);
        let inverse = T::one() / sum;
        run.iter_mut().for_each(|v| *v *= inverse);
        total += candle_core::WithDType::to_f64(sum).ln();
    }
    total
}
