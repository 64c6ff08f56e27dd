//! All targets × all strengths as columns of one problem.
//!
//! Every fit is a limited-memory BFGS of its own (Liu and Nocedal 1989), but they step together,
//! so that an iteration is two matrix products: decision values of all columns, and all gradients.
//! Differences from the textbook:
//! - the initial inverse Hessian is a shared factor of `XᵀX` plus a ridge (`preconditioner`), which
//!   makes the count of steps nearly independent of the conditioning of the features;
//! - softmax fits, whose rows differ more in curvature, get a factor of their own (`curvature`);
//! - the strengths of a target are nested (`path`), so that most fits start near their end;
//! - all but the last steps use float32 products, and those that count float64 (`fitting`);
//! - columns far from zero are centred, and the intercept moves with them;
//! - rows are read in blocks (`pass`) and may be larger than memory;
//! - fits that have converged leave the batch.

use ndarray::{Array1, Array2, Axis, s};
use rayon::prelude::*;

use super::curvature::Curvature;
use super::design::Design;
use super::fitting::{Fitting, Found, Need, Precision, dot};
use super::job::{Fit, Job, Response, Settings};
use super::pass::{Points, evaluate};
use super::path::Group;
use super::preconditioner::Preconditioner;
use super::present::Present;
use crate::Result;
use crate::error::check_count;

/// With this many outputs or fewer, a pass waits for memory more than for arithmetic, and float32
/// saves nothing.
const FEW_OUTPUTS: usize = 8;

/// Fits jobs that all have at least two classes; see [`super::fit`].
pub(super) fn fit(design: &Design, jobs: &[Job<'_>], settings: Settings) -> Result<Vec<Fit>> {
    let groups = Group::gather(jobs);
    let Some(outputs) = groups.first().map(|group| group.present.outputs.len()) else {
        return Ok(Vec::new());
    };
    for group in &groups {
        let what = "classes present in jobs that are fitted together";
        check_count(what, outputs, group.present.outputs.len())?;
    }
    let preconditioner = Preconditioner::new(design)?;
    let mut batch = Batch { design, outputs, settings, preconditioner };
    let mut known = batch.levels(&groups, jobs)?;
    let mut fits: Vec<Option<Fit>> = jobs.iter().map(|_| None).collect();
    for group in &groups {
        for &job in &group.jobs {
            fits[job] = known[job].take().map(|mut known| {
                move_intercepts(&mut known.parameters, batch.preconditioner.centre(), -1.0);
                known.into_fit(&group.present, settings)
            });
        }
    }
    Ok(fits.into_iter().flatten().collect())
}

/// The yardstick of convergence: the norm of the gradient at zero weights and the best intercepts.
/// It depends on the response only, so that starts and strengths are held to the same standard.
/// Features without any relation to the target have a gradient of rounding errors.
fn scale(empty: &Found, design: &Design) -> f64 {
    dot(&empty.gradient, &empty.gradient).sqrt().max(1e-6 * design.rows() as f64)
}

/// Moves the intercepts of parameters `(outputs, D + 1)` to rows less a centre, or back.
fn move_intercepts(parameters: &mut [f64], centre: Option<&Array1<f64>>, sign: f64) {
    let Some(centre) = centre else { return };
    let centre = centre.as_slice().expect("a vector of its own is contiguous");
    for row in parameters.chunks_exact_mut(centre.len() + 1) {
        row[centre.len()] += sign * dot(&row[..centre.len()], centre);
    }
}

/// What fits that step together share.
struct Batch<'a> {
    design: &'a Design,
    outputs: usize,
    settings: Settings,
    preconditioner: Preconditioner,
}

impl Batch<'_> {
    /// What every group has at zero weights and the best intercepts.
    fn empty(&self, groups: &[Group], jobs: &[Job<'_>]) -> Result<Vec<Found>> {
        let columns = self.design.columns();
        let mut parameters = Array2::zeros((groups.len() * self.outputs, columns + 1));
        let responses: Vec<Response<'_>> = groups
            .iter()
            .map(|group| group.present.response(&jobs[group.jobs[0]].response))
            .collect();
        let intercepts = responses.iter().flat_map(Present::intercepts);
        parameters.column_mut(columns).assign(&intercepts.collect::<Array1<f64>>());
        self.pass(Precision::Double, &parameters, responses)
    }

    /// Fits all jobs, level by level of their strengths.
    fn levels<'a>(
        &mut self,
        groups: &'a [Group],
        jobs: &'a [Job<'_>],
    ) -> Result<Vec<Option<Fitting<'a>>>> {
        let empty = self.empty(groups, jobs)?;
        let levels: Vec<Vec<Vec<usize>>> = groups.iter().map(Group::levels).collect();
        let mut known: Vec<Option<Fitting<'_>>> = jobs.iter().map(|_| None).collect();
        for level in 0..levels.iter().map(Vec::len).max().unwrap_or(0) {
            let mut fittings = Vec::new();
            for ((group, levels), empty) in groups.iter().zip(&levels).zip(&empty) {
                for &job in levels.get(level).into_iter().flatten() {
                    fittings.push(self.start(group, job, &jobs[job], empty, &known));
                }
            }
            for fitting in self.run(fittings)? {
                let job = fitting.job;
                known[job] = Some(fitting);
            }
        }
        Ok(known)
    }

    /// A fit at its start; `empty` is what its group has without weights.
    fn start<'a>(
        &self,
        group: &'a Group,
        index: usize,
        job: &Job<'a>,
        empty: &Found,
        known: &[Option<Fitting<'a>>],
    ) -> Fitting<'a> {
        let response = (group.present.response(&job.response), job.strength);
        let mut start = group.start(job, self.design.columns(), known);
        if job.start.is_some() {
            move_intercepts(&mut start.parameters, self.preconditioner.centre(), 1.0);
        }
        let mut fitting = Fitting::new(index, response, scale(empty, self.design), start);
        // Zero weights have no penalty: what was found there holds at every strength.
        if job.start.is_none() && fitting.is_empty() {
            fitting.arrive(empty.clone(), self.settings);
        }
        fitting
    }

    /// Fits until all have converged or given up.
    fn run<'a>(&mut self, mut active: Vec<Fitting<'a>>) -> Result<Vec<Fitting<'a>>> {
        if active.len() * self.outputs <= FEW_OUTPUTS {
            active.iter_mut().for_each(|fitting| fitting.precision = Precision::Double);
        }
        let mut finished = Vec::with_capacity(active.len());
        while !active.is_empty() {
            self.evaluate(Precision::Single, &mut active)?;
            self.evaluate(Precision::Double, &mut active)?;
            // A direction can fail before it is tried, a few times at most.
            while active.iter().any(|fitting| fitting.need == Need::Direction) {
                self.set_directions(&mut active)?;
            }
            finished.extend(active.extract_if(.., |fitting| fitting.need == Need::Nothing));
        }
        Ok(finished)
    }

    /// Evaluates the trials of one precision.
    fn evaluate(&self, precision: Precision, active: &mut [Fitting<'_>]) -> Result<()> {
        let wanted = |fitting: &&mut Fitting<'_>| {
            fitting.need == Need::Evaluation && fitting.precision == precision
        };
        let mut chosen: Vec<&mut Fitting<'_>> = active.iter_mut().filter(wanted).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let trials = self.stack(chosen.iter().map(|fitting| &fitting.trial[..]));
        let responses = chosen.iter().map(|fitting| fitting.response).collect();
        let found = self.pass(precision, &trials, responses)?;
        let settings = self.settings;
        chosen.par_iter_mut().zip(found).for_each(|(fitting, found)| {
            let found = found.with_penalty(fitting.strength, &fitting.trial);
            fitting.absorb(found, settings);
        });
        Ok(())
    }

    /// One pass over the rows.
    fn pass(
        &self,
        precision: Precision,
        parameters: &Array2<f64>,
        responses: Vec<Response<'_>>,
    ) -> Result<Vec<Found>> {
        let points = Points { parameters: parameters.view(), responses, outputs: self.outputs };
        let centre = self.preconditioner.centre();
        match precision {
            Precision::Single => evaluate::<f32>(self.design, centre, &points),
            Precision::Double => evaluate::<f64>(self.design, centre, &points),
        }
    }

    /// One row an output, from flat arrays of every fit.
    fn stack<'f>(&self, flat: impl Iterator<Item = &'f [f64]>) -> Array2<f64> {
        let values: Vec<f64> = flat.flatten().copied().collect();
        let columns = self.design.columns() + 1;
        Array2::from_shape_vec((values.len() / columns, columns), values)
            .expect("every fit has its parameters")
    }

    /// Quasi-Newton directions by the two-loop recursion.
    fn set_directions(&mut self, active: &mut [Fitting<'_>]) -> Result<()> {
        let wanted = |fitting: &&mut Fitting<'_>| fitting.need == Need::Direction;
        let mut chosen: Vec<&mut Fitting<'_>> = active.iter_mut().filter(wanted).collect();
        let pays = self.outputs > 1 && Curvature::pays(self.design);
        for fitting in &mut chosen {
            if pays && fitting.wants_curvature() {
                let centre = self.preconditioner.centre();
                let parameters = (&fitting.parameters[..], self.outputs);
                fitting.curvature = Some(Curvature::new(self.design, centre, parameters)?);
            }
        }
        let found = chosen.iter().filter_map(|fitting| fitting.found.as_ref());
        let mut rows = self.stack(found.map(|found| &found.gradient[..]));
        let size = self.outputs * rows.ncols();
        let flat = rows.as_slice_mut().expect("stacked rows are contiguous");
        let shares: Vec<Vec<f64>> = flat
            .par_chunks_exact_mut(size)
            .zip(&chosen)
            .map(|(direction, fitting)| fitting.first_loop(direction))
            .collect();
        self.precondition(&mut rows, &mut chosen);
        let flat = rows.as_slice_mut().expect("stacked rows are contiguous");
        flat.par_chunks_exact_mut(size)
            .zip(chosen.par_iter_mut())
            .zip(&shares)
            .for_each(|((direction, fitting), shares)| fitting.second_loop(direction, shares));
        Ok(())
    }

    /// Multiplies directions by what each fit knows best of its inverse Hessian.
    fn precondition(&mut self, rows: &mut Array2<f64>, chosen: &mut [&mut Fitting<'_>]) {
        let mut shared = Vec::new();
        let mut kinds = Vec::new();
        for (index, fitting) in chosen.iter_mut().enumerate() {
            let own = index * self.outputs..(index + 1) * self.outputs;
            if let Some(curvature) = &mut fitting.curvature {
                curvature.apply(rows.slice_mut(s![own, ..]), fitting.strength);
                continue;
            }
            shared.extend(own);
            let variances = fitting.found.iter().flat_map(|found| &found.variance);
            kinds.extend(variances.map(|&variance| (fitting.strength, variance)));
        }
        let mut chosen = rows.select(Axis(0), &shared);
        self.preconditioner.apply(chosen.view_mut(), &kinds);
        for (solved, row) in chosen.rows().into_iter().zip(shared) {
            rows.row_mut(row).assign(&solved);
        }
    }
}
