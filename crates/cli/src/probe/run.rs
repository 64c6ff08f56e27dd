//! Every line of the table, probed and written as it ends.

use std::time::{Duration, Instant};

use anyhow::Result;
use vdvae_features::Targets;
use vdvae_probes::{
    DataInfo, Evaluated, FeatureInfo, Fitted, ModelInfo, Probe, ProbeReport, ProbeResult,
    SavedProbe, Source, compare, set_selectivity,
};
use vdvae_report::{write_csv, write_json};

use super::Args;
use super::lines::{Candidate, lines};
use super::page::Illustrations;
use super::plan::Plan;
use super::tables::{Splits, extract};
use crate::common::progress;

/// Results are written anew only after this many times as long as writing took.
const MOST_OFTEN: u32 = 20;

/// What a run leaves behind.
pub(super) struct Outcome {
    pub(super) report: ProbeReport,
    /// The results with their test scores, in the order of the report; scores of subsets of the
    /// training rows are not kept.
    pub(super) evaluated: Vec<Evaluated>,
    pub(super) illustrations: Illustrations,
}

pub(super) fn run(plan: &Plan, args: &Args) -> Result<Outcome> {
    let tables = extract(plan, args.batch_size as usize)?;
    let probes = plan.probes(matches!(tables[0].1[0].targets, Targets::Real { .. }));
    let mut report = empty_report(plan, &tables[0].1)?;
    let lines = lines(plan, &tables);
    let bar = progress(lines.len() as u64, "probing");
    let mut evaluated = Vec::new();
    let (mut written, mut cost) = (Instant::now(), Duration::ZERO);
    for line in &lines {
        for candidate in line.candidates(plan)? {
            for &subset in &plan.subsets {
                let part = candidate.subset(subset);
                for probe in &probes {
                    evaluated.push(score(plan, args, &**probe, &part)?);
                }
            }
        }
        // A run that is stopped keeps what it has. Thousands of results take a while to write, and
        // are not all written after every line.
        if written.elapsed() >= MOST_OFTEN * cost {
            written = Instant::now();
            write(args, &mut report, &evaluated)?;
            cost = written.elapsed();
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.comparisons = compare(&evaluated);
    write(args, &mut report, &evaluated)?;
    let illustrations = Illustrations::new(plan, &tables[0].1, &evaluated)?;
    Ok(Outcome { report, evaluated, illustrations })
}

/// Writes what there is.
fn write(args: &Args, report: &mut ProbeReport, evaluated: &[Evaluated]) -> Result<()> {
    report.results = evaluated.iter().map(|one| one.result.clone()).collect();
    set_selectivity(&mut report.results);
    write_json(&args.out.join("results.json"), report)?;
    write_csv(&args.out.join("results.csv"), report)?;
    Ok(())
}

fn score(plan: &Plan, args: &Args, probe: &dyn Probe, part: &Candidate) -> Result<Evaluated> {
    let [train, valid, test] = &part.tables;
    let fitted = probe.fit(train, valid)?;
    let mut evaluated = fitted.evaluate(test, plan.bootstrap)?.with_origin(part.origin.clone());
    if part.origin.train_fraction < 1.0 {
        evaluated.scores = Default::default();
    }
    if let Some(path) = &args.save_probe
        && part.origin.source == Source::Latents
    {
        saved(plan, args, &fitted)?.save(path)?;
    }
    Ok(evaluated)
}

/// The probe of the one selection asked for, with all that `predict` needs.
fn saved(plan: &Plan, args: &Args, fitted: &Fitted) -> Result<SavedProbe> {
    let features = FeatureInfo {
        network: plan.loaded.name.clone(),
        sha256: plan.loaded.sha256.clone(),
        layers: plan.selections[0].to_string(),
        statistic: plan.spec.statistic.to_string(),
        pooling: plan.spec.pooling.to_string(),
        seed: plan.spec.seed,
        samples: plan.spec.samples,
    };
    Ok(SavedProbe::new(fitted, args.task.clone(), features)?)
}

/// The one result on latents, where there is only one: its targets are worth a table of their own.
pub(super) fn only_latents(evaluated: &[Evaluated]) -> Option<&ProbeResult> {
    let mut latents = evaluated.iter().filter(|one| one.result.source == Source::Latents);
    let only = latents.next()?;
    latents.next().is_none().then_some(&only.result)
}

fn empty_report(plan: &Plan, tables: &Splits) -> Result<ProbeReport> {
    let [train, valid, test] = tables;
    Ok(ProbeReport {
        task: plan.task.clone(),
        model: ModelInfo {
            name: plan.loaded.name.clone(),
            sha256: Some(plan.loaded.sha256.clone()),
            config: serde_json::to_value(plan.loaded.model.config())?,
        },
        data: DataInfo {
            name: plan.dataset.name().to_owned(),
            n_train: train.rows(),
            n_valid: valid.rows(),
            n_test: test.rows(),
        },
        seed: plan.bootstrap.seed,
        results: Vec::new(),
        comparisons: Vec::new(),
    })
}
