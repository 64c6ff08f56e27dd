//! Whether every class that is tested can have been learned.

use std::collections::BTreeSet;

use vdvae_datasets::{Dataset, Labels, Split};

use crate::error::{Error, Result};

/// Fails where a class is tested that neither training nor validation shows, which the last fit is
/// made of: it may be the same as another, in other letters, or no class at all.
pub(super) fn check_known(data: &dyn Dataset) -> Result<()> {
    let [train, valid, test] = Split::ALL.map(|split| classes_of(data.labels(split)));
    for ((known, valid), (names, tested)) in train.iter().zip(valid).zip(test) {
        let seen = |class: &u32| known.1.contains(class) || valid.1.contains(class);
        if let Some(&class) = tested.iter().find(|class| !seen(class)) {
            let name = &names[class as usize];
            let alike = (0u32..).zip(&names).find(|(other, spelled)| {
                seen(other) && spelled.to_lowercase() == name.to_lowercase()
            });
            let hint = alike.map_or_else(String::new, |(_, alike)| {
                format!(" (is it `{}`?)", alike.escape_debug())
            });
            let problem = format!(
                "expected pictures of every class that is tested in train or valid, found none of \
                 `{}`{hint}",
                name.escape_debug()
            );
            return Err(Error::Unfit { what: data.name().to_owned(), problem });
        }
    }
    Ok(())
}

/// The names of classes, and which of them occur, of every column of classes.
fn classes_of(labels: Labels) -> Vec<(Vec<String>, BTreeSet<u32>)> {
    match labels {
        Labels::Classes { names, labels } => {
            let known = labels.into_iter().filter(|label| *label != Labels::UNKNOWN_CLASS);
            vec![(names, known.collect())]
        }
        Labels::Several(parts) => {
            parts.into_iter().flat_map(|(_, part)| classes_of(part)).collect()
        }
        _ => Vec::new(),
    }
}
