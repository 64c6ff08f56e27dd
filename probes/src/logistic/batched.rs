//! All targets × all strengths as columns of one problem.
//!
//! Every fit is a limited-memory BFGS of its own (Liu and Nocedal 1989), but they step together,
//! so that an iteration is two matrix products: decision values along all directions, and all
//! gradients. Differences from the textbook:
//! - the initial inverse Hessian is a shared factor of `XᵀX` plus a ridge (`preconditioner`), which
//!   makes the count of steps nearly independent of the conditioning of the features;
//! - since the decision values along a direction are known, the line search costs only O(N);
//! - fits that have converged leave the batch.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::fitting::{Fitting, dot};
use super::gemm::product;
use super::preconditioner::Preconditioner;
use super::present::Present;
use super::{Design, Fit, Job, Settings, loss};
use crate::{Error, Result};

/// Directions in a row that may fail before a fit gives up.
const MOST_STALLS: usize = 2;

/// Fits jobs that all have at least two classes; see [`super::fit`].
pub(super) fn fit(design: &Design, jobs: &[Job<'_>], settings: Settings) -> Result<Vec<Fit>> {
    let present: Vec<Present> = jobs.iter().map(|job| Present::of(&job.response)).collect();
    let Some(outputs) = present.first().map(|present| present.outputs.len()) else {
        return Ok(Vec::new());
    };
    if let Some(other) = present.iter().find(|present| present.outputs.len() != outputs) {
        let what = "classes present in jobs that are fitted together".to_owned();
        return Err(Error::Mismatch { what, expected: outputs, found: other.outputs.len() });
    }
    let fittings = jobs.iter().zip(&present).enumerate().map(|(index, (job, present))| {
        Fitting::new(index, present.response(&job.response), job, &present.start(job, design))
    });
    let mut batch = Batch {
        design: design.with_ones(),
        outputs,
        settings,
        preconditioner: Preconditioner::new(design.with_ones()),
        active: fittings.collect(),
        finished: Vec::with_capacity(jobs.len()),
    };
    batch.run();
    batch.finished.sort_unstable_by_key(|fitting| fitting.index);
    let finished = batch.finished.into_iter().zip(&present);
    Ok(finished.map(|(fitting, present)| fitting.into_fit(outputs, present, settings)).collect())
}

/// Fits that step together.
struct Batch<'a> {
    /// `(N, P)`.
    design: ArrayView2<'a, f64>,
    outputs: usize,
    settings: Settings,
    preconditioner: Preconditioner,
    active: Vec<Fitting<'a>>,
    finished: Vec<Fitting<'a>>,
}

impl Batch<'_> {
    fn run(&mut self) {
        self.set_scales();
        let parameters = self.gather(|fitting| &fitting.parameters);
        let decisions = self.decisions(&parameters);
        self.each(&decisions, |fitting, decision| fitting.decision = decision.to_vec());
        self.set_gradients();
        self.retire();
        while !self.active.is_empty() {
            let directions = self.directions();
            let decisions = self.decisions(&directions);
            let width = self.outputs * self.design.ncols();
            let directions = directions.as_slice().expect("rows are contiguous");
            let decisions = decisions.as_slice().expect("rows are contiguous");
            let rows = self.outputs * self.design.nrows();
            self.active
                .par_iter_mut()
                .zip(directions.par_chunks_exact(width))
                .zip(decisions.par_chunks_exact(rows))
                .for_each(|((fitting, direction), along)| fitting.step(direction, along));
            self.set_gradients();
            self.retire();
        }
    }

    /// One row an output of every active fit.
    fn gather(
        &self,
        part: impl for<'f, 'a> Fn(&'f Fitting<'a>) -> &'f [f64] + Sync,
    ) -> Array2<f64> {
        let columns = self.active.first().map_or(0, |fitting| part(fitting).len() / self.outputs);
        let mut rows = Array2::zeros((self.active.len() * self.outputs, columns));
        rows.as_slice_mut()
            .expect("a new array is contiguous")
            .par_chunks_exact_mut(self.outputs * columns)
            .zip(&self.active)
            .for_each(|(rows, fitting)| rows.copy_from_slice(part(fitting)));
        rows
    }

    /// Hands every active fit its rows of a gathered array.
    fn each(&mut self, rows: &Array2<f64>, take: impl Fn(&mut Fitting<'_>, &[f64]) + Sync) {
        let size = self.outputs * rows.ncols();
        let rows = rows.as_slice().expect("gathered arrays are contiguous");
        self.active
            .par_iter_mut()
            .zip(rows.par_chunks_exact(size))
            .for_each(|(fitting, rows)| take(fitting, rows));
    }

    /// `(K, P)` parameters or directions to `(K, N)` decision values.
    fn decisions(&self, parameters: &Array2<f64>) -> Array2<f64> {
        let mut decisions = Array2::zeros((parameters.nrows(), self.design.nrows()));
        product(0.0, decisions.view_mut(), 1.0, parameters.view(), self.design.t());
        decisions
    }

    /// `(K, P)` gradients of the loss, without the penalty, from the current decision values.
    fn loss_gradients(&mut self) -> Array2<f64> {
        let (rows, columns) = self.design.dim();
        let mut residuals = Array2::zeros((self.active.len() * self.outputs, rows));
        residuals
            .as_slice_mut()
            .expect("a new array is contiguous")
            .par_chunks_exact_mut(self.outputs * rows)
            .zip(&mut self.active)
            .for_each(|(residuals, fitting)| {
                let Fitting { response, decision, variance, .. } = fitting;
                loss::residuals(response, decision, residuals, variance);
            });
        let mut gradients = Array2::zeros((residuals.nrows(), columns));
        product(0.0, gradients.view_mut(), 1.0, residuals.view(), self.design);
        gradients
    }

    /// The yardstick of convergence: the gradient at zero weights and the best intercepts. It
    /// depends on the response only, so that starts and strengths are held to the same standard.
    fn set_scales(&mut self) {
        let (rows, outputs) = (self.design.nrows(), self.outputs);
        for fitting in &mut self.active {
            let intercepts = Present::intercepts(&fitting.response);
            fitting.decision =
                intercepts.iter().flat_map(|&value| std::iter::repeat_n(value, rows)).collect();
            fitting.variance = vec![0.0; outputs];
        }
        let gradients = self.loss_gradients();
        // Features without any relation to the target have a gradient of rounding errors.
        let floor = 1e-6 * rows as f64;
        self.each(&gradients, |fitting, gradient| {
            fitting.scale = dot(gradient, gradient).sqrt().max(floor);
        });
    }

    /// Gradients at the current decision values, and what the last step taught.
    fn set_gradients(&mut self) {
        let gradients = self.loss_gradients();
        let columns = self.design.ncols();
        self.each(&gradients, |fitting, gradient| fitting.set_gradient(gradient, columns));
    }

    /// Moves the fits that are done out of the batch.
    fn retire(&mut self) {
        let Settings { tolerance, max_iterations } = self.settings;
        let done = |fitting: &mut Fitting<'_>| {
            fitting.stalls > MOST_STALLS
                || fitting.iterations >= max_iterations
                || fitting.norm <= tolerance * fitting.scale
        };
        self.finished.extend(self.active.extract_if(.., done));
    }

    /// Quasi-Newton directions, `(K, P)`, by the two-loop recursion.
    fn directions(&mut self) -> Array2<f64> {
        let mut rows = self.gather(|fitting| &fitting.gradient);
        let columns = rows.ncols();
        let kinds: Vec<(f64, f64)> = self
            .active
            .iter()
            .flat_map(|fitting| fitting.variance.iter().map(|&v| (fitting.strength, v)))
            .collect();
        let size = self.outputs * columns;
        let flat = rows.as_slice_mut().expect("gathered arrays are contiguous");
        let shares: Vec<Vec<f64>> = flat
            .par_chunks_exact_mut(size)
            .zip(&self.active)
            .map(|(direction, fitting)| fitting.first_loop(direction))
            .collect();
        self.preconditioner.apply(rows.view_mut(), &kinds);
        let flat = rows.as_slice_mut().expect("gathered arrays are contiguous");
        flat.par_chunks_exact_mut(size)
            .zip(&self.active)
            .zip(&shares)
            .for_each(|((direction, fitting), shares)| fitting.second_loop(direction, shares));
        rows
    }
}
