//! The paired bootstrap over rows or whole groups.
//!
//! A replicate never copies rows: it is how often each row was drawn, and an [`Estimator`] is
//! computed with those counts as weights. Which rows a replicate draws depends on the seed and the
//! number of the replicate alone, so that every estimator of the same rows sees the same
//! replicates, and differences between them have intervals of their own ([`Replicated::minus`]).
//!
//! Replicates are computed [`LANES`] at a time: one pass over the sorted rows serves all of them.

mod estimator;
mod interval;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::Result;
use crate::error::{check_count, check_range};
use crate::who::places_by;

pub use estimator::{Counts, Estimator, LANES, MeanAccuracy, MeanAuroc, MeanR2, headline};
pub use interval::{PairedDifference, Replicated};

/// How many replicates, and their seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Replicates.
    pub replicates: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 1000 replicates, drawn from seed 0.
    fn default() -> Self {
        Self { replicates: 1000, seed: 0 }
    }
}

/// Replicates of one set of rows: which rows are drawn how often is a pure function of the seed
/// and the number of the replicate.
#[derive(Debug, Clone)]
pub struct Resamples {
    rows: usize,
    /// Rows of each unit that is drawn as a whole, one unit after the other.
    members: Vec<u32>,
    /// Where each unit starts in `members`, and the end.
    starts: Vec<usize>,
    bootstrap: Bootstrap,
}

impl Resamples {
    /// Resamples `rows` rows, or whole groups where the rows have groups.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) unless there is one group a row;
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) where a replicate could draw 2³² rows or
    /// more.
    pub fn new(rows: usize, groups: Option<&[u64]>, bootstrap: Bootstrap) -> Result<Self> {
        let few_enough = |rows: usize| {
            check_range(u32::try_from(rows).is_ok(), "bootstrap rows", "fewer than 2^32", rows)
        };
        few_enough(rows)?;
        let (members, starts) = match groups {
            None => ((0..rows as u32).collect(), (0..=rows).collect()),
            Some(groups) => {
                check_count("bootstrap groups", rows, groups.len())?;
                units(groups)
            }
        };
        // The largest unit could be drawn every time.
        let largest = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        few_enough(largest.saturating_mul(starts.len() - 1))?;
        Ok(Self { rows, members, starts, bootstrap })
    }

    /// Rows, or groups of rows, that are drawn as wholes.
    pub fn units(&self) -> usize {
        self.starts.len() - 1
    }

    /// An estimate on the rows themselves and on every replicate, in order, whatever the number of
    /// threads.
    ///
    /// # Panics
    /// When the estimator has other rows than the resamples.
    pub fn replicate(&self, estimator: &dyn Estimator) -> Replicated {
        assert_eq!(estimator.rows(), self.rows, "the same rows");
        let value = estimator.value();
        let replicates = match value {
            Some(_) => self.map(|counts| estimator.weighted(counts)),
            None => Vec::new(),
        };
        let mut replicates: Vec<Option<f64>> = replicates.into_iter().flatten().collect();
        replicates.truncate(self.bootstrap.replicates);
        Replicated { value, replicates, units: self.units() }
    }

    /// One value for each [`LANES`] replicates.
    fn map<T: Send>(&self, value: impl Fn(&[Counts]) -> T + Sync) -> Vec<T> {
        (0..self.bootstrap.replicates.div_ceil(LANES))
            .into_par_iter()
            .map_init(
                || vec![[0; LANES]; self.rows],
                |counts, block| {
                    self.draw(block, counts);
                    value(counts)
                },
            )
            .collect()
    }

    /// Writes how often each row occurs in the replicates of one block into `counts`, `(rows)`.
    fn draw(&self, block: usize, counts: &mut [Counts]) {
        counts.fill([0; LANES]);
        let units = self.units();
        for lane in 0..LANES {
            let mut rng = ChaCha8Rng::seed_from_u64(self.bootstrap.seed);
            rng.set_stream((block * LANES + lane) as u64);
            for _ in 0..units {
                let unit = rng.random_range(0..units);
                for &row in &self.members[self.starts[unit]..self.starts[unit + 1]] {
                    let drawn: &mut Counts = &mut counts[row as usize];
                    drawn[lane] += 1;
                }
            }
        }
    }
}

/// Rows gathered by group, and where each group starts.
fn units(groups: &[u64]) -> (Vec<u32>, Vec<usize>) {
    let (mut members, mut starts) = (Vec::with_capacity(groups.len()), vec![0]);
    for rows in places_by(groups).into_values() {
        members.extend(rows.into_iter().map(|row| row as u32));
        starts.push(members.len());
    }
    (members, starts)
}

#[cfg(test)]
mod tests;
