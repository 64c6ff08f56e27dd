//! What all probes share: how they are fitted, and what they predict.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView2, s};
use vdvae_features::{FeatureTable, Targets};

use crate::Result;
use crate::logistic::softmax;
use crate::matrix::product;
use crate::standardise::Standardiser;
use crate::strengths::StrengthEdge;

/// Something that learns to predict targets from features.
pub trait Probe: Sync {
    /// Name in flags and results, such as `logistic`.
    fn name(&self) -> &'static str;

    /// Name of the algorithm, such as `batched`.
    fn solver(&self) -> &'static str;

    /// Whether it can predict real numbers; all predict attributes and classes.
    fn predicts_numbers(&self) -> bool {
        true
    }

    /// Fits on `train`, chooses on `valid`, refits on both.
    ///
    /// # Errors
    /// [`Error::Table`](crate::Error::Table) and [`Error::Targets`](crate::Error::Targets) where a
    /// table contradicts itself, the two differ in targets or columns, or no target has two values in
    /// `train`; [`Error::Unsupported`](crate::Error::Unsupported) for targets that this probe cannot
    /// predict.
    fn fit(&self, train: &FeatureTable, valid: &FeatureTable) -> Result<Fitted>;
}

/// A probe that is ready to predict.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Name of the probe.
    pub probe: &'static str,
    /// Name of its algorithm.
    pub solver: &'static str,
    /// Columns of the features it reads.
    pub columns: usize,
    /// Training rows, without those of validation.
    pub n_train: usize,
    /// The targets it was fitted on, without rows.
    pub targets: Targets,
    /// One entry an output: a target, or a class. `None` where there was nothing to fit.
    pub choices: Vec<Option<Choice>>,
    pub(crate) model: Arc<dyn Model>,
}

/// What was chosen on validation for one output.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Choice {
    /// Strength of the penalty.
    pub strength: Option<f64>,
    /// Whether it lies at an end of those to choose from.
    pub edge: Option<StrengthEdge>,
    /// Neighbours that vote.
    pub neighbours: Option<usize>,
    /// Whether every fit behind it converged; `None` for probes in closed form.
    pub converged: Option<bool>,
}

/// How scores are computed from features.
pub(crate) trait Model: Debug + Send + Sync {
    /// See [`Fitted::predict`].
    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>>;

    /// The weights, where that is all there is.
    fn linear(&self) -> Option<Cow<'_, Linear>> {
        None
    }
}

impl Model for Box<dyn Model> {
    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        (**self).predict(features)
    }

    fn linear(&self) -> Option<Cow<'_, Linear>> {
        (**self).linear()
    }
}

impl Fitted {
    /// A probe that was fitted on `train`, with one entry in `choices` for each output.
    pub(crate) fn new(
        probe: &dyn Probe,
        train: &FeatureTable,
        choices: Vec<Option<Choice>>,
        model: impl Model + 'static,
    ) -> Self {
        Self {
            probe: probe.name(),
            solver: probe.solver(),
            columns: train.features.ncols(),
            n_train: train.rows(),
            targets: train.targets.select(&[]),
            choices,
            model: Arc::new(model),
        }
    }

    /// Scores of rows: for binary targets numbers above zero where the answer is yes, for classes
    /// numbers of which the largest is the answer, for real targets the predicted values. Columns
    /// of NaN belong to targets that could not be fitted.
    ///
    /// # Shapes
    /// `features`: `(M, D)`. Returns `(M, targets or classes)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for another number of columns than the training rows had.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        self.model.predict(features)
    }
}

/// Rows scored at a time, so that few of them stand in memory in float64.
const BLOCK: usize = 1024;

/// One linear function an output, of standardised features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linear {
    pub(crate) standardiser: Standardiser,
    /// `(outputs, D)`; zeros where an output could not be fitted.
    pub(crate) weights: Array2<f64>,
    /// `(outputs)`; NaN where an output could not be fitted.
    pub(crate) intercept: Array1<f64>,
    /// Whether scores are turned into probabilities that sum to one.
    pub(crate) softmax: bool,
}

impl Model for Linear {
    fn linear(&self) -> Option<Cow<'_, Linear>> {
        Some(Cow::Borrowed(self))
    }

    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        let mut scores = Array2::zeros((features.nrows(), self.intercept.len()));
        self.standardiser.for_blocks(features, BLOCK, |at, rows| {
            let block = product(rows.view(), self.weights.t()) + &self.intercept;
            scores.slice_mut(s![at..at + rows.nrows(), ..]).assign(&block);
        })?;
        if self.softmax {
            for mut row in scores.rows_mut() {
                softmax(row.as_slice_mut().expect("scores are row by row"));
            }
        }
        Ok(scores)
    }
}
