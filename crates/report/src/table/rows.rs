//! Results that differ in their label seed alone, as one line.

use vdvae_probes::ProbeResult;

use super::{dash, score};

/// One line of the table: at least one result.
pub(super) struct Row<'a> {
    members: Vec<&'a ProbeResult>,
}

impl<'a> Row<'a> {
    /// Gathers results in the order of their first members.
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

    /// How many seeds were averaged; a dash where no rows were drawn.
    pub(super) fn seeds(&self) -> String {
        self.first().label_seed.map_or_else(dash, |_| self.members.len().to_string())
    }

    /// Mean of a number over the members where it is defined.
    pub(super) fn mean(&self, of: impl Fn(&ProbeResult) -> Option<f64>) -> Option<f64> {
        let defined: Vec<f64> = self.members.iter().filter_map(|result| of(result)).collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    }

    /// The interval, or the mean of the members' ends.
    pub(super) fn interval(&self) -> String {
        let end = |index: usize| self.mean(|result| result.ci95.map(|ends| ends[index]));
        match (end(0), end(1)) {
            (Some(low), Some(high)) => format!("[{}, {}]", score(Some(low)), score(Some(high))),
            _ => dash(),
        }
    }
}
