//! Classes of a folder's pictures, compared between splits.

use std::collections::BTreeSet;

use super::layout::{Misfit, Placed};
use crate::Split;
use crate::left_out::list;
use crate::names::alike;

/// Names of the class folders in sorted order; `None` for flat folders.
pub(super) fn classes(splits: &[Vec<Placed<'_>>; 3]) -> Result<Option<Vec<String>>, Misfit> {
    let all = || splits.iter().flatten();
    let flat = all().find(|picture| picture.class.is_none());
    let nested = all().find(|picture| picture.class.is_some());
    match (flat, nested) {
        (_, None) => Ok(None),
        (Some(flat), Some(nested)) => Err(Misfit {
            expected: "every picture in a class folder, or none (has a split no labels?)"
                .to_owned(),
            found: format!("{} beside {}", flat.file, nested.file),
        }),
        (None, Some(_)) => {
            let names: BTreeSet<&str> = all().filter_map(|picture| picture.class).collect();
            Ok(Some(names.into_iter().map(str::to_owned).collect()))
        }
    }
}

/// Compares the published classes of `valid` and `test` with those of `train`, and returns remarks.
///
/// A class that training lacks is an error, unless the classes of every split are apart and there
/// are several, as in data sets for few-shot episodes.
pub(super) fn check_classes(splits: &[Vec<Placed<'_>>; 3]) -> Result<Vec<String>, Misfit> {
    let of = |split: Split| {
        let pictures = &splits[split.position()];
        pictures.iter().filter_map(|picture| picture.class).collect::<BTreeSet<&str>>()
    };
    let train = of(Split::Train);
    let mut remarks = Vec::new();
    for names in alike(train.iter().copied()) {
        remarks
            .push(format!("classes that differ in the case of letters only: {}", names.join(", ")));
    }
    for split in [Split::Valid, Split::Test] {
        let classes = of(split);
        let lacking: Vec<&str> = classes.difference(&train).copied().collect();
        let expected = format!("the classes of {split} among those of train");
        for class in &lacking {
            let same = |name: &&&str| name.to_lowercase() == class.to_lowercase();
            if let Some(other) = train.iter().find(same) {
                let found = format!("{class}, and {other} in train: the case of letters differs");
                return Err(Misfit { expected, found });
            }
        }
        let Some(first) = lacking.first() else { continue };
        if lacking.len() < classes.len() || classes.len() < 2 {
            let pictures = splits[split.position()].iter();
            let count = pictures.filter(|picture| picture.class == Some(first)).count();
            let found =
                format!("{first} ({count} pictures) without training pictures (is it unlabelled?)");
            return Err(Misfit { expected, found });
        }
        let some: Vec<String> = lacking.iter().map(|name| (*name).to_owned()).collect();
        remarks.push(format!("no class of {split} is in train: {}", list(&some)));
    }
    Ok(remarks)
}
