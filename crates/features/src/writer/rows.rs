//! What is known of the pictures whose features a file holds.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use vdvae_datasets::{Dataset, Labels, Split};

/// The rows of a file: some pictures of a split.
pub(super) struct Rows<'a> {
    pub(super) dataset: &'a dyn Dataset,
    pub(super) split: Split,
    /// Numbers of the pictures.
    pub(super) kept: Vec<usize>,
}

impl Rows<'_> {
    pub(super) fn keys(&self) -> impl Iterator<Item = String> + '_ {
        self.kept.iter().map(|&index| self.dataset.key(self.split, index))
    }

    /// The split that each picture has in its data set.
    pub(super) fn splits(&self) -> impl Iterator<Item = Split> + '_ {
        self.kept.iter().map(|&index| self.dataset.origin(self.split, index))
    }

    pub(super) fn groups(&self) -> Option<Vec<u64>> {
        let groups = self.dataset.groups(self.split)?;
        Some(self.kept.iter().map(|&index| groups[index]).collect())
    }

    /// One column a label, of the kind that its values have.
    pub(super) fn labels(&self) -> Vec<(String, LabelColumn)> {
        let mut columns = Vec::new();
        add_columns(&mut columns, "class", &self.dataset.labels(self.split), &self.kept);
        columns
    }

    /// A manifest, and keys, groups and labels in the order of the rows: written as it goes, since a
    /// data set may have millions of labels.
    pub(super) fn described<'a>(&'a self, manifest: &'a Value) -> impl Serialize + 'a {
        Manifest { manifest, rows: self }
    }
}

struct Manifest<'a> {
    manifest: &'a Value,
    rows: &'a Rows<'a>,
}

impl Serialize for Manifest<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { manifest, rows } = self;
        let mut map = to.serialize_map(None)?;
        for (name, value) in manifest.as_object().into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("keys", &Each(|| rows.keys()))?;
        if rows.splits().any(|split| split != rows.split) {
            map.serialize_entry("splits", &Each(|| rows.splits().map(|split| split.to_string())))?;
        }
        if let Some(groups) = rows.groups() {
            map.serialize_entry("groups", &groups)?;
        }
        let labels = &rows.dataset.labels(rows.split);
        map.serialize_entry("labels", &Known { labels, kept: &rows.kept })?;
        map.end()
    }
}

/// A list that is made while it is written.
struct Each<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq((self.0)())
    }
}

/// The labels of some pictures. A number or a class that is missing is null.
struct Known<'a> {
    labels: &'a Labels,
    kept: &'a [usize],
}

impl Serialize for Known<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { labels, kept } = *self;
        match labels {
            Labels::None => to.serialize_unit(),
            Labels::Classes { names, labels } => {
                let known = |&i: &usize| Some(labels[i]).filter(|l| *l != Labels::UNKNOWN_CLASS);
                named(to, "classes", names, &Each(|| kept.iter().map(known)))
            }
            Labels::Binary { names, values } => {
                let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
                named(to, "attributes", names, &Each(|| kept.iter().map(row)))
            }
            Labels::Real { names, values } => {
                let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
                named(to, "numbers", names, &Each(|| kept.iter().map(row)))
            }
            Labels::Several(parts) => to.collect_map([("several", Kinds { parts, kept })]),
        }
    }
}

fn named<S: Serializer>(
    to: S,
    kind: &'static str,
    names: &[String],
    values: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(2))?;
    map.serialize_entry(kind, names)?;
    map.serialize_entry("values", values)?;
    map.end()
}

/// Labels of several kinds, by their names.
struct Kinds<'a> {
    parts: &'a [(String, Labels)],
    kept: &'a [usize],
}

impl Serialize for Kinds<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let kept = self.kept;
        to.collect_map(self.parts.iter().map(|(name, labels)| (name, Known { labels, kept })))
    }
}

/// One value a picture; `None` where it is not known.
pub(super) enum LabelColumn {
    Text(Vec<Option<String>>),
    Boolean(Vec<Option<bool>>),
    Real(Vec<Option<f64>>),
}

fn add_columns(
    columns: &mut Vec<(String, LabelColumn)>,
    class: &str,
    labels: &Labels,
    kept: &[usize],
) {
    match labels {
        Labels::None => {}
        Labels::Classes { names, labels } => {
            // One that is not known has no name.
            let name = |&i: &usize| names.get(labels[i] as usize).cloned();
            let words = kept.iter().map(name).collect();
            columns.push((class.to_owned(), LabelColumn::Text(words)));
        }
        Labels::Binary { names, values } => {
            for (at, name) in names.iter().enumerate() {
                let value = |&i: &usize| match values[i * names.len() + at] {
                    -1 => None,
                    value => Some(value == 1),
                };
                let values = LabelColumn::Boolean(kept.iter().map(value).collect());
                columns.push((name.clone(), values));
            }
        }
        Labels::Real { names, values } => {
            for (at, name) in names.iter().enumerate() {
                let value = |&i: &usize| Some(values[i * names.len() + at]).filter(|v| !v.is_nan());
                let values = LabelColumn::Real(kept.iter().map(value).collect());
                columns.push((name.clone(), values));
            }
        }
        Labels::Several(parts) => {
            for (name, part) in parts {
                let class = name.strip_suffix(":class").unwrap_or(name);
                add_columns(columns, class, part, kept);
            }
        }
    }
}
