//! Scores of the test rows.

use ndarray::{Array2, ArrayView2, Axis};
use vdvae_features::{FeatureTable, Targets};

use super::choose::{Chosen, likeliest};
use super::{LinearOutcome, LinearProbe, TestScores};
use crate::bootstrap::{MeanAccuracy, MeanAuroc, Resamples, Statistic, interval};
use crate::logistic::{Fit, decisions, softmax};
use crate::{Result, TargetResult, metrics};

impl LinearProbe {
    /// Scores scaled test features, `(M, D)`, by the chosen regressions.
    pub(super) fn score(
        &self,
        chosen: &[Option<Chosen>],
        features: ArrayView2<'_, f64>,
        test: &FeatureTable,
    ) -> Result<LinearOutcome> {
        let (metric, per_target, scores) = match &test.targets {
            Targets::Binary { names, values } => {
                let (per_target, scores) = score_binary(chosen, features, names, values);
                ("auroc", per_target, TestScores::Auroc(scores))
            }
            Targets::Classes { names, labels } => {
                let chosen = chosen.iter().flatten().next();
                let (per_target, scores) = score_classes(chosen, features, names, labels);
                ("accuracy", per_target, TestScores::Accuracy(scores))
            }
            Targets::None | Targets::Real { .. } => {
                unreachable!("tables were checked to have targets of a kind that is fitted")
            }
        };
        let resamples =
            Resamples::new(test.rows(), test.groups.as_deref(), self.replicates, self.seed)?;
        let fitted = chosen.iter().any(Option::is_some);
        Ok(LinearOutcome {
            columns: features.ncols(),
            solver: self.solver,
            metric,
            value: if fitted { scores.value() } else { None },
            ci95: if fitted { interval(&scores, &resamples) } else { None },
            per_target,
            scores,
        })
    }
}

/// Every target at probability 0.5, which is decision value 0.
fn score_binary(
    chosen: &[Option<Chosen>],
    features: ArrayView2<'_, f64>,
    names: &[String],
    values: &Array2<i8>,
) -> (Vec<TargetResult>, MeanAuroc) {
    let fits: Vec<&Fit> = chosen.iter().flatten().map(|chosen| &chosen.fit).collect();
    let mut decisions = decisions(&fits, features).into_iter();
    let (mut per_target, mut fitted, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for (target, (name, chosen)) in names.iter().zip(chosen).enumerate() {
        let labels = values.column(target).to_vec();
        let scores = chosen.as_ref().and_then(|_| decisions.next());
        let scores = scores.map(|decision| decision.column(0).to_vec());
        per_target.push(score_target(name, &labels, scores.as_deref(), None, chosen.as_ref()));
        if let Some(scores) = scores {
            fitted.push(target);
            columns.extend(scores);
        }
    }
    let scores = Array2::from_shape_vec((fitted.len(), features.nrows()), columns)
        .expect("one score a row and fitted target");
    (per_target, MeanAuroc::new(values.select(Axis(1), &fitted).view(), scores.t()))
}

/// Top-1 accuracy of all classes, and each class against all others by its probability.
fn score_classes(
    chosen: Option<&Chosen>,
    features: ArrayView2<'_, f64>,
    names: &[String],
    labels: &[u32],
) -> (Vec<TargetResult>, MeanAccuracy) {
    let Some(chosen) = chosen else {
        let right = MeanAccuracy { right: vec![false; labels.len()] };
        let undefined = |(class, name): (u32, &String)| {
            score_target(name, &against(labels, class), None, None, None)
        };
        return ((0u32..).zip(names).map(undefined).collect(), right);
    };
    let mut probabilities = chosen.fit.decision(features);
    let answers: Vec<u32> = likeliest(probabilities.view()).collect();
    for mut row in probabilities.rows_mut() {
        softmax(row.as_slice_mut().expect("decision values are row by row"));
    }
    let score = |(class, name): (u32, &String)| {
        let scores = probabilities.column(class as usize).to_vec();
        let calls = against(&answers, class).into_iter().map(f64::from).collect::<Vec<_>>();
        score_target(name, &against(labels, class), Some(&scores), Some(&calls), Some(chosen))
    };
    let per_target = (0u32..).zip(names).map(score).collect();
    let right = answers.iter().zip(labels).map(|(answer, label)| answer == label).collect();
    (per_target, MeanAccuracy { right })
}

/// 1 for one class, 0 for all others.
fn against(labels: &[u32], class: u32) -> Vec<i8> {
    labels.iter().map(|&label| i8::from(label == class)).collect()
}

/// One row of results: ranks by `scores`, decisions by `calls` (1 or 0), or by the sign of the
/// scores.
fn score_target(
    name: &str,
    labels: &[i8],
    scores: Option<&[f64]>,
    calls: Option<&[f64]>,
    chosen: Option<&Chosen>,
) -> TargetResult {
    let decide = |metric: fn(&[i8], &[f64], f64) -> Option<f64>| match (calls, scores) {
        (Some(calls), _) => metric(labels, calls, 0.5),
        (None, Some(scores)) => metric(labels, scores, 0.0),
        (None, None) => None,
    };
    TargetResult {
        target: name.to_owned(),
        auroc: scores.and_then(|scores| metrics::auroc(labels, scores)),
        average_precision: scores.and_then(|scores| metrics::average_precision(labels, scores)),
        balanced_accuracy: decide(metrics::balanced_accuracy),
        accuracy: decide(metrics::accuracy),
        base_rate: metrics::base_rate(labels),
        strength: chosen.map(|chosen| chosen.strength),
        converged: chosen.map(|chosen| chosen.converged),
    }
}
