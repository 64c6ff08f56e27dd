//! `vdvae convert`.

use std::path::PathBuf;

use anyhow::Result;
use vdvae_model::write_safetensors;

use crate::exit::usage;
use crate::model::{NetworkArgs, ReadCheckpoint, read_checkpoint};
use crate::output::{check_writable, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Checkpoint to read: PyTorch .th (zip or legacy), .safetensors, hf:OWNER/REPO[/FILE], or the
    /// name of published weights that `vdvae fetch` has brought
    input: PathBuf,
    /// File to write, .safetensors
    output: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if args.output.extension().is_none_or(|ending| ending != "safetensors") {
        return Err(usage(format!(
            "{}: expected a name that ends in .safetensors",
            args.output.display()
        )));
    }
    check_writable(&args.output)?;
    let ReadCheckpoint { checkpoint, config, .. } = read_checkpoint(&args.input, &args.network)?;
    if let Some(found) = checkpoint.weights.not_finite() {
        eprintln!("warning: a weight is not finite, so nothing computes with them: {found}");
    }
    let sha256 =
        write_safetensors(&args.output, &checkpoint.weights, &config, &checkpoint.metadata)?;
    print(&format!(
        "{}: {} parameters, sha256 {sha256}",
        args.output.display(),
        config.num_parameters()
    ))
}
