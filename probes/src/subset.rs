//! Nested subsets of labelled rows, for curves over the number of labels.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use vdvae_features::Targets;

/// Rows in an order of which every beginning is a subset, each contained in the longer ones: a
/// shuffle by `seed`, rearranged so that
/// - each class, or each value of a single binary target, has its share in every beginning;
/// - first of all come rows that show every class, or both values of every binary target, where
///   the rows have them.
///
/// Rows are drawn one by one, whatever group they belong to: labels are what is scarce.
pub fn nested_order(targets: &Targets, rows: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let order = by_share(order, targets);
    let mut seen = BTreeSet::new();
    // Every label of the row is noted, not only the first that is new.
    let shows_new =
        |row: &usize| labels_of(targets, *row).fold(false, |new, label| seen.insert(label) | new);
    let (mut first, rest): (Vec<usize>, Vec<usize>) = order.into_iter().partition(shows_new);
    first.extend(rest);
    first
}

/// `(target, value)` of every label of a row; the target of classes is 0.
fn labels_of(targets: &Targets, row: usize) -> Box<dyn Iterator<Item = (usize, u32)> + '_> {
    match targets {
        Targets::Binary { values, .. } => {
            let labels = (0..values.ncols()).map(move |target| (target, values[[row, target]]));
            Box::new(
                labels.filter_map(|(target, label)| Some((target, u32::try_from(label).ok()?))),
            )
        }
        Targets::Classes { labels, .. } => Box::new(std::iter::once((0, labels[row]))),
        Targets::Real { .. } | Targets::None | Targets::Several(_) => Box::new(std::iter::empty()),
    }
}

/// Rearranges rows so that the strata advance together: the i-th of n rows of a stratum stands
/// where (i + ½) / n of all rows have passed.
fn by_share(order: Vec<usize>, targets: &Targets) -> Vec<usize> {
    let single = match targets {
        Targets::Binary { names, .. } => names.len() == 1,
        Targets::Classes { .. } => true,
        Targets::Real { .. } | Targets::None | Targets::Several(_) => false,
    };
    if !single {
        return order;
    }
    let mut strata: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
    for row in order {
        let label = labels_of(targets, row).next().map(|(_, label)| label);
        strata.entry(label).or_default().push(row);
    }
    let mut placed: Vec<(f64, usize)> = Vec::new();
    for rows in strata.into_values() {
        let share = |index: usize| (index as f64 + 0.5) / rows.len() as f64;
        placed.extend(rows.iter().enumerate().map(|(index, &row)| (share(index), row)));
    }
    // Stable: strata of the same size take turns in the order of their labels.
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    placed.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn count(labels: &[u32], rows: &[usize], class: u32) -> usize {
        rows.iter().filter(|&&row| labels[row] == class).count()
    }

    #[test]
    fn classes_keep_their_shares_in_every_beginning() {
        // 600, 300, 99 and 1 rows.
        let labels: Vec<u32> = (0..1000)
            .map(|row| match row {
                0 => 3,
                row if row < 100 => 2,
                row if row < 400 => 1,
                _ => 0,
            })
            .collect();
        let names = ["a", "b", "c", "rare"].map(String::from).to_vec();
        let targets = Targets::Classes { names, labels: labels.clone() };
        let order = nested_order(&targets, 1000, 5);
        assert_eq!(order, nested_order(&targets, 1000, 5));
        assert_ne!(order, nested_order(&targets, 1000, 6));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        for (class, share) in [(0, 0.6), (1, 0.3), (2, 0.099)] {
            for size in [10, 100, 500] {
                let found = count(&labels, &order[..size], class) as f64;
                // One row more or less where shares round, one for the rare class's row.
                assert!((found - share * size as f64).abs() <= 2.0, "{class} {size}: {found}");
            }
        }
        let first: std::collections::BTreeSet<u32> =
            order[..4].iter().map(|&row| labels[row]).collect();
        assert_eq!(first.len(), 4);
    }

    #[test]
    fn both_values_of_every_target_come_first() {
        // Fifteen targets, each with seven positive rows of 2000 and some missing.
        let values = Array2::from_shape_fn((2000, 15), |(row, target)| match row % 285 {
            phase if phase == 3 * target => 1,
            200 => -1,
            _ => 0,
        });
        let names = (0..15).map(|target| target.to_string()).collect();
        let targets = Targets::Binary { names, values: values.clone() };
        let order = nested_order(&targets, 2000, 1);
        // One row shows every negative value, fifteen the positive ones.
        for target in 0..15 {
            let shown: Vec<i8> = order[..17].iter().map(|&row| values[[row, target]]).collect();
            assert!(shown.contains(&1) && shown.contains(&0), "{target}: {shown:?}");
        }
    }

    #[test]
    fn real_targets_and_none_are_shuffled() {
        let values = Array2::zeros((50, 1));
        for targets in [Targets::None, Targets::Real { names: vec!["x".into()], values }] {
            let order = nested_order(&targets, 50, 3);
            assert_ne!(order, (0..50).collect::<Vec<_>>());
            assert_eq!(order.len(), 50);
        }
    }
}
