//! Batches of pictures in the order of a run.

use std::collections::HashMap;

use vdvae_datasets::{Dataset, OnBadImage, Preparation, Split, load_batch};

use crate::order::{Augmentation, Order, Pick};
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
            // A bad one that is to be skipped was not kept.
            if let Some(picture) = self.kept.get(&pick.index) {
                vary(picture, self.prep.size, pick, &mut data);
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
        let augmentation = Augmentation { flip: config.flip, shift: config.shift };
        let mut order = Order::new(config.seed, self.dataset.len(Split::Train), augmentation);
        (first..steps).map(move |step| {
            let pixels = self.load(&order.batch(step, asked))?;
            let none = Error::NoPictures { step: step + 1, asked };
            if pixels.images == 0 { Err(none) } else { Ok(pixels) }
        })
    }
}

/// Appends a picture (size, size, 3), mirrored and moved as asked for; what it is moved away from is
/// filled with its nearest pixel.
fn vary(picture: &[u8], size: usize, pick: &Pick, out: &mut Vec<u8>) {
    if !pick.flip && pick.shift == [0, 0] {
        return out.extend_from_slice(picture);
    }
    let moved = |at: usize, by: isize| at.saturating_add_signed(-by).min(size - 1);
    for y in 0..size {
        let row = moved(y, pick.shift[1]) * size;
        for x in 0..size {
            let x = moved(x, pick.shift[0]);
            let x = if pick.flip { size - 1 - x } else { x };
            out.extend_from_slice(&picture[(row + x) * 3..][..3]);
        }
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
        let picks = [5, 2, 5].map(|index| Pick { index, flip: false, shift: [0, 0] });
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
    fn pictures_are_mirrored_then_moved_and_their_edges_repeated() {
        // Nine grey pixels.
        let varied = |flip, shift| {
            let picture: Vec<u8> = (1..=9).flat_map(|grey| [grey; 3]).collect();
            let mut out = vec![];
            vary(&picture, 3, &Pick { index: 0, flip, shift }, &mut out);
            assert!(out.chunks_exact(3).all(|pixel| pixel.iter().all(|value| *value == pixel[0])));
            out.into_iter().step_by(3).collect::<Vec<_>>()
        };
        assert_eq!(varied(false, [0, 0]), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(varied(true, [0, 0]), [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(varied(false, [1, 0]), [1, 1, 2, 4, 4, 5, 7, 7, 8]);
        assert_eq!(varied(false, [0, -2]), [7, 8, 9, 7, 8, 9, 7, 8, 9]);
        assert_eq!(varied(true, [-1, 1]), [2, 1, 1, 2, 1, 1, 5, 4, 4]);
        // Beyond the picture only its edge is left.
        assert_eq!(varied(false, [5, 0]), [1, 1, 1, 4, 4, 4, 7, 7, 7]);
    }

    #[test]
    fn channels_stay_in_their_order_when_a_picture_is_mirrored() {
        let mut out = vec![];
        let pick = Pick { index: 0, flip: true, shift: [0, 0] };
        vary(&[1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60], 2, &pick, &mut out);
        assert_eq!(out, [4, 5, 6, 1, 2, 3, 40, 50, 60, 10, 20, 30]);
    }
}
