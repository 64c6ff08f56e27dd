//! The linear probe: logistic regression under a fixed protocol.
//!
//! Columns are standardised with the statistics of the training rows, for all three splits and for
//! the refit too: the refit on train and validation so keeps the coordinates, and the meaning, of
//! the strength that was chosen. Every strength is fitted on train, each target takes the one that
//! is best on validation (the stronger of equals), and is refitted on train and validation.

use ndarray::{Array1, Array2, Axis, concatenate};
use vdvae_features::{FeatureTable, Targets};

use crate::check::{check_fit, joined};
use crate::logistic::{Design, Fit, Job, Response, Settings, Solver, decisions, fit};
use crate::probe::{Choice, Fitted, Linear, Probe};
use crate::standardise::Standardiser;
use crate::strengths::{STRENGTHS, StrengthEdge, strongest_first};
use crate::{Error, Result, select};

/// Logistic regression with the strength of its penalty chosen on validation.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    /// Which code fits.
    pub solver: Solver,
    /// When a fit ends.
    pub settings: Settings,
    /// Penalties to choose from: alpha of the summed loss, `1 / C`.
    pub strengths: Vec<f64>,
}

impl Default for LinearProbe {
    /// The batched solver, and [`STRENGTHS`].
    fn default() -> Self {
        Self {
            solver: Solver::default(),
            settings: Settings::default(),
            strengths: STRENGTHS.to_vec(),
        }
    }
}

impl Probe for LinearProbe {
    fn name(&self) -> &'static str {
        "logistic"
    }

    fn solver(&self) -> &'static str {
        self.solver.name()
    }

    fn predicts_numbers(&self) -> bool {
        false
    }

    fn fit(&self, train: &FeatureTable, valid: &FeatureTable) -> Result<Fitted> {
        check_fit(train, valid)?;
        let strengths = strongest_first(&self.strengths)?;
        let labels = by_target(&train.targets)?;
        let responses = responses(&train.targets, &labels);
        let standardiser = Standardiser::of(train.view())?;
        let features = [standardiser.apply(train.view())?, standardiser.apply(valid.view())?];
        let sweep = self.sweep(&features[0], &responses, &strengths)?;
        let candidates = candidates(&sweep, strengths.len(), &features[1]);
        let best = select::best(&candidates, &valid.targets);
        let both = joined(&train.targets, &valid.targets);
        let chosen = self.refit(&features, &both, &|regression| {
            (strengths[best[regression]], sweep[regression][best[regression]].as_ref())
        })?;
        let classes = matches!(train.targets, Targets::Classes { .. });
        let converged = |regression: usize, refit: &Fit| {
            refit.converged && sweep[regression].iter().flatten().all(|fit| fit.converged)
        };
        let choices = chosen.iter().enumerate().flat_map(|(regression, refit)| {
            let choice = refit.as_ref().map(|refit| Choice {
                strength: Some(strengths[best[regression]]),
                edge: StrengthEdge::of(best[regression], &strengths),
                neighbours: None,
                converged: Some(converged(regression, refit)),
            });
            std::iter::repeat_n(choice, responses[regression].outputs())
        });
        let model = linear(&chosen, &responses, standardiser, classes);
        Ok(Fitted::new(self, train, choices.collect(), model))
    }
}

/// What the regressions predict: one a binary target, or a single one of all classes.
fn responses<'a>(targets: &'a Targets, by_target: &'a Array2<i8>) -> Vec<Response<'a>> {
    match targets {
        Targets::Classes { names, labels } => {
            vec![Response::Classes { labels, classes: names.len() }]
        }
        _ => {
            let rows = by_target.rows().into_iter();
            rows.map(|row| Response::Binary(row.to_slice().expect("each in one piece"))).collect()
        }
    }
}

/// Binary labels, `(targets, N)`, so that those of a target lie in one piece; none of classes.
fn by_target(targets: &Targets) -> Result<Array2<i8>> {
    match targets {
        Targets::Binary { values, .. } => Ok(values.t().as_standard_layout().into_owned()),
        Targets::None | Targets::Classes { .. } | Targets::Several(_) => Ok(Array2::zeros((0, 0))),
        Targets::Real { .. } => Err(Error::Unsupported {
            who: "probe logistic",
            what: "predict real-valued targets",
            instead: "ridge or knn",
        }),
    }
}

impl LinearProbe {
    /// Every regression at every strength, `[regression][strength]`; `None` where train has rows
    /// of fewer than two classes.
    fn sweep(
        &self,
        train: &Array2<f64>,
        responses: &[Response<'_>],
        strengths: &[f64],
    ) -> Result<Vec<Vec<Option<Fit>>>> {
        let mut jobs = Vec::with_capacity(responses.len() * strengths.len());
        for &response in responses {
            jobs.extend(strengths.iter().map(|&strength| Job { response, strength, start: None }));
        }
        let fits = fit(&Design::new(&[train.view()])?, &jobs, self.solver, self.settings)?;
        Ok(fits.chunks(strengths.len()).map(<[_]>::to_vec).collect())
    }

    /// One fit a regression on train and validation, at the strength and from the start `chosen`;
    /// `None` where there is no start.
    fn refit<'f>(
        &self,
        features: &[Array2<f64>; 2],
        targets: &Targets,
        chosen: &dyn Fn(usize) -> (f64, Option<&'f Fit>),
    ) -> Result<Vec<Option<Fit>>> {
        let labels = by_target(targets)?;
        let responses = responses(targets, &labels);
        let (mut regressions, mut jobs) = (Vec::new(), Vec::new());
        for (regression, &response) in responses.iter().enumerate() {
            let (strength, start) = chosen(regression);
            if start.is_some() {
                jobs.push(Job { response, strength, start });
                regressions.push(regression);
            }
        }
        let [train, valid] = features;
        let design = Design::new(&[train.view(), valid.view()])?;
        let mut fits = vec![None; responses.len()];
        let refits = fit(&design, &jobs, self.solver, self.settings)?;
        for (regression, refit) in regressions.into_iter().zip(refits) {
            fits[regression] = refit;
        }
        Ok(fits)
    }
}

/// Decisions on validation, one `(M, outputs)` a strength; columns of NaN where nothing was
/// fitted.
fn candidates(
    sweep: &[Vec<Option<Fit>>],
    strengths: usize,
    valid: &Array2<f64>,
) -> Vec<Array2<f64>> {
    let fits: Vec<&Fit> = sweep.iter().flatten().flatten().collect();
    let mut decisions = decisions(&fits, valid.view()).into_iter();
    let missing = || Array2::from_elem((valid.nrows(), 1), f64::NAN);
    // In the order of the sweep: all strengths of a regression follow one another.
    let mut by_strength = vec![Vec::with_capacity(sweep.len()); strengths];
    for fits in sweep {
        for (fit, blocks) in fits.iter().zip(&mut by_strength) {
            let decision = fit.as_ref().and_then(|_| decisions.next());
            blocks.push(decision.unwrap_or_else(missing));
        }
    }
    let join = |blocks: Vec<Array2<f64>>| {
        let views: Vec<_> = blocks.iter().map(Array2::view).collect();
        concatenate(Axis(1), &views).expect("one decision a validation row")
    };
    by_strength.into_iter().map(join).collect()
}

/// The chosen fits as one model.
fn linear(
    chosen: &[Option<Fit>],
    responses: &[Response<'_>],
    standardiser: Standardiser,
    softmax: bool,
) -> Linear {
    let outputs = responses.iter().map(Response::outputs).sum();
    let mut weights = Array2::zeros((outputs, standardiser.mean.len()));
    let mut intercept = Array1::from_elem(outputs, f64::NAN);
    let mut at = 0;
    for (fit, response) in chosen.iter().zip(responses) {
        for (output, index) in (at..at + response.outputs()).enumerate() {
            if let Some(fit) = fit {
                weights.row_mut(index).assign(&fit.weights.row(output));
                intercept[index] = fit.intercept[output];
            }
        }
        at += response.outputs();
    }
    Linear { standardiser, weights, intercept, softmax }
}

#[cfg(test)]
mod tests;
