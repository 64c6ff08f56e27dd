//! linfa-logistic as a second opinion, with its pitfalls guarded.
//!
//! linfa-logistic 0.8.1 drops its termination status, can return zero weights for badly scaled
//! features, and takes the *more frequent* class as positive. So the gradient is evaluated here at
//! what it returns, weights that are all zero or not finite are errors, and signs follow the
//! target. It is fastest on features stored by columns (fivefold).

use linfa::Dataset;
use linfa::traits::Fit as _;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2, Axis, ShapeBuilder};

use super::design::Design;
use super::job::{Fit, Job, Response, Settings};
use super::loss::{Sums, residuals};
use super::present::Present;
use crate::{Error, Result};

/// Fits one binary job that has rows of both classes.
pub(super) fn fit(design: &Design, job: &Job<'_>, settings: Settings) -> Result<Fit> {
    let Response::Binary(labels) = job.response else {
        return Err(Error::Unsupported {
            who: "solver linfa",
            what: "fit classes, only binary targets",
            instead: "batched",
        });
    };
    let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] >= 0).collect();
    let features = design.features()?.select(Axis(0), &rows);
    let observed: Vec<i8> = rows.iter().map(|&row| labels[row]).collect();
    let mut by_column = Array2::zeros(features.dim().f());
    by_column.assign(&features);

    let failed = |what: String| Error::Linfa { strength: job.strength, what };
    let scale = gradient_norm(&features, &observed, 0.0, &Array1::zeros(design.columns()), {
        Present::intercepts(&Response::Binary(&observed))[0]
    });
    let targets = Array1::from_vec(observed.iter().map(|&label| label > 0).collect());
    let fitted = LogisticRegression::<f64>::default()
        .alpha(job.strength)
        .max_iterations(settings.max_iterations as u64)
        // linfa's tolerance is absolute.
        .gradient_tolerance(settings.tolerance * scale.max(1e-6 * observed.len() as f64))
        .fit(&Dataset::new(by_column, targets))
        .map_err(|error| failed(error.to_string()))?;

    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let (weights, intercept) = (fitted.params() * sign, fitted.intercept() * sign);
    if !intercept.is_finite() || weights.iter().any(|weight| !weight.is_finite()) {
        return Err(failed("returned weights that are not finite".to_owned()));
    }
    if weights.iter().all(|&weight| weight == 0.0) {
        return Err(failed("returned weights that are all zero".to_owned()));
    }
    let norm = gradient_norm(&features, &observed, job.strength, &weights, intercept);
    let gradient_norm = norm / scale.max(1e-6 * observed.len() as f64);
    Ok(Fit {
        weights: weights.insert_axis(Axis(0)),
        intercept: Array1::from_elem(1, intercept),
        converged: gradient_norm <= settings.tolerance,
        gradient_norm,
        iterations: None,
    })
}

/// Norm of the gradient of the objective, intercept included.
fn gradient_norm(
    features: &Array2<f64>,
    labels: &[i8],
    strength: f64,
    weights: &Array1<f64>,
    intercept: f64,
) -> f64 {
    let decision = features.dot(weights) + intercept;
    let (mut residual, mut sums) = (decision.to_vec(), Sums::zeros(1));
    residuals(&Response::Binary(labels), 0..labels.len(), &mut residual, &mut sums);
    let gradient = features.t().dot(&Array1::from_vec(residual)) + strength * weights;
    (gradient.dot(&gradient) + sums.residual[0].powi(2)).sqrt()
}
