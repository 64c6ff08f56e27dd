//! Results of probes that were trained on different random draws of the same number of rows, gathered
//! into one line of a table.

use vdvae_probes::ProbeResult;

use super::number::{dash, score};

/// One line of the table: results that differ only in the seed by which their training rows were
/// drawn, or a single result. There is at least one.
pub(super) struct Row<'a> {
    members: Vec<&'a ProbeResult>,
}

impl<'a> Row<'a> {
    /// Gathers results into lines. A line stands where its first result stood.
    pub(super) fn of(results: &'a [ProbeResult]) -> Vec<Self> {
        let mut rows: Vec<Self> = Vec::new();
        for result in results {
            let found = rows.iter_mut().find(|row| {
                let seeds = [row.first().label_seed, result.label_seed];
                seeds.iter().all(Option::is_some) && row.first().side() == result.side()
            });
            match found {
                Some(row) => row.members.push(result),
                None => rows.push(Self { members: vec![result] }),
            }
        }
        rows
    }

    pub(super) fn first(&self) -> &'a ProbeResult {
        self.members[0]
    }

    /// How many seeds the line is a mean over; a dash where all training rows were used.
    pub(super) fn seeds(&self) -> String {
        self.first().label_seed.map_or_else(dash, |_| self.members.len().to_string())
    }

    /// The mean of one number over the results of the line that define it.
    pub(super) fn mean(&self, of: impl Fn(&ProbeResult) -> Option<f64>) -> Option<f64> {
        let defined: Vec<f64> = self.members.iter().filter_map(|result| of(result)).collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    }

    /// The interval of the result; of several results, from the mean of their lower ends to the mean of
    /// their upper ends.
    pub(super) fn interval(&self) -> String {
        let end = |index: usize| self.mean(|result| result.ci95.map(|ends| ends[index]));
        match (end(0), end(1)) {
            (Some(low), Some(high)) => format!("[{}, {}]", score(Some(low)), score(Some(high))),
            _ => dash(),
        }
    }
}
