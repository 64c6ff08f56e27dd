//! Do the latents of every resolution transfer? Every task whose data is at hand, for one or several
//! networks: one table, one figure.
//!
//! ```text
//! cargo run --release --example transfer_table -- --data-root data --checkpoint faces32
//! ```
//!
//! `--data-root` is a folder that holds data sets by name, as they are published; tasks whose data is
//! not there, or too small for it, are left out, and named. Each network, statistic and task has its
//! folder below `--out`, with what `vdvae-probe` writes; beside them stand `transfer.md`, the table, and `transfer.svg`, scores over resolution.
//! Features are kept in the cache that `vdvae-probe` uses, so that a run that is stopped reads no
//! picture twice.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use vdvae::datasets::{self, Dataset, Lfw, OneShotRuns, OpenOptions, locate};
use vdvae::experiment::{
    Event, Experiment, FewShotTask, TargetsTask, Task, TaskKind, TaskName, VerificationTask,
};
use vdvae::features::{FeatureCache, FeatureSpec, LayerSelection, Pooling, Statistic};
use vdvae::model::{builtin_checkpoint, checkpoint_file};
use vdvae::probes::{Compared, ProbeReport, ProbeResult, RidgeProbe, Source};
use vdvae::report::{report_table, resolution_figure};
use vdvae::{Checkpoint, Device, Vdvae};

/// A task and its data.
type Opened = (Box<dyn Task>, Box<dyn Dataset>);
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Tasks that are asked for where none is named.
const TASKS: [&str; 10] = [
    "celeba-attrs",
    "celeba-verification",
    "lfw-verification",
    "cifar10",
    "tiny-imagenet-5way-1shot",
    "tiny-imagenet-5way-5shot",
    "omniglot-5way-1shot",
    "omniglot-20way-1shot",
    "toy-faces",
    "toy-faces-verification",
];

#[derive(Debug, Parser)]
struct Args {
    /// Folder that holds data sets by name [example: --data-root data]
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// CelebA: a file of splits in place of list_eval_partition.txt [example: --partition split.txt]
    #[arg(long, value_name = "FILE")]
    partition: Option<PathBuf>,
    /// Networks: files, or names of weights; the built-in one without any
    /// [example: --checkpoint faces32,objects32]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    checkpoint: Vec<PathBuf>,
    /// Tasks as vdvae-probe takes them; the usual ones without any, of those whose data is there
    /// [example: --task celeba-attrs,csv:utkface/utkface.csv]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    task: Vec<TaskName>,
    /// What is read from each layer, one after the other; of mean, z (averaged over 8 samples), prior-mean,
    /// log-std, prior-log-std, state, activation [example: --statistic mean,activation]
    #[arg(long, value_delimiter = ',', default_value = "mean", value_name = "LIST")]
    statistic: Vec<Statistic>,
    /// How a layer's grid becomes columns [example: --pool grid:8]
    #[arg(long, default_value = "grid:4", value_name = "none|mean|grid:K")]
    pool: Pooling,
    /// The probe of labels; ridge, which has a closed form, is many times as fast where columns are many
    /// [example: --probe ridge]
    #[arg(long, default_value = "logistic", value_parser = ["logistic", "ridge"])]
    probe: String,
    /// Shares of the labelled pictures that linear probes learn from; five draws of each below 1
    /// [example: --train-fraction 0.01,0.1,1]
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "LIST")]
    train_fraction: Vec<f64>,
    /// Targets inside each value of which the others are scored, too [example: --within Male]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    within: Vec<String>,
    /// Networks with random weights whose mean is the control
    /// [example: --random-seeds 3]
    #[arg(long, default_value_t = 1, value_name = "N")]
    random_seeds: u32,
    /// Folder for everything that is written [example: --out transfer]
    #[arg(long, default_value = "transfer", value_name = "DIR")]
    out: PathBuf,
}

/// A network with what reports say of it.
struct Network {
    model: Vdvae,
    name: String,
    sha256: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<()> {
    let options = OpenOptions {
        collection: args.data_root.clone(),
        partition: args.partition.clone(),
        ..OpenOptions::from_env()
    };
    let asked = match &args.task[..] {
        [] => TASKS.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
        asked => asked.to_vec(),
    };
    let cache = FeatureCache::default_folder().map(|folder| FeatureCache::open(&folder));
    let cache = cache.transpose()?;
    let networks = networks(&args.checkpoint)?;
    let mut reports: Vec<ProbeReport> = Vec::new();
    for name in &asked {
        let Some((task, data)) = open(name, args, &options)? else { continue };
        let read = |network| args.statistic.iter().map(move |statistic| (network, *statistic));
        for (network, statistic) in networks.iter().flat_map(read) {
            eprintln!("{name}, {}, {statistic}", network.name);
            let samples = if statistic == Statistic::Z { 8 } else { 1 };
            let folder = args.out.join(&network.name).join(statistic.to_string());
            let folder = folder.join(file_name(&name.text));
            let experiment = Experiment {
                model_name: network.name.clone(),
                model_sha256: Some(network.sha256.clone()),
                controls: vec![Source::Pixels, Source::Hog, Source::RandomInit],
                spec: FeatureSpec { statistic, samples, pooling: args.pool, seed: 0 },
                random_networks: args.random_seeds,
                cache: cache.clone(),
                keep: Some(folder.clone()),
                ..Experiment::new(&network.model, &*data, &*task)
            };
            if let Err(error) = experiment.check()
                && args.task.is_empty()
            {
                eprintln!("{name} is left out: {error}");
                continue;
            }
            fs::create_dir_all(&folder)?;
            let report = experiment.run(&mut |event| {
                if let Event::Reading { pictures } = event {
                    eprintln!("reading {pictures} pictures");
                }
            })?;
            report.write(&folder)?;
            print!("{}", report_table(&report.results));
            reports.push(report.results);
            // Anew after each, so that a run that is stopped keeps what it has.
            fs::write(args.out.join("transfer.md"), table(&reports))?;
            if let Some(figure) = resolution_figure(&reports) {
                fs::write(args.out.join("transfer.svg"), figure)?;
            }
        }
    }
    print!("\n{}", table(&reports));
    Ok(())
}

/// The networks asked for, or the built-in one.
fn networks(files: &[PathBuf]) -> Outcome<Vec<Network>> {
    let network = |checkpoint: &Checkpoint, name: String| -> Outcome<Network> {
        let config = checkpoint.resolve_config(None)?;
        let model = Vdvae::new(&config, &checkpoint.weights, &Device::Cpu)?;
        Ok(Network { model, name, sha256: checkpoint.sha256.clone() })
    };
    if files.is_empty() {
        return Ok(vec![network(&builtin_checkpoint()?, "built-in".to_owned())?]);
    }
    let read = |file: &PathBuf| {
        let path = checkpoint_file(file)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        network(&Checkpoint::read(&path)?, name)
    };
    files.iter().map(read).collect()
}

/// A task and its data. `None`, said on stderr, for a data set that is not there; one that is asked for
/// by its name has to be.
fn open(name: &TaskName, args: &Args, options: &OpenOptions) -> Outcome<Option<Opened>> {
    let data = match datasets::open(&name.dataset, options) {
        Err(error @ datasets::Error::NoPath { .. }) if args.task.is_empty() => {
            eprintln!("{name} is left out: {error}");
            return Ok(None);
        }
        data => data?,
    };
    data.remarks().iter().for_each(|remark| eprintln!("note: {remark}"));
    let text = name.text.clone();
    let task: Box<dyn Task> = match name.kind {
        TaskKind::Targets => Box::new(TargetsTask {
            name: text,
            probes: match &args.probe[..] {
                "ridge" => vec![Box::new(RidgeProbe::default())],
                _ => Vec::new(), // the usual one
            },
            train_fractions: args.train_fraction.clone(),
            label_seeds: (0..5).collect(),
            within: args.within.clone(),
            ..TargetsTask::default()
        }),
        TaskKind::FewShot { ways, shots } => {
            Box::new(FewShotTask { name: text, ..FewShotTask::new(ways, shots) })
        }
        TaskKind::PublishedRuns => {
            let runs = OneShotRuns::open(&locate(&name.dataset, options)?)?;
            Box::new(FewShotTask { name: text, ..FewShotTask::published(runs) })
        }
        TaskKind::Verification => {
            Box::new(VerificationTask { name: text, ..VerificationTask::default() })
        }
        TaskKind::PublishedPairs => {
            let lfw = Lfw::open(&locate(&name.dataset, options)?)?;
            Box::new(VerificationTask { name: text, ..VerificationTask::published(&lfw)? })
        }
    };
    Ok(Some((task, data)))
}

/// A task's name as that of a folder.
fn file_name(task: &str) -> String {
    task.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_")
}

/// What a line of the table is about, beside the report: probe, kind of labels, share of the labelled
/// pictures.
type Line<'a> = (&'a str, Option<&'a str>, f64);

/// One line a task, network, statistic, probe and share of the labels: the latents of every resolution
/// and of all layers, the controls, and how far all layers are ahead of them.
fn table(reports: &[ProbeReport]) -> String {
    let mut resolutions: Vec<usize> =
        reports.iter().flat_map(|report| &report.results).filter_map(|r| r.resolution).collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    let mut places: Vec<(Source, Option<LayerSelection>, String)> = resolutions
        .into_iter()
        .map(|r| (Source::Latents, Some(LayerSelection::Resolution(r)), format!("{r}×{r}")))
        .collect();
    let all = Some(LayerSelection::All);
    places.push((Source::Latents, all, "all".to_owned()));
    places.push((Source::RandomInit, all, "random weights".to_owned()));
    places.push((Source::Pixels, None, "pixels".to_owned()));
    places.push((Source::Hog, None, "HOG".to_owned()));
    let names: Vec<&str> = places.iter().map(|(_, _, name)| &name[..]).collect();
    let mut text = format!(
        "| task | network | read | probe | {} | all − random weights | all − pixels |\n|---|---|---|---|{}\n",
        names.join(" | "),
        "---|".repeat(places.len() + 2)
    );
    for report in reports {
        let mut lines: Vec<(Line<'_>, &str)> = Vec::new();
        for result in &report.results {
            let line = (&result.probe[..], result.labels.as_deref(), result.train_fraction);
            let line = (line, result.metric.name());
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        for (line, metric) in lines {
            let (probe, labels, fraction) = line;
            let scores =
                places.iter().map(|(source, layers, _)| score(report, line, *source, *layers));
            let scores: Vec<String> = scores.map(|s| s.unwrap_or("–".to_owned())).collect();
            let ahead =
                [Source::RandomInit, Source::Pixels].map(|control| ahead(report, line, control));
            let labels = labels.map_or(String::new(), |labels| format!(", {labels}"));
            let part = if fraction < 1.0 { format!(" at {fraction}") } else { String::new() };
            let (task, model, read) = (&report.task, &report.model.name, report.features.statistic);
            let (scores, ahead) = (scores.join(" | "), ahead.join(" | "));
            let _ = writeln!(
                text,
                "| {task} | {model} | {read} | {probe}{labels}{part}: {metric} | {scores} | {ahead} |"
            );
        }
    }
    text
}

/// A score, the mean over draws of the labels where there are several, and its interval where it is one
/// of all layers.
fn score(
    report: &ProbeReport,
    line: Line<'_>,
    source: Source,
    layers: Option<LayerSelection>,
) -> Option<String> {
    let fits = |r: &&ProbeResult| {
        let of = (&r.probe[..], r.labels.as_deref(), r.train_fraction);
        (of, r.source, r.layers) == (line, source, layers)
    };
    let results: Vec<&ProbeResult> = report.results.iter().filter(fits).collect();
    let values: Option<Vec<f64>> = results.iter().map(|result| result.value).collect();
    let values = values.filter(|values| !values.is_empty())?;
    let value = values.iter().sum::<f64>() / values.len() as f64;
    Some(match results[..] {
        [ProbeResult { ci95: Some([low, high]), .. }] if layers == Some(LayerSelection::All) => {
            format!("{value:.3} [{low:.3}, {high:.3}]")
        }
        _ => format!("{value:.3}"),
    })
}

/// How far the latents of all layers are ahead of a control, with the interval of the paired difference.
fn ahead(report: &ProbeReport, line: Line<'_>, control: Source) -> String {
    let all = Some(LayerSelection::All);
    let is = |side: &Compared, source: Source| {
        let of = (&side.probe[..], side.labels.as_deref(), side.train_fraction);
        (of, side.source) == (line, source)
    };
    let found = report.comparisons.iter().find(|c| {
        let of_control = is(&c.b, control) && (c.b.layers == all || c.b.layers.is_none());
        is(&c.a, Source::Latents) && c.a.layers == all && of_control
    });
    match found.map(|c| (c.difference, c.ci95)) {
        None => "–".to_owned(),
        Some((difference, None)) => format!("{difference:+.3}"),
        Some((difference, Some([low, high]))) => {
            format!("{difference:+.3} [{low:+.3}, {high:+.3}]")
        }
    }
}
