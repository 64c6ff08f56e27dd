//! A linear probe as a file: what it predicts, what it reads, and its weights.
//!
//! The file is safetensors. Its tensors, all float64: `weights` (outputs, D), `intercept`
//! (outputs), `mean` and `deviation` (D), by which columns are standardised, and `pattern` (outputs,
//! D), how columns change with the scores. Its one metadata entry, `vdvae-probe`, is [`ProbeInfo`] as JSON with a version and a hash over everything.

mod file;
mod pattern;

use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};
use vdvae_features::{FeatureSpec, LayerSelection, Pooling, Statistic, Targets};

use crate::probe::{Choice, Fitted, Linear, Model};
use crate::{Error, Result};

/// What a saved probe predicts and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeInfo {
    /// Name of the probe, `logistic` or `ridge`.
    pub probe: String,
    /// Task it was trained on, such as `celeba-attrs`.
    pub task: String,
    /// Kind of the targets.
    pub kind: TargetKind,
    /// Name of every target or class, in the order of the outputs.
    pub targets: Vec<String>,
    /// Strength of the penalty of each output; none where nothing could be fitted.
    pub strengths: Vec<Option<f64>>,
    /// The features it reads.
    pub features: FeatureInfo,
}

/// Which features a saved probe reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureInfo {
    /// Name of the network, for people.
    pub network: String,
    /// SHA-256 of the network's weights file.
    pub sha256: String,
    /// The layers.
    pub layers: LayerSelection,
    /// The number read from each latent.
    pub statistic: Statistic,
    /// How a layer's grid becomes columns.
    pub pooling: Pooling,
    /// Seed of sampled statistics.
    pub seed: u64,
    /// Samples they are the mean of.
    pub samples: usize,
}

impl FeatureInfo {
    /// What is read from each layer.
    pub fn spec(&self) -> FeatureSpec {
        let &Self { statistic, pooling, seed, samples, .. } = self;
        FeatureSpec { statistic, pooling, seed, samples }
    }
}

/// Kind of a probe's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Binary attributes.
    Binary,
    /// One of several classes.
    Classes,
    /// Real numbers.
    Real,
}

/// A linear probe that can be written and read.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedProbe {
    /// What it predicts and from what.
    pub info: ProbeInfo,
    linear: Linear,
    /// (outputs, D), see [`Self::pattern`].
    pattern: Array2<f64>,
}

/// What a saved probe says of one target of one row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Prediction {
    /// Log odds, margin, class score or predicted value; none where the target could not be fitted.
    pub score: Option<f64>,
    /// Probability of the target or class; none for ridge, whose scores are no log odds.
    pub probability: Option<f64>,
}

impl SavedProbe {
    /// Takes a fitted probe, says where its features came from, and finds its pattern in the rows that
    /// it was trained on.
    ///
    /// # Errors
    /// [`Error::NotSavable`] for probes that are not linear: their bank of rows is a data set;
    /// [`Error::Mismatch`] for rows of another number of columns, [`Error::OutOfRange`] for none.
    pub fn new(
        fitted: &Fitted,
        task: String,
        features: FeatureInfo,
        rows: ArrayView2<'_, f32>,
    ) -> Result<Self> {
        let Some(linear) = fitted.model.linear() else {
            return Err(Error::NotSavable { probe: fitted.probe });
        };
        let (kind, targets) = match &fitted.targets {
            Targets::Binary { names, .. } => (TargetKind::Binary, names.clone()),
            Targets::Classes { names, .. } => (TargetKind::Classes, names.clone()),
            Targets::Real { names, .. } => (TargetKind::Real, names.clone()),
            Targets::None | Targets::Several(_) => {
                unreachable!("a probe was fitted to targets of one kind")
            }
        };
        let strength = |choice: &Option<Choice>| choice.and_then(|choice| choice.strength);
        let info = ProbeInfo {
            probe: fitted.probe.to_owned(),
            task,
            kind,
            targets,
            strengths: fitted.choices.iter().map(strength).collect(),
            features,
        };
        let pattern = pattern::pattern(&linear, rows)?;
        Ok(Self { info, linear: linear.into_owned(), pattern })
    }

    /// By how much every column rises, in its own units, where the score of a target or class rises by
    /// one standard deviation of the training rows; zeros for a target that could not be fitted. This
    /// is no multiple of the weights: it is what pictures with higher scores look like (Haufe et al.
    /// 2014).
    ///
    /// # Shapes
    /// - result: (D), or none where there is no such target
    pub fn pattern(&self, target: &str) -> Option<ArrayView1<'_, f64>> {
        let output = self.info.targets.iter().position(|known| known == target)?;
        Some(self.pattern.row(output))
    }

    /// Columns of the features it reads.
    pub fn columns(&self) -> usize {
        self.linear.standardiser.mean.len()
    }

    /// One prediction a row and target.
    ///
    /// # Shapes
    /// `features`: `(M, D)`. Returns `(M, targets)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another number of columns than the training rows had.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<Prediction>> {
        let logistic = self.info.probe == "logistic";
        let probability = |score: f64| match self.info.kind {
            _ if !logistic => None,
            TargetKind::Classes => Some(score),
            TargetKind::Binary => Some(1.0 / (1.0 + (-score).exp())),
            TargetKind::Real => None,
        };
        let prediction = |score: f64| {
            let score = (!score.is_nan()).then_some(score);
            Prediction { score, probability: score.and_then(probability) }
        };
        Ok(self.linear.predict(features)?.mapv(prediction))
    }
}

#[cfg(test)]
mod tests;
