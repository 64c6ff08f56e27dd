//! Every line of the table, scored and kept as it ends.

use std::time::{Duration, Instant};

use vdvae_datasets::{Exif, Split};
use vdvae_probes::{DataInfo, ModelInfo, ProbeReport, set_selectivity};
use vdvae_report::{write_csv, write_json};

use crate::candidate::Splits;
use crate::error::Result;
use crate::event::Event;
use crate::experiment::Experiment;
use crate::line::lines;
use crate::pairing::PAIRING;
use crate::report::Report;
use crate::tables::extract;
use crate::task::Scores;

/// Results are kept anew only after this many times as long as writing them took.
const MOST_OFTEN: u32 = 20;

impl Experiment<'_> {
    /// Reads the features, scores every line, and puts the report together. `observe` is told
    /// what happens.
    ///
    /// # Errors
    /// Those of [`Experiment::check`]; those of the network, the data set and the probes; and
    /// [`Error::Report`](crate::Error::Report) where results cannot be kept.
    pub fn run(&self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Report> {
        self.check()?;
        run(self, observe)
    }
}

fn run(experiment: &Experiment<'_>, observe: &mut dyn FnMut(Event<'_>)) -> Result<Report> {
    let (tables, leaks) = extract(experiment, observe)?;
    if let Some(folder) = &experiment.keep {
        // What an earlier run left would be taken for this one's, should it be stopped.
        match std::fs::remove_file(folder.join(PAIRING)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let path = folder.join(PAIRING);
                return Err(vdvae_report::Error::Write { path, source: error }.into());
            }
            _ => (),
        }
    }
    let mut report = ProbeReport { leaks, ..empty_report(experiment, &tables[0].1)? };
    let lines = lines(experiment, &tables);
    observe(Event::Scoring { lines: lines.len() });
    let mut scores = experiment.task.scores(experiment.data);
    let (mut written, mut cost) = (Instant::now(), Duration::ZERO);
    for line in &lines {
        for candidate in line.candidates(experiment)? {
            scores.add(&candidate)?;
        }
        // A run that is stopped keeps what it has. Thousands of results take a while to write, and
        // are not all written after every line.
        if written.elapsed() >= MOST_OFTEN * cost {
            written = Instant::now();
            collect(experiment, &mut report, &*scores)?;
            cost = written.elapsed();
        }
        observe(Event::Scored);
    }
    observe(Event::AllScored);
    report.comparisons = scores.comparisons();
    collect(experiment, &mut report, &*scores)?;
    Report::new(experiment, report, &tables[0].1, &*scores)
}

/// Takes over what there is, and writes it where it is to be kept.
fn collect(
    experiment: &Experiment<'_>,
    report: &mut ProbeReport,
    scores: &dyn Scores,
) -> Result<()> {
    report.results = scores.results();
    set_selectivity(&mut report.results);
    if let Some(folder) = &experiment.keep {
        write_json(&folder.join("results.json"), report)?;
        write_csv(&folder.join("results.csv"), report)?;
    }
    Ok(())
}

/// Of the data set, and of the one tested on where that is another.
fn remarks(experiment: &Experiment<'_>) -> Vec<String> {
    let mut remarks = experiment.data.remarks();
    remarks.extend(experiment.task.test_set().map(|data| data.remarks()).unwrap_or_default());
    if experiment.preparation.exif == Exif::Ignore {
        remarks.push("pictures are not turned as their files say (EXIF orientation)".to_owned());
    }
    remarks
}

fn empty_report(experiment: &Experiment<'_>, tables: &Splits) -> Result<ProbeReport> {
    let [train, valid, test] = tables;
    Ok(ProbeReport {
        task: experiment.task.name().to_owned(),
        model: ModelInfo {
            name: experiment.model_name.clone(),
            sha256: experiment.model_sha256.clone(),
            config: serde_json::to_value(experiment.model.config())?,
        },
        data: DataInfo {
            name: experiment.data_of(Split::Test).name().to_owned(),
            n_train: train.rows(),
            n_valid: valid.rows(),
            n_test: test.rows(),
            remarks: remarks(experiment),
        },
        features: experiment.spec,
        seed: experiment.seed,
        results: Vec::new(),
        comparisons: Vec::new(),
        leaks: Vec::new(),
    })
}
