//! What all probes share: how they are fitted, what they predict, and the checks before.

use ndarray::{Array1, Array2, ArrayView2, s};
use vdvae_features::{FeatureTable, Targets};

use crate::centroid::Centroids;
use crate::logistic::softmax;
use crate::matrix::product;
use crate::neighbours::Neighbours;
use crate::standardise::Standardiser;
use crate::{Error, Result};

/// Something that learns to predict targets from features.
pub trait Probe: Sync {
    /// Name in flags and results, such as `logistic`.
    fn name(&self) -> &'static str;

    /// Name of the algorithm, such as `batched`.
    fn solver(&self) -> &'static str;

    /// Fits on `train`, chooses on `valid`, refits on both.
    ///
    /// # Errors
    /// [`Error::Table`] and [`Error::Targets`] where a table contradicts itself, the two differ in
    /// targets or columns, or no target has two values in `train`; [`Error::Unsupported`] for
    /// targets this probe cannot predict.
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
    pub(crate) model: Model,
}

/// What was chosen on validation for one output.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Choice {
    /// Strength of the penalty.
    pub strength: Option<f64>,
    /// Neighbours that vote.
    pub neighbours: Option<usize>,
    /// Whether every fit behind it converged; `None` for probes in closed form.
    pub converged: Option<bool>,
}

/// How scores are computed from features.
#[derive(Debug, Clone)]
pub(crate) enum Model {
    Linear(Linear),
    Neighbours(Neighbours),
    Centroids(Centroids),
}

impl Fitted {
    /// Scores of rows: for binary targets numbers above zero where the answer is yes, for classes
    /// numbers of which the largest is the answer, for real targets the predicted values. Columns
    /// of NaN belong to targets that could not be fitted.
    ///
    /// # Shapes
    /// `features`: `(M, D)`. Returns `(M, targets or classes)`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another number of columns than the training rows had.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        match &self.model {
            Model::Linear(model) => model.predict(features),
            Model::Neighbours(model) => model.predict(features),
            Model::Centroids(model) => model.predict(features),
        }
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

impl Linear {
    pub(crate) fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        let mut scores = Array2::zeros((features.nrows(), self.intercept.len()));
        for at in (0..features.nrows()).step_by(BLOCK) {
            let end = features.nrows().min(at + BLOCK);
            let rows = self.standardiser.apply(features.slice(s![at..end, ..]))?;
            let block = product(rows.view(), self.weights.t()) + &self.intercept;
            scores.slice_mut(s![at..end, ..]).assign(&block);
        }
        if self.softmax {
            for mut row in scores.rows_mut() {
                softmax(row.as_slice_mut().expect("scores are row by row"));
            }
        }
        Ok(scores)
    }
}

/// Checks the tables a probe is fitted on.
pub(crate) fn check_fit(train: &FeatureTable, valid: &FeatureTable) -> Result<()> {
    check("train", train, &train.targets, train.features.ncols())?;
    check("valid", valid, &train.targets, train.features.ncols())?;
    let Some(found) = single_valued(&train.targets) else { return Ok(()) };
    let expected = match train.targets {
        Targets::Classes { .. } => "rows of at least two classes",
        _ => "two values of at least one target",
    };
    Err(Error::Targets { split: "train", expected: expected.into(), found })
}

/// Checks one split against itself and against the targets and columns of train.
pub(crate) fn check(
    split: &'static str,
    table: &FeatureTable,
    targets: &Targets,
    columns: usize,
) -> Result<()> {
    table.validate().map_err(|source| Error::Table { split, source: Box::new(source) })?;
    let differs = |expected: String, found: String| Err(Error::Targets { split, expected, found });
    if table.rows() == 0 {
        return differs("at least one row".into(), "none".into());
    }
    if columns != table.features.ncols() {
        return differs(format!("{columns} columns"), table.features.ncols().to_string());
    }
    match (targets, &table.targets) {
        (Targets::Binary { names: a, .. }, Targets::Binary { names: b, values }) => {
            if a != b || values.ncols() != a.len() {
                return differs(format!("targets {a:?}"), format!("{} of {b:?}", values.ncols()));
            }
        }
        (Targets::Real { names: a, .. }, Targets::Real { names: b, values }) => {
            if a != b || values.ncols() != a.len() {
                return differs(format!("targets {a:?}"), format!("{} of {b:?}", values.ncols()));
            }
            if let Some(infinite) = values.iter().find(|value| value.is_infinite()) {
                return differs("finite targets".into(), infinite.to_string());
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
        (Targets::None, _) => return differs("labels".into(), "none".into()),
        _ => return differs("the kind of targets that train has".into(), "another".into()),
    }
    Ok(())
}

/// What there is instead, where no target (or class) has two values.
fn single_valued(targets: &Targets) -> Option<String> {
    let names = match targets {
        Targets::None => return None,
        Targets::Classes { names, labels } => {
            let first = labels.first()?;
            let single = labels.iter().all(|label| label == first);
            return single.then(|| format!("only `{}`", names[*first as usize]));
        }
        Targets::Binary { names, .. } | Targets::Real { names, .. } => names,
    };
    let varied = (0..names.len()).any(|output| has_two_values(targets, output));
    let list = match &names[..] {
        [] => "no targets".to_owned(),
        [only] => format!("one value of `{only}`"),
        [first, ..] => format!("one value of each of {} (`{first}`, …)", names.len()),
    };
    (!varied).then_some(list)
}

/// Whether a binary or real target has at least two different values.
pub(crate) fn has_two_values(targets: &Targets, output: usize) -> bool {
    match targets {
        Targets::Binary { values, .. } => {
            let column = values.column(output);
            column.iter().any(|&label| label == 0) && column.iter().any(|&label| label > 0)
        }
        Targets::Real { values, .. } => {
            let mut observed = values.column(output).into_iter().filter(|value| !value.is_nan());
            let first = observed.next();
            observed.any(|value| Some(value) != first)
        }
        Targets::None | Targets::Classes { .. } => true,
    }
}

/// The targets of no rows: their names and their kind.
pub(crate) fn without_rows(targets: &Targets) -> Targets {
    targets.select(&[])
}
