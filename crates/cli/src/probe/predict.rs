//! `vdvae-probe predict`: a saved probe on pictures.

use std::path::PathBuf;

use anyhow::{Result, bail};
use ndarray::Array2;
use serde_json::json;
use vdvae_datasets::{OnBadImage, Preparation, Split};
use vdvae_features::{Extraction, FeatureSource};
use vdvae_probes::{Prediction, SavedProbe};
use vdvae_report::{predictions_csv, predictions_table};

use crate::common::Common;
use crate::data::PictureFiles;
use crate::model::{LoadedModel, ModelArgs};
use crate::output::print;

/// Predict targets of pictures with a probe that --save-probe wrote.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The saved probe [example: --probe smiling.safetensors]
    #[arg(long, value_name = "FILE")]
    probe: PathBuf,
    /// The network it was trained on
    #[command(flatten)]
    model: ModelArgs,
    /// Files of pictures
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Print comma-separated values instead of the table [example: --csv]
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Pictures that pass through the network at once, on each thread [example: --batch-size 8]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<()> {
    common.set_up()?;
    let probe = SavedProbe::load(&args.probe)?;
    let loaded = args.model.load(common)?;
    loaded.check_probe(&probe, &args.probe)?;
    let predictions = predict(args, &probe, &loaded)?;
    let images: Vec<String> = args.images.iter().map(|path| path.display().to_string()).collect();
    let targets = &probe.info.targets;
    if common.json {
        return print(&as_json(&probe, &images, &predictions)?);
    }
    match args.csv {
        true => print(&predictions_csv(&images, targets, &predictions)?),
        false => print(&predictions_table(&images, targets, &predictions)),
    }
}

/// `(images, targets)`.
fn predict(args: &Args, probe: &SavedProbe, loaded: &LoadedModel) -> Result<Array2<Prediction>> {
    let features = &probe.info.features;
    let extraction = Extraction {
        dataset: &PictureFiles { paths: args.images.clone() },
        split: Split::Test,
        preparation: Preparation::new(loaded.model.config().image_size),
        on_bad_image: OnBadImage::Fail,
        batch_size: args.batch_size as usize,
    };
    let source = FeatureSource::Latents {
        model: &loaded.model,
        spec: features.spec(),
        layers: features.layers,
    };
    let table = extraction.table(source)?;
    if table.features.ncols() != probe.columns() {
        let (columns, found) = (probe.columns(), table.features.ncols());
        bail!("{}: expected {columns} columns, found {found}", args.probe.display());
    }
    Ok(probe.predict(table.view())?)
}

fn as_json(
    probe: &SavedProbe,
    images: &[String],
    predictions: &Array2<Prediction>,
) -> Result<String> {
    let of_image = |(image, row): (&String, ndarray::ArrayView1<'_, Prediction>)| {
        let one = |(target, p): (&String, &Prediction)| json!({"target": target, "score": p.score, "probability": p.probability});
        let all: Vec<_> = probe.info.targets.iter().zip(row).map(one).collect();
        json!({"image": image, "predictions": all})
    };
    let all: Vec<_> = images.iter().zip(predictions.rows()).map(of_image).collect();
    Ok(serde_json::to_string_pretty(&json!({"probe": probe.info, "images": all}))?)
}
