//! Which class a row is of, and who is in it.

use std::collections::BTreeMap;

use vdvae_features::Targets;

/// The class of every row, or its group (a person) where rows have no class, numbered from 0 in
/// order; `None` where they have neither, and where columns of several kinds tell several classes, or
/// one that some rows lack.
pub fn class_of_rows(targets: &Targets, groups: Option<&[u64]>) -> Option<Vec<u32>> {
    let Targets::Several(parts) = targets else {
        return match targets {
            Targets::Classes { labels, .. } => Some(labels.clone()),
            _ => groups.map(dense),
        };
    };
    let classes = parts.iter().filter(|(_, part)| matches!(part, Targets::Classes { .. }));
    match classes.collect::<Vec<_>>()[..] {
        [] => groups.map(dense),
        [(_, only @ Targets::Classes { labels, .. })] => {
            let known = only.known_rows(labels.len()).len();
            (known == labels.len()).then(|| labels.clone())
        }
        _ => None,
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
        assert_eq!(identity_of_rows(&Targets::None, None), None);
    }

    #[test]
    fn of_several_kinds_one_column_of_classes_counts() {
        let class = |labels| Targets::Classes { names: vec!["a".into(), "b".into()], labels };
        let several = |parts: Vec<Targets>| {
            Targets::Several(parts.into_iter().map(|part| ("column".to_owned(), part)).collect())
        };
        let groups = Some(&[7, 3][..]);
        assert_eq!(class_of_rows(&several(vec![class(vec![1, 0])]), groups), Some(vec![1, 0]));
        assert_eq!(class_of_rows(&several(vec![Targets::None]), groups), Some(vec![1, 0]));
        let twice = several(vec![class(vec![1, 0]), class(vec![0, 1])]);
        assert_eq!(class_of_rows(&twice, groups), None);
        let unknown = several(vec![class(vec![1, u32::MAX])]);
        assert_eq!(class_of_rows(&unknown, groups), None);
    }
}
