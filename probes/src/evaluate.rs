//! From a probe and three tables to a result.

use ndarray::{Array2, ArrayView2};
use vdvae_features::{FeatureTable, Targets};

use crate::bootstrap::{Bootstrap, Replicated, Resamples, headline};
use crate::check::check;
use crate::probe::{Choice, Fitted, Probe};
use crate::result::{Metric, Origin, ProbeResult, TargetResult};
use crate::select::likeliest;
use crate::{Result, metrics};

/// A result, and the test scores behind it.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The entry of `results.json`.
    pub result: ProbeResult,
    /// The headline on every bootstrap replicate, for differences between results.
    pub replicated: Replicated,
    /// `(N, targets or classes)`: scores of the test rows, as [`Fitted::predict`] gives them,
    /// rounded to float32.
    pub scores: Array2<f32>,
    /// Targets of the test rows.
    pub truth: Targets,
}

impl Evaluated {
    /// Says where the features came from.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.result = self.result.with_origin(origin);
        self
    }
}

/// Fits a probe on `train`, chooses on `valid`, refits on both, and reads `test` once.
///
/// The result is one of [`Source::Latents`](crate::Source::Latents) without layers until
/// [`Evaluated::with_origin`] says more.
///
/// # Errors
/// Those of [`Probe::fit`] and [`Fitted::evaluate`].
pub fn evaluate(
    probe: &dyn Probe,
    train: &FeatureTable,
    valid: &FeatureTable,
    test: &FeatureTable,
    bootstrap: Bootstrap,
) -> Result<Evaluated> {
    probe.fit(train, valid)?.evaluate(test, bootstrap)
}

impl Fitted {
    /// Scores the test rows. Their groups, where there are any, are resampled as wholes for the
    /// interval.
    ///
    /// # Errors
    /// [`Error::Table`](crate::Error::Table) and [`Error::Targets`](crate::Error::Targets) where
    /// the table contradicts itself, or its targets or columns differ from those of train.
    pub fn evaluate(&self, test: &FeatureTable, bootstrap: Bootstrap) -> Result<Evaluated> {
        check("test", test, &self.targets, self.columns)?;
        let scores = self.predict(test.view())?;
        let resamples = Resamples::new(test.rows(), test.groups.as_deref(), bootstrap)?;
        let estimator = headline(&test.targets, scores.view());
        let replicated = estimator
            .map_or_else(Replicated::default, |estimator| resamples.replicate(&*estimator));
        let (metric, per_target) = match &test.targets {
            Targets::Binary { names, values } => {
                (Metric::Auroc, self.binary_targets(names, values, scores.view()))
            }
            Targets::Classes { names, labels } => {
                (Metric::Accuracy, self.class_targets(names, labels, scores.view()))
            }
            Targets::Real { names, values } => {
                (Metric::R2, self.real_targets(names, values, scores.view()))
            }
            Targets::None | Targets::Several(_) => {
                unreachable!("tables were checked to have targets of one kind")
            }
        };
        let failed = |choice: &Choice| choice.converged == Some(false);
        let result = ProbeResult {
            columns: self.columns,
            train_fraction: 1.0,
            n_train: self.n_train,
            probe: self.probe.to_owned(),
            solver: self.solver.to_owned(),
            metric,
            value: replicated.value,
            ci95: replicated.interval(),
            converged: !self.choices.iter().flatten().any(failed),
            per_target,
            ..ProbeResult::default()
        };
        let scores = scores.mapv(|score| score as f32);
        Ok(Evaluated { result, replicated, scores, truth: test.targets.clone() })
    }

    /// Every target at score 0, which is probability 0.5.
    fn binary_targets(
        &self,
        names: &[String],
        values: &Array2<i8>,
        scores: ArrayView2<'_, f64>,
    ) -> Vec<TargetResult> {
        let target = |(output, name): (usize, &String)| {
            let (labels, scores) = (values.column(output).to_vec(), scores.column(output).to_vec());
            self.ranked(name, output, &labels, &scores, &scores, 0.0)
        };
        names.iter().enumerate().map(target).collect()
    }

    /// Each class against all others: ranks by its score, decisions by the likeliest class.
    fn class_targets(
        &self,
        names: &[String],
        labels: &[u32],
        scores: ArrayView2<'_, f64>,
    ) -> Vec<TargetResult> {
        let answers: Vec<u32> = likeliest(scores).collect();
        let class = |(class, name): (usize, &String)| {
            let is = |label: &u32| *label as usize == class;
            let labels: Vec<i8> = labels.iter().map(|label| i8::from(is(label))).collect();
            let calls: Vec<f64> = answers.iter().map(|a| f64::from(u8::from(is(a)))).collect();
            let scores = scores.column(class).to_vec();
            let recall = metrics::recall(&labels, &calls, 0.5);
            TargetResult { recall, ..self.ranked(name, class, &labels, &scores, &calls, 0.5) }
        };
        names.iter().enumerate().map(class).collect()
    }

    /// Ranks by `scores`; a row is called positive where `calls` is above `threshold`.
    fn ranked(
        &self,
        name: &str,
        output: usize,
        labels: &[i8],
        scores: &[f64],
        calls: &[f64],
        threshold: f64,
    ) -> TargetResult {
        let base_rate = metrics::base_rate(labels);
        let Some(choice) = self.choices[output] else {
            return TargetResult { target: name.to_owned(), base_rate, ..TargetResult::default() };
        };
        TargetResult {
            auroc: metrics::auroc(labels, scores),
            average_precision: metrics::average_precision(labels, scores),
            balanced_accuracy: metrics::balanced_accuracy(labels, calls, threshold),
            accuracy: metrics::accuracy(labels, calls, threshold),
            base_rate,
            ..chosen(name, choice)
        }
    }

    fn real_targets(
        &self,
        names: &[String],
        values: &Array2<f64>,
        scores: ArrayView2<'_, f64>,
    ) -> Vec<TargetResult> {
        let target = |(output, name): (usize, &String)| {
            let Some(choice) = self.choices[output] else {
                return TargetResult { target: name.clone(), ..TargetResult::default() };
            };
            let (truth, scores) = (values.column(output).to_vec(), scores.column(output).to_vec());
            TargetResult {
                r2: metrics::r2(&truth, &scores),
                pearson: metrics::pearson(&truth, &scores),
                spearman: metrics::spearman(&truth, &scores),
                ..chosen(name, choice)
            }
        };
        names.iter().enumerate().map(target).collect()
    }
}

/// What was chosen for a target, without its scores.
fn chosen(name: &str, choice: Choice) -> TargetResult {
    let Choice { strength, edge, neighbours, converged } = choice;
    TargetResult {
        target: name.to_owned(),
        strength,
        strength_edge: edge,
        neighbours,
        converged,
        ..TargetResult::default()
    }
}

#[cfg(test)]
mod tests;
