//! `vdvae info`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use crate::common::Common;
use crate::model::{ModelArgs, NetworkArgs, ReadCheckpoint};
use crate::output::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Checkpoint; the built-in model without it
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    let model = ModelArgs { checkpoint: args.checkpoint, network: args.network };
    let read = model.read()?;
    if common.json {
        return print(&serde_json::to_string_pretty(&as_json(&read)?)?);
    }
    print(&as_text(&read))
}

fn as_json(read: &ReadCheckpoint) -> Result<serde_json::Value> {
    let ReadCheckpoint { checkpoint, config, name } = read;
    let layers: Vec<_> = config
        .latent_layers()
        .iter()
        .map(|l| json!({"index": l.index, "resolution": l.resolution, "channels": l.channels}))
        .collect();
    Ok(json!({
        "name": name,
        "sha256": checkpoint.sha256,
        "config": serde_json::to_value(config)?,
        "parameters": config.num_parameters(),
        "layers": layers,
        "metadata": checkpoint.metadata,
        "remarks": checkpoint.remarks,
        "not_finite": checkpoint.weights.not_finite(),
    }))
}

fn as_text(read: &ReadCheckpoint) -> String {
    let ReadCheckpoint { checkpoint, config, name } = read;
    let layers = config.latent_layers();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<12} {value}").expect("writing to a string never fails");
    };
    line("name", name.clone());
    line("sha256", checkpoint.sha256.clone());
    line("pictures", format!("{0}x{0}", config.image_size));
    line("parameters", config.num_parameters().to_string());
    line("encoder", config.enc.to_string());
    line("decoder", config.dec.to_string());
    line("layers", format!("{} of {} channels", layers.len(), config.zdim));
    let mut resolutions: Vec<usize> = layers.iter().map(|l| l.resolution).collect();
    resolutions.dedup();
    for r in resolutions {
        let at: Vec<usize> = layers.iter().filter(|l| l.resolution == r).map(|l| l.index).collect();
        let (first, last) = (at[0], at[at.len() - 1]);
        line("", format!("{r}x{r}: layers {first} to {last}, width {}", config.width_at(r)));
    }
    if let Some(found) = checkpoint.weights.not_finite() {
        line("not finite", found);
    }
    for (name, value) in &checkpoint.metadata {
        line(name, value.clone());
    }
    line("config", config.to_json());
    text
}
