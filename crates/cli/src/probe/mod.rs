//! `vdvae-probe`: linear probes on the latents of each resolution, beside controls.

mod cache;
mod plan;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use vdvae_report::{report_table, results_json, targets_table};

use crate::common::{
    Common, DataArgs, ModelArgs, SamplesArg, check_writable, exit_with, parse, print,
};
use cache::{CacheArgs, CacheCommand};
use plan::Plan;

/// What do the latents of each resolution know? Linear probes, beside the pixels and the same
/// network with random weights.
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
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// What is predicted: toy-faces, celeba-attrs, cifar10, mnist, folder:PATH, or csv:FILE
    /// [example: --task celeba-attrs]
    #[arg(long, default_value = "toy-faces", value_name = "TASK")]
    task: String,
    #[command(flatten)]
    data: DataArgs,
    /// Layers to read: all, of one resolution, one, or the first from the top; may be repeated.
    /// Without it: every resolution, and all together [example: --layer 32x32]
    #[arg(long, alias = "layers", value_name = "all|RxR|N|first:N")]
    layer: Vec<String>,
    /// Each layer alone, too [example: --per-layer]
    #[arg(long)]
    per_layer: bool,
    /// Controls to run beside the latents: pixels, random-init, shuffled-labels, or none
    /// [example: --controls pixels]
    #[arg(long, value_delimiter = ',', default_value = "pixels,random-init", value_name = "LIST")]
    controls: Vec<String>,
    /// What is read from each layer [example: --statistic log-std]
    #[arg(long, default_value = "mean", value_name = "mean|z|log-std|state|activation")]
    statistic: String,
    #[command(flatten)]
    samples: SamplesArg,
    /// How a layer's grid becomes columns [example: --pool mean]
    #[arg(long, default_value = "grid:4", value_name = "none|mean|grid:K")]
    pool: String,
    /// Which code fits: batched takes every target and strength at once; linfa one after another,
    /// far slower [example: --solver linfa]
    #[arg(long, default_value = "batched", value_name = "batched|linfa")]
    solver: String,
    /// Penalties to choose from on validation: alpha of the summed loss, which is 1 / C
    /// [example: --strengths 1,10,100]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        default_value = "1,10,100,1000,10000,100000,1000000"
    )]
    strengths: Vec<f64>,
    /// Bootstrap replicates of the 95% intervals [example: --replicates 200]
    #[arg(long, default_value_t = 1000, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    replicates: u32,
    /// Pictures that pass through the network at once, on each thread [example: --batch-size 8]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Folder for results.json and results.csv [example: --out probes/celeba]
    #[arg(long, default_value = "vdvae-probe-out", value_name = "DIR")]
    out: PathBuf,
}

/// What the program does instead of probing.
#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// List or clear the features that are kept on disk
    Cache {
        #[command(subcommand)]
        action: CacheCommand,
    },
}

/// Entry point of `vdvae-probe`.
pub fn main() -> ExitCode {
    match parse::<Args>() {
        Ok(args) => exit_with(match args.command {
            Some(Command::Cache { action }) => args.cache.run(action, args.common.json),
            None => run(&args),
        }),
        Err(code) => code,
    }
}

fn run(args: &Args) -> Result<()> {
    args.common.set_up()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot create", args.out.display()))?;
    for name in ["results.json", "results.csv"] {
        check_writable(&args.out.join(name))?;
    }
    let outcome = Plan::new(args).and_then(|plan| run::run(&plan, args));
    let (report, details) = outcome.inspect_err(|_| {
        // A folder that is still empty goes again; one with results is no empty folder and stays.
        let _ = std::fs::remove_dir(&args.out);
    })?;
    if args.common.json {
        return print(&results_json(&report)?);
    }
    let mut text = report_table(&report);
    // One selection is a question about its targets.
    if let Some(result) = details {
        text += &format!("\n{}", targets_table(&result));
    }
    print(&text)
}
