//! Runs the experiment that was asked for, and prints it.

use anyhow::{Context, Result};
use vdvae_experiment::Report;
use vdvae_probes::{ProbeResult, Source};
use vdvae_report::{report_table, results_json, targets_table};

use super::args::Args;
use super::ask::{Asked, refused};
use super::watch::Watch;
use crate::common::Common;
use crate::output::{check_writable, print};

pub(super) fn run(args: &Args, common: &Common) -> Result<()> {
    common.set_up()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot create", args.out.display()))?;
    for name in ["results.json", "results.csv", "pairing.json", "report.html"] {
        check_writable(&args.out.join(name))?;
    }
    let report = experiment(args, common).inspect_err(|_| {
        // A folder that is still empty goes again; one with results is no empty folder and stays.
        let _ = std::fs::remove_dir(&args.out);
    })?;
    report.write(&args.out)?;
    if common.json {
        return print(&results_json(&report.results)?);
    }
    let mut text = report_table(&report.results);
    // One selection is a question about its targets.
    for result in only_latents(&report.results.results) {
        let labels = result.labels.as_ref().map(|labels| format!("targets {labels}\n"));
        text += &format!("\n{}{}", labels.unwrap_or_default(), targets_table(result));
    }
    print(&text)
}

fn experiment(args: &Args, common: &Common) -> Result<Report> {
    let asked = Asked::new(args, common)?;
    let mut experiment = asked.experiment(args, common)?;
    experiment.check().map_err(refused)?;
    // Last: a run that is refused leaves no folder behind.
    experiment.cache = args.cache.open()?;
    let mut watch = Watch::default();
    Ok(experiment.run(&mut |event| watch.show(event))?)
}

/// The one result on latents of each kind of labels, where there is only one: its targets are worth
/// a table of their own.
fn only_latents(results: &[ProbeResult]) -> Vec<&ProbeResult> {
    let labels = |r: &&ProbeResult| r.few_shot.is_none() && r.verification.is_none();
    let latents = results.iter().filter(|r| r.source == Source::Latents).filter(labels);
    let latents: Vec<&ProbeResult> = latents.collect();
    let alone = |r: &&ProbeResult| latents.iter().filter(|o| o.labels == r.labels).count() == 1;
    latents.iter().copied().filter(alone).collect()
}
