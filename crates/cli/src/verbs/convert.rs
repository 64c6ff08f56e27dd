//! `vdvae convert`.

use std::path::PathBuf;

use anyhow::Result;
use vdvae_model::{write_safetensors, write_safetensors_f16};

use crate::exit::usage;
use crate::model::{NetworkArgs, ReadCheckpoint, read_checkpoint};
use crate::output::{check_writable, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Checkpoint to read: PyTorch .th (zip or legacy), .safetensors, hf:OWNER/REPO[/FILE], or a name
    input: PathBuf,
    /// File to write, .safetensors
    output: PathBuf,
    /// Numbers that are written: f16 rounds every weight, to half the size; all commands compute in
    /// float32 from either [example: --dtype f16]
    #[arg(long, value_enum, default_value = "f32", value_name = "f32|f16")]
    dtype: Dtype,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Dtype {
    F32,
    F16,
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
    let (weights, metadata) = (&checkpoint.weights, &checkpoint.metadata);
    let sha256 = match args.dtype {
        Dtype::F32 => write_safetensors(&args.output, weights, &config, metadata)?,
        Dtype::F16 => write_safetensors_f16(&args.output, weights, &config, metadata)?,
    };
    print(&format!(
        "{}: {} parameters, sha256 {sha256}",
        args.output.display(),
        config.num_parameters()
    ))
}
