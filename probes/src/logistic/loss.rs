//! The log losses and their derivatives at given decision values, in either precision.
//!
//! Decision values `z` of one fit are `(outputs, n)`, flat, one output after the other. Loops run
//! over fixed numbers of rows side by side, which the compiler turns into vectors.

use std::ops::Range;

use super::float::Float;
use super::job::Response;
use crate::simd::arch;

/// Rows side by side: two AVX registers of float32, four of float64.
const LANES: usize = 16;

/// Turns scores into probabilities in place and returns the log of their normaliser.
pub(crate) fn softmax(scores: &mut [f64]) -> f64 {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - top).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
    top + sum.ln()
}

/// What a fit needs of its rows beside the gradient in the weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sums {
    /// Sum of the log losses.
    pub(super) loss: f64,
    /// Sum of the residuals, one an output: the gradient in the intercept.
    pub(super) residual: Vec<f64>,
    /// Sum of p(1 − p), one an output: the curvature in the intercept.
    pub(super) variance: Vec<f64>,
}

impl Sums {
    pub(super) fn zeros(outputs: usize) -> Self {
        Self { loss: 0.0, residual: vec![0.0; outputs], variance: vec![0.0; outputs] }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.residual.iter_mut().zip(&other.residual).for_each(|(a, b)| *a += b);
        self.variance.iter_mut().zip(&other.variance).for_each(|(a, b)| *a += b);
    }
}

/// Replaces decision values by the derivatives of the loss in them, and adds to the sums.
///
/// # Shapes
/// `z`: `(outputs, n)` for the `n` rows of the range.
pub(super) fn residuals<T: Float>(
    response: &Response<'_>,
    rows: Range<usize>,
    z: &mut [T],
    sums: &mut Sums,
) {
    let arch = arch();
    match *response {
        Response::Binary(labels) => {
            let labels = &labels[rows];
            let (z, z_rest) = z.as_chunks_mut::<LANES>();
            let (labels, labels_rest) = labels.as_chunks::<LANES>();
            let mut last = ([-1; LANES], [T::of(0.0); LANES]);
            last.0[..labels_rest.len()].copy_from_slice(labels_rest);
            last.1[..z_rest.len()].copy_from_slice(z_rest);
            arch.dispatch(|| {
                binary(labels, z, sums);
                binary(&[last.0], std::slice::from_mut(&mut last.1), sums);
            });
            z_rest.copy_from_slice(&last.1[..z_rest.len()]);
        }
        Response::Classes { labels, .. } => {
            arch.dispatch(|| classes(&labels[rows], z, sums));
        }
    }
}

#[inline(always)]
fn binary<T: Float>(labels: &[[i8; LANES]], z: &mut [[T; LANES]], sums: &mut Sums) {
    let (zero, one) = (T::of(0.0), T::of(1.0));
    let mut totals = [[zero; LANES]; 3];
    for (labels, z) in labels.iter().zip(z) {
        for lane in 0..LANES {
            let (label, score) = (T::of_label(labels[lane]), z[lane]);
            // Rows without a label count nothing.
            let counts = if label < zero { zero } else { one };
            let size = if score < zero { -score } else { score };
            let e = (-size).exp_negative();
            let share = one / (one + e);
            let p = if score < zero { e * share } else { share };
            let rise = if score < zero { zero } else { score };
            let residual = counts * (p - label);
            z[lane] = residual;
            totals[0][lane] += counts * (rise + e.ln_1p_unit() - label * score);
            totals[1][lane] += residual;
            totals[2][lane] += counts * (e * share * share);
        }
    }
    let [loss, residual, variance] = totals.map(sum);
    sums.loss += loss;
    sums.residual[0] += residual;
    sums.variance[0] += variance;
}

fn sum<T: Float>(lanes: [T; LANES]) -> f64 {
    lanes.iter().map(|value| value.to_f64()).sum()
}

#[inline(always)]
fn classes<T: Float>(labels: &[u32], z: &mut [T], sums: &mut Sums) {
    let rows = labels.len();
    for at in (0..rows).step_by(LANES) {
        let width = LANES.min(rows - at);
        let own = |z: &[T], row: usize| z[labels[row] as usize * rows + row].to_f64();
        sums.loss -= (at..at + width).map(|row| own(z, row)).sum::<f64>();
        sums.loss += normalise(rows, at, width, z, sums);
    }
    for (row, &label) in labels.iter().enumerate() {
        z[label as usize * rows + row] += T::of(-1.0);
        sums.residual[label as usize] -= 1.0;
    }
}

/// Turns the scores of `width` rows into probabilities, adds those and their variances to the sums,
/// and returns the sum of the logs of the normalisers.
#[inline(always)]
fn normalise<T: Float>(rows: usize, at: usize, width: usize, z: &mut [T], sums: &mut Sums) -> f64 {
    let zero = T::of(0.0);
    let (mut top, mut total) = ([T::of(f64::NEG_INFINITY); LANES], [zero; LANES]);
    let load = |z: &[T]| {
        let mut lanes = [zero; LANES];
        match z[at..].first_chunk::<LANES>() {
            Some(full) if width == LANES => lanes = *full,
            _ => lanes[..width].copy_from_slice(&z[at..at + width]),
        }
        lanes
    };
    for scores in z.chunks_exact(rows) {
        let scores = load(scores);
        for lane in 0..LANES {
            top[lane] = if scores[lane] > top[lane] { scores[lane] } else { top[lane] };
        }
    }
    for scores in z.chunks_exact_mut(rows) {
        let mut values = load(scores);
        for lane in 0..LANES {
            values[lane] = (values[lane] - top[lane]).exp_negative();
            total[lane] += values[lane];
        }
        scores[at..at + width].copy_from_slice(&values[..width]);
    }
    let share = total.map(|total| T::of(1.0) / total);
    for (output, scores) in z.chunks_exact_mut(rows).enumerate() {
        let mut values = load(scores);
        let mut variance = [zero; LANES];
        for lane in 0..LANES {
            values[lane] = values[lane] * share[lane];
            variance[lane] = values[lane] * (T::of(1.0) - values[lane]);
        }
        scores[at..at + width].copy_from_slice(&values[..width]);
        sums.residual[output] += sum_of(&values[..width]);
        sums.variance[output] += sum_of(&variance[..width]);
    }
    (0..width).map(|lane| top[lane].to_f64() + total[lane].to_f64().ln()).sum()
}

#[inline(always)]
fn sum_of<T: Float>(values: &[T]) -> f64 {
    values.iter().map(|value| value.to_f64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loss of one row by its definition.
    fn loss_of_row(response: &Response<'_>, row: usize, z: &[f64]) -> f64 {
        let n = response.rows();
        match *response {
            Response::Binary(labels) if labels[row] < 0 => 0.0,
            Response::Binary(labels) => z[row].exp().ln_1p() - f64::from(labels[row]) * z[row],
            Response::Classes { labels, classes } => {
                let sum: f64 = (0..classes).map(|c| z[c * n + row].exp()).sum();
                sum.ln() - z[labels[row] as usize * n + row]
            }
        }
    }

    fn check<T: Float>(response: Response<'_>, outputs: usize, tolerance: f64) {
        let n = response.rows();
        let z: Vec<f64> = (0..outputs * n).map(|i| ((i * 7 % 11) as f64 - 5.0) / 3.0).collect();
        let mut found: Vec<T> = z.iter().map(|&z| T::of(z)).collect();
        let mut sums = Sums::zeros(outputs);
        residuals(&response, 0..n, &mut found, &mut sums);
        let loss = |z: &[f64]| (0..n).map(|row| loss_of_row(&response, row, z)).sum::<f64>();
        assert!((sums.loss - loss(&z)).abs() < tolerance * n as f64);
        // Central differences: truncation and rounding are near 1e-8 at this step.
        let h = 1e-4;
        for output in 0..outputs {
            let (mut residual, mut variance) = (0.0, 0.0);
            for at in output * n..(output + 1) * n {
                let moved = |step: f64| {
                    let mut z = z.clone();
                    z[at] += step;
                    loss_of_row(&response, at % n, &z)
                };
                let (low, mid, high) = (moved(-h), moved(0.0), moved(h));
                residual += (high - low) / (2.0 * h);
                variance += (high - 2.0 * mid + low) / (h * h);
                let own = (high - low) / (2.0 * h);
                assert!((found[at].to_f64() - own).abs() < tolerance, "{at}: {own}");
            }
            assert!((sums.residual[output] - residual).abs() < tolerance * n as f64);
            assert!((sums.variance[output] - variance).abs() < tolerance * n as f64);
        }
    }

    #[test]
    fn derivatives_match_differences() {
        // Whole vectors and a rest, and fewer rows than a vector has.
        let binary: Vec<i8> = (0..37).map(|i| (i % 3) as i8 - 1).collect();
        let classes: Vec<u32> = (0..37).map(|i| i * i % 3).collect();
        for rows in [5, 37] {
            let (binary, labels) = (Response::Binary(&binary[..rows]), &classes[..rows]);
            check::<f64>(binary, 1, 1e-6);
            check::<f32>(binary, 1, 1e-5);
            check::<f64>(Response::Classes { labels, classes: 3 }, 3, 1e-6);
            check::<f32>(Response::Classes { labels, classes: 3 }, 3, 1e-5);
        }
    }

    #[test]
    fn large_scores_stay_finite() {
        let mut sums = Sums::zeros(1);
        let mut z = [800.0f64, -800.0, 800.0, -800.0];
        residuals(&Response::Binary(&[1, 0, 0, 1]), 0..4, &mut z, &mut sums);
        assert!((sums.loss - 1600.0).abs() < 1e-9 && z.iter().all(|r| r.is_finite()));
        let classes = Response::Classes { labels: &[0, 1], classes: 2 };
        let (mut z, mut sums) = ([800.0f64, 800.0, -800.0, -800.0], Sums::zeros(2));
        residuals(&classes, 0..2, &mut z, &mut sums);
        assert!((sums.loss - 1600.0).abs() < 1e-9 && z.iter().all(|r| r.is_finite()));
    }

    #[test]
    fn softmax_returns_its_normaliser() {
        let mut scores = [1000.0, 1000.0 + f64::ln(3.0)];
        let normaliser = softmax(&mut scores);
        assert!((normaliser - 1000.0 - f64::ln(4.0)).abs() < 1e-12);
        assert!((scores[0] - 0.25).abs() < 1e-12 && (scores[1] - 0.75).abs() < 1e-12);
    }
}
