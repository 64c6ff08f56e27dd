//! What the experiments on the paper's claims share: means with intervals, the numbers of a run, and what
//! they leave behind, a table, a figure, and every number.
#![allow(dead_code, reason = "not every experiment uses all of it")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use statrs::distribution::{ContinuousCDF, StudentsT};
use vdvae::Device;
use vdvae::datasets::{Dataset, OnBadImage, Preparation};
use vdvae::train::{self, Network, Run, Summary, TrainConfig};

/// Two-sided quantile of the normal interval.
const QUANTILE: f64 = 1.96;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// What came out, as text for people and as numbers.
pub(crate) struct Findings<R> {
    /// Markdown.
    pub(crate) table: String,
    /// SVG.
    pub(crate) figure: Option<String>,
    pub(crate) results: R,
}

/// Runs an experiment, prints its table, and writes `table.md`, `figure.svg` and `results.json` into a
/// folder, which is made first. An error is one line.
pub(crate) fn run<R: Serialize>(out: &Path, of: impl FnOnce() -> Outcome<Findings<R>>) -> ExitCode {
    match make_folder(out).and_then(|()| write(out, &of()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make_folder(out: &Path) -> Outcome<()> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()).into())
}

fn write<R: Serialize>(out: &Path, findings: &Findings<R>) -> Outcome<()> {
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        vdvae_io::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    print!("{}", findings.table);
    write("table.md", &findings.table)?;
    findings.figure.as_ref().map_or(Ok(()), |figure| write("figure.svg", figure))?;
    write("results.json", &(serde_json::to_string_pretty(&findings.results)? + "\n"))?;
    Ok(())
}

/// A mean with its 95% interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Mean {
    pub(crate) value: f64,
    pub(crate) ci95: [f64; 2],
}

impl Mean {
    /// Of many values, such as those of pictures; at least two.
    pub(crate) fn of(values: &[f64]) -> Self {
        Self::with(values, QUANTILE)
    }

    /// Of a few values, such as those of seeds, by Student's distribution; at least two.
    pub(crate) fn of_few(values: &[f64]) -> Self {
        let freedom = values.len() as f64 - 1.0;
        let student = StudentsT::new(0.0, 1.0, freedom).expect("two values at least");
        Self::with(values, student.inverse_cdf(0.975))
    }

    fn with(values: &[f64], quantile: f64) -> Self {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|one| (one - value).powi(2)).sum::<f64>() / (n - 1.0);
        let half = quantile * (variance / n).sqrt();
        Self { value, ci95: [value - half, value + half] }
    }
}

/// Trains a network into a folder, or goes on there; a run that is over is left as it is. Fails where
/// the folder has a run of other values.
pub(crate) fn train<N: Network>(
    network: &N::Config,
    config: &TrainConfig,
    dataset: &dyn Dataset,
    out: &Path,
) -> train::Result<Summary> {
    let run = Run::<N> {
        network,
        config,
        dataset,
        preparation: Preparation::new(N::image_size(network)),
        on_bad_image: OnBadImage::Fail,
        device: &Device::Cpu,
        out,
        resume: true,
        init: None,
    };
    run.train(&mut |_| ())
}

/// The lines of a run's `metrics.jsonl`; none where there is no such file yet.
pub(crate) fn metrics(path: &Path) -> Outcome<Vec<Value>> {
    let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
    let parse = |line: &str| {
        serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()).into())
    };
    text.lines().map(parse).collect()
}
