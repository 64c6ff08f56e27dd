//! Any number of regressions on the same rows, by either solver.

use super::design::Design;
use super::job::{Fit, Job, Settings};
use super::{batched, linfa};
use crate::Result;
use crate::error::check_count;
use crate::named::named;
use crate::strengths::check_strength;

/// Which code fits a logistic regression. Both reach the same optimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Solver {
    /// All targets × all strengths as columns of one problem, see [`fit`].
    #[default]
    Batched,
    /// linfa-logistic, one binary target and strength at a time: slow, an oracle.
    Linfa,
}

named!("solver", Solver { Batched: "batched", Linfa: "linfa" });

/// Fits every job on the same rows.
///
/// `None` stands where a fit is undefined: fewer than two classes have a row.
///
/// # Errors
/// [`Error::Mismatch`](crate::Error::Mismatch) where a response has other rows than the design or a
/// start other columns, or jobs differ in the number of outputs;
/// [`Error::OutOfRange`](crate::Error::OutOfRange) for a strength that is not above zero and finite
/// or a label outside its classes; [`Error::Unsupported`](crate::Error::Unsupported) for classes
/// with [`Solver::Linfa`]; [`Error::Linfa`](crate::Error::Linfa) where linfa fails or returns
/// weights that are all zero or not finite.
pub fn fit(
    design: &Design,
    jobs: &[Job<'_>],
    solver: Solver,
    settings: Settings,
) -> Result<Vec<Option<Fit>>> {
    let mut defined = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        check(design, job)?;
        if job.response.counts()?.iter().filter(|&&count| count > 0).count() > 1 {
            defined.push(index);
        }
    }
    let chosen: Vec<Job<'_>> = defined.iter().map(|&index| jobs[index]).collect();
    let fitted = match solver {
        Solver::Batched => batched::fit(design, &chosen, settings)?,
        Solver::Linfa => chosen
            .iter()
            .map(|job| linfa::fit(design, job, settings))
            .collect::<Result<Vec<Fit>>>()?,
    };
    let mut fits = vec![None; jobs.len()];
    for (index, fit) in defined.into_iter().zip(fitted) {
        fits[index] = Some(fit);
    }
    Ok(fits)
}

fn check(design: &Design, job: &Job<'_>) -> Result<()> {
    check_count("logistic regression: labels", design.rows(), job.response.rows())?;
    if let Some(start) = job.start {
        let what = "logistic regression: columns of the start";
        check_count(what, design.columns(), start.weights.ncols())?;
    }
    check_strength(job.strength)
}
