//! L2-regularised logistic regression, fitted to convergence.
//!
//! The objective is linfa-logistic's and scikit-learn's: the *sum* over rows of the log loss plus
//! `strength / 2 · ‖w‖²`, the intercept not penalised, so that `strength` is scikit-learn's `1 / C`.
//! For classes it is the softmax log loss with one weight vector a class, none of them fixed.
//!
//! [`fit`] takes any number of [`Job`]s on one [`Design`]; [`Solver::Batched`] fits them together,
//! [`Solver::Linfa`] one by one as an independent check.
//!
//! ```
//! use ndarray::array;
//! use vdvae_probes::logistic::{Design, Job, Response, Settings, Solver, fit};
//!
//! let design = Design::new(&[array![[-2.0], [-1.0], [1.0], [2.0]].view()])?;
//! let response = Response::Binary(&[0, 0, 1, 1]);
//! let jobs = [1.0, 100.0].map(|strength| Job { response, strength, start: None });
//! let fits = fit(&design, &jobs, Solver::Batched, Settings::default())?;
//! let weight = |index: usize| fits[index].as_ref().map(|fit| fit.weights[[0, 0]]);
//! assert!(weight(0) > weight(1) && weight(1) > Some(0.0));
//! # Ok::<(), vdvae_probes::Error>(())
//! ```

mod batched;
mod cholesky;
mod curvature;
mod design;
mod fit;
mod fitting;
mod float;
mod gemm;
mod job;
mod line_search;
mod linfa;
mod loss;
mod pass;
mod path;
mod preconditioner;
mod present;
mod rows;

pub use design::Design;
pub use fit::{Solver, fit};
pub(crate) use job::decisions;
pub use job::{Fit, Job, Response, Settings};
pub(crate) use loss::softmax;
pub use rows::{BLOCK_ROWS, RowBlocks, ScaledTable};

#[cfg(test)]
mod tests;
