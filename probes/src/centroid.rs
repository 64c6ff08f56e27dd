//! Nearest centroid: the class whose mean is closest in angle.
//!
//! Rows are standardised with the training statistics and scaled to unit length; a centroid is the
//! mean of its class's rows, scaled likewise. A binary target scores by how much closer the
//! positive centroid is than the negative one. There is nothing to choose.

use ndarray::{Array2, ArrayView2, Axis};
use vdvae_features::{FeatureTable, Targets};

use crate::check::{check_fit, has_two_values};
use crate::matrix::{add_product, product};
use crate::neighbours::{for_unit_blocks, unit_length};
use crate::probe::{Choice, Fitted, Model, Probe};
use crate::standardise::Standardiser;
use crate::{Error, Result};

/// The nearest centroid by cosine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CentroidProbe;

/// Fitted centroids.
#[derive(Debug)]
struct Centroids {
    standardiser: Standardiser,
    /// `(outputs, D)`: unit centroids of classes, or positive less negative ones of targets.
    directions: Array2<f64>,
    /// What is added to each output's product: zero, -∞ for classes without rows, NaN for targets
    /// that could not be fitted.
    offsets: Vec<f64>,
}

impl Model for Centroids {
    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        let mut scores = Array2::zeros((features.nrows(), self.offsets.len()));
        for_unit_blocks(features, &self.standardiser, |at, rows| {
            let block = product(rows.mapv(f64::from).view(), self.directions.t());
            scores.slice_mut(ndarray::s![at..at + rows.nrows(), ..]).assign(&block);
        })?;
        for (mut column, offset) in scores.columns_mut().into_iter().zip(&self.offsets) {
            column.mapv_inplace(|score| score + offset);
        }
        Ok(scores)
    }
}

impl Probe for CentroidProbe {
    fn name(&self) -> &'static str {
        "centroid"
    }

    fn solver(&self) -> &'static str {
        "cosine"
    }

    fn predicts_numbers(&self) -> bool {
        false
    }

    fn fit(&self, train: &FeatureTable, valid: &FeatureTable) -> Result<Fitted> {
        check_fit(train, valid)?;
        let standardiser = Standardiser::of(train.view())?;
        let sets = memberships(&train.targets)?.ncols();
        let mut sums = Array2::<f64>::zeros((sets, train.features.ncols()));
        for table in [train, valid] {
            let member = memberships(&table.targets)?;
            for_unit_blocks(table.view(), &standardiser, |at, rows| {
                let member = member.slice(ndarray::s![at..at + rows.nrows(), ..]);
                add_product(&mut sums, member.t(), rows.mapv(f64::from).view());
            })?;
        }
        let centroids = unit_length(sums);
        let (directions, offsets): (_, Vec<f64>) = match &train.targets {
            Targets::Classes { .. } => {
                let empty = |row: ndarray::ArrayView1<'_, f64>| row.iter().all(|v| *v == 0.0);
                let offset = |row| if empty(row) { f64::NEG_INFINITY } else { 0.0 };
                let offsets = centroids.rows().into_iter().map(offset).collect();
                (centroids, offsets)
            }
            targets => {
                let count = sets / 2;
                let (negative, positive) = centroids.view().split_at(Axis(0), count);
                let undefined = |output| !has_two_values(targets, output);
                let offset = |output| if undefined(output) { f64::NAN } else { 0.0 };
                (&positive - &negative, (0..count).map(offset).collect())
            }
        };
        let choice = |offset: &f64| (!offset.is_nan()).then(Choice::default);
        let choices = offsets.iter().map(choice).collect();
        Ok(Fitted::new(self, train, choices, Centroids { standardiser, directions, offsets }))
    }
}

/// 1 where a row belongs to a set, `(N, sets)`: the classes, or the negative rows of every target
/// and then the positive ones.
fn memberships(targets: &Targets) -> Result<Array2<f64>> {
    match targets {
        Targets::Classes { names, labels } => {
            let is = |(row, class): (usize, usize)| labels[row] as usize == class;
            Ok(Array2::from_shape_fn((labels.len(), names.len()), |at| f64::from(u8::from(is(at)))))
        }
        Targets::Binary { names, values } => {
            let count = names.len();
            let is =
                |(row, set): (usize, usize)| values[[row, set % count]] == i8::from(set >= count);
            let shape = (values.nrows(), 2 * count);
            Ok(Array2::from_shape_fn(shape, |at| f64::from(u8::from(is(at)))))
        }
        Targets::Real { .. } | Targets::None | Targets::Several(_) => Err(Error::Unsupported {
            who: "probe centroid",
            what: "predict real-valued targets",
            instead: "ridge or knn",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{table, waves};

    #[test]
    fn agrees_with_numpy() {
        // numpy 2, of the same waves, on what StandardScaler().fit(train) gives:
        // u = normalize(x); c = normalize([u[y == k].mean(0) for k in (0, 1)]);
        // p = normalize(test) @ c.T; p[:, 1] - p[:, 0]
        let golden = [
            (4, [0.147_939_513_494_759_87, -1.578_406_872_094_985_3, -1.724_730_614_021_533_7]),
            (30, [-0.419_827_901_394_054_85, -1.336_856_729_848_947, -1.661_620_918_840_968_3]),
        ];
        for (columns, expected) in golden {
            let split = |rows, phase| {
                let values = waves(rows, 1, [5.0, 0.0, phase]).mapv(|v| i8::from(v > 0.0));
                let targets = Targets::Binary { names: vec!["wave".into()], values };
                table(waves(rows, columns, [7.0, 3.0, phase]), targets)
            };
            let fitted = CentroidProbe.fit(&split(12, 1.0), &split(6, 2.0)).unwrap();
            let found = fitted.predict(split(3, 3.0).view()).unwrap();
            for (found, expected) in found.iter().zip(expected) {
                // Unit rows are float32.
                assert!((found - expected).abs() < 1e-5, "{columns}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_class_without_rows_is_never_the_answer() {
        let [train, valid, test] = [1, 2, 3].map(|seed| crate::fixture::classes(60, seed));
        let scores = CentroidProbe.fit(&train, &valid).unwrap().predict(test.view()).unwrap();
        assert!(scores.column(3).iter().all(|score| *score == f64::NEG_INFINITY));
    }
}
