//! `vdvae-probe`: what the latents of each resolution know, beside controls.

mod cache;
mod few_shot;
mod lines;
mod page;
mod plan;
mod predict;
mod run;
mod tables;
mod targets;
mod task;
mod verification;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use vdvae_datasets::{Crop, Resize};
use vdvae_report::{report_table, results_json, targets_table, write_page};

use crate::common::{
    Common, DataArgs, ModelArgs, SamplesArg, check_writable, exit_with, parse, print,
};
use cache::{CacheArgs, CacheCommand};
use plan::Plan;

/// What do the latents of each resolution know? Probes, beside the pixels and the same network
/// with random weights.
///
/// Without arguments: the built-in model on the built-in faces, a line for each resolution and one
/// for all layers together.
#[derive(Debug, Parser)]
#[command(
    name = "vdvae-probe",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Predict targets of pictures with a saved probe
    Predict(predict::Args),
    /// List or clear the features that are kept on disk
    Cache {
        #[command(subcommand)]
        action: CacheCommand,
    },
}

#[derive(Debug, clap::Args)]
struct Args {
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// What is asked. Labels: toy-faces, celeba-attrs, cifar10, mnist, tiny-imagenet, folder:PATH,
    /// csv:FILE, hf:OWNER/REPO. Few labels: DATA-Nway-Kshot, where DATA is toy-faces, omniglot,
    /// tiny-imagenet, celeba or one of those above, or omniglot-runs. Faces: lfw-verification,
    /// celeba-verification, toy-faces-verification [example: --task omniglot-5way-1shot]
    #[arg(long, default_value = "toy-faces", value_name = "TASK")]
    task: String,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    probing: ProbingArgs,
    #[command(flatten)]
    episodes: EpisodeArgs,
    /// Pictures that pass through the network at once, on each thread [example: --batch-size 8]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Folder for results.json and results.csv [example: --out probes/celeba]
    #[arg(long, default_value = "vdvae-probe-out", value_name = "DIR")]
    out: PathBuf,
    /// Write the probe of the one selection asked for, for `vdvae-probe predict`
    /// [example: --save-probe smiling.safetensors]
    #[arg(long, value_name = "FILE")]
    save_probe: Option<PathBuf>,
}

/// Which features are read.
#[derive(Debug, clap::Args)]
struct SelectionArgs {
    /// Layers to read: all, of one resolution, one, or the first from the top; may be repeated.
    /// Without it: every resolution, and all together [example: --layer 32x32]
    #[arg(long, alias = "layers", value_name = "all|RxR|N|first:N")]
    layer: Vec<String>,
    /// Each layer alone, too [example: --per-layer]
    #[arg(long)]
    per_layer: bool,
    /// All layers from the top to the end of each resolution, too [example: --cumulative]
    #[arg(long)]
    cumulative: bool,
    /// Controls to run beside the latents: pixels, pca (of pixels), random-init, shuffled-labels,
    /// or none [example: --controls pixels,shuffled-labels]
    #[arg(long, value_delimiter = ',', default_value = "pixels,random-init", value_name = "LIST")]
    controls: Vec<String>,
    /// Components of control pca [example: --pca-columns 64]
    #[arg(long, default_value_t = 256, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=65536))]
    pca_columns: u32,
    /// Selections with more columns once more, reduced to N by principal components or by a random
    /// projection [example: --match-columns 256,projection]
    #[arg(long, value_name = "N[,pca|projection]")]
    match_columns: Option<String>,
    /// What is read from each layer [example: --statistic log-std]
    #[arg(long, default_value = "mean", value_name = "mean|z|log-std|state|activation")]
    statistic: String,
    /// How a layer's grid becomes columns [example: --pool mean]
    #[arg(long, default_value = "grid:4", value_name = "none|mean|grid:K")]
    pool: String,
    #[command(flatten)]
    samples: SamplesArg,
    /// What is cut from a picture before it is resized: the largest central square, nothing, or a
    /// central square of N pixels [default: square] [example: --crop 150]
    #[arg(long, value_name = "square|none|N")]
    crop: Option<Crop>,
    /// How it is resized [default: bilinear] [example: --resize bicubic]
    #[arg(long, value_name = "bilinear|bicubic|nearest")]
    resize: Option<Resize>,
}

/// How they are probed.
#[derive(Debug, clap::Args)]
struct ProbingArgs {
    /// Probes to run: logistic, ridge, knn (10 or 20 neighbours by cosine), centroid. Without it:
    /// logistic, or ridge where targets are real numbers. For few labels: cl2n (nearest centroid
    /// after centring and normalising, the default), centroid, knn (5 neighbours), logistic. For
    /// faces: cosine, euclidean, whitened, lda; without it cosine and lda
    /// [example: --probe logistic,knn]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    probe: Vec<String>,
    /// Which code fits logistic probes: batched takes every target and strength at once; linfa one
    /// after another, far slower [example: --solver linfa]
    #[arg(long, default_value = "batched", value_name = "batched|linfa")]
    solver: String,
    /// Penalties of logistic and ridge to choose from on validation: alpha of the summed loss,
    /// which is 1 / C; for few labels the one that logistic has
    /// [default: powers of ten from 1 to 1e6; 1 for few labels] [example: --strengths 1,10,100]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    strengths: Vec<f64>,
    /// Shares of the training and validation pictures to use, each subset part of the larger ones
    /// [example: --train-fraction 0.01,0.1,1]
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "LIST")]
    train_fraction: Vec<f64>,
    /// How many times such subsets are drawn, from --seed up; lines of the table are their means
    /// [example: --label-seeds 5]
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    label_seeds: u32,
    /// Bootstrap replicates of the 95% intervals [default: 1000] [example: --replicates 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    replicates: Option<u32>,
}

/// Sizes of tasks that draw episodes or pairs.
#[derive(Debug, clap::Args)]
struct EpisodeArgs {
    /// Few labels: episodes to draw [default: 600] [example: --episodes 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    episodes: Option<u32>,
    /// Few labels: pictures of each class to classify in an episode [default: 15]
    /// [example: --queries 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    queries: Option<u32>,
    /// Faces: folds, without a person in common [default: 10] [example: --folds 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    folds: Option<u32>,
    /// Faces: pairs of each fold, half of them of one person [default: 600] [example: --pairs 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pairs: Option<u32>,
}

/// What to do where a GPU has too little memory.
const LESS_MEMORY: &str = "a smaller --batch-size, or --precision bf16,";

/// Entry point of `vdvae-probe`.
pub fn main() -> ExitCode {
    match parse::<Cli>() {
        Ok(Cli { common, verb: Some(Verb::Predict(args)), .. }) => {
            exit_with(predict::run(&args, &common), LESS_MEMORY)
        }
        Ok(Cli { common, verb: Some(Verb::Cache { action }), args }) => {
            exit_with(args.cache.run(action, common.json), LESS_MEMORY)
        }
        Ok(Cli { common, verb: None, args }) => exit_with(run(&args, &common), LESS_MEMORY),
        Err(code) => code,
    }
}

fn run(args: &Args, common: &Common) -> Result<()> {
    common.set_up()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot create", args.out.display()))?;
    for name in ["results.json", "results.csv", "report.html"] {
        check_writable(&args.out.join(name))?;
    }
    let outcome = Plan::new(args, common)
        .and_then(|plan| run::run(&plan, args).map(|outcome| (plan, outcome)));
    let (plan, run::Outcome { report, scored, illustrations }) = outcome.inspect_err(|_| {
        // A folder that is still empty goes again; one with results is no empty folder and stays.
        let _ = std::fs::remove_dir(&args.out);
    })?;
    let page = page::page(&plan, &report, &scored, illustrations);
    write_page(&args.out.join("report.html"), &page)?;
    if common.json {
        return print(&results_json(&report)?);
    }
    let mut text = report_table(&report);
    // One selection is a question about its targets.
    if let Some(result) = run::only_latents(&scored.targets) {
        text += &format!("\n{}", targets_table(result));
    }
    print(&text)
}
