//! Numbers computed from rows that each count a whole number of times.

use ndarray::{Array2, ArrayView2, Axis};
use vdvae_features::Targets;

use crate::select::likeliest;

/// Replicates computed together.
pub const LANES: usize = 8;

/// How often one row was drawn in each of [`LANES`] replicates.
pub type Counts = [u32; LANES];

/// A number computed from rows that each count a whole number of times.
pub trait Estimator: Sync {
    /// Rows it was built from.
    fn rows(&self) -> usize;

    /// The value in each lane when row `i` counts `counts[i][lane]` times; `None` where it is
    /// undefined.
    fn weighted(&self, counts: &[Counts]) -> [Option<f64>; LANES];

    /// The value when every row counts once.
    fn value(&self) -> Option<f64> {
        self.weighted(&vec![[1; LANES]; self.rows()])[0]
    }
}

/// The mean over some targets of those that are defined, in each lane.
fn mean_of_defined(targets: impl Iterator<Item = [Option<f64>; LANES]>) -> [Option<f64>; LANES] {
    let mut sums = [(0.0, 0u32); LANES];
    for values in targets {
        for (sum, value) in sums.iter_mut().zip(values) {
            if let Some(value) = value {
                *sum = (sum.0 + value, sum.1 + 1);
            }
        }
    }
    sums.map(|(sum, defined)| (defined > 0).then(|| sum / f64::from(defined)))
}

/// Mean AUROC over the targets for which it is defined.
#[derive(Debug, Clone)]
pub struct MeanAuroc {
    rows: usize,
    /// Labelled rows of each target by rising score.
    ranked: Vec<Vec<Ranked>>,
}

/// One labelled row.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: u32,
    positive: bool,
    /// No other row of the target has its score.
    alone: bool,
    last_of_ties: bool,
}

impl MeanAuroc {
    /// Sorts every target once, so that a replicate costs one pass over the rows.
    ///
    /// # Shapes
    /// `labels` and `scores`: `(N, targets)`; labels are 1, 0 or -1 (missing).
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn new(labels: ArrayView2<'_, i8>, scores: ArrayView2<'_, f64>) -> Self {
        assert_eq!(labels.dim(), scores.dim(), "one score a label");
        let columns = labels.columns().into_iter().zip(scores.columns());
        let rank =
            |(labels, scores): (ndarray::ArrayView1<'_, i8>, ndarray::ArrayView1<'_, f64>)| {
                let mut rows: Vec<(f64, u32, bool)> = (0u32..)
                    .zip(labels.iter().zip(scores))
                    .filter(|(_, (label, _))| **label >= 0)
                    .map(|(row, (&label, &score))| (score, row, label > 0))
                    .collect();
                rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                let score = |i: usize| rows.get(i).map(|row| row.0);
                (0..rows.len())
                    .map(|i| {
                        let last_of_ties = score(i + 1) != score(i);
                        let first_of_ties = i == 0 || score(i - 1) != score(i);
                        let (_, row, positive) = rows[i];
                        Ranked { row, positive, alone: first_of_ties && last_of_ties, last_of_ties }
                    })
                    .collect()
            };
        Self { rows: labels.nrows(), ranked: columns.map(rank).collect() }
    }
}

/// AUROC of rows by rising score, in each lane. Whole numbers: exact, and independent of the order
/// within ties. The sums fit: a replicate draws fewer than 2³² rows, so that doubled wins stay
/// below 2⁶³.
fn weighted_auroc(ranked: &[Ranked], counts: &[Counts]) -> [Option<f64>; LANES] {
    let (mut below, mut positives, mut ties) = ([0u32; LANES], [0u32; LANES], [[0u32; LANES]; 2]);
    let mut doubled_wins = [0u64; LANES];
    let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
    for item in ranked {
        let drawn = &counts[item.row as usize];
        if item.alone && item.positive {
            for lane in 0..LANES {
                doubled_wins[lane] += 2 * product(drawn[lane], below[lane]);
                positives[lane] += drawn[lane];
            }
        } else if item.alone {
            for lane in 0..LANES {
                below[lane] += drawn[lane];
            }
        } else {
            let side = &mut ties[usize::from(item.positive)];
            for lane in 0..LANES {
                side[lane] += drawn[lane];
            }
            if item.last_of_ties {
                let [misses, hits] = ties;
                for lane in 0..LANES {
                    doubled_wins[lane] += 2 * product(hits[lane], below[lane]);
                    doubled_wins[lane] += product(hits[lane], misses[lane]);
                    below[lane] += misses[lane];
                    positives[lane] += hits[lane];
                }
                ties = [[0; LANES]; 2];
            }
        }
    }
    std::array::from_fn(|lane| {
        let pairs = f64::from(positives[lane]) * f64::from(below[lane]);
        (pairs > 0.0).then(|| doubled_wins[lane] as f64 / (2.0 * pairs))
    })
}

impl Estimator for MeanAuroc {
    fn rows(&self) -> usize {
        self.rows
    }

    fn weighted(&self, counts: &[Counts]) -> [Option<f64>; LANES] {
        mean_of_defined(self.ranked.iter().map(|ranked| weighted_auroc(ranked, counts)))
    }
}

/// Share of rows that were classified right.
#[derive(Debug, Clone)]
pub struct MeanAccuracy {
    /// Whether each row was classified right.
    pub right: Vec<bool>,
}

impl Estimator for MeanAccuracy {
    fn rows(&self) -> usize {
        self.right.len()
    }

    fn weighted(&self, counts: &[Counts]) -> [Option<f64>; LANES] {
        let (mut hits, mut rows) = ([0u64; LANES], [0u64; LANES]);
        for (&right, drawn) in self.right.iter().zip(counts) {
            for lane in 0..LANES {
                rows[lane] += u64::from(drawn[lane]);
                hits[lane] += u64::from(drawn[lane]) * u64::from(right);
            }
        }
        std::array::from_fn(|lane| (rows[lane] > 0).then(|| hits[lane] as f64 / rows[lane] as f64))
    }
}

/// Mean R² over the targets for which it is defined.
#[derive(Debug, Clone)]
pub struct MeanR2 {
    rows: usize,
    /// Observed rows of each target whose values are not all equal.
    targets: Vec<Vec<Residual>>,
}

/// One observed row of one target.
#[derive(Debug, Clone, Copy)]
struct Residual {
    row: u32,
    /// The true value, less the mean of all.
    centred: f64,
    /// Square of what the prediction misses.
    squared_error: f64,
}

/// Below this share of the raw second moment a variance is rounding: all rows drawn are equal.
const VARIANCE_FLOOR: f64 = 1e-12;

impl MeanR2 {
    /// # Shapes
    /// `truth` and `predicted`: `(N, targets)`; a truth that is NaN is missing.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn new(truth: ArrayView2<'_, f64>, predicted: ArrayView2<'_, f64>) -> Self {
        assert_eq!(truth.dim(), predicted.dim(), "one prediction a value");
        let columns = truth.columns().into_iter().zip(predicted.columns());
        let targets = columns.filter_map(|(truth, predicted)| {
            let observed: Vec<(u32, f64, f64)> = (0u32..)
                .zip(truth.iter().zip(predicted))
                .filter(|(_, (truth, _))| !truth.is_nan())
                .map(|(row, (&truth, &predicted))| (row, truth, predicted))
                .collect();
            let first = observed.first()?.1;
            if observed.iter().all(|(_, truth, _)| *truth == first) {
                return None;
            }
            let mean = observed.iter().map(|row| row.1).sum::<f64>() / observed.len() as f64;
            let residual = |(row, truth, predicted): (u32, f64, f64)| Residual {
                row,
                centred: truth - mean,
                squared_error: (truth - predicted).powi(2),
            };
            Some(observed.into_iter().map(residual).collect())
        });
        Self { rows: truth.nrows(), targets: targets.collect() }
    }
}

/// R² of one target, in each lane.
fn weighted_r2(residuals: &[Residual], counts: &[Counts]) -> [Option<f64>; LANES] {
    let mut sums = [[0.0; 4]; LANES];
    for item in residuals {
        for (sums, &drawn) in sums.iter_mut().zip(&counts[item.row as usize]) {
            let weight = f64::from(drawn);
            sums[0] += weight;
            sums[1] += weight * item.centred;
            sums[2] += weight * item.centred * item.centred;
            sums[3] += weight * item.squared_error;
        }
    }
    sums.map(|[weight, linear, square, error]| {
        let total = square - linear * linear / weight;
        (weight > 0.0 && total > VARIANCE_FLOOR * square).then(|| 1.0 - error / total)
    })
}

impl Estimator for MeanR2 {
    fn rows(&self) -> usize {
        self.rows
    }

    fn weighted(&self, counts: &[Counts]) -> [Option<f64>; LANES] {
        mean_of_defined(self.targets.iter().map(|residuals| weighted_r2(residuals, counts)))
    }
}

/// What stands for the scores of test rows, by the kind of their targets: the mean AUROC of binary
/// targets, the accuracy of classes, the mean R² of real values.
///
/// Columns of `scores` that are NaN belong to targets that could not be fitted, and are left out;
/// `None` where nothing is left or there are no targets.
///
/// # Shapes
/// `scores`: `(N, targets or classes)`.
pub fn headline(truth: &Targets, scores: ArrayView2<'_, f64>) -> Option<Box<dyn Estimator>> {
    let fitted: Vec<usize> = (0..scores.ncols())
        .filter(|&column| scores.column(column).iter().all(|score| !score.is_nan()))
        .collect();
    if fitted.is_empty() {
        return None;
    }
    let kept: Array2<f64> = scores.select(Axis(1), &fitted);
    match truth {
        Targets::None | Targets::Several(_) => None,
        Targets::Binary { values, .. } => {
            Some(Box::new(MeanAuroc::new(values.select(Axis(1), &fitted).view(), kept.view())))
        }
        Targets::Classes { labels, .. } => {
            let right = likeliest(scores).zip(labels).map(|(answer, &label)| answer == label);
            Some(Box::new(MeanAccuracy { right: right.collect() }))
        }
        Targets::Real { values, .. } => {
            Some(Box::new(MeanR2::new(values.select(Axis(1), &fitted).view(), kept.view())))
        }
    }
}
