//! The verbs of `vdvae`, one file each.

mod analyze;
mod args;
mod arrays;
mod convert;
mod decode;
mod edit;
mod eval;
mod extract;
mod fetch;
mod info;
mod interpolate;
mod like;
mod reconstruct;
mod sample;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::common::Common;
use crate::exit::{exit_with, parse};
use crate::train;

/// Train, evaluate, read, sample and convert Very Deep VAEs.
#[derive(Parser)]
#[command(name = "vdvae", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Train a network
    Train(train::TrainArgs),
    /// Measure the evidence lower bound: nats and bits per dimension, KL per layer
    Eval(eval::Args),
    /// Look at what every layer holds: information, reliability, and what labels can be read off it
    Analyze(analyze::Args),
    /// Write latents of every layer to npz, npy or safetensors
    Extract(extract::Args),
    /// Decode latents from a file; layers it lacks come from the prior
    Decode(decode::Args),
    /// Draw pictures from the prior
    Sample(sample::Args),
    /// Reconstruct pictures from the latents down to each resolution
    Reconstruct(reconstruct::Args),
    /// Move pictures along what a saved probe has learnt: a row of pictures, weaker to stronger
    Edit(edit::Args),
    /// Go from one picture to another through their latents
    Interpolate(interpolate::Args),
    /// Convert a checkpoint to one .safetensors file that carries its configuration
    Convert(convert::Args),
    /// Download published weights, CelebA, or a data set or model of the Hugging Face hub
    Fetch(fetch::Args),
    /// Describe a checkpoint: configuration, layers, parameters, step, hash
    Info(info::Args),
}

impl Verb {
    /// What to do where a GPU has too little memory.
    fn less_memory(&self) -> &'static str {
        match self {
            Self::Train(_) => "a smaller --batch-size, --recompute, or --precision bf16,",
            Self::Sample(_) | Self::Reconstruct(_) => "a smaller --num, or --precision bf16,",
            _ => "a smaller --batch-size, or --precision bf16,",
        }
    }
}

/// Entry point of `vdvae`.
pub fn main() -> ExitCode {
    let Cli { common, verb } = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let less_memory = verb.less_memory();
    let run = || {
        common.set_up()?;
        match verb {
            Verb::Train(args) => train::run(args, &common),
            Verb::Eval(args) => eval::run(args, &common),
            Verb::Analyze(args) => analyze::run(&args, &common),
            Verb::Extract(args) => extract::run(args, &common),
            Verb::Decode(args) => decode::run(args, &common),
            Verb::Sample(args) => sample::run(args, &common),
            Verb::Reconstruct(args) => reconstruct::run(args, &common),
            Verb::Edit(args) => edit::run(&args, &common),
            Verb::Interpolate(args) => interpolate::run(&args, &common),
            Verb::Convert(args) => convert::run(args),
            Verb::Fetch(args) => fetch::run(args, &common),
            Verb::Info(args) => info::run(args, &common),
        }
    };
    exit_with(run(), less_memory)
}
