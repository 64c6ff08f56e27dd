//! Which class a row is of, and who is in it.

use std::collections::BTreeMap;

use vdvae_features::Targets;

/// The class of every row, or its group (a person) where rows have no class; `None` where they have
/// neither, or where several kinds of targets may have several classes. Groups are numbered from 0 in their own order.
pub fn class_of_rows(targets: &Targets, groups: Option<&[u64]>) -> Option<Vec<u32>> {
    match (targets, groups) {
        (Targets::Classes { labels, .. }, _) => Some(labels.clone()),
        (Targets::Several(_), _) => None,
        (_, groups) => Some(dense(groups?)),
    }
}

/// The group (a person) of every row, or its class where rows have no groups; `None` where they have
/// neither.
pub fn identity_of_rows(targets: &Targets, groups: Option<&[u64]>) -> Option<Vec<u64>> {
    match (groups, targets) {
        (Some(groups), _) => Some(groups.to_vec()),
        (None, Targets::Classes { labels, .. }) => {
            Some(labels.iter().map(|&label| label.into()).collect())
        }
        _ => None,
    }
}

/// The places at which each of some values stands, rising.
pub(crate) fn places_by<K: Ord + Copy>(values: &[K]) -> BTreeMap<K, Vec<usize>> {
    let mut places: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (place, &value) in values.iter().enumerate() {
        places.entry(value).or_default().push(place);
    }
    places
}

/// Numbers from 0 in the order of the groups.
fn dense(groups: &[u64]) -> Vec<u32> {
    let mut known = groups.to_vec();
    known.sort_unstable();
    known.dedup();
    let place = |group: &u64| known.binary_search(group).expect("every group is known") as u32;
    groups.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_numbered_from_zero() {
        assert_eq!(dense(&[70, 5, 70, 900]), [1, 0, 1, 2]);
    }

    #[test]
    fn classes_stand_for_people_and_people_for_classes() {
        let classes = Targets::Classes { names: vec!["a".into(), "b".into()], labels: vec![1, 0] };
        let groups = Some(&[7, 3][..]);
        assert_eq!(class_of_rows(&classes, groups), Some(vec![1, 0]));
        assert_eq!(class_of_rows(&Targets::None, groups), Some(vec![1, 0]));
        assert_eq!(identity_of_rows(&classes, groups), Some(vec![7, 3]));
        assert_eq!(identity_of_rows(&classes, None), Some(vec![1, 0]));
        assert_eq!(class_of_rows(&Targets::None, None), None);
        assert_eq!(class_of_rows(&Targets::Several(Vec::new()), groups), None);
        assert_eq!(identity_of_rows(&Targets::None, None), None);
    }
}
