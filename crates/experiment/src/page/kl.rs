//! How much information each layer holds about test pictures.

use candle_core::Tensor;
use vdvae_datasets::Split;
use vdvae_model::{LayerShape, Noise};
use vdvae_report::LayerKl;

use super::pictures::{batch, spread};
use crate::error::Result;
use crate::experiment::Experiment;

/// Test pictures the KL of the layers is a mean over.
const PICTURES: usize = 256;
/// Pictures that pass through the network at once for it.
const BATCH: usize = 16;

/// KL of every layer with seeded samples, and the number of test pictures it is a mean over.
pub(crate) fn kl_of_layers(experiment: &Experiment<'_>) -> Result<(Vec<LayerKl>, usize)> {
    let model = experiment.model;
    let shapes = model.config().latent_layers();
    let (mut nats, mut count) = (vec![0.0; shapes.len()], 0);
    let size = experiment.preparation.size;
    let split = Split::Test;
    for indices in spread(experiment.data_of(split).len(split), PICTURES).chunks(BATCH) {
        let batch = batch(experiment, split, indices)?;
        if batch.is_empty() {
            continue;
        }
        let shape = (batch.len(), size, size, 3);
        let pixels = Tensor::from_slice(&batch.pixels, shape, model.device())?;
        let noise = Noise::Seeded { seed: experiment.seed, first: count as u64 };
        model.loss_with(&pixels, noise, |layer, kl| {
            nats[layer] += kl.to_vec1::<f32>()?.iter().map(|&kl| f64::from(kl)).sum::<f64>();
            Ok(())
        })?;
        count += batch.len();
    }
    let layer = |(shape, nats): (&LayerShape, f64)| LayerKl {
        index: shape.index,
        resolution: shape.resolution,
        kl_nats: nats / count.max(1) as f64,
    };
    Ok((shapes.iter().zip(nats).map(layer).collect(), count))
}
