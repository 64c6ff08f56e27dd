//! The evidence lower bound on validation pictures.

use candle_core::Tensor;
use vdvae_datasets::{AHEAD_OF_GPU, Batches, Dataset, OnBadImage, Preparation, Split, read_ahead};
use vdvae_model::{Evaluation, Noise};

use crate::{Network, Result, TrainConfig};

/// The mean over evenly spaced pictures of the validation split, with the same noise each time.
pub(crate) fn evaluate<N: Network>(
    model: &N,
    dataset: &dyn Dataset,
    preparation: Preparation,
    on_bad_image: OnBadImage,
    config: &TrainConfig,
) -> Result<Evaluation> {
    let batches = Batches::new(dataset, Split::Valid, preparation)
        .on_bad_image(on_bad_image)
        .evenly_spaced(config.eval_images)
        .size(config.batch_size);
    let ahead = if model.device().is_cpu() { 0 } else { AHEAD_OF_GPU };
    read_ahead(ahead, batches, |batches| {
        let size = N::image_size(model.config());
        let mut batches = batches.map(|batch| {
            let pixels = batch?.pixels;
            let shape = (pixels.len() / (3 * size * size), size, size, 3);
            Ok(Tensor::from_vec(pixels, shape, model.device())?)
        });
        model.evaluate(&mut batches, Noise::Seeded { seed: config.seed, first: 0 })
    })
}
