//! `vdvae eval`.

use std::fmt::Write;

use anyhow::Result;
use candle_core::Tensor;
use serde_json::json;
use vdvae_datasets::{Dataset, Preparation, Split, load_batch};
use vdvae_model::{Noise, Vdvae};

use crate::common::Common;
use crate::data::DataArgs;
use crate::exit::usage;
use crate::model::ModelArgs;
use crate::output::{print, progress, report_skipped};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Data set, with its folder after a colon [example: --data cifar10:data/cifar10]
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]")]
    data: String,
    #[command(flatten)]
    source: DataArgs,
    /// Split to evaluate [example: --split test]
    #[arg(long, default_value = "test", value_name = "train|valid|test")]
    split: String,
    /// Latents: seeded samples, or posterior means [example: --posterior mean]
    #[arg(long, default_value = "sample", value_name = "sample|mean")]
    posterior: String,
    /// Pictures at once [example: --batch-size 16]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
}

/// Sums over pictures.
#[derive(Debug, Default)]
struct Totals {
    images: usize,
    distortion: f64,
    rate: f64,
    kl: Vec<f64>,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    let split: Split = args.split.parse().map_err(usage)?;
    let on_bad = args.source.on_bad_image;
    let seeded = match args.posterior.as_str() {
        "sample" => true,
        "mean" => false,
        other => {
            return Err(usage(format!("--posterior: expected sample or mean, found `{other}`")));
        }
    };
    let loaded = args.model.load(common)?;
    let model = &loaded.model;
    let dataset = args.source.open(&args.data, &[split])?;
    dataset.require(&[split])?;

    let preparation = Preparation::new(model.config().image_size);
    let total = dataset.len(split);
    let bar = progress(total as u64, "evaluating");
    let mut totals =
        Totals { kl: vec![0.0; model.config().latent_layers().len()], ..Totals::default() };
    for start in (0..total).step_by(args.batch_size as usize) {
        let indices: Vec<usize> = (start..total.min(start + args.batch_size as usize)).collect();
        let batch = load_batch(dataset.as_ref(), split, &indices, &preparation, on_bad)?;
        report_skipped(&batch.skipped);
        bar.inc(indices.len() as u64);
        if batch.is_empty() {
            continue;
        }
        let noise = match seeded {
            true => Noise::Seeded { seed: common.seed, first: totals.images as u64 },
            false => Noise::Zero,
        };
        add_batch(&mut totals, model, &batch.pixels, batch.len(), noise)?;
    }
    bar.finish_and_clear();
    if totals.images == 0 {
        anyhow::bail!("{}: no picture of split `{split}` could be read", dataset.name());
    }
    report(&totals, &loaded.name, &loaded.sha256, model, dataset.as_ref(), split, &args, common)
}

fn add_batch(
    totals: &mut Totals,
    model: &Vdvae,
    pixels: &[u8],
    n: usize,
    noise: Noise,
) -> Result<()> {
    let size = model.config().image_size;
    let pixels = Tensor::from_slice(pixels, (n, size, size, 3), model.device())?;
    // Asked for at the end: a GPU would be waited for at every layer.
    let mut layers = Vec::with_capacity(totals.kl.len());
    let (terms, _) = model.loss_with(&pixels, noise, |_, nats| {
        layers.push(nats.clone());
        Ok(())
    })?;
    for (total, nats) in totals.kl.iter_mut().zip(&layers) {
        *total += sum(nats)?;
    }
    totals.images += n;
    totals.distortion += sum(&terms.distortion)?;
    totals.rate += sum(&terms.rate)?;
    Ok(())
}

fn sum(values: &Tensor) -> vdvae_model::Result<f64> {
    Ok(values.to_vec1::<f32>()?.iter().map(|&v| f64::from(v)).sum())
}

#[allow(clippy::too_many_arguments)]
fn report(
    totals: &Totals,
    name: &str,
    sha256: &str,
    model: &Vdvae,
    dataset: &dyn Dataset,
    split: Split,
    args: &Args,
    common: &Common,
) -> Result<()> {
    let mean = |sum: f64| sum / totals.images as f64;
    let (distortion, rate) = (mean(totals.distortion), mean(totals.rate));
    let nats = distortion + rate;
    let bits = nats / std::f64::consts::LN_2;
    let shapes = model.config().latent_layers();
    let layers = || shapes.iter().map(|l| (l, mean(totals.kl[l.index])));
    if common.json {
        let layers: Vec<_> = layers()
            .map(|(l, kl)| json!({"index": l.index, "resolution": l.resolution, "kl_nats": kl}))
            .collect();
        return print(&serde_json::to_string_pretty(&json!({
            "images": totals.images, "nats_per_dim": nats, "bits_per_dim": bits,
            "distortion": distortion, "rate": rate, "layers": layers,
            "model": {"name": name, "sha256": sha256},
            "data": {"name": dataset.name(), "split": split.to_string()},
            "posterior": args.posterior, "seed": common.seed, "precision": model.precision(),
        }))?);
    }
    let mut text = format!(
        "{name} on {} {split}: {} images\nbits per dimension {bits:.4}   nats per dimension \
         {nats:.4} = distortion {distortion:.4} + rate {rate:.4}\n\nlayer  resolution  KL (nats)\n",
        dataset.name(),
        totals.images
    );
    for (l, kl) in layers() {
        let resolution = format!("{0}x{0}", l.resolution);
        writeln!(text, "{:>5}  {resolution:>10}  {kl:>9.3}", l.index)?;
    }
    print(&text)
}
