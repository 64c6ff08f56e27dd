//! Do the latents of every resolution transfer? Every task whose data is at hand, for one or several
//! networks: one table, one figure.
//!
//! ```text
//! cargo run --release --example transfer_table -- --data-root data --checkpoint faces32
//! ```
//!
//! `--data-root` is a folder that holds data sets by name, as they are published; tasks whose data is
//! not there, or too small for it, are left out, and named. Each task has its folder below `--out`, with what `vdvae-probe`
//! writes; beside them stand `transfer.md`, the table, and `transfer.svg`, scores over resolution.
//! Features are kept in the cache that `vdvae-probe` uses, so that a run that is stopped reads no
//! picture twice.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use vdvae::datasets::{self, Dataset, Lfw, OneShotRuns, OpenOptions, locate};
use vdvae::experiment::{
    Event, Experiment, FewShotTask, TargetsTask, Task, TaskKind, TaskName, VerificationTask,
};
use vdvae::features::{FeatureCache, FeatureSpec, LayerSelection, Statistic};
use vdvae::model::{builtin_checkpoint, checkpoint_file};
use vdvae::probes::{Compared, ProbeReport, ProbeResult, Source};
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
    /// What is read from each layer [example: --statistic state]
    #[arg(long, default_value = "mean", value_name = "mean|z|log-std|state|activation")]
    statistic: Statistic,
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

fn main() -> Outcome<()> {
    let args = Args::parse();
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
        let Some((task, data)) = open(name, &options, !args.task.is_empty())? else { continue };
        for network in &networks {
            eprintln!("{name}, {}", network.name);
            let folder = args.out.join(&network.name).join(file_name(&name.text));
            let experiment = Experiment {
                model_name: network.name.clone(),
                model_sha256: Some(network.sha256.clone()),
                controls: vec![Source::Pixels, Source::Hog, Source::RandomInit],
                spec: FeatureSpec { statistic: args.statistic, ..FeatureSpec::default() },
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
fn open(name: &TaskName, options: &OpenOptions, required: bool) -> Outcome<Option<Opened>> {
    let data = match datasets::open(&name.dataset, options) {
        Err(error @ datasets::Error::NoPath { .. }) if !required => {
            eprintln!("{name} is left out: {error}");
            return Ok(None);
        }
        data => data?,
    };
    data.remarks().iter().for_each(|remark| eprintln!("note: {remark}"));
    let text = name.text.clone();
    let task: Box<dyn Task> = match name.kind {
        TaskKind::Targets => Box::new(TargetsTask { name: text, ..TargetsTask::default() }),
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

/// One line a task, network and probe: the latents of every resolution and of all layers, the controls,
/// and how far all layers are ahead of them.
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
        "| task | network | probe | {} | all − random weights | all − pixels |\n|---|---|---|{}\n",
        names.join(" | "),
        "---|".repeat(places.len() + 2)
    );
    for report in reports {
        let mut probes: Vec<(&str, Option<&str>, &str)> = Vec::new();
        for result in &report.results {
            let probe = (&result.probe[..], result.labels.as_deref(), result.metric.name());
            if !probes.contains(&probe) {
                probes.push(probe);
            }
        }
        for (probe, labels, metric) in probes {
            let of = (probe, labels);
            let scores =
                places.iter().map(|(source, layers, _)| score(report, of, *source, *layers));
            let scores: Vec<String> = scores.map(|s| s.unwrap_or("–".to_owned())).collect();
            let ahead =
                [Source::RandomInit, Source::Pixels].map(|control| ahead(report, of, control));
            let labels = labels.map_or(String::new(), |labels| format!(", {labels}"));
            let (task, model) = (&report.task, &report.model.name);
            let (scores, ahead) = (scores.join(" | "), ahead.join(" | "));
            let _ = writeln!(
                text,
                "| {task} | {model} | {probe}{labels}: {metric} | {scores} | {ahead} |"
            );
        }
    }
    text
}

/// A score, and its interval where it is that of all layers.
fn score(
    report: &ProbeReport,
    (probe, labels): (&str, Option<&str>),
    source: Source,
    layers: Option<LayerSelection>,
) -> Option<String> {
    let fits = |r: &&ProbeResult| {
        (&r.probe[..], r.labels.as_deref(), r.source, r.layers) == (probe, labels, source, layers)
    };
    let result = report.results.iter().find(fits)?;
    let value = result.value?;
    Some(match result.ci95.filter(|_| layers == Some(LayerSelection::All)) {
        Some([low, high]) => format!("{value:.3} [{low:.3}, {high:.3}]"),
        None => format!("{value:.3}"),
    })
}

/// How far the latents of all layers are ahead of a control, with the interval of the paired difference.
fn ahead(report: &ProbeReport, (probe, labels): (&str, Option<&str>), control: Source) -> String {
    let all = Some(LayerSelection::All);
    let is = |side: &Compared, source: Source| {
        (&side.probe[..], side.labels.as_deref(), side.source) == (probe, labels, source)
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
