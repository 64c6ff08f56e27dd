//! `vdvae-probe`: what the latents of each resolution know, beside controls.
//!
//! Flags ([`args`]) become an experiment ([`ask`]), which runs and is shown ([`run`](mod@run)).

mod args;
mod ask;
mod cache;
mod merge;
mod predict;
mod run;
mod tasks;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::common::Common;
use crate::exit::{exit_with, parse};
use args::Args;
use cache::CacheCommand;

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
    /// Put results of several runs side by side, with paired differences
    Merge(merge::Args),
    /// List or clear the features that are kept on disk
    Cache {
        #[command(subcommand)]
        action: CacheCommand,
    },
}

/// What to do where a GPU has too little memory.
const LESS_MEMORY: &str = "a smaller --batch-size, or --precision bf16,";

/// Entry point of `vdvae-probe`.
pub fn main() -> ExitCode {
    match parse::<Cli>() {
        Ok(Cli { common, verb: Some(Verb::Predict(args)), .. }) => {
            exit_with(predict::run(&args, &common), LESS_MEMORY)
        }
        Ok(Cli { common, verb: Some(Verb::Merge(args)), .. }) => {
            exit_with(merge::run(&args, &common), LESS_MEMORY)
        }
        Ok(Cli { common, verb: Some(Verb::Cache { action }), args }) => {
            exit_with(args.cache.run(action, common.json), LESS_MEMORY)
        }
        Ok(Cli { common, verb: None, args }) => exit_with(run::run(&args, &common), LESS_MEMORY),
        Err(code) => code,
    }
}
