//! k nearest neighbours by cosine, as DINO evaluates features (Caron et al. 2021, appendix).
//!
//! Rows are standardised with the training statistics and scaled to unit length. The k nearest
//! rows vote with weights `exp(cosine / 0.07)`. k is chosen on validation for each target; the
//! rows that vote on test are those of train and validation. A neighbour whose label is missing
//! has no vote.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use vdvae_features::{FeatureTable, Targets};

use crate::check::{check_fit, has_two_values, joined};
use crate::error::check_range;
use crate::matrix::product;
use crate::probe::{Choice, Fitted, Model, Probe};
use crate::standardise::Standardiser;
use crate::{Result, select};

/// Temperature of the votes, as in DINO.
const TEMPERATURE: f32 = 0.07;

/// Numbers in a block of similarities: 64 MB.
const BLOCK_NUMBERS: usize = 1 << 24;

/// Rows compared with the bank at a time.
const BLOCK_ROWS: usize = 512;

/// Votes of the nearest rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnnProbe {
    /// Numbers of neighbours to choose from.
    pub neighbours: Vec<usize>,
}

impl Default for KnnProbe {
    /// 10 or 20 neighbours.
    fn default() -> Self {
        Self { neighbours: vec![10, 20] }
    }
}

/// The rows that vote.
#[derive(Debug)]
struct Neighbours {
    standardiser: Standardiser,
    /// `(N, D)`, unit rows.
    bank: Array2<f32>,
    votes: Targets,
    /// Neighbours of each output.
    neighbours: Vec<usize>,
    /// What an output scores where none of the neighbours has a label: undecided, or the mean of
    /// a real target. NaN where it has nothing to vote on at all.
    without_votes: Vec<f64>,
}

/// Index in the bank, and cosine, of the nearest rows, nearest first.
type Nearest = Vec<(u32, f32)>;

impl Probe for KnnProbe {
    fn name(&self) -> &'static str {
        "knn"
    }

    fn solver(&self) -> &'static str {
        "cosine"
    }

    fn fit(&self, train: &FeatureTable, valid: &FeatureTable) -> Result<Fitted> {
        check_fit(train, valid)?;
        let mut sizes = self.neighbours.clone();
        // Where validation cannot tell, more votes.
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let positive = sizes.last().is_some_and(|&k| k > 0);
        check_range(positive, "neighbours", "numbers above 0", format!("{:?}", self.neighbours))?;
        let standardiser = Standardiser::of(train.view())?;
        let outputs = match &train.targets {
            Targets::None | Targets::Several(_) => 0,
            Targets::Binary { names, .. }
            | Targets::Real { names, .. }
            | Targets::Classes { names, .. } => names.len(),
        };
        let mut model = Neighbours {
            bank: unit_rows(train.view(), &standardiser)?,
            standardiser,
            votes: train.targets.clone(),
            neighbours: vec![sizes[0]; outputs],
            without_votes: (0..outputs).map(|o| without_votes(&train.targets, o)).collect(),
        };
        let nearest = model.nearest(valid.view())?;
        let candidate = |&k: &usize| model.vote(&nearest, &vec![k; outputs]);
        let candidates: Vec<Array2<f64>> = sizes.iter().map(candidate).collect();
        let best = select::best(&candidates, &valid.targets);
        model.neighbours = best.into_iter().map(|index| sizes[index]).collect();
        model.add(valid)?;
        let choice = |(&k, score): (&usize, &f64)| {
            (!score.is_nan()).then(|| Choice { neighbours: Some(k), ..Choice::default() })
        };
        let choices = model.neighbours.iter().zip(&model.without_votes).map(choice).collect();
        Ok(Fitted::new(self, train, choices, model))
    }
}

impl Model for Neighbours {
    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        Ok(self.vote(&self.nearest(features)?, &self.neighbours))
    }
}

impl Neighbours {
    /// Adds rows to the bank.
    fn add(&mut self, table: &FeatureTable) -> Result<()> {
        let rows = unit_rows(table.view(), &self.standardiser)?;
        self.bank.append(Axis(0), rows.view()).expect("tables share their columns");
        self.votes = joined(&self.votes, &table.targets);
        Ok(())
    }

    /// The nearest rows of the bank, enough for every output.
    fn nearest(&self, features: ArrayView2<'_, f32>) -> Result<Vec<Nearest>> {
        let most = self.neighbours.iter().copied().max().unwrap_or(0);
        nearest(&self.bank, &self.standardiser, features, most)
    }

    /// Scores from the first `neighbours[output]` of the nearest rows, `(M, outputs)`.
    fn vote(&self, nearest: &[Nearest], neighbours: &[usize]) -> Array2<f64> {
        let mut scores = Array2::zeros((nearest.len(), neighbours.len()));
        for (mut row, nearest) in scores.rows_mut().into_iter().zip(nearest) {
            let top = nearest.first().map_or(0.0, |(_, cosine)| *cosine);
            let weight = |cosine: f32| f64::from(((cosine - top) / TEMPERATURE).exp());
            let votes: Vec<(usize, f64)> =
                nearest.iter().map(|&(index, cosine)| (index as usize, weight(cosine))).collect();
            for (output, score) in row.iter_mut().enumerate() {
                *score = self.score(output, &votes[..neighbours[output].min(votes.len())]);
            }
        }
        scores
    }

    /// Share of the votes for one output, less one half for binary targets, or their mean.
    fn score(&self, output: usize, votes: &[(usize, f64)]) -> f64 {
        let without = self.without_votes[output];
        let (mut sum, mut total) = (0.0, 0.0);
        for &(row, weight) in votes {
            let value = match &self.votes {
                Targets::Binary { values, .. } => match values[[row, output]] {
                    label if label < 0 => continue,
                    label => f64::from(label),
                },
                Targets::Classes { labels, .. } => {
                    f64::from(u8::from(labels[row] as usize == output))
                }
                Targets::Real { values, .. } if values[[row, output]].is_nan() => continue,
                Targets::Real { values, .. } => values[[row, output]],
                Targets::None | Targets::Several(_) => continue,
            };
            sum += weight * value;
            total += weight;
        }
        match &self.votes {
            _ if without.is_nan() || total == 0.0 => without,
            Targets::Binary { .. } => sum / total - 0.5,
            _ => sum / total,
        }
    }
}

/// What an output scores where no neighbour has a vote; see [`Neighbours::without_votes`].
fn without_votes(targets: &Targets, output: usize) -> f64 {
    match targets {
        _ if !has_two_values(targets, output) => f64::NAN,
        Targets::Real { values, .. } => {
            let observed = values.column(output).into_iter().filter(|value| !value.is_nan());
            let (sum, count) = observed.fold((0.0, 0.0), |(s, n), &v| (s + v, n + 1.0));
            sum / count
        }
        _ => 0.0,
    }
}

/// The `count` rows of a bank that are nearest to each query by the cosine of standardised
/// columns, nearest first: index in the bank, and cosine. The statistics are those of the bank.
///
/// # Shapes
/// `bank`: `(N, D)`; `queries`: `(M, D)`. Returns M lists.
///
/// # Errors
/// [`Error::OutOfRange`](crate::Error::OutOfRange) for a bank without rows,
/// [`Error::Mismatch`](crate::Error::Mismatch) for queries with other columns.
pub fn nearest_rows(
    bank: ArrayView2<'_, f32>,
    queries: ArrayView2<'_, f32>,
    count: usize,
) -> Result<Vec<Vec<(u32, f32)>>> {
    let standardiser = Standardiser::of(bank)?;
    nearest(&unit_rows(bank, &standardiser)?, &standardiser, queries, count)
}

/// [`nearest_rows`] of a bank of unit rows, block by block.
fn nearest(
    bank: &Array2<f32>,
    standardiser: &Standardiser,
    queries: ArrayView2<'_, f32>,
    count: usize,
) -> Result<Vec<Nearest>> {
    let count = count.min(bank.nrows());
    let mut found = Vec::with_capacity(queries.nrows());
    let rows_at_once = (BLOCK_NUMBERS / bank.nrows().max(1)).clamp(1, BLOCK_ROWS);
    for at in (0..queries.nrows()).step_by(rows_at_once) {
        let end = queries.nrows().min(at + rows_at_once);
        let rows = unit_rows(queries.slice(s![at..end, ..]), standardiser)?;
        let cosines = product(rows.view(), bank.t());
        let cosines = cosines.as_slice().expect("products are row by row");
        found.par_extend(cosines.par_chunks_exact(bank.nrows()).map(|row| largest(row, count)));
    }
    Ok(found)
}

/// The `count` largest numbers and where they are, the first of equals, largest first.
fn largest(row: &[f32], count: usize) -> Nearest {
    let mut kept: Nearest = Vec::with_capacity(count + 1);
    for (index, &value) in (0u32..).zip(row) {
        if kept.len() == count && kept.last().is_none_or(|(_, least)| value <= *least) {
            continue;
        }
        let at = kept.partition_point(|(_, other)| *other >= value);
        kept.insert(at, (index, value));
        kept.truncate(count);
    }
    kept
}

/// Standardised rows of unit length; rows of zeros stay.
pub(crate) fn unit_rows(
    features: ArrayView2<'_, f32>,
    standardiser: &Standardiser,
) -> Result<Array2<f32>> {
    let mut unit = Array2::zeros(features.dim());
    for_unit_blocks(features, standardiser, |at, rows| {
        unit.slice_mut(s![at..at + rows.nrows(), ..]).assign(&rows);
    })?;
    Ok(unit)
}

/// Hands standardised rows of unit length to `take`, a block at a time, with the number of the
/// first.
pub(crate) fn for_unit_blocks(
    features: ArrayView2<'_, f32>,
    standardiser: &Standardiser,
    mut take: impl FnMut(usize, ArrayView2<'_, f32>),
) -> Result<()> {
    standardiser.for_blocks(features, BLOCK_ROWS, |at, rows| {
        take(at, unit_length(rows).mapv(|value| value as f32).view());
    })
}

/// Rows scaled to unit length; zeros stay.
pub(crate) fn unit_length(mut rows: Array2<f64>) -> Array2<f64> {
    for mut row in rows.rows_mut() {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row /= length;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{noise, table, waves};

    /// Of waves: twelve rows to fit, six to choose, three to predict.
    fn predicted(columns: usize, binary: bool) -> Vec<f64> {
        let split = |rows, phase| {
            let values = waves(rows, 1, [5.0, 0.0, phase]);
            let names = vec!["wave".into()];
            let targets = match binary {
                true => Targets::Binary { names, values: values.mapv(|v| i8::from(v > 0.0)) },
                false => Targets::Real { names, values: values.mapv(f64::from) },
            };
            table(waves(rows, columns, [7.0, 3.0, phase]), targets)
        };
        let probe = KnnProbe { neighbours: vec![5] };
        let fitted = probe.fit(&split(12, 1.0), &split(6, 2.0)).unwrap();
        assert_eq!(fitted.choices[0].unwrap().neighbours, Some(5));
        fitted.predict(split(3, 3.0).view()).unwrap().into_raw_vec_and_offset().0
    }

    #[test]
    fn agrees_with_scikit_learn() {
        // scikit-learn 1.9.1, on what StandardScaler().fit(train) gives:
        // KNeighbors{Regressor,Classifier}(5, metric="cosine",
        //     weights=lambda d: np.exp((1 - d) / 0.07)), less 0.5 for the share of votes.
        let golden = [
            (4, false, [-0.085_922_910_8, 0.236_726_939_3, 0.016_843_275_3]),
            (4, true, [-0.203_515_857_1, 0.120_759_354_4, -0.100_958_966_7]),
            (30, false, [-0.125_247_422_0, -0.008_350_244_1, 0.085_206_512_5]),
            (30, true, [-0.242_086_839_9, -0.066_431_140_6, -0.007_059_751_3]),
        ];
        for (columns, binary, expected) in golden {
            for (found, expected) in predicted(columns, binary).into_iter().zip(expected) {
                // Cosines in float32, divided by 0.07 and exponentiated.
                assert!((found - expected).abs() < 1e-5, "{columns} {binary}: {found} {expected}");
            }
        }
    }

    #[test]
    fn missing_labels_have_no_vote() {
        let features = noise(40, 3, 1);
        let make = |missing: usize| {
            let label = |(row, _): (usize, usize)| match row {
                row if row < missing => -1,
                row => i8::from(row % 3 == 0),
            };
            let values = Array2::from_shape_fn((40, 1), label);
            table(features.clone(), Targets::Binary { names: vec!["a".into()], values })
        };
        // As many neighbours as there are rows: leaving rows out is the same as never having had
        // their labels.
        let probe = KnnProbe { neighbours: vec![80] };
        let scores = |train: &FeatureTable| {
            probe.fit(train, &make(40)).unwrap().predict(features.view()).unwrap()
        };
        let some = scores(&make(20));
        let mut other = make(20);
        if let Targets::Binary { values, .. } = &mut other.targets {
            values.slice_mut(s![..5, ..]).fill(1);
        }
        assert_ne!(some, scores(&other));
        assert!(some.iter().all(|score| (-0.5..=0.5).contains(score)));
    }

    #[test]
    fn blocks_of_rows_give_what_one_block_gives() {
        let make = |rows: usize, seed| {
            let values = noise(rows, 1, seed + 9).mapv(|v| i8::from(v > 0.0));
            let targets = Targets::Binary { names: vec!["a".into()], values };
            table(noise(rows, 3, seed), targets)
        };
        let fitted = KnnProbe::default().fit(&make(200, 1), &make(50, 2)).unwrap();
        // More than a block, and one row alone.
        let test = noise(BLOCK_ROWS + 40, 3, 3);
        let whole = fitted.predict(test.view()).unwrap();
        let last = test.nrows() - 1;
        let alone = fitted.predict(test.slice(s![last.., ..])).unwrap();
        assert!((whole[[last, 0]] - alone[[0, 0]]).abs() < 1e-6);
    }

    #[test]
    fn every_row_is_nearest_to_itself() {
        let bank = noise(40, 6, 1);
        for (row, nearest) in nearest_rows(bank.view(), bank.view(), 3).unwrap().iter().enumerate()
        {
            assert_eq!((nearest.len(), nearest[0].0 as usize), (3, row));
            assert!((nearest[0].1 - 1.0).abs() < 1e-5 && nearest[1].1 < 1.0);
        }
        assert!(nearest_rows(bank.view(), noise(2, 5, 1).view(), 3).is_err());
    }

    #[test]
    fn no_neighbours_are_an_error() {
        let features = noise(9, 2, 1);
        let values = features.slice(s![.., ..1]).mapv(|v| i8::from(v > 0.0));
        let table = table(features, Targets::Binary { names: vec!["a".into()], values });
        for (neighbours, found) in [(vec![], "[]"), (vec![3, 0], "[3, 0]")] {
            let error = KnnProbe { neighbours }.fit(&table, &table).unwrap_err().to_string();
            assert_eq!(error, format!("neighbours: expected numbers above 0, found {found}"));
        }
    }

    #[test]
    fn the_largest_come_first_and_equals_in_order() {
        let found = largest(&[0.1, 0.9, 0.5, 0.9, -1.0, 0.6], 4);
        assert_eq!(found, [(1, 0.9), (3, 0.9), (5, 0.6), (2, 0.5)]);
        assert_eq!(largest(&[1.0], 3), [(0, 1.0)]);
        assert_eq!(largest(&[], 3), []);
    }
}
