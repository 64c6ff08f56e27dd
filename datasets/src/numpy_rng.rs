//! numpy's legacy `RandomState(seed).permutation(n)`, bit for bit.
//!
//! The reference splits its data sets with it (directly, and through scikit-learn's
//! `train_test_split`). Generator: Matsumoto and Nishimura, Mersenne Twister, ACM TOMACS 8(1),
//! 1998; bounded numbers by masked rejection, as numpy's legacy `random_interval`.

use rand_mt::Mt;

/// Uniform in `0..=max`.
fn below_or_equal(rng: &mut Mt, max: u32) -> u32 {
    if max == 0 {
        return 0;
    }
    let mask = u32::MAX >> max.leading_zeros();
    loop {
        let value = rng.next_u32() & mask;
        if value <= max {
            return value;
        }
    }
}

/// `numpy.random.RandomState(seed).permutation(n)`: the numbers `0..n` in a shuffled order.
///
/// # Panics
/// If `n` does not fit in 32 bits.
pub fn numpy_permutation(seed: u32, n: usize) -> Vec<usize> {
    assert!(u32::try_from(n).is_ok(), "a permutation of {n} numbers needs 64-bit draws");
    let mut rng = Mt::new(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, below_or_equal(&mut rng, i as u32) as usize);
    }
    order
}

/// scikit-learn's `train_test_split(range(n), test_size=held_out, random_state=seed)`:
/// (train, held out), each in scikit-learn's order.
pub(crate) fn train_test_split(seed: u32, n: usize, held_out: usize) -> (Vec<usize>, Vec<usize>) {
    let mut test = numpy_permutation(seed, n);
    let train = test.split_off(held_out);
    (train, test)
}

#[cfg(test)]
mod tests {
    use super::*;

    // numpy 2.4.6: np.random.RandomState(42).permutation(20).tolist()
    const SEED_42: [usize; 20] =
        [0, 17, 15, 1, 8, 5, 11, 3, 18, 16, 13, 2, 9, 19, 4, 12, 7, 10, 14, 6];

    #[test]
    fn small_permutations_are_those_of_numpy() {
        assert_eq!(numpy_permutation(42, 20), SEED_42);
        assert_eq!(numpy_permutation(42, 1), [0]);
        assert!(numpy_permutation(42, 0).is_empty());
    }

    #[test]
    fn the_ffhq_permutation_is_that_of_numpy() {
        // hashlib.sha256(np.random.RandomState(5).permutation(70000).astype('<u4').tobytes())
        let order = numpy_permutation(5, 70_000);
        assert_eq!(order[..8], [6628, 2777, 7414, 63950, 44249, 21506, 62844, 12260]);
        let bytes: Vec<u8> = order.iter().flat_map(|&i| (i as u32).to_le_bytes()).collect();
        let expected = "33be8e3c398c303f5407f07229f4be8f1303aa65efeeff828044e9b545c9c11d";
        assert_eq!(vdvae_io::sha256(bytes), expected);
    }

    #[test]
    fn the_cifar_split_is_that_of_scikit_learn() {
        // scikit-learn 1.9.1: train_test_split(range(50000), test_size=5000, random_state=11172018)
        let (train, valid) = train_test_split(11_172_018, 50_000, 5000);
        assert_eq!(train[..6], [28062, 8836, 24693, 36105, 26494, 7812]);
        assert_eq!(train[44_997..], [29869, 7348, 29029]);
        assert_eq!(valid[..6], [38899, 48321, 12222, 16844, 47067, 26668]);
        assert_eq!(valid[4997..], [39045, 25253, 29250]);
    }
}
