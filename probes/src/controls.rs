//! Controls: what a probe scores when there is nothing to find.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use vdvae_features::FeatureTable;

/// The same features with the targets of other rows: one permutation, drawn from `seed`, moves
/// all targets of a row together, so that base rates and correlations between targets stay.
/// Groups follow the targets, because they say which *labels* are not independent.
///
/// Shuffle every split by its own call; a probe on the result should score at chance.
pub fn shuffle_targets(table: &FeatureTable, seed: u64) -> FeatureTable {
    let mut order: Vec<usize> = (0..table.rows()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    FeatureTable {
        targets: table.targets.select(&order),
        groups: table.groups.as_ref().map(|groups| order.iter().map(|&i| groups[i]).collect()),
        ..table.clone()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use vdvae_features::{FeatureColumn, Targets};

    use super::*;

    #[test]
    fn a_permutation_of_the_targets_pure_in_the_seed() {
        let table = FeatureTable {
            features: Array2::zeros((50, 1)),
            targets: Targets::Classes {
                names: (0..50).map(|i| i.to_string()).collect(),
                labels: (0..50).collect(),
            },
            keys: (0..50).map(|i| i.to_string()).collect(),
            groups: Some((0..50).collect()),
            columns: vec![FeatureColumn { layer: None, resolution: None, channel: 0, cell: 0 }],
        };
        let shuffled = shuffle_targets(&table, 1);
        assert_eq!(shuffled.targets, shuffle_targets(&table, 1).targets);
        assert_ne!(shuffled.targets, shuffle_targets(&table, 2).targets);
        let Targets::Classes { labels, .. } = &shuffled.targets else { panic!("{shuffled:?}") };
        let groups: Vec<u64> = labels.iter().map(|&l| u64::from(l)).collect();
        assert_eq!(shuffled.groups.as_deref(), Some(&groups[..]));
        let mut sorted = labels.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<u32>>());
        assert_eq!(shuffled.keys, table.keys);
    }
}
