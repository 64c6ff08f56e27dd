//! Several runs side by side, with paired differences where they scored the same units.

use std::fs;
use std::path::Path;

use serde::Serialize;
use vdvae_probes::{Compared, Metric, PairedDifference, ProbeReport, ProbeResult, Source, Units};

use crate::error::{Error, Result};
use crate::pairing::{PAIRING, Pairing};

/// A run as its folder has it.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it is called.
    pub name: String,
    /// Its `results.json`.
    pub report: ProbeReport,
    /// Its `pairing.json`; none of a run from before there was one.
    pub pairing: Option<Pairing>,
}

/// Several runs of one task.
#[derive(Debug, Clone, Serialize)]
pub struct Merged {
    /// The task.
    pub task: String,
    /// The runs, in the order given.
    pub runs: Vec<MergedRun>,
    /// Results of later runs less those of the same kind of the first.
    pub differences: Vec<Difference>,
}

/// One of them.
#[derive(Debug, Clone, Serialize)]
pub struct MergedRun {
    /// What it is called.
    pub name: String,
    /// Whether it scored the same units as the first.
    pub paired: bool,
    /// Its results.json.
    pub report: ProbeReport,
}

/// The difference of two results of the same layers, probe and rows.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Name of the run.
    pub run: String,
    /// Name of the run it is compared with.
    pub less: String,
    /// What both are results of.
    pub of: Compared,
    /// Value of the first less that of the second.
    pub difference: f64,
    /// Its 95% interval over units that both share; none where the runs are not paired.
    pub ci95: Option<[f64; 2]>,
    /// Two-sided p-value of no difference; not corrected for the number of comparisons.
    pub p_value: Option<f64>,
}

impl Run {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// [`Error::Run`] where it has no results, or they and what they are compared by do not belong
    /// together.
    pub fn read(name: &str, folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        let fail = |expected: &str, found: String| {
            let (path, expected) = (path.clone(), expected.to_owned());
            Error::Run { path, expected, found }
        };
        let bytes = fs::read(&path).map_err(|e| fail("the results of a run", e.to_string()))?;
        let report: ProbeReport = serde_json::from_slice(&bytes)
            .map_err(|e| fail("what vdvae-probe writes", e.to_string()))?;
        let beside = folder.join(PAIRING);
        let pairing = beside.exists().then(|| Pairing::read(&beside)).transpose()?;
        let results = report.results.len();
        if let Some(found) = pairing.as_ref().map(|pairing| pairing.results.len())
            && found != results
        {
            let expected = format!("as many results as pairing.json has, {found}");
            return Err(fail(&expected, results.to_string()));
        }
        Ok(Self { name: name.to_owned(), report, pairing })
    }
}

impl Merged {
    /// Puts runs that measure the same of the same labels side by side.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two runs, or one that has nothing in common with the first.
    pub fn new(runs: &[Run]) -> Result<Self> {
        let setting = |problem: String| Error::Setting { setting: "merge", problem };
        let [first, others @ ..] = runs else {
            return Err(setting("expected two runs or more, found none".to_owned()));
        };
        if others.is_empty() {
            return Err(setting("expected two runs or more, found one".to_owned()));
        }
        let same = |other: &&Run| {
            let kinds = |run: &Run| -> Vec<(Option<String>, Metric)> {
                run.report.results.iter().map(|r| (r.labels.clone(), r.metric)).collect()
            };
            let known = kinds(first);
            kinds(other).iter().any(|kind| known.contains(kind))
        };
        if let Some(other) = others.iter().find(|run| !same(run)) {
            let [a, b] = [first, other].map(|run| format!("{} ({})", run.report.task, run.name));
            return Err(setting(format!("expected runs that measure the same, found {a} and {b}")));
        }
        let paired = |run: &Run| match (&first.pairing, &run.pairing) {
            (Some(a), Some(b)) => a.items == b.items,
            _ => false,
        };
        let mut differences = Vec::new();
        for run in others {
            differences.extend(between(run, first, paired(run)));
        }
        let merged = |run: &Run| MergedRun {
            name: run.name.clone(),
            paired: paired(run),
            report: run.report.clone(),
        };
        let runs = runs.iter().map(merged).collect();
        Ok(Self { task: first.report.task.clone(), runs, differences })
    }
}

/// What a run has of latents less its counterpart in another; results of several label seeds are averaged
/// first. Controls are left out: they are there to be compared with inside a run.
fn between(run: &Run, first: &Run, paired: bool) -> Vec<Difference> {
    let mut sides: Vec<Compared> = Vec::new();
    for result in run.report.results.iter().filter(|result| result.source == Source::Latents) {
        if !sides.contains(&result.side()) {
            sides.push(result.side());
        }
    }
    let difference = |of: Compared| {
        let (mine, theirs) = (Member::of(run, &of), Member::of(first, &of));
        let value = mine.value()? - theirs.value()?;
        // Draws of other labels are another chance, which replicates know nothing of.
        let tested = (paired && mine.label_seeds() == theirs.label_seeds())
            .then(|| mine.units()?.minus(&theirs.units()?))
            .flatten();
        let plain = PairedDifference { value, ci95: None, p_value: None };
        let PairedDifference { value, ci95, p_value } = tested.unwrap_or(plain);
        let (run, less) = (run.name.clone(), first.name.clone());
        Some(Difference { run, less, of, difference: value, ci95, p_value })
    };
    sides.into_iter().filter_map(difference).collect()
}

/// What a run has of one side: a result, or one for each label seed.
struct Member<'a> {
    results: Vec<&'a ProbeResult>,
    units: Option<Vec<&'a Units>>,
}

impl<'a> Member<'a> {
    fn of(run: &'a Run, side: &Compared) -> Self {
        let all = run.report.results.iter().enumerate();
        let (at, results): (Vec<usize>, Vec<_>) =
            all.filter(|(_, result)| result.side() == *side).unzip();
        let units =
            run.pairing.as_ref().map(|pairing| at.iter().map(|&i| &pairing.results[i]).collect());
        Self { results, units }
    }

    fn value(&self) -> Option<f64> {
        let values: Vec<f64> = self.results.iter().filter_map(|result| result.value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn units(&self) -> Option<Units> {
        Units::mean(self.units.as_deref()?)
    }

    fn label_seeds(&self) -> Vec<Option<u64>> {
        self.results.iter().map(|result| result.label_seed).collect()
    }
}
