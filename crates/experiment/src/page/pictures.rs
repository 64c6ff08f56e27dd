//! Pictures of the data set as the network sees them.

use std::collections::{BTreeMap, HashSet};

use image::RgbImage;
use vdvae_datasets::{Batch, OnBadImage, Split, load_batch};
use vdvae_features::FeatureTable;

use crate::error::Result;
use crate::experiment::Experiment;

/// `count` evenly spaced numbers below `len`: neighbours are often alike (one person, one class).
pub(super) fn spread(len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| i * len / count).collect()
}

/// Pictures by their numbers in a split, without those that cannot be read.
pub(super) fn batch(experiment: &Experiment<'_>, split: Split, indices: &[usize]) -> Result<Batch> {
    let dataset = experiment.data_of(split);
    Ok(load_batch(dataset, split, indices, &experiment.preparation, OnBadImage::Skip)?)
}

/// The pictures of a table's rows, by key.
pub(super) fn of_rows(
    experiment: &Experiment<'_>,
    split: Split,
    rows: &FeatureTable,
) -> Result<BTreeMap<String, RgbImage>> {
    let dataset = experiment.data_of(split);
    let wanted: HashSet<&String> = rows.keys.iter().collect();
    let indices: Vec<usize> =
        (0..dataset.len(split)).filter(|&i| wanted.contains(&dataset.key(split, i))).collect();
    let batch = batch(experiment, split, &indices)?;
    let size = experiment.preparation.size;
    let pictures = batch.indices.iter().zip(batch.pixels.chunks_exact(3 * size * size));
    let image = |pixels: &[u8]| RgbImage::from_raw(size as u32, size as u32, pixels.to_vec());
    Ok(pictures.filter_map(|(&i, pixels)| Some((dataset.key(split, i), image(pixels)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn pictures_are_spread_over_the_split() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(2, 12), [0, 1]);
        assert_eq!(spread(0, 12), [0; 0]);
    }
}
