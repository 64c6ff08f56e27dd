//! One fit of a batch: its place, its limited-memory BFGS history and its line search.

use std::collections::VecDeque;

use ndarray::Array2;

use super::curvature::Curvature;
use super::job::{Fit, Response, Settings};
use super::line_search::{Limits, LineSearch, Verdict};
use super::present::Present;

/// Corrections a fit remembers.
const MEMORY: usize = 10;

/// Directions in a row that may fail before a fit gives up.
const MOST_STALLS: usize = 2;

/// Iterations before a fit without a neighbour gets a preconditioner of its own: before, its
/// probabilities say little of those at the optimum.
const FIRST_CURVATURE: usize = 4;

/// Gradients below this share of the first are left to float64: they hold less than a digit more in
/// float32.
const SINGLE_SHARE: f64 = 1e-6;

/// Arithmetic of a pass over the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// float32, summed over blocks in float64: twice as fast, for all but the last steps.
    Single,
    /// float64.
    Double,
}

impl Precision {
    /// Limits of a line search from an objective. In float32 one that does not end soon is lost
    /// in rounding; in float64 bisection alone would resolve 2⁻⁴⁰ of an interval.
    fn limits(self, objective: f64) -> Limits {
        let (share, tries) = match self {
            Self::Single => (1e-7, 10),
            Self::Double => (1e-13, 40),
        };
        Limits { slack: share * objective.abs(), tries }
    }
}

/// What a pass over the rows found at the parameters that a fit asked for.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) objective: f64,
    /// `(outputs, D + 1)`, the intercept last.
    pub(super) gradient: Vec<f64>,
    /// Mean of p(1 − p), one an output.
    pub(super) variance: Vec<f64>,
}

impl Found {
    /// Adds the penalty at `parameters`, `(outputs, D + 1)`, to what the loss alone gives.
    pub(super) fn with_penalty(mut self, strength: f64, parameters: &[f64]) -> Self {
        let columns = parameters.len() / self.variance.len();
        let gradients = self.gradient.chunks_exact_mut(columns);
        for (gradient, parameters) in gradients.zip(parameters.chunks_exact(columns)) {
            let weights = &parameters[..columns - 1];
            add_scaled(&mut gradient[..columns - 1], strength, weights);
            self.objective += 0.5 * strength * dot(weights, weights);
        }
        self
    }
}

/// Where a fit begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    /// `(outputs, D + 1)`, the intercept last.
    pub(super) parameters: Vec<f64>,
    /// Corrections learnt at another strength, the newest first.
    pub(super) history: VecDeque<Correction>,
}

/// One step and the change of the gradient over it.
#[derive(Debug, Clone)]
pub(super) struct Correction {
    step: Vec<f64>,
    change: Vec<f64>,
    /// `1 / (step · change)`.
    inverse: f64,
}

impl Correction {
    /// `None` where there is no curvature. The objective is convex: that is rounding, and teaches
    /// nothing.
    fn new(step: Vec<f64>, change: Vec<f64>) -> Option<Self> {
        let product = dot(&step, &change);
        let least = f64::EPSILON * dot(&step, &step).sqrt() * dot(&change, &change).sqrt();
        (product > least).then(|| Self { step, change, inverse: 1.0 / product })
    }
}

/// One job on its way. Flat arrays are `(outputs, D + 1)`, the intercept last.
#[derive(Debug)]
pub(super) struct Fitting<'a> {
    pub(super) job: usize,
    pub(super) response: Response<'a>,
    pub(super) strength: f64,
    pub(super) precision: Precision,
    pub(super) need: Need,
    /// What the next pass evaluates.
    pub(super) trial: Vec<f64>,
    pub(super) parameters: Vec<f64>,
    /// At `parameters`, in the current precision; `None` before the first evaluation.
    pub(super) found: Option<Found>,
    direction: Vec<f64>,
    search: Option<LineSearch>,
    history: VecDeque<Correction>,
    /// Its own preconditioner, once it has one.
    pub(super) curvature: Option<Curvature>,
    /// The iteration at which that is next made.
    next_curvature: usize,
    /// Norm of the gradient at zero weights and the best intercepts: the yardstick.
    scale: f64,
    norm: f64,
    iterations: usize,
    stalls: usize,
}

/// What a fit needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The objective at its trial.
    Evaluation,
    /// A direction.
    Direction,
    /// Nothing: it has converged or given up.
    Nothing,
}

impl<'a> Fitting<'a> {
    pub(super) fn new(
        job: usize,
        (response, strength): (Response<'a>, f64),
        scale: f64,
        start: Start,
    ) -> Self {
        let near = !start.history.is_empty();
        Self {
            job,
            response,
            strength,
            precision: Precision::Single,
            need: Need::Evaluation,
            trial: start.parameters.clone(),
            direction: vec![0.0; start.parameters.len()],
            parameters: start.parameters,
            found: None,
            search: None,
            history: start.history,
            curvature: None,
            next_curvature: if near { 0 } else { FIRST_CURVATURE },
            scale,
            norm: f64::INFINITY,
            iterations: 0,
            stalls: 0,
        }
    }

    /// Whether it starts without weights and history.
    pub(super) fn is_empty(&self) -> bool {
        let columns = self.parameters.len() / self.response.outputs();
        let weights = self.parameters.chunks_exact(columns).flat_map(|row| &row[..columns - 1]);
        self.history.is_empty() && weights.into_iter().all(|&weight| weight == 0.0)
    }

    /// What this fit has learnt, for a neighbouring strength.
    pub(super) fn history_at(&self, strength: f64) -> VecDeque<Correction> {
        let columns = self.parameters.len() / self.response.outputs();
        let moved = |correction: &Correction| {
            let Correction { step, mut change, .. } = correction.clone();
            for (change, step) in change.chunks_exact_mut(columns).zip(step.chunks_exact(columns)) {
                let weights = &step[..columns - 1];
                add_scaled(&mut change[..columns - 1], strength - self.strength, weights);
            }
            Correction::new(step, change)
        };
        self.history.iter().filter_map(moved).collect()
    }

    /// Takes what a pass found at the trial, and settles what it needs next.
    pub(super) fn absorb(&mut self, found: Found, settings: Settings) {
        let Some(search) = &mut self.search else {
            return self.arrive(found, settings);
        };
        match search.judge(found.objective, dot(&found.gradient, &self.direction)) {
            Verdict::Try(length) => self.aim(length),
            Verdict::Fail => self.stall(),
            Verdict::Accept => {
                self.stalls = 0;
                let length = search.length();
                let step: Vec<f64> = self.direction.iter().map(|value| length * value).collect();
                let old = self.found.take().map(|old| old.gradient).unwrap_or_default();
                let change = found.gradient.iter().zip(&old).map(|(new, old)| new - old).collect();
                if let Some(correction) = Correction::new(step, change) {
                    self.history.truncate(MEMORY - 1);
                    self.history.push_front(correction);
                }
                std::mem::swap(&mut self.parameters, &mut self.trial);
                self.arrive(found, settings)
            }
        }
    }

    /// Takes what was found at `parameters`, where the fit now stands, and decides what it needs next.
    pub(super) fn arrive(&mut self, found: Found, settings: Settings) {
        self.norm = dot(&found.gradient, &found.gradient).sqrt();
        self.found = Some(found);
        self.search = None;
        let share = self.norm / self.scale;
        if self.precision == Precision::Single && share <= settings.tolerance.max(SINGLE_SHARE) {
            self.evaluate_exactly();
        } else if share <= settings.tolerance || self.iterations >= settings.max_iterations {
            self.need = Need::Nothing;
        } else {
            self.need = Need::Direction;
        }
    }

    /// Evaluates the parameters again, and goes on, in float64.
    fn evaluate_exactly(&mut self) {
        self.precision = Precision::Double;
        self.search = None;
        self.trial.copy_from_slice(&self.parameters);
        self.need = Need::Evaluation;
    }

    /// A direction failed. Rounding in the history can spoil one; without it there is nothing to
    /// lose, and float64 has less of it.
    fn stall(&mut self) {
        self.history.clear();
        if self.precision == Precision::Single {
            return self.evaluate_exactly();
        }
        self.search = None;
        self.stalls += 1;
        self.need = if self.stalls > MOST_STALLS { Need::Nothing } else { Need::Direction };
    }

    /// Whether the next direction should have a new preconditioner of its own. Every one is made
    /// after four times as many iterations as the last: the shape of the objective settles.
    pub(super) fn wants_curvature(&mut self) -> bool {
        let due = self.iterations >= self.next_curvature;
        if due {
            self.next_curvature = 4 * self.iterations.max(FIRST_CURVATURE / 2);
        }
        due
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

    /// From the oldest correction to the newest, and downhill: sets out along the direction.
    pub(super) fn second_loop(&mut self, direction: &mut [f64], shares: &[f64]) {
        self.iterations += 1;
        for (correction, share) in self.history.iter().zip(shares).rev() {
            let back = correction.inverse * dot(&correction.change, direction);
            add_scaled(direction, share - back, &correction.step);
        }
        self.direction.iter_mut().zip(direction).for_each(|(own, value)| *own = -*value);
        let search = self.found.as_ref().and_then(|found| {
            let limits = self.precision.limits(found.objective);
            LineSearch::new(found.objective, dot(&found.gradient, &self.direction), limits)
        });
        if search.is_none() {
            return self.stall();
        }
        self.search = search;
        self.aim(1.0);
    }

    fn aim(&mut self, length: f64) {
        self.trial.copy_from_slice(&self.parameters);
        add_scaled(&mut self.trial, length, &self.direction);
        self.need = Need::Evaluation;
    }

    pub(super) fn into_fit(self, present: &Present, settings: Settings) -> Fit {
        let outputs = present.outputs.len();
        let columns = self.parameters.len() / outputs;
        let parameters = Array2::from_shape_vec((outputs, columns), self.parameters)
            .expect("parameters are (outputs, D + 1)");
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
