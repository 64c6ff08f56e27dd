//! What splits share that should keep them apart.

use std::collections::{HashMap, HashSet};

use vdvae_datasets::Split;
use vdvae_probes::{Leak, Shared};

/// The pictures of one split that were read, one entry a row.
pub(crate) struct Pictures {
    pub(crate) split: Split,
    pub(crate) keys: Vec<String>,
    pub(crate) groups: Option<Vec<u64>>,
    /// Hashes of the pixels.
    pub(crate) contents: Vec<u64>,
}

/// Groups, and pictures of one content, that two of the splits have.
pub(crate) fn leaks(splits: &[Pictures], allowed: bool) -> Vec<Leak> {
    let mut leaks = Vec::new();
    for (place, second) in splits.iter().enumerate() {
        for first in &splits[..place] {
            if let (Some(a), Some(b)) = (&first.groups, &second.groups) {
                leaks.extend(leak(Shared::Groups, first, second, [a, b]));
            }
            let contents = [&first.contents, &second.contents];
            leaks.extend(leak(Shared::Pictures, first, second, contents));
        }
    }
    leaks.iter_mut().for_each(|leak| leak.allowed = allowed);
    leaks
}

fn leak(what: Shared, first: &Pictures, second: &Pictures, of: [&Vec<u64>; 2]) -> Option<Leak> {
    let mut known: HashMap<u64, usize> = HashMap::new();
    for (row, &number) in of[0].iter().enumerate() {
        known.entry(number).or_insert(row);
    }
    let both: Vec<usize> =
        (0..of[1].len()).filter(|&row| known.contains_key(&of[1][row])).collect();
    let &row = both.first()?;
    Some(Leak {
        what,
        splits: [first.split.to_string(), second.split.to_string()],
        count: both.iter().map(|&row| of[1][row]).collect::<HashSet<_>>().len(),
        pictures: both.len(),
        example: [first.keys[known[&of[1][row]]].clone(), second.keys[row].clone()],
        allowed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(split: Split, groups: &[u64], contents: &[u64]) -> Pictures {
        Pictures {
            split,
            keys: (0..contents.len()).map(|row| format!("{split}{row}")).collect(),
            groups: Some(groups.to_vec()),
            contents: contents.to_vec(),
        }
    }

    #[test]
    fn groups_and_pictures_of_two_splits_are_found() {
        let splits = [
            pictures(Split::Train, &[1, 1, 2, 3], &[10, 11, 12, 13]),
            pictures(Split::Valid, &[4, 5], &[20, 11]),
            pictures(Split::Test, &[6, 3, 1, 3], &[30, 31, 32, 33]),
        ];
        let expected = |what, splits: [&str; 2], count, pictures, example: [&str; 2]| Leak {
            what,
            splits: splits.map(str::to_owned),
            count,
            pictures,
            example: example.map(str::to_owned),
            allowed: true,
        };
        let found = leaks(&splits, true);
        assert_eq!(
            found,
            [
                expected(Shared::Pictures, ["train", "valid"], 1, 1, ["train1", "valid1"]),
                expected(Shared::Groups, ["train", "test"], 2, 3, ["train3", "test1"]),
            ]
        );
        assert!(leaks(&splits[1..], false).is_empty());
    }
}
