//! What is known of the pictures whose features a file holds.

use serde_json::{Map, Value, json};
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

    /// Adds keys, groups and labels to a manifest, in the order of the rows.
    pub(super) fn describe(&self, manifest: &mut Value) {
        manifest["keys"] = self.keys().map(Value::from).collect();
        if self.splits().any(|split| split != self.split) {
            manifest["splits"] = self.splits().map(|split| split.to_string()).collect();
        }
        if let Some(groups) = self.groups() {
            manifest["groups"] = json!(groups);
        }
        manifest["labels"] = as_json(&self.dataset.labels(self.split), &self.kept);
    }
}

/// One value a picture; `None` where it is not known.
pub(super) enum LabelColumn {
    Text(Vec<Option<String>>),
    Boolean(Vec<Option<bool>>),
    Real(Vec<Option<f64>>),
}

/// The labels of some pictures. A number or a class that is missing is null.
fn as_json(labels: &Labels, kept: &[usize]) -> Value {
    match labels {
        Labels::None => Value::Null,
        Labels::Classes { names, labels } => {
            let known = |&i: &usize| Some(labels[i]).filter(|l| *l != Labels::UNKNOWN_CLASS);
            json!({"classes": names, "values": kept.iter().map(known).collect::<Vec<_>>()})
        }
        Labels::Binary { names, values } => {
            let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
            json!({"attributes": names, "values": kept.iter().map(row).collect::<Vec<_>>()})
        }
        Labels::Real { names, values } => {
            let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
            json!({"numbers": names, "values": kept.iter().map(row).collect::<Vec<_>>()})
        }
        Labels::Several(parts) => {
            let part = |(name, part): &(String, Labels)| (name.clone(), as_json(part, kept));
            json!({"several": parts.iter().map(part).collect::<Map<_, _>>()})
        }
    }
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
