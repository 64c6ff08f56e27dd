//! `vdvae-probe merge`: results of several runs as one table and page.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use vdvae_experiment::{Error, Merged, Run};
use vdvae_io::printable;
use vdvae_probes::{Compared, ProbeReport, ProbeResult};
use vdvae_report::{
    ChartPage, Side, resolution_figure, signed_with_interval, text_table, with_interval,
    write_charts,
};

use crate::common::Common;
use crate::exit::usage;
use crate::output::{cannot_write, check_writable, print};
use crate::process::command;

/// Put the results of several runs of one task side by side: latents of two networks, two statistics,
/// two probes. Where runs scored the same test pictures, episodes or pairs, differences are paired.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders that vdvae-probe wrote, the one to compare with first; NAME= before it names a run
    #[arg(required = true, value_name = "[NAME=]RUN")]
    runs: Vec<NamedRun>,
    /// Folder for merged.json and merged.html [example: --out merged]
    #[arg(long, default_value = "vdvae-probe-merged", value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone)]
struct NamedRun {
    name: Option<String>,
    folder: PathBuf,
}

impl FromStr for NamedRun {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, folder) = match text.split_once('=') {
            // A folder whose name has the sign.
            _ if PathBuf::from(text).exists() => (None, text),
            Some((name, folder)) => (Some(name.to_owned()), folder),
            None => (None, text),
        };
        if folder.is_empty() || name.as_ref().is_some_and(String::is_empty) {
            return Err(format!("expected [NAME=]RUN, found `{text}`"));
        }
        Ok(Self { name, folder: folder.into() })
    }
}

pub(super) fn run(args: &Args, common: &Common) -> Result<()> {
    common.set_up()?;
    let runs = args.runs.iter().map(|NamedRun { name, folder }| {
        let name = name.clone().unwrap_or_else(|| folder.display().to_string());
        Run::read(&name, folder)
    });
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    for (at, run) in runs.iter().enumerate() {
        if runs[..at].iter().any(|other| other.name == run.name) {
            return Err(usage(format!("{}: expected each run once; NAME=RUN names it", run.name)));
        }
    }
    let merged = Merged::new(&runs).map_err(|error| match error {
        Error::Setting { problem, .. } => usage(problem),
        other => other.into(),
    })?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot create", args.out.display()))?;
    let (json, html) = (args.out.join("merged.json"), args.out.join("merged.html"));
    check_writable(&json)?;
    check_writable(&html)?;
    let text = serde_json::to_string_pretty(&merged)?;
    vdvae_io::write(&json, &text).with_context(|| cannot_write(&json))?;
    write_charts(&html, &page(&merged))?;
    print(&if common.json { text } else { table(&merged) })
}

/// What results are of, in order of appearance in any run.
fn sides(merged: &Merged) -> Vec<Compared> {
    let mut sides: Vec<Compared> = Vec::new();
    for result in merged.runs.iter().flat_map(|run| &run.report.results) {
        if !sides.contains(&result.side()) {
            sides.push(result.side());
        }
    }
    sides
}

/// A column of words that say what a row is.
type Word = (&'static str, fn(&Compared) -> String);

/// A header, and a row for each thing that any run scored.
fn rows(merged: &Merged) -> (Vec<String>, Vec<Vec<String>>) {
    let all = sides(merged);
    let several =
        |of: fn(&Compared) -> String| all.iter().any(|side| of(side) != of(&all[0])).then_some(of);
    let fraction = |side: &Compared| side.train_fraction.to_string();
    let matched =
        |side: &Compared| side.matched_columns.map_or_else(|| "-".into(), |n| n.to_string());
    let labels = |side: &Compared| side.labels.clone().unwrap_or_else(|| "-".into());
    let mut first: Vec<Word> = vec![
        ("source", |side| side.source.to_string()),
        ("layers", |side| side.layers.map_or_else(|| "-".into(), |layers| layers.to_string())),
    ];
    // Columns that say the same in every row say nothing.
    let optional: [Word; 4] = [
        ("probe", |side| side.probe.clone()),
        ("matched", matched),
        ("train", fraction),
        ("labels", labels),
    ];
    first.extend(optional.into_iter().filter(|(_, of)| several(*of).is_some()));
    let mut headers: Vec<String> = first.iter().map(|(name, _)| (*name).to_owned()).collect();
    headers.extend(merged.runs.iter().map(|run| run.name.clone()));
    let others = &merged.runs[1..];
    headers.extend(others.iter().map(|run| format!("{} less {}", run.name, merged.runs[0].name)));
    let row = |side: &Compared| {
        let mut row: Vec<String> = first.iter().map(|(_, of)| of(side)).collect();
        row.extend(merged.runs.iter().map(|run| value(&run.report, side)));
        for run in others {
            let of = merged.differences.iter().find(|d| d.run == run.name && d.of == *side);
            row.push(signed_with_interval(of.map(|of| of.difference), of.and_then(|of| of.ci95)));
        }
        row
    };
    (headers, all.iter().map(row).collect())
}

/// The value of what a report has of it; of several label seeds, their mean without an interval.
fn value(report: &ProbeReport, side: &Compared) -> String {
    let same: Vec<&ProbeResult> = report.results.iter().filter(|r| r.side() == *side).collect();
    let values: Vec<f64> = same.iter().filter_map(|result| result.value).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let ci95 = if let [one] = same[..] { one.ci95 } else { None };
    with_interval((!values.is_empty()).then_some(mean), ci95)
}

/// What each run read, and whether it is paired.
fn about(merged: &Merged) -> Vec<String> {
    let line = |(at, run): (usize, &vdvae_experiment::MergedRun)| {
        let ProbeReport { model, features, data, task, seed, .. } = &run.report;
        let paired = match (at, run.paired) {
            (0, _) => "",
            (_, true) => "; paired with the first",
            (_, false) => "; other test pictures or draws than the first: not paired",
        };
        format!(
            "{}: {task}, {}, {} pooled {}, {} test pictures, seed {seed}{paired}",
            run.name, model.name, features.statistic, features.pooling, data.n_test
        )
    };
    merged.runs.iter().enumerate().map(line).collect()
}

fn table(merged: &Merged) -> String {
    let (headers, rows) = rows(merged);
    let mut text = String::new();
    for about in about(merged) {
        text += &printable(&about);
        text.push('\n');
    }
    text.push('\n');
    text += &text_table(&headers, &rows, Side::Left);
    text + "\n" + LEGEND + "\n"
}

const LEGEND: &str = "values with their 95% intervals; differences on the same units with theirs, where \
                      runs are paired";

fn page(merged: &Merged) -> ChartPage {
    let reports: Vec<ProbeReport> = merged
        .runs
        .iter()
        .map(|run| {
            let mut report = run.report.clone();
            report.model.name.clone_from(&run.name);
            report
        })
        .collect();
    let names: Vec<&str> = merged.runs.iter().map(|run| &*run.name).collect();
    let mut provenance = Vec::new();
    for (run, about) in merged.runs.iter().zip(about(merged)) {
        let sha256 = run.report.model.sha256.clone().unwrap_or_default();
        provenance.push((run.name.clone(), format!("{about}; weights {sha256}")));
    }
    ChartPage {
        overline: merged.task.clone(),
        title: names.join(", "),
        lead: LEGEND.to_owned(),
        figure: resolution_figure(&reports),
        table: rows(merged),
        provenance,
        command: command("vdvae-probe"),
        ..ChartPage::default()
    }
}
