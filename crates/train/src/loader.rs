//! Batches of pictures in the order of a run.

use std::collections::HashMap;

use vdvae_datasets::{Dataset, OnBadImage, Preparation, Split, load_batch};

use crate::order::{Order, Pick};
use crate::{Error, Result, TrainConfig};

/// Prepared training sets up to this size are kept in memory: CIFAR-10 is, ImageNet is not.
const CACHE_BYTES: usize = 1 << 30;

/// Pictures as the network reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pixels {
    /// (N, size, size, 3), row-major.
    pub(crate) data: Vec<u8>,
    pub(crate) images: usize,
    /// Key and reason of every picture left out.
    pub(crate) skipped: Vec<(String, String)>,
}

/// Reads training pictures, and keeps them where they all fit.
pub(crate) struct Loader<'a> {
    dataset: &'a dyn Dataset,
    prep: Preparation,
    on_bad: OnBadImage,
    /// Prepared pictures by index.
    kept: HashMap<usize, Box<[u8]>>,
    keep: bool,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(dataset: &'a dyn Dataset, prep: Preparation, on_bad: OnBadImage) -> Self {
        let picture = prep.size * prep.size * 3;
        let keep = dataset.len(Split::Train).saturating_mul(picture) <= CACHE_BYTES;
        Self { dataset, prep, on_bad, kept: HashMap::new(), keep }
    }

    /// The pictures of a step in order, without those that were skipped.
    pub(crate) fn load(&mut self, picks: &[Pick]) -> Result<Pixels> {
        let missing: Vec<usize> =
            picks.iter().map(|pick| pick.index).filter(|i| !self.kept.contains_key(i)).collect();
        let batch = load_batch(self.dataset, Split::Train, &missing, &self.prep, self.on_bad)?;
        let size = self.prep.size * self.prep.size * 3;
        for (index, picture) in batch.indices.iter().zip(batch.pixels.chunks_exact(size)) {
            self.kept.insert(*index, picture.into());
        }
        let mut data = Vec::with_capacity(picks.len() * size);
        for pick in picks {
            match self.kept.get(&pick.index) {
                Some(picture) if pick.flip => mirror(picture, self.prep.size, &mut data),
                Some(picture) => data.extend_from_slice(picture),
                None => {} // bad, and to be skipped
            }
        }
        if !self.keep {
            self.kept.clear();
        }
        Ok(Pixels { images: data.len() / size, data, skipped: batch.skipped })
    }

    /// The batches of the steps from `first` on; a batch is decoded when it is asked for.
    pub(crate) fn batches(
        mut self,
        config: &TrainConfig,
        first: u64,
    ) -> impl Iterator<Item = Result<Pixels>> + Send + use<'a> {
        let (steps, asked) = (config.steps, config.batch_size);
        let mut order = Order::new(config.seed, self.dataset.len(Split::Train), config.flip);
        (first..steps).map(move |step| {
            let pixels = self.load(&order.batch(step, asked))?;
            let none = Error::NoPictures { step: step + 1, asked };
            if pixels.images == 0 { Err(none) } else { Ok(pixels) }
        })
    }
}

/// Appends a picture (size, size, 3) with every row reversed.
fn mirror(picture: &[u8], size: usize, out: &mut Vec<u8>) {
    for row in picture.chunks_exact(size * 3) {
        row.rchunks_exact(3).for_each(|pixel| out.extend_from_slice(pixel));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdvae_datasets::ToyFaces;

    #[test]
    fn batches_are_the_pictures_asked_for_whether_kept_or_not() {
        let faces = ToyFaces::new(0);
        let prep = Preparation::new(8);
        let picks = [5, 2, 5].map(|index| Pick { index, flip: false });
        let expected =
            load_batch(&faces, Split::Train, &[5, 2, 5], &prep, OnBadImage::Fail).unwrap().pixels;
        for keep in [true, false] {
            let mut loader = Loader::new(&faces, prep, OnBadImage::Fail);
            loader.keep = keep;
            for _ in 0..2 {
                let pixels = loader.load(&picks).unwrap();
                assert_eq!((&pixels.data, pixels.images), (&expected, 3));
            }
            assert_eq!(loader.kept.len(), if keep { 2 } else { 0 });
        }
    }

    #[test]
    fn flipped_rows_are_reversed_pixel_by_pixel() {
        let mut out = vec![];
        mirror(&[1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60], 2, &mut out);
        assert_eq!(out, [4, 5, 6, 1, 2, 3, 40, 50, 60, 10, 20, 30]);
    }
}
