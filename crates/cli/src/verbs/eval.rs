//! `vdvae eval`.

use anyhow::Result;
use serde_json::json;
use vdvae_datasets::read_ahead;
use vdvae_model::{Evaluation, Noise};

use super::args::{Opened, SplitArgs, ahead};
use crate::common::Common;
use crate::model::{LoadedModel, ModelArgs};
use crate::output::{print, progress, report_skipped};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pictures: SplitArgs,
    /// Latents: seeded samples, or posterior means [example: --posterior mean]
    #[arg(long, default_value = "sample", value_name = "sample|mean", value_parser = posterior)]
    posterior: Posterior,
}

/// What stands for a picture's latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Posterior {
    Sample,
    Mean,
}

fn posterior(text: &str) -> Result<Posterior, String> {
    match text {
        "sample" => Ok(Posterior::Sample),
        "mean" => Ok(Posterior::Mean),
        _ => Err(format!("expected sample or mean, found `{text}`")),
    }
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    let loaded = args.model.load(common)?;
    let model = &loaded.model;
    let opened = args.pictures.open()?;
    let noise = match args.posterior {
        Posterior::Sample => Noise::Seeded { seed: common.seed, first: 0 },
        Posterior::Mean => Noise::Zero,
    };
    let bar = progress(opened.len() as u64, "evaluating");
    let batches = args.pictures.batches(&opened, model.config().image_size);
    let means = read_ahead(ahead(model.device()), batches, |batches| {
        let pictures = batches.map(|batch| {
            let batch = batch?;
            report_skipped(&batch.skipped);
            bar.inc(batch.asked() as u64);
            Ok::<_, anyhow::Error>(model.pixels(batch.pixels)?)
        });
        model.evaluate(pictures, noise)
    })?;
    bar.finish_and_clear();
    if means.images == 0 {
        return Err(opened.none_read());
    }
    match common.json {
        true => print(&as_json(&means, &loaded, &opened, &args, common)?),
        false => print(&as_text(&means, &loaded, &opened)),
    }
}

fn as_json(
    means: &Evaluation,
    loaded: &LoadedModel,
    opened: &Opened,
    args: &Args,
    common: &Common,
) -> Result<String> {
    let shapes = loaded.model.config().latent_layers();
    let layers: Vec<_> = (shapes.iter().zip(&means.kl_nats))
        .map(|(l, kl)| json!({"index": l.index, "resolution": l.resolution, "kl_nats": kl}))
        .collect();
    let posterior = match args.posterior {
        Posterior::Sample => "sample",
        Posterior::Mean => "mean",
    };
    Ok(serde_json::to_string_pretty(&json!({
        "images": means.images,
        "nats_per_dim": means.nats_per_dim(), "bits_per_dim": means.bits_per_dim(),
        "distortion": means.distortion, "rate": means.rate, "layers": layers,
        "model": {"name": loaded.name, "sha256": loaded.sha256},
        "data": {"name": opened.dataset.name(), "split": opened.which.to_string()},
        "posterior": posterior, "seed": common.seed, "precision": loaded.model.precision(),
    }))?)
}

fn as_text(means: &Evaluation, loaded: &LoadedModel, opened: &Opened) -> String {
    let Evaluation { images, distortion, rate, kl_nats } = means;
    let (data, which) = (opened.dataset.name(), opened.which);
    let (bits, nats) = (means.bits_per_dim(), means.nats_per_dim());
    let mut text = format!(
        "{} on {data} {which}: {images} images\nbits per dimension {bits:.4}   nats per dimension \
         {nats:.4} = distortion {distortion:.4} + rate {rate:.4}\n\nlayer  resolution  KL (nats)\n",
        loaded.name
    );
    for (l, kl) in loaded.model.config().latent_layers().iter().zip(kl_nats) {
        let resolution = format!("{0}x{0}", l.resolution);
        text += &format!("{:>5}  {resolution:>10}  {kl:>9.3}\n", l.index);
    }
    text
}
