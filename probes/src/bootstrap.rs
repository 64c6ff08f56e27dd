//! Percentile bootstrap intervals, by rows or by whole groups.
//!
//! A replicate never copies rows: it is a vector of multiplicities, how often each row was drawn,
//! and a [`Statistic`] is computed with those as weights. Two statistics of the same rows can so be
//! compared on the same replicates ([`paired_difference`]).

use std::collections::BTreeMap;

use ndarray::ArrayView2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{Error, Result};

/// Replicates of one set of rows: which rows are drawn how often is a pure function of the seed
/// and the number of the replicate.
#[derive(Debug, Clone)]
pub struct Resamples {
    rows: usize,
    /// Rows of each unit that is drawn as a whole, one unit after the other.
    members: Vec<u32>,
    /// Where each unit starts in `members`, and the end.
    starts: Vec<usize>,
    replicates: usize,
    seed: u64,
}

impl Resamples {
    /// Resamples `rows` rows, or whole groups where the rows have groups.
    ///
    /// # Errors
    /// [`Error::Mismatch`] unless there is one group a row; [`Error::OutOfRange`] for more than
    /// 2³² − 1 rows.
    pub fn new(rows: usize, groups: Option<&[u64]>, replicates: usize, seed: u64) -> Result<Self> {
        let count = u32::try_from(rows).map_err(|_| Error::OutOfRange {
            what: "bootstrap rows",
            expected: "fewer than 2^32",
            found: rows.to_string(),
        })?;
        let (members, starts) = match groups {
            None => ((0..count).collect(), (0..=rows).collect()),
            Some(groups) if groups.len() == rows => units(groups),
            Some(groups) => {
                let what = "bootstrap groups".to_owned();
                return Err(Error::Mismatch { what, expected: rows, found: groups.len() });
            }
        };
        Ok(Self { rows, members, starts, replicates, seed })
    }

    /// Writes how often each row occurs in one replicate into `counts`, `(rows)`.
    fn draw(&self, replicate: usize, counts: &mut [u32]) {
        counts.fill(0);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(replicate as u64);
        let units = self.starts.len() - 1;
        for _ in 0..units {
            let unit = rng.random_range(0..units);
            for &row in &self.members[self.starts[unit]..self.starts[unit + 1]] {
                counts[row as usize] += 1;
            }
        }
    }

    /// One value a replicate, in order, whatever the number of threads.
    fn map<T: Send>(&self, value: impl Fn(&[u32]) -> T + Sync) -> Vec<T> {
        (0..self.replicates)
            .into_par_iter()
            .map_init(
                || vec![0; self.rows],
                |counts, replicate| {
                    self.draw(replicate, counts);
                    value(counts)
                },
            )
            .collect()
    }
}

/// Rows gathered by group, and where each group starts.
fn units(groups: &[u64]) -> (Vec<u32>, Vec<usize>) {
    let mut by_group: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (row, &group) in (0u32..).zip(groups) {
        by_group.entry(group).or_default().push(row);
    }
    let (mut members, mut starts) = (Vec::with_capacity(groups.len()), vec![0]);
    for rows in by_group.into_values() {
        members.extend(rows);
        starts.push(members.len());
    }
    (members, starts)
}

/// A number computed from rows that each count a whole number of times.
pub trait Statistic: Sync {
    /// Rows it was built from.
    fn rows(&self) -> usize;

    /// The value when row `i` counts `counts[i]` times; `None` where it is undefined.
    fn weighted(&self, counts: &[u32]) -> Option<f64>;

    /// The value when every row counts once.
    fn value(&self) -> Option<f64> {
        self.weighted(&vec![1; self.rows()])
    }
}

/// Mean AUROC over the targets for which it is defined.
#[derive(Debug, Clone)]
pub struct MeanAuroc {
    rows: usize,
    /// Labelled rows of each target by rising score.
    ranked: Vec<Vec<Ranked>>,
}

/// One labelled row: its index, its label, and whether it is the last of its ties.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: u32,
    positive: bool,
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
        let ranked = labels
            .columns()
            .into_iter()
            .zip(scores.columns())
            .map(|(labels, scores)| {
                let mut rows: Vec<(f64, u32, bool)> = (0u32..)
                    .zip(labels.iter().zip(scores))
                    .filter(|(_, (label, _))| **label >= 0)
                    .map(|(row, (&label, &score))| (score, row, label > 0))
                    .collect();
                rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                let score_after = |i: usize| rows.get(i + 1).map(|row| row.0);
                (0..rows.len())
                    .map(|i| Ranked {
                        row: rows[i].1,
                        positive: rows[i].2,
                        last_of_ties: score_after(i) != Some(rows[i].0),
                    })
                    .collect()
            })
            .collect();
        Self { rows: labels.nrows(), ranked }
    }
}

/// AUROC of rows by rising score, each counted `counts[row]` times.
fn weighted_auroc(ranked: &[Ranked], counts: &[u32]) -> Option<f64> {
    // Whole numbers: exact, and independent of the order within ties.
    let (mut below, mut ties, mut positives, mut doubled_wins) = (0u64, [0u64; 2], 0u64, 0u128);
    for item in ranked {
        ties[usize::from(item.positive)] += u64::from(counts[item.row as usize]);
        if item.last_of_ties {
            let [misses, hits] = ties;
            doubled_wins += u128::from(hits) * u128::from(2 * below + misses);
            below += misses;
            positives += hits;
            ties = [0; 2];
        }
    }
    let pairs = positives as f64 * below as f64;
    (pairs > 0.0).then(|| doubled_wins as f64 / (2.0 * pairs))
}

impl Statistic for MeanAuroc {
    fn rows(&self) -> usize {
        self.rows
    }

    fn weighted(&self, counts: &[u32]) -> Option<f64> {
        let defined = self.ranked.iter().filter_map(|ranked| weighted_auroc(ranked, counts));
        let (sum, targets) = defined.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
        (targets > 0).then(|| sum / f64::from(targets))
    }
}

/// Share of rows that were classified right.
#[derive(Debug, Clone)]
pub struct MeanAccuracy {
    /// Whether each row was classified right.
    pub right: Vec<bool>,
}

impl Statistic for MeanAccuracy {
    fn rows(&self) -> usize {
        self.right.len()
    }

    fn weighted(&self, counts: &[u32]) -> Option<f64> {
        let (mut hits, mut rows) = (0u64, 0u64);
        for (&right, &count) in self.right.iter().zip(counts) {
            rows += u64::from(count);
            hits += u64::from(count) * u64::from(right);
        }
        (rows > 0).then(|| hits as f64 / rows as f64)
    }
}

/// The 2.5 and 97.5 percentiles of `statistic` over the replicates; `None` where the statistic is
/// undefined on the rows themselves, or there are no replicates.
///
/// # Panics
/// When the statistic has other rows than the resamples.
pub fn interval(statistic: &impl Statistic, resamples: &Resamples) -> Option<[f64; 2]> {
    assert_eq!(statistic.rows(), resamples.rows, "the same rows");
    statistic.value()?;
    percentiles(resamples.map(|counts| statistic.weighted(counts)))
}

/// The difference of two statistics of the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// `a - b`.
    pub value: f64,
    /// Its 95% interval over replicates that both statistics share.
    pub ci95: Option<[f64; 2]>,
}

/// `a - b` with a 95% interval from replicates that both share, which is much narrower than the
/// two intervals side by side suggest; `None` where either is undefined.
///
/// # Panics
/// When a statistic has other rows than the resamples.
pub fn paired_difference<S: Statistic>(
    a: &S,
    b: &S,
    resamples: &Resamples,
) -> Option<PairedDifference> {
    assert_eq!((a.rows(), b.rows()), (resamples.rows, resamples.rows), "the same rows");
    let difference = |a: Option<f64>, b: Option<f64>| Some(a? - b?);
    let value = difference(a.value(), b.value())?;
    let replicates = resamples.map(|counts| difference(a.weighted(counts), b.weighted(counts)));
    Some(PairedDifference { value, ci95: percentiles(replicates) })
}

/// Percentiles 2.5 and 97.5 of the defined values, interpolated linearly (numpy's default).
fn percentiles(values: Vec<Option<f64>>) -> Option<[f64; 2]> {
    let mut values: Vec<f64> = values.into_iter().flatten().collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| {
        let position = share * last as f64;
        let (low, part) = (position.floor() as usize, position.fract());
        values[low] + part * (values[(low + 1).min(last)] - values[low])
    };
    Some([at(0.025), at(0.975)])
}

#[cfg(test)]
mod tests;
