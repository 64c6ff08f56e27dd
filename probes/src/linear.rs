//! The linear probe: logistic regression under a fixed protocol.
//!
//! Columns are standardised with the statistics of the training rows, for all three splits and for
//! the refit too: the refit on train and validation so keeps the coordinates, and the meaning, of
//! the strength that was chosen. Every strength is fitted on train, each target takes the one with
//! the best validation AUROC (the better balanced accuracy of equals; for classes: top-1 accuracy;
//! then the stronger), and is refitted on train and validation. The test rows are read once, after
//! that.

mod choose;
mod score;

use vdvae_features::{FeatureTable, Targets};

use self::choose::Labels;
use crate::bootstrap::{MeanAccuracy, MeanAuroc, Statistic};
use crate::logistic::{Scaling, Settings, Solver};
use crate::{Error, ProbeResult, Result, Source, TargetResult};

/// Logistic regression with the strength of its penalty chosen on validation.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    /// Which code fits.
    pub solver: Solver,
    /// When a fit ends.
    pub settings: Settings,
    /// Penalties to choose from: alpha of the summed loss, `1 / C`.
    pub strengths: Vec<f64>,
    /// Bootstrap replicates of the interval.
    pub replicates: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for LinearProbe {
    /// The batched solver, strengths 10⁰ … 10⁶, 1000 replicates, seed 0.
    fn default() -> Self {
        Self {
            solver: Solver::default(),
            settings: Settings::default(),
            strengths: (0..7).map(|power| 10f64.powi(power)).collect(),
            replicates: 1000,
            seed: 0,
        }
    }
}

/// What a linear probe found on one set of features.
#[derive(Debug, Clone)]
pub struct LinearOutcome {
    /// Columns of the features.
    pub columns: usize,
    /// The solver used.
    pub solver: Solver,
    /// `auroc` for binary targets, `accuracy` for classes.
    pub metric: &'static str,
    /// Mean over the targets that are defined; top-1 accuracy for classes.
    pub value: Option<f64>,
    /// 95% bootstrap interval of `value`.
    pub ci95: Option<[f64; 2]>,
    /// One entry a target; for classes one a class, against all others.
    pub per_target: Vec<TargetResult>,
    /// The test rows' scores, for [`paired_difference`](crate::paired_difference).
    pub scores: TestScores,
}

impl LinearOutcome {
    /// The entry of `results.json`.
    pub fn result(
        self,
        source: Source,
        layers: Option<String>,
        resolution: Option<usize>,
    ) -> ProbeResult {
        ProbeResult {
            source,
            layers,
            resolution,
            columns: self.columns,
            matched_columns: None,
            probe: "logistic".to_owned(),
            solver: self.solver.name().to_owned(),
            metric: self.metric.to_owned(),
            value: self.value,
            ci95: self.ci95,
            per_target: self.per_target,
        }
    }
}

/// Scores of the test rows in the form the bootstrap reads.
#[derive(Debug, Clone)]
pub enum TestScores {
    /// Binary targets.
    Auroc(MeanAuroc),
    /// Classes.
    Accuracy(MeanAccuracy),
}

impl Statistic for TestScores {
    fn rows(&self) -> usize {
        match self {
            Self::Auroc(statistic) => statistic.rows(),
            Self::Accuracy(statistic) => statistic.rows(),
        }
    }

    fn weighted(&self, counts: &[u32]) -> Option<f64> {
        match self {
            Self::Auroc(statistic) => statistic.weighted(counts),
            Self::Accuracy(statistic) => statistic.weighted(counts),
        }
    }
}

impl LinearProbe {
    /// Fits on `train`, chooses on `valid`, refits on both and scores `test`.
    ///
    /// Groups of `test`, where there are any, are resampled as wholes for the interval.
    ///
    /// # Errors
    /// [`Error::Table`] and [`Error::Targets`] where a table contradicts itself or its targets or
    /// columns differ from those of `train`; [`Error::OutOfRange`] for a split without rows or no
    /// strengths; what [`logistic::fit`](crate::logistic::fit) returns.
    pub fn evaluate(
        &self,
        train: &FeatureTable,
        valid: &FeatureTable,
        test: &FeatureTable,
    ) -> Result<LinearOutcome> {
        for (split, table) in [("train", train), ("valid", valid), ("test", test)] {
            check(split, table, train)?;
        }
        if self.strengths.is_empty() {
            return Err(Error::OutOfRange {
                what: "strengths",
                expected: "at least one",
                found: "none".to_owned(),
            });
        }
        let scaling = Scaling::of(train.view())?;
        let chosen = {
            let features = [scaling.apply(train.view())?, scaling.apply(valid.view())?];
            let labels = [Labels::of(&train.targets), Labels::of(&valid.targets)];
            self.choose(&features, &labels)?
        };
        // The only place that reads the test rows.
        self.score(&chosen, scaling.apply(test.view())?.view(), test)
    }
}

/// Checks one split against itself and against train.
fn check(split: &'static str, table: &FeatureTable, train: &FeatureTable) -> Result<()> {
    table.validate().map_err(|source| Error::Table { split, source: Box::new(source) })?;
    let differs = |expected: String, found: String| Err(Error::Targets { split, expected, found });
    if table.rows() == 0 {
        return differs("at least one row".into(), "none".into());
    }
    let columns = [train, table].map(|table| table.features.ncols());
    if columns[0] != columns[1] {
        return differs(format!("{} columns", columns[0]), columns[1].to_string());
    }
    match (&train.targets, &table.targets) {
        (Targets::Binary { names: a, values: _ }, Targets::Binary { names: b, values }) => {
            if a != b || values.ncols() != a.len() {
                return differs(format!("targets {a:?}"), format!("{} of {b:?}", values.ncols()));
            }
        }
        (Targets::Classes { names: a, .. }, Targets::Classes { names: b, labels }) => {
            if a != b {
                return differs(format!("{} classes as in train", a.len()), format!("{b:?}"));
            }
            if let Some(label) = labels.iter().find(|&&label| label as usize >= a.len()) {
                return differs(format!("classes below {}", a.len()), label.to_string());
            }
        }
        (Targets::Real { .. }, _) => {
            return differs("binary targets or classes".into(), "numbers".into());
        }
        (Targets::None, _) => return differs("labels".into(), "none".into()),
        _ => return differs("the kind of targets that train has".into(), "another".into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
