//! How much information each layer holds about test pictures.

use vdvae_datasets::{AHEAD_OF_GPU, Batches, OnBadImage, Split, read_ahead};
use vdvae_model::{LayerShape, Noise};
use vdvae_report::LayerKl;

use crate::error::{Error, Result};
use crate::experiment::Experiment;

/// Test pictures the KL of the layers is a mean over.
const PICTURES: usize = 256;
/// Pictures that pass through the network at once for it.
const BATCH: usize = 16;

/// KL of every layer with seeded samples, and the number of test pictures it is a mean over.
pub(crate) fn kl_of_layers(experiment: &Experiment<'_>) -> Result<(Vec<LayerKl>, usize)> {
    let (model, split) = (experiment.model, Split::Test);
    let batches = Batches::new(experiment.data_of(split), split, experiment.preparation)
        .on_bad_image(OnBadImage::Skip)
        .evenly_spaced(PICTURES)
        .size(BATCH);
    let ahead = if model.device().is_cpu() { 0 } else { AHEAD_OF_GPU };
    let means = read_ahead(ahead, batches, |batches| {
        let batches = batches.map(|batch| Ok::<_, Error>(model.pixels(batch?.pixels)?));
        model.evaluate(batches, Noise::Seeded { seed: experiment.seed, first: 0 })
    })?;
    let layer = |(shape, kl): (&LayerShape, &f64)| LayerKl {
        index: shape.index,
        resolution: shape.resolution,
        kl_nats: if means.images == 0 { 0.0 } else { *kl },
    };
    let shapes = model.config().latent_layers();
    Ok((shapes.iter().zip(&means.kl_nats).map(layer).collect(), means.images))
}
