//! One fit of a batch: its limited-memory BFGS history and its line search.

use std::collections::VecDeque;

use ndarray::Array2;

use super::present::Present;
use super::{Fit, Job, Response, Settings, loss};

/// Corrections a fit remembers.
const MEMORY: usize = 10;

/// The line search ends where the slope is below this share of the first slope.
const SLOPE_SHARE: f64 = 0.1;

/// Steps of the line search; bisection alone would resolve 2⁻⁴⁰ of the interval.
const LINE_STEPS: usize = 40;

/// One job on its way. Flat arrays are `(outputs, P)` or `(outputs, N)`; P = D + 1, ones last.
pub(super) struct Fitting<'a> {
    pub(super) index: usize,
    pub(super) response: Response<'a>,
    pub(super) strength: f64,
    pub(super) parameters: Vec<f64>,
    pub(super) decision: Vec<f64>,
    /// Empty before the first evaluation.
    pub(super) gradient: Vec<f64>,
    /// Mean of p(1 - p), one an output.
    pub(super) variance: Vec<f64>,
    history: VecDeque<Correction>,
    /// The step just taken, waiting for its change of the gradient.
    last_step: Option<Vec<f64>>,
    /// Norm of the gradient at zero weights.
    pub(super) scale: f64,
    pub(super) norm: f64,
    pub(super) iterations: usize,
    pub(super) stalls: usize,
}

/// One step and the change of the gradient over it.
struct Correction {
    step: Vec<f64>,
    change: Vec<f64>,
    /// `1 / (step · change)`.
    inverse: f64,
}

impl<'a> Fitting<'a> {
    pub(super) fn new(
        index: usize,
        response: Response<'a>,
        job: &Job<'_>,
        start: &Array2<f64>,
    ) -> Self {
        Self {
            index,
            response,
            strength: job.strength,
            parameters: start.iter().copied().collect(),
            decision: Vec::new(),
            gradient: Vec::new(),
            variance: Vec::new(),
            history: VecDeque::new(),
            last_step: None,
            scale: 0.0,
            norm: f64::INFINITY,
            iterations: 0,
            stalls: 0,
        }
    }

    /// Adds the penalty to a gradient of the loss and learns from the last step.
    pub(super) fn set_gradient(&mut self, loss_gradient: &[f64], columns: usize) {
        let mut gradient = loss_gradient.to_vec();
        let rows = gradient.chunks_exact_mut(columns).zip(self.parameters.chunks_exact(columns));
        for (gradient, parameters) in rows {
            add_scaled(&mut gradient[..columns - 1], self.strength, &parameters[..columns - 1]);
        }
        self.norm = dot(&gradient, &gradient).sqrt();
        let old = std::mem::replace(&mut self.gradient, gradient);
        if let Some(step) = self.last_step.take() {
            let change: Vec<f64> =
                self.gradient.iter().zip(&old).map(|(new, old)| new - old).collect();
            let product = dot(&step, &change);
            // The objective is convex: anything else is rounding, and teaches nothing.
            if product > f64::EPSILON * dot(&step, &step).sqrt() * dot(&change, &change).sqrt() {
                self.history.truncate(MEMORY - 1);
                self.history.push_front(Correction { step, change, inverse: 1.0 / product });
            }
        }
    }

    /// From the newest correction to the oldest; returns the share taken of each.
    pub(super) fn first_loop(&self, direction: &mut [f64]) -> Vec<f64> {
        let take = |correction: &Correction| {
            let share = correction.inverse * dot(&correction.step, direction);
            add_scaled(direction, -share, &correction.change);
            share
        };
        self.history.iter().map(take).collect()
    }

    /// From the oldest correction to the newest, and downhill.
    pub(super) fn second_loop(&self, direction: &mut [f64], shares: &[f64]) {
        for (correction, share) in self.history.iter().zip(shares).rev() {
            let back = correction.inverse * dot(&correction.change, direction);
            add_scaled(direction, share - back, &correction.step);
        }
        direction.iter_mut().for_each(|value| *value = -*value);
    }

    /// Moves along a direction, `(outputs, P)`, whose decision values are `along`,
    /// `(outputs, N)`.
    pub(super) fn step(&mut self, direction: &[f64], along: &[f64]) {
        self.iterations += 1;
        let Some(length) = self.line_search(direction, along) else {
            // Rounding in the history can spoil a direction; without it there is nothing to lose.
            self.stalls += 1;
            self.history.clear();
            return;
        };
        self.stalls = 0;
        add_scaled(&mut self.parameters, length, direction);
        add_scaled(&mut self.decision, length, along);
        self.last_step = Some(direction.iter().map(|value| length * value).collect());
    }

    /// Length of the step; `None` where the direction does not lead downhill.
    fn line_search(&self, direction: &[f64], along: &[f64]) -> Option<f64> {
        let columns = direction.len() / self.variance.len();
        let weights = |flat: &'_ [f64], other: &'_ [f64]| -> f64 {
            let rows = flat.chunks_exact(columns).zip(other.chunks_exact(columns));
            rows.map(|(a, b)| dot(&a[..columns - 1], &b[..columns - 1])).sum()
        };
        // Penalty along the line: strength · (linear · t + square · t² / 2).
        let linear = weights(&self.parameters, direction);
        let square = weights(direction, direction);
        let first = dot(&self.gradient, direction);
        if first >= 0.0 || !first.is_finite() {
            return None;
        }
        let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
        for _ in 0..LINE_STEPS {
            let (slope, curvature) = loss::along(&self.response, &self.decision, along, length);
            let slope = slope + self.strength * (linear + length * square);
            let flat = slope.abs() <= -SLOPE_SHARE * first;
            // A slope that is still falling means descent all the way (the objective is convex).
            if flat && (slope <= 0.0 || self.rises(along, length, linear, square) <= 0.0) {
                return Some(length);
            }
            *(if slope < 0.0 { &mut low } else { &mut high }) = length;
            let newton = length - slope / (curvature + self.strength * square);
            length = if newton > low && newton < high.min(8.0 * length) {
                newton
            } else if high.is_finite() {
                0.5 * (low + high)
            } else {
                2.0 * length
            };
        }
        (low > 0.0).then_some(low)
    }

    /// Change of the objective over a step.
    fn rises(&self, along: &[f64], length: f64, linear: f64, square: f64) -> f64 {
        let before = loss::loss(&self.response, |i| self.decision[i]);
        let after = loss::loss(&self.response, |i| self.decision[i] + length * along[i]);
        after - before + self.strength * length * (linear + 0.5 * length * square)
    }

    pub(super) fn into_fit(self, outputs: usize, present: &Present, settings: Settings) -> Fit {
        let columns = self.parameters.len() / outputs;
        let parameters = Array2::from_shape_vec((outputs, columns), self.parameters)
            .expect("parameters are (outputs, P)");
        let (weights, intercept) = present.expand(&parameters);
        let gradient_norm = self.norm / self.scale;
        Fit {
            weights,
            intercept,
            converged: gradient_norm <= settings.tolerance,
            gradient_norm,
            iterations: Some(self.iterations),
        }
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums let the compiler use vector registers; a single one fixes the order of additions.
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    rest + sums.iter().sum::<f64>()
}

fn add_scaled(into: &mut [f64], scale: f64, other: &[f64]) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a += scale * b);
}
