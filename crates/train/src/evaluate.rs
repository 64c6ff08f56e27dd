//! The evidence lower bound on validation pictures.

use candle_core::Tensor;
use vdvae_datasets::{Dataset, OnBadImage, Preparation, Split, load_batch};
use vdvae_model::{Noise, Vdvae};

use crate::trainer::Likelihood;
use crate::{Result, TrainConfig};

/// The mean over evenly spaced pictures of the validation split, with the same noise each time.
pub(crate) fn evaluate(
    model: &Vdvae,
    dataset: &dyn Dataset,
    prep: &Preparation,
    on_bad: OnBadImage,
    config: &TrainConfig,
) -> Result<Likelihood> {
    let indices = evenly_spaced(dataset.len(Split::Valid), config.eval_images);
    let mut batches = Vec::new();
    for (number, chunk) in indices.chunks(config.batch_size).enumerate() {
        let batch = load_batch(dataset, Split::Valid, chunk, prep, on_bad)?;
        if batch.is_empty() {
            continue;
        }
        let shape = (batch.len(), prep.size, prep.size, 3);
        let images = Tensor::from_vec(batch.pixels, shape, model.device())?;
        let first = (number * config.batch_size) as u64;
        batches.push(model.loss(&images, Noise::Seeded { seed: config.seed, first })?);
    }
    Likelihood::of(&batches)
}

/// At most `count` of the numbers below `len`: neighbours are often alike (one person, one class).
fn evenly_spaced(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| (i as u128 * len as u128 / count as u128) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_spread_over_the_split() {
        assert_eq!(evenly_spaced(10, 4), [0, 2, 5, 7]);
        assert_eq!(evenly_spaced(3, 100), [0, 1, 2]);
        assert_eq!(evenly_spaced(0, 4), [0; 0]);
    }
}
