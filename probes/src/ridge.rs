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
//! the products are those of the rows ([`rows`]).

mod rows;
mod system;

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis, CowArray, Ix2};
use vdvae_features::{FeatureTable, Targets};

use self::rows::Rows;
use self::system::System;
use crate::check::{check_fit, has_two_values};
use crate::matrix::product;
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
        let groups = groups(train, &responses);
        let standardiser = Standardiser::of(train.view())?;
        let data = Data { tables: [train, valid], responses, groups };
        let (best, fitted, model): (Vec<usize>, Vec<bool>, Box<dyn Model>) =
            match train.features.ncols() > train.rows() + valid.rows() {
                true => data.by_rows(Rows::new(data.tables, standardiser)?, &strengths)?,
                false => data.by_columns(standardiser, &strengths)?,
            };
        let choice = |output: usize| {
            let strength = Some(strengths[best[output]]);
            let edge = StrengthEdge::of(best[output], &strengths);
            fitted[output].then(|| Choice { strength, edge, ..Choice::default() })
        };
        let choices = (0..best.len()).map(choice).collect();
        Ok(Fitted::new(self, train, choices, model))
    }
}

/// `(N, outputs)`: numbers as they are, -1 and 1 of anything else; NaN is missing.
type Responses<'a> = CowArray<'a, f64, Ix2>;

/// What is fitted: rows of train and of validation, and what is to be predicted of them.
struct Data<'a> {
    tables: [&'a FeatureTable; 2],
    /// `(N, outputs)` each.
    responses: [Responses<'a>; 2],
    /// Outputs that can be fitted, those that miss the same rows together.
    groups: Vec<Vec<usize>>,
}

/// The strength of each output, by its number; which could be fitted; and what predicts them.
type Chosen = (Vec<usize>, Vec<bool>, Box<dyn Model>);

impl Data<'_> {
    /// The rows of each table in which no response of a group is missing.
    fn kept(&self, group: &[usize]) -> [Vec<usize>; 2] {
        self.responses.each_ref().map(|responses| {
            let observed = |row: &usize| group.iter().all(|&at| !responses[(*row, at)].is_nan());
            (0..responses.nrows()).filter(observed).collect()
        })
    }

    /// Responses of some rows, counted over train and then validation, to some outputs.
    fn right(&self, rows: &[usize], outputs: &[usize]) -> Array2<f64> {
        let [train, valid] = &self.responses;
        let response = |(row, output): (usize, usize)| {
            let (row, output) = (rows[row], outputs[output]);
            match row.checked_sub(train.nrows()) {
                None => train[(row, output)],
                Some(row) => valid[(row, output)],
            }
        };
        Array2::from_shape_fn((rows.len(), outputs.len()), response)
    }

    fn best(&self, candidates: &[Array2<f64>]) -> Vec<usize> {
        select::best(candidates, &self.tables[1].targets)
    }

    /// By the normal equations of the columns.
    fn by_columns(&self, standardiser: Standardiser, strengths: &[f64]) -> Result<Chosen> {
        let outputs = self.responses[0].ncols();
        let mut linear = Linear {
            weights: Array2::zeros((outputs, self.tables[0].features.ncols())),
            intercept: Array1::from_elem(outputs, f64::NAN),
            softmax: false,
            standardiser,
        };
        let system = |group: &Vec<usize>| {
            let (responses, kept) =
                (self.responses.each_ref().map(|r| r.select(Axis(1), group)), self.kept(group));
            System::new(self.tables, &linear.standardiser, &responses, &kept)
        };
        let systems = self.groups.iter().map(system).collect::<Result<Vec<_>>>()?;
        let mut candidates = Vec::with_capacity(strengths.len());
        for &strength in strengths {
            for (system, group) in systems.iter().zip(&self.groups) {
                let all: Vec<usize> = (0..group.len()).collect();
                place(&mut linear, system.solve_train(strength, &all)?, group);
            }
            candidates.push(linear.predict(self.tables[1].view())?);
        }
        let best = self.best(&candidates);
        for (system, group) in systems.iter().zip(&self.groups) {
            let indices: Vec<usize> = group.iter().map(|&output| best[output]).collect();
            for (index, members) in places_by(&indices) {
                let chosen: Vec<usize> = members.iter().map(|&at| group[at]).collect();
                place(&mut linear, system.solve_both(strengths[index], &members)?, &chosen);
            }
        }
        let fitted = linear.intercept.iter().map(|value| !value.is_nan()).collect();
        Ok((best, fitted, Box::new(linear)))
    }

    /// By products of rows.
    fn by_rows(&self, rows: Rows, strengths: &[f64]) -> Result<Chosen> {
        let outputs = self.responses[0].ncols();
        let n_valid = self.tables[1].rows();
        let mut candidates = vec![Array2::from_elem((n_valid, outputs), f64::NAN); strengths.len()];
        for group in &self.groups {
            let [kept, _] = self.kept(group);
            let products = rows.of_valid(&kept);
            for (&strength, candidate) in strengths.iter().zip(&mut candidates) {
                let right = self.right(&kept, group);
                let (dual, intercept) = rows.solve(&kept, strength, right)?;
                let scores = product(products.view(), dual.view()) + &intercept;
                for (&output, column) in group.iter().zip(scores.columns()) {
                    candidate.column_mut(output).assign(&column);
                }
            }
        }
        let best = self.best(&candidates);
        let mut dual = Array2::zeros((rows.n_train + n_valid, outputs));
        let mut intercept = Array1::from_elem(outputs, f64::NAN);
        for group in &self.groups {
            let [of_train, of_valid] = self.kept(group);
            let of_valid = of_valid.iter().map(|&row| rows.n_train + row);
            let kept: Vec<usize> = of_train.iter().copied().chain(of_valid).collect();
            let indices: Vec<usize> = group.iter().map(|&output| best[output]).collect();
            for (index, members) in places_by(&indices) {
                let chosen: Vec<usize> = members.iter().map(|&at| group[at]).collect();
                let right = self.right(&kept, &chosen);
                let solution = rows.solve(&kept, strengths[index], right)?;
                for (at, &output) in chosen.iter().enumerate() {
                    intercept[output] = solution.1[at];
                    for (&row, &value) in kept.iter().zip(solution.0.column(at)) {
                        dual[(row, output)] = value;
                    }
                }
            }
        }
        let fitted = intercept.iter().map(|value| !value.is_nan()).collect();
        Ok((best, fitted, Box::new(rows.into_model(dual, intercept))))
    }
}

fn responses(targets: &Targets) -> Responses<'_> {
    match targets {
        Targets::None | Targets::Several(_) => Array2::zeros((0, 0)).into(),
        Targets::Binary { values, .. } => {
            let side = |label| match label {
                0 => -1.0,
                label if label > 0 => 1.0,
                _ => f64::NAN,
            };
            values.mapv(side).into()
        }
        Targets::Classes { names, labels } => {
            let side = |(row, class): (usize, usize)| {
                if labels[row] as usize == class { 1.0 } else { -1.0 }
            };
            Array2::from_shape_fn((labels.len(), names.len()), side).into()
        }
        Targets::Real { values, .. } => values.view().into(),
    }
}

/// Outputs that can be fitted, those that miss the same rows together.
fn groups(train: &FeatureTable, responses: &[Responses<'_>; 2]) -> Vec<Vec<usize>> {
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
