//! Test pictures that have one value of a target in common.
//!
//! Targets follow each other: who reads that a face is a man's knows much about beards. What is scored
//! inside one value of a target owes nothing to that.

use std::fmt::Display;

use vdvae_datasets::{Dataset, Split};
use vdvae_features::Targets;

use crate::error::{Error, Result};

/// Ends the name of a column of classes among labels of several kinds.
const CLASSES: &str = ":class";

/// Test rows of one value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stratum {
    /// As [`vdvae_probes::ProbeResult::labels`] says it: `where Male is 1`.
    pub(super) words: String,
    /// Rising.
    pub(super) rows: Vec<usize>,
}

impl Stratum {
    /// The same pictures in a table of only these rows, rising.
    pub(super) fn among(&self, kept: &[usize]) -> Self {
        let place = |row: &usize| kept.binary_search(row).ok();
        let rows = self.rows.iter().filter_map(place).collect();
        Self { words: self.words.clone(), rows }
    }
}

/// For each of some targets its values, in order, that any test picture has.
pub(super) fn strata(of: &[String], test: &Targets) -> Vec<Stratum> {
    let columns = columns(test);
    let named = of.iter().flat_map(|name| columns.iter().find(|column| column.name == name));
    named.flat_map(Column::strata).filter(|stratum| !stratum.rows.is_empty()).collect()
}

/// Fails where one of these is no target with a few values.
pub(super) fn check_within(of: &[String], data: &dyn Dataset) -> Result<()> {
    let targets = Targets::from(&data.labels(Split::Test));
    let known: Vec<&str> = columns(&targets).into_iter().map(|column| column.name).collect();
    let Some(unknown) = of.iter().find(|name| !known.contains(&&name[..])) else { return Ok(()) };
    let expected = match known.is_empty() {
        true => "binary targets, or classes beside other targets".to_owned(),
        false => known.join(", "),
    };
    let problem = format!("expected {expected}; found {unknown}");
    Err(Error::Setting { setting: "within", problem })
}

/// A target with a few values.
struct Column<'a> {
    name: &'a str,
    values: Values<'a>,
}

/// One a row.
enum Values<'a> {
    /// 0 and 1; others are missing.
    Binary(Vec<i8>),
    Classes {
        names: &'a [String],
        labels: &'a [u32],
    },
}

impl Column<'_> {
    fn strata(&self) -> Vec<Stratum> {
        match &self.values {
            Values::Binary(values) => {
                [0, 1].map(|value| self.stratum(values, value, &value)).into()
            }
            Values::Classes { names, labels } => {
                let class = |(class, name): (u32, &String)| self.stratum(labels, class, name);
                (0..).zip(*names).map(class).collect()
            }
        }
    }

    /// The rows that have a value.
    fn stratum<T: PartialEq>(&self, values: &[T], value: T, of: &dyn Display) -> Stratum {
        let rows = (0..values.len()).filter(|row| values[*row] == value);
        Stratum { words: format!("where {} is {of}", self.name), rows: rows.collect() }
    }
}

/// Classes that stand alone have no name, and are none of them.
fn columns(targets: &Targets) -> Vec<Column<'_>> {
    match targets {
        Targets::Binary { names, values } => (names.iter().zip(values.columns()))
            .map(|(name, values)| Column { name, values: Values::Binary(values.to_vec()) })
            .collect(),
        Targets::Several(parts) => parts.iter().flat_map(columns_of_part).collect(),
        Targets::None | Targets::Classes { .. } | Targets::Real { .. } => Vec::new(),
    }
}

fn columns_of_part((name, part): &(String, Targets)) -> Vec<Column<'_>> {
    match (name.strip_suffix(CLASSES), part) {
        (Some(name), Targets::Classes { names, labels }) => {
            vec![Column { name, values: Values::Classes { names, labels } }]
        }
        (_, part) => columns(part),
    }
}

#[cfg(test)]
mod tests {
    use vdvae_datasets::Labels;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn stratum(words: &str, rows: &[usize]) -> Stratum {
        Stratum { words: words.to_owned(), rows: rows.to_vec() }
    }

    #[test]
    fn every_value_has_its_rows() {
        let values = vec![1, 0, 0, 0, -1, 0, 1, 0];
        let binary = Labels::Binary { names: names(&["man", "old"]), values };
        let labels = vec![2, Labels::UNKNOWN_CLASS, 0, 2];
        let kinds = Labels::Classes { names: names(&["a", "b", "c"]), labels };
        let expected = [stratum("where man is 0", &[1]), stratum("where man is 1", &[0, 3])];
        let found = |of: &[&str], labels: &Labels| strata(&names(of), &Targets::from(labels));
        assert_eq!(found(&["man"], &binary), expected);
        // A value that no picture has is passed over.
        let both = found(&["old", "man"], &binary);
        assert_eq!(both[0], stratum("where old is 0", &[0, 1, 2, 3]));
        assert_eq!(both[1..], expected);
        assert_eq!(found(&["kind"], &kinds), [], "it has no name");
        let several = [("binary".to_owned(), binary), ("kind:class".to_owned(), kinds)];
        let found = found(&["kind", "man"], &Labels::Several(several.into()));
        let kinds = [stratum("where kind is a", &[2]), stratum("where kind is c", &[0, 3])];
        assert_eq!((&found[..2], &found[2..]), (&kinds[..], &expected[..]));
    }

    #[test]
    fn rows_are_found_again_among_fewer() {
        let one = stratum("where man is 1", &[0, 3, 5]);
        assert_eq!(one.among(&[1, 3, 4, 5]), stratum("where man is 1", &[1, 3]));
    }
}
