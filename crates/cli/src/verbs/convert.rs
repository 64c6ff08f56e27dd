//! `vdvae convert`.

use std::path::PathBuf;

use anyhow::Result;
use vdvae_model::{Checkpoint, write_safetensors};

use crate::download::find_checkpoint;
use crate::exit::usage;
use crate::model::{NetworkArgs, usage_if_no_config};
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
    let given = args.network.config()?;
    check_writable(&args.output)?;
    let checkpoint = Checkpoint::read(find_checkpoint(&args.input)?)?;
    let config = checkpoint.resolve_config(given.as_ref()).map_err(usage_if_no_config)?;
    checkpoint.check(&config)?;
    let sha256 =
        write_safetensors(&args.output, &checkpoint.weights, &config, &checkpoint.metadata)?;
    print(&format!(
        "{}: {} parameters, sha256 {sha256}",
        args.output.display(),
        config.num_parameters()
    ))
}
