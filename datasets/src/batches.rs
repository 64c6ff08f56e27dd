//! The one loop over the pictures of a split: batch after batch, decoded in parallel.

use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::{Batch, Dataset, OnBadImage, Preparation, Result, Split, load_batch};

/// Pictures of one split as batches, in order: an iterator of [`Batch`].
///
/// The pictures of a batch are decoded on all threads when it is asked for, or before that with
/// [`read_ahead`]. Pictures that cannot be read are left out where [`Self::on_bad_image`] says so,
/// and each batch names its own, so a batch may be empty; none is shorter for another reason, except
/// the last. After an error there are no more batches.
///
/// ```
/// use vdvae_datasets::{Batches, Preparation, Split, ToyFaces};
///
/// let faces = ToyFaces::new(0);
/// let batches = Batches::new(&faces, Split::Test, Preparation::new(16)).range(0..10).size(4);
/// let sizes: Vec<usize> = batches.map(|batch| batch.map(|b| b.len())).collect::<Result<_, _>>()?;
/// assert_eq!(sizes, [4, 4, 2]);
/// # Ok::<(), vdvae_datasets::Error>(())
/// ```
#[derive(Clone)]
pub struct Batches<'a> {
    dataset: &'a dyn Dataset,
    split: Split,
    preparation: Preparation,
    on_bad_image: OnBadImage,
    size: usize,
    pictures: Pictures,
}

/// The pictures that are left.
#[derive(Clone)]
enum Pictures {
    Range(Range<usize>),
    Indices(std::vec::IntoIter<usize>),
}

impl<'a> Batches<'a> {
    /// Every picture of a split, 32 at once; one that cannot be read is an error.
    pub fn new(dataset: &'a dyn Dataset, split: Split, preparation: Preparation) -> Self {
        Self {
            dataset,
            split,
            preparation,
            on_bad_image: OnBadImage::Fail,
            size: 32,
            pictures: Pictures::Range(0..dataset.len(split)),
        }
    }

    /// What happens to a picture that cannot be read.
    pub fn on_bad_image(self, on_bad_image: OnBadImage) -> Self {
        Self { on_bad_image, ..self }
    }

    /// Pictures in a batch, at least 1.
    pub fn size(self, size: usize) -> Self {
        Self { size: size.max(1), ..self }
    }

    /// Only the pictures of a range.
    pub fn range(self, range: Range<usize>) -> Self {
        Self { pictures: Pictures::Range(range), ..self }
    }

    /// Only these pictures, in this order.
    pub fn indices(self, indices: Vec<usize>) -> Self {
        Self { pictures: Pictures::Indices(indices.into_iter()), ..self }
    }

    /// `count` pictures, evenly spaced over the split, or all where there are fewer: neighbours are
    /// often alike (one person, one class).
    pub fn evenly_spaced(self, count: usize) -> Self {
        let len = self.dataset.len(self.split);
        let count = count.min(len);
        let index = |i: usize| (i as u128 * len as u128 / count as u128) as usize;
        self.indices((0..count).map(index).collect())
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let indices: Vec<usize> = match &mut self.pictures {
            Pictures::Range(range) => range.take(self.size).collect(),
            Pictures::Indices(indices) => indices.take(self.size).collect(),
        };
        if indices.is_empty() {
            return None;
        }
        let Self { dataset, split, preparation, on_bad_image, .. } = self;
        let batch = load_batch(*dataset, *split, &indices, preparation, *on_bad_image);
        if batch.is_err() {
            self.pictures = Pictures::Range(0..0);
        }
        Some(batch)
    }
}

/// Batches that are worth decoding before a GPU asks for them. A CPU has no use for any: its threads
/// decode, or they compute.
pub const AHEAD_OF_GPU: usize = 4;

/// Hands `work` the same items, at most `ahead` of which were made by a thread before they are asked
/// for: batches are decoded while a GPU computes. With 0 there is no thread.
///
/// The thread ends after the last item, or when `work` returns and nobody wants another.
pub fn read_ahead<T: Send, R>(
    ahead: usize,
    mut items: impl Iterator<Item = T> + Send,
    work: impl FnOnce(&mut dyn Iterator<Item = T>) -> R,
) -> R {
    if ahead == 0 {
        return work(&mut items);
    }
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(ahead);
        scope.spawn(move || items.try_for_each(|item| sender.send(item)));
        let mut received = receiver.into_iter();
        work(&mut received)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ToyFaces};

    fn indices(batches: Batches<'_>) -> Vec<Vec<usize>> {
        batches.map(|batch| batch.unwrap().indices).collect()
    }

    #[test]
    fn every_picture_asked_for_comes_once_in_order() {
        let faces = ToyFaces::with_people(0, [1, 1, 1]);
        let batches = Batches::new(&faces, Split::Valid, Preparation::new(8)).size(8);
        let all: Vec<usize> = (0..faces.len(Split::Valid)).collect();
        let whole: Vec<Vec<usize>> = all.chunks(8).map(<[usize]>::to_vec).collect();
        assert_eq!(indices(batches.clone()), whole);
        assert_eq!(indices(batches.clone().range(3..6).size(2)), [vec![3, 4], vec![5]]);
        assert_eq!(indices(batches.clone().indices(vec![5, 2, 5])), [[5, 2, 5]]);
        assert_eq!(indices(batches.indices(vec![])), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn pictures_are_spread_over_the_split() {
        let faces = ToyFaces::with_people(0, [1, 1, 1]);
        let (split, len) = (Split::Valid, faces.len(Split::Valid));
        let spread = |count| {
            let batches = Batches::new(&faces, split, Preparation::new(4));
            indices(batches.evenly_spaced(count)).concat()
        };
        assert_eq!(spread(4), [0, len / 4, len / 2, 3 * len / 4]);
        assert_eq!(spread(1000), (0..len).collect::<Vec<_>>());
        assert_eq!(spread(0), [0; 0]);
    }

    #[test]
    fn nothing_follows_an_error() {
        let faces = ToyFaces::with_people(0, [1, 1, 1]);
        let batches = Batches::new(&faces, Split::Valid, Preparation::new(8));
        let mut batches = batches.indices(vec![0, 1_000_000, 1]).size(1);
        assert!(batches.next().unwrap().is_ok());
        assert!(matches!(batches.next(), Some(Err(Error::Index { .. }))));
        assert!(batches.next().is_none());
    }

    #[test]
    fn items_read_ahead_are_the_same_and_a_caller_may_stop() {
        for ahead in [0, 1, 3] {
            let items: Vec<i32> = read_ahead(ahead, 0..20, |items| items.collect());
            assert_eq!(items, (0..20).collect::<Vec<_>>());
            // Where the thread did not notice, this would never end.
            assert_eq!(read_ahead(ahead, 0.., |items| items.nth(4)), Some(4));
        }
    }
}
