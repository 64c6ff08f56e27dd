//! What a folder or an archive holds and is not read, counted by reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{ending, is_unreadable};

/// Most names that a remark lists.
const LISTED: usize = 5;

/// Files and folders left out, by reason.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// Names, by what is wrong with them.
    names: BTreeMap<&'static str, BTreeSet<String>>,
    /// Files, by the endings of their names.
    by_ending: BTreeMap<String, usize>,
}

impl LeftOut {
    pub(crate) const HIDDEN: &str = "hidden files and folders";
    pub(crate) const BROKEN: &str = "links that lead nowhere";
    pub(crate) const READ_ALREADY: &str = "links to folders that are read already";
    pub(crate) const SPECIAL: &str = "special files";
    pub(crate) const AFTER_THE_END: &str = "what follows the end of a tar";

    /// A file or folder, for one of the reasons above. Nothing below it is counted.
    pub(crate) fn add(&mut self, reason: &'static str, name: &str) {
        let names = self.names.entry(reason).or_default();
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    /// A file that its name, or its contents where the name says nothing, shows to be no picture.
    pub(crate) fn other(&mut self, name: &str) {
        *self.by_ending.entry(ending(name).unwrap_or_default()).or_default() += 1;
    }

    /// A line for every reason.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for (reason, names) in &self.names {
            let count = names.len();
            remarks.push(format!("left out {reason} ({count}): {}", list(names)));
        }
        let (pictures, others): (Vec<_>, Vec<_>) =
            self.by_ending.iter().partition(|(ending, _)| is_unreadable(ending));
        for (files, reason) in [
            (pictures, "pictures of formats that are not read"),
            (others, "files that are no pictures by their names"),
        ] {
            let count: usize = files.iter().map(|(_, count)| **count).sum();
            if count > 0 {
                remarks.push(format!("left out {reason} ({count}): {}", endings(files)));
            }
        }
        remarks
    }
}

/// `.txt 10, .svg 2`, the most frequent first.
fn endings(mut files: Vec<(&String, &usize)>) -> String {
    files.sort_by_key(|&(_, count)| std::cmp::Reverse(*count));
    let text = |(ending, count): (&String, &usize)| match ending.as_str() {
        "" => format!("without an ending {count}"),
        ending => format!(".{ending} {count}"),
    };
    list(&files.into_iter().map(text).collect::<Vec<_>>())
}

/// The first few, and how many more there are.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let mut items = items.into_iter();
    let listed: Vec<&str> = items.by_ref().take(LISTED).map(String::as_str).collect();
    let more = items.count();
    let listed = listed.join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_by_reason() {
        let mut left_out = LeftOut::default();
        assert!(left_out.remarks().is_empty());
        ["a.txt", "b.TXT", "c.svg", "README", "d.csv"].iter().for_each(|name| left_out.other(name));
        left_out.add(LeftOut::HIDDEN, "@eaDir");
        left_out.add(LeftOut::HIDDEN, "@eaDir");
        (0..7).for_each(|i| left_out.add(LeftOut::BROKEN, &format!("l{i}")));
        assert_eq!(
            left_out.remarks(),
            [
                "left out hidden files and folders (1): @eaDir",
                "left out links that lead nowhere (7): l0, l1, l2, l3, l4 and 2 more",
                "left out pictures of formats that are not read (1): .svg 1",
                "left out files that are no pictures by their names (4): \
                 .txt 2, without an ending 1, .csv 1",
            ]
        );
    }
}
