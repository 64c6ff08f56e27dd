//! Ridge regression in closed form.
//!
//! The objective is scikit-learn's: the sum of squared errors plus `strength · ‖w‖²`, the
//! intercept not penalised. Binary targets are regressed as -1 and 1, classes as one such column
//! each, real targets as they are. Columns are standardised with the training statistics. Each
//! output takes the strength that is best on validation (the stronger of equals) and is refitted
//! on train and validation.
//!
//! Targets that miss the same rows share everything: one matrix of products of the features
//! ([`system`]), and one Cholesky factor a strength. Nine factors cost less than half of the
//! eigenvectors that would serve any number of strengths. Where there are more columns than rows,
//! the products are those of the rows.

mod system;

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};
use vdvae_features::{FeatureTable, Targets};

use self::system::System;
use crate::check::{check_fit, has_two_values};
use crate::probe::{Choice, Fitted, Linear, Model, Probe};
use crate::standardise::Standardiser;
use crate::strengths::{STRENGTHS, StrengthEdge, strongest_first};
use crate::who::places_by;
use crate::{Result, select};

/// Ridge regression with its strength chosen on validation.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeProbe {
    /// Penalties to choose from.
    pub strengths: Vec<f64>,
}

impl Default for RidgeProbe {
    /// Chooses from [`STRENGTHS`].
    fn default() -> Self {
        Self { strengths: STRENGTHS.to_vec() }
    }
}

impl Probe for RidgeProbe {
    fn name(&self) -> &'static str {
        "ridge"
    }

    fn solver(&self) -> &'static str {
        "cholesky"
    }

    fn fit(&self, train: &FeatureTable, valid: &FeatureTable) -> Result<Fitted> {
        check_fit(train, valid)?;
        let strengths = strongest_first(&self.strengths)?;
        let responses = [responses(&train.targets), responses(&valid.targets)];
        let standardiser = Standardiser::of(train.view())?;
        let outputs = responses[0].ncols();
        let mut linear = Linear {
            weights: Array2::zeros((outputs, train.features.ncols())),
            intercept: Array1::from_elem(outputs, f64::NAN),
            softmax: false,
            standardiser,
        };
        let groups = groups(train, &responses);
        let systems = groups
            .iter()
            .map(|columns| {
                let responses = responses.each_ref().map(|r| r.select(Axis(1), columns));
                System::new([train, valid], &linear.standardiser, &responses)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut candidates = Vec::with_capacity(strengths.len());
        for &strength in &strengths {
            for (system, columns) in systems.iter().zip(&groups) {
                let all: Vec<usize> = (0..columns.len()).collect();
                place(&mut linear, system.solve_train(strength, &all)?, columns);
            }
            candidates.push(linear.predict(valid.view())?);
        }
        let best = select::best(&candidates, &valid.targets);
        for (system, columns) in systems.iter().zip(&groups) {
            let indices: Vec<usize> = columns.iter().map(|&output| best[output]).collect();
            for (index, members) in places_by(&indices) {
                let chosen: Vec<usize> = members.iter().map(|&at| columns[at]).collect();
                place(&mut linear, system.solve_both(strengths[index], &members)?, &chosen);
            }
        }
        let choice = |output: usize| {
            let strength = Some(strengths[best[output]]);
            let edge = StrengthEdge::of(best[output], &strengths);
            let defined = !linear.intercept[output].is_nan();
            defined.then(|| Choice { strength, edge, ..Choice::default() })
        };
        let choices = (0..outputs).map(choice).collect();
        Ok(Fitted::new(self, train, choices, linear))
    }
}

/// `(N, outputs)`: -1 and 1, or real values; NaN is missing.
fn responses(targets: &Targets) -> Array2<f64> {
    match targets {
        Targets::None | Targets::Several(_) => Array2::zeros((0, 0)),
        Targets::Binary { values, .. } => values.mapv(|label| match label {
            0 => -1.0,
            label if label > 0 => 1.0,
            _ => f64::NAN,
        }),
        Targets::Classes { names, labels } => {
            let side = |(row, class): (usize, usize)| {
                if labels[row] as usize == class { 1.0 } else { -1.0 }
            };
            Array2::from_shape_fn((labels.len(), names.len()), side)
        }
        Targets::Real { values, .. } => values.clone(),
    }
}

/// Outputs that can be fitted, those that miss the same rows together.
fn groups(train: &FeatureTable, responses: &[Array2<f64>; 2]) -> Vec<Vec<usize>> {
    let mut by_missing: BTreeMap<[Vec<usize>; 2], Vec<usize>> = BTreeMap::new();
    for output in 0..responses[0].ncols() {
        if has_two_values(&train.targets, output) {
            let missing = responses.each_ref().map(|responses| {
                let column = responses.column(output);
                (0..column.len()).filter(|&row| column[row].is_nan()).collect::<Vec<_>>()
            });
            by_missing.entry(missing).or_default().push(output);
        }
    }
    by_missing.into_values().collect()
}

/// Puts solutions, `(D, K)` and `(K)`, into the rows of some outputs.
fn place(linear: &mut Linear, solution: (Array2<f64>, Array1<f64>), outputs: &[usize]) {
    let (weights, intercept) = solution;
    for (at, &output) in outputs.iter().enumerate() {
        linear.weights.row_mut(output).assign(&weights.column(at));
        linear.intercept[output] = intercept[at];
    }
}

#[cfg(test)]
mod tests;
