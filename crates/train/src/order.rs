//! Which pictures a step sees.
//!
//! The pictures form one endless row: a permutation of the data set for every epoch, one after the
//! other, each a function of (seed, epoch) alone. Step t takes the t-th batch from that row, so a
//! batch may hold the end of one epoch and the start of the next; none is dropped, and any step
//! can be repeated without those before it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// One picture of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pick {
    /// Index in the training split.
    pub(crate) index: usize,
    /// Whether it is mirrored.
    pub(crate) flip: bool,
    /// Pixels it is moved right and down by, after that.
    pub(crate) shift: [isize; 2],
}

/// How pictures are varied.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Augmentation {
    /// Whether every picture is mirrored with probability one half.
    pub(crate) flip: bool,
    /// The most pixels it is moved by, in every direction with the same probability.
    pub(crate) shift: usize,
}

/// The row of pictures of a run; it remembers the permutation of the epoch asked for last.
#[derive(Debug)]
pub(crate) struct Order {
    seed: u64,
    images: usize,
    augmentation: Augmentation,
    epoch: u64,
    permutation: Vec<usize>,
}

/// What a stream of random numbers is for: each purpose has its own.
#[derive(Clone, Copy)]
enum Purpose {
    Permutation = 1,
    Flip = 2,
    Shift = 3,
}

fn stream(seed: u64, purpose: Purpose, number: u64) -> ChaCha8Rng {
    let mut key = *b"........vdvae-train order.......";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[31] = purpose as u8;
    let mut random = ChaCha8Rng::from_seed(key);
    random.set_stream(number);
    random
}

/// The permutation of one epoch (Fisher and Yates). Written out, because resuming must not depend
/// on a library's choice of algorithm.
fn permutation(seed: u64, epoch: u64, images: usize) -> Vec<usize> {
    let mut random = stream(seed, Purpose::Permutation, epoch);
    let mut indices: Vec<usize> = (0..images).collect();
    for last in (1..images).rev() {
        indices.swap(last, below(&mut random, last + 1));
    }
    indices
}

/// A number below `end`: the high half of a product, uniform up to a bias of `end`/2⁶⁴.
fn below(random: &mut ChaCha8Rng, end: usize) -> usize {
    ((u128::from(random.next_u64()) * end as u128) >> 64) as usize
}

impl Order {
    /// # Panics
    /// If there are no images.
    pub(crate) fn new(seed: u64, images: usize, augmentation: Augmentation) -> Self {
        assert!(images > 0, "the split was checked to hold a picture");
        Self { seed, images, augmentation, epoch: 0, permutation: permutation(seed, 0, images) }
    }

    /// The pictures of a step, counted from 0.
    pub(crate) fn batch(&mut self, step: u64, batch_size: usize) -> Vec<Pick> {
        let first = step * batch_size as u64;
        (first..first + batch_size as u64).map(|position| self.at(position)).collect()
    }

    fn at(&mut self, position: u64) -> Pick {
        let epoch = position / self.images as u64;
        if epoch != self.epoch {
            self.permutation = permutation(self.seed, epoch, self.images);
            self.epoch = epoch;
        }
        let index = self.permutation[(position % self.images as u64) as usize];
        let random = |purpose| stream(self.seed, purpose, position);
        let Augmentation { flip, shift: most } = self.augmentation;
        let flip = flip && random(Purpose::Flip).next_u32() & 1 == 1;
        let mut shift = [0; 2];
        if most > 0 {
            let random = &mut random(Purpose::Shift);
            shift = shift.map(|_: isize| below(random, 2 * most + 1) as isize - most as isize);
        }
        Pick { index, flip, shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Augmentation = Augmentation { flip: false, shift: 0 };
    const BOTH: Augmentation = Augmentation { flip: true, shift: 2 };

    fn indices(order: &mut Order, step: u64, batch_size: usize) -> Vec<usize> {
        order.batch(step, batch_size).iter().map(|pick| pick.index).collect()
    }

    #[test]
    fn a_step_does_not_depend_on_those_before_it() {
        let mut straight = Order::new(3, 10, BOTH);
        let all: Vec<_> = (0..20).map(|step| straight.batch(step, 4)).collect();
        for step in [17, 2, 11] {
            assert_eq!(Order::new(3, 10, BOTH).batch(step, 4), all[step as usize]);
            assert_eq!(straight.batch(step, 4), all[step as usize], "after other epochs");
        }
    }

    #[test]
    fn every_epoch_holds_every_picture_once_in_its_own_order() {
        let mut order = Order::new(0, 7, NONE);
        // Batches of 3 do not divide 7: they go on into the next epoch.
        let row: Vec<usize> = (0..7).flat_map(|step| indices(&mut order, step, 3)).collect();
        for epoch in row.chunks(7) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert_ne!(row[..7], row[7..14]);
        assert_ne!(row[..7], indices(&mut Order::new(1, 7, NONE), 0, 7));
        // More than an epoch in one batch.
        assert_eq!(indices(&mut Order::new(0, 7, NONE), 0, 21), row);
    }

    #[test]
    fn half_of_the_pictures_are_flipped_when_asked_for() {
        let count = |augmentation| {
            Order::new(5, 10, augmentation).batch(0, 2000).iter().filter(|pick| pick.flip).count()
        };
        // Five standard deviations of a fair coin: 5 √2000/2 = 112.
        assert!(count(BOTH).abs_diff(1000) < 112, "{}", count(BOTH));
        assert_eq!(count(NONE), 0);
    }

    #[test]
    fn every_shift_is_as_likely_as_any_other_and_flips_do_not_depend_on_it() {
        let picks = Order::new(5, 10, BOTH).batch(0, 2500);
        for (down, right) in (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right))) {
            let count = picks.iter().filter(|pick| pick.shift == [right, down]).count();
            // Five standard deviations of 2,500 draws of one in 25: 49.
            assert!(count.abs_diff(100) < 49, "{right}, {down}: {count}");
        }
        let flipped = Order::new(5, 10, Augmentation { shift: 0, ..BOTH }).batch(0, 2500);
        assert!(flipped.iter().zip(&picks).all(|(a, b)| a.flip == b.flip && a.shift == [0, 0]));
    }

    /// The order of a seed is part of every run that can be resumed: it may not drift.
    #[test]
    fn the_order_of_a_seed_is_pinned() {
        assert_eq!(permutation(0, 0, 8), [2, 5, 0, 6, 7, 4, 1, 3]);
    }
}
