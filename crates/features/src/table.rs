//! The table probes read: one row an image, one column a pooled number, with the labels beside it.

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use vdvae_datasets::Labels;

use crate::{Error, Result};

/// What is to be predicted for every row of a [`FeatureTable`].
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// The data set has no labels.
    None,
    /// Named binary attributes, `(N, targets)`: 1 positive, 0 negative, -1 missing.
    Binary {
        /// One name a column.
        names: Vec<String>,
        /// `(N, targets)` of 1, 0 or -1 (missing).
        values: Array2<i8>,
    },
    /// One class an image.
    Classes {
        /// Name of every class; a label indexes this list.
        names: Vec<String>,
        /// `(N)` indices into `names`; within [`Targets::Several`] some may be
        /// [`Labels::UNKNOWN_CLASS`].
        labels: Vec<u32>,
    },
    /// Named real numbers, `(N, targets)`: NaN missing.
    Real {
        /// One name a column.
        names: Vec<String>,
        /// `(N, targets)`; NaN is missing.
        values: Array2<f64>,
    },
    /// Targets of several kinds of the same N images, with their names; none of them several
    /// again. A probe predicts one of them, see [`FeatureTable::part`].
    Several(Vec<(String, Targets)>),
}

impl Targets {
    /// Rows described, or `None` where there are no labels.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Binary { values, .. } => Some(values.nrows()),
            Self::Classes { labels, .. } => Some(labels.len()),
            Self::Real { values, .. } => Some(values.nrows()),
            Self::Several(parts) => parts.iter().find_map(|(_, part)| part.rows()),
        }
    }

    /// Targets of several kinds; none of them where there is one kind.
    pub fn parts(&self) -> &[(String, Self)] {
        if let Self::Several(parts) = self { parts } else { &[] }
    }

    /// Rows of which something is known: all but those without a class.
    ///
    /// `rows` is their number in the table.
    pub fn known_rows(&self, rows: usize) -> Vec<usize> {
        let known = |row: &usize| match self {
            Self::Classes { labels, .. } => labels[*row] != Labels::UNKNOWN_CLASS,
            _ => true,
        };
        (0..rows).filter(known).collect()
    }

    /// The targets of some rows, in the order given.
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::None => Self::None,
            Self::Binary { names, values } => {
                Self::Binary { names: names.clone(), values: values.select(Axis(0), rows) }
            }
            Self::Classes { names, labels } => Self::Classes {
                names: names.clone(),
                labels: rows.iter().map(|&i| labels[i]).collect(),
            },
            Self::Real { names, values } => {
                Self::Real { names: names.clone(), values: values.select(Axis(0), rows) }
            }
            Self::Several(parts) => {
                let part = |(name, part): &(String, Self)| (name.clone(), part.select(rows));
                Self::Several(parts.iter().map(part).collect())
            }
        }
    }
}

impl From<&Labels> for Targets {
    /// The labels of a data set, as they are.
    fn from(labels: &Labels) -> Self {
        fn table<T: Clone>(names: &[String], values: &[T]) -> Array2<T> {
            let rows = values.len() / names.len().max(1);
            let table = Array2::from_shape_vec((rows, names.len()), values.to_vec());
            table.expect("a data set has one value a picture and name")
        }
        match labels {
            Labels::None => Self::None,
            Labels::Binary { names, values } => {
                Self::Binary { names: names.clone(), values: table(names, values) }
            }
            Labels::Classes { names, labels } => {
                Self::Classes { names: names.clone(), labels: labels.clone() }
            }
            Labels::Real { names, values } => {
                Self::Real { names: names.clone(), values: table(names, values) }
            }
            Labels::Several(parts) => {
                let part = |(name, part): &(String, Labels)| (name.clone(), Self::from(part));
                Self::Several(parts.iter().map(part).collect())
            }
        }
    }
}

/// Where one column of a [`FeatureTable`] came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureColumn {
    /// Stochastic layer, counted from 0 at the top (1×1); `None` for pixels and activations.
    pub layer: Option<usize>,
    /// Side of the square grid of latents the column was read from.
    pub resolution: Option<usize>,
    /// Channel: latent channel, colour or activation channel.
    pub channel: usize,
    /// Pooling cell, row-major.
    pub cell: usize,
}

/// Features of `N` images with everything needed to score and to repeat them.
#[derive(Debug, Clone)]
pub struct FeatureTable {
    /// `(N, D)`.
    pub features: Array2<f32>,
    /// Labels of the same rows.
    pub targets: Targets,
    /// A stable key for every row, unique in its data set.
    pub keys: Vec<String>,
    /// Group (identity) of every row, where the data set has groups.
    pub groups: Option<Vec<u64>>,
    /// One entry a column.
    pub columns: Vec<FeatureColumn>,
}

impl FeatureTable {
    /// Rows (images).
    pub fn rows(&self) -> usize {
        self.features.nrows()
    }

    /// View of the features, `(N, D)`.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        self.features.view()
    }

    /// Checks that every part describes the same number of rows and columns, and that no feature
    /// is NaN or infinite.
    ///
    /// # Errors
    /// [`Error::TableShape`] and [`Error::NotFinite`], with the first that differs.
    pub fn validate(&self) -> Result<()> {
        let (n, d) = self.features.dim();
        let mut parts = vec![("keys", self.keys.len(), n), ("columns", self.columns.len(), d)];
        if let Some(groups) = &self.groups {
            parts.push(("groups", groups.len(), n));
        }
        if let Some(rows) = self.targets.rows() {
            parts.push(("targets", rows, n));
        }
        for (part, found, expected) in parts {
            if found != expected {
                return Err(Error::TableShape { part, expected, found });
            }
        }
        for ((row, column), value) in self.features.indexed_iter() {
            if !value.is_finite() {
                return Err(Error::NotFinite {
                    key: self.keys[row].clone(),
                    column,
                    value: *value,
                });
            }
        }
        Ok(())
    }

    /// Some rows, in the order given.
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.select(Axis(0), rows),
            targets: self.targets.select(rows),
            keys: rows.iter().map(|&i| self.keys[i].clone()).collect(),
            groups: self.groups.as_ref().map(|g| rows.iter().map(|&i| g[i]).collect()),
            columns: self.columns.clone(),
        }
    }

    /// The table of one part of [`Targets::Several`], without rows of an unknown class; the rows
    /// where there is no such part.
    pub fn part(&self, place: usize) -> Self {
        let Some((_, part)) = self.targets.parts().get(place) else { return self.clone() };
        let rows = part.known_rows(self.rows());
        let bare = Self { targets: Targets::None, ..self.clone() };
        Self { targets: part.select(&rows), ..bare.select_rows(&rows) }
    }

    /// The columns for which `keep` holds, in order.
    pub fn select_columns(&self, keep: impl Fn(&FeatureColumn) -> bool) -> Self {
        let indices: Vec<usize> =
            (0..self.columns.len()).filter(|&i| keep(&self.columns[i])).collect();
        Self {
            features: self.features.select(Axis(1), &indices),
            targets: self.targets.clone(),
            keys: self.keys.clone(),
            groups: self.groups.clone(),
            columns: indices.iter().map(|&i| self.columns[i].clone()).collect(),
        }
    }
}
