//! Which columns of a table are the picture, its labels and its group.

use std::collections::BTreeMap;

use parquet::basic::Type;
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

use super::candidates::{Candidates, Stored, Wrong, is_label, is_text};
use crate::ClassNames;

/// Columns that say which person (or other unit) is in the picture, in small letters.
const GROUPS: [&str; 8] = [
    "celeb_id",
    "identity",
    "identity_id",
    "person_id",
    "patient_id",
    "subject_id",
    "participant_id",
    "group",
];
/// Columns that say which split a row belongs to, in small letters. Splits of the hub are files.
const SPLITS: [&str; 6] = ["split", "subset", "partition", "is_train", "is_valid", "is_test"];
/// Names of a column of pictures; with none of them, the first that could be one is taken.
const PICTURES: [&str; 4] = ["image", "img", "picture", "pixels"];
/// Most class names that are read from the metadata.
const MAX_CLASSES: usize = 1 << 16;

/// The columns that are read, by name: their numbers are those of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Path of the leaf that holds the bytes of the picture, such as `image.bytes`.
    pub picture: String,
    /// What is predicted.
    pub targets: Targets,
    /// Path of the column that says who or what is in the picture.
    pub group: Option<String>,
    /// What was decided that one might not expect.
    pub remarks: Vec<String>,
}

/// What is to be predicted. One kind a data set: a column `label` before the only one whose classes
/// have names, before attributes, before numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Nothing.
    None,
    /// A column of integers or of words.
    Classes {
        /// Name of the column.
        column: String,
        /// Names of its classes, for a file that has none.
        names: Option<Vec<String>>,
    },
    /// Columns of booleans, or of integers of two values.
    Binary(Vec<String>),
    /// Columns of numbers.
    Real(Vec<String>),
}

/// A column to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the column.
    pub name: String,
    /// What its values mean; where it is not given, their type says it.
    pub kind: Option<TargetKind>,
}

/// What the values of a column mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Yes or no.
    Binary,
    /// A number.
    Real,
    /// A class.
    Class,
}

impl Columns {
    /// Finds the columns, as [`super::columns`] does.
    ///
    /// # Errors
    /// What was expected, and what was found.
    pub(super) fn find(
        file: &FileMetaData,
        chosen: Option<&[Target]>,
        names: &ClassNames,
    ) -> Result<Self, Wrong> {
        let flat: Vec<&ColumnDescriptor> = file
            .schema_descr()
            .columns()
            .iter()
            .map(|column| &**column)
            .filter(|column| column.max_rep_level() == 0)
            .collect();
        let pictures: Vec<&&ColumnDescriptor> =
            flat.iter().filter(|column| is_picture(column)).collect();
        let named = |name: &&str| pictures.iter().find(|column| column.path().parts()[0] == *name);
        let Some(picture) = PICTURES.iter().find_map(named).or(pictures.first()) else {
            let all = file.schema_descr().columns();
            let all: Vec<String> = all.iter().map(|c| c.path().string()).collect();
            return Err(Wrong {
                expected: "a column of pictures (a struct with `bytes`, or binary)".into(),
                found: format!("the columns {}", all.join(", ")),
                of_targets: false,
            });
        };
        let others = pictures.iter().filter(|other| other.path() != picture.path());
        let others: Vec<&str> = others.map(|other| other.path().parts()[0].as_str()).collect();
        let mut remarks = Vec::new();
        if !others.is_empty() {
            let (name, others) = (&picture.path().parts()[0], others.join("`, `"));
            remarks.push(format!(
                "pictures are those of column `{name}`; others may be in `{others}`"
            ));
        }
        let picture = picture.path().string();
        let top = flat.iter().filter(|column| column.path().parts().len() == 1);
        let columns = top.filter(|column| column.path().string() != picture);
        let columns = columns.filter_map(|column| Some((column.name(), Stored::of(column)?)));
        let all = file.schema_descr().columns().iter();
        let candidates = Candidates {
            labelled: all.map(|column| &column.path().parts()[0]).find(|name| is_label(name)),
            columns: columns.collect(),
            names: names.clone().into_iter().chain(class_names(file)).collect(),
        };
        let targets = match chosen {
            None => Targets::None,
            Some([]) => candidates.usual()?,
            Some(chosen) => candidates.chosen(chosen)?,
        };
        if chosen == Some(&[]) && targets == Targets::None {
            remarks.extend(candidates.unasked());
        }
        let free = |name: &&str| !targets.names().contains(name);
        let says = [Stored::Integer, Stored::Text, Stored::Boolean];
        if let Some(name) = candidates.named(&SPLITS, &says).filter(free) {
            remarks.push(format!("column `{name}` is not read: splits are files, or drawn"));
        }
        let group = candidates.named(&GROUPS, &says[..2]).filter(free).map(str::to_owned);
        if let Some(name) = &group {
            remarks.push(format!("rows of one `{name}` are a group"));
        }
        Ok(Self { picture, targets, group, remarks })
    }
}

impl Targets {
    /// Names of the columns.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Classes { column, .. } => vec![column],
            Self::Binary(names) | Self::Real(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

/// A struct with `bytes`, as the hub stores pictures, or bytes that are not text.
fn is_picture(column: &ColumnDescriptor) -> bool {
    let parts = column.path().parts();
    let placed = match parts {
        [_] => !is_text(column),
        [_, inner] => inner == "bytes",
        _ => false,
    };
    placed && column.physical_type() == Type::BYTE_ARRAY
}

/// Names of the classes of every `ClassLabel` column, which the library `datasets` keeps as JSON in
/// the file's metadata.
pub(super) fn class_names(file: &FileMetaData) -> ClassNames {
    let entries = file.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let entry = entries.iter().find(|entry| entry.key == "huggingface");
    let text = entry.and_then(|entry| entry.value.as_deref()).unwrap_or("{}");
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else { return BTreeMap::new() };
    let Some(features) = json["info"]["features"].as_object() else { return BTreeMap::new() };
    let names = |feature: &serde_json::Value| -> Option<Vec<String>> {
        let names = feature["names"].as_array().filter(|names| names.len() <= MAX_CLASSES)?;
        names.iter().map(|name| Some(name.as_str()?.to_owned())).collect()
    };
    let is_class = |feature: &serde_json::Value| feature["_type"] == "ClassLabel";
    features
        .iter()
        .filter(|(_, feature)| is_class(feature))
        .filter_map(|(column, feature)| Some((column.clone(), names(feature)?)))
        .collect()
}
