//! Which columns of a table are the picture, its labels and its group.

use std::collections::BTreeMap;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

/// Columns that say which person (or other unit) is in the picture.
const GROUPS: [&str; 5] = ["celeb_id", "identity", "identity_id", "person_id", "group"];
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
}

/// What is to be predicted. One kind a data set: classes before attributes before numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Nothing.
    None,
    /// An integer column, and the names of its classes where the file has them.
    Classes {
        /// Name of the column.
        column: String,
        /// Names of the classes.
        names: Option<Vec<String>>,
    },
    /// Boolean columns.
    Binary(Vec<String>),
    /// Floating-point columns.
    Real(Vec<String>),
}

impl Columns {
    /// Finds the columns; the error lists those that there are.
    pub(super) fn find(file: &FileMetaData) -> Result<Self, String> {
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
            return Err(format!("the columns {}", all.join(", ")));
        };
        let top: Vec<&&ColumnDescriptor> =
            flat.iter().filter(|column| column.path().parts().len() == 1).collect();
        let of = |types: &[Type]| -> Vec<String> {
            let matching = top.iter().filter(|column| types.contains(&column.physical_type()));
            matching.map(|column| column.name().to_owned()).collect()
        };
        let integers = of(&[Type::INT32, Type::INT64]);
        let group = GROUPS.iter().find(|name| integers.iter().any(|column| column == *name));
        Ok(Self {
            picture: picture.path().string(),
            targets: targets(
                &integers,
                of(&[Type::BOOLEAN]),
                of(&[Type::FLOAT, Type::DOUBLE]),
                &class_names(file),
            ),
            group: group.map(|&name| name.to_owned()),
        })
    }
}

/// A struct with `bytes`, as the hub stores pictures, or bytes that are not text.
fn is_picture(column: &ColumnDescriptor) -> bool {
    let text = matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8;
    let parts = column.path().parts();
    let placed = match parts {
        [_] => !text,
        [_, inner] => inner == "bytes",
        _ => false,
    };
    placed && column.physical_type() == Type::BYTE_ARRAY
}

fn targets(
    integers: &[String],
    booleans: Vec<String>,
    reals: Vec<String>,
    names: &BTreeMap<String, Vec<String>>,
) -> Targets {
    let label = |name: &&String| matches!(name.as_str(), "label" | "labels");
    let class = integers
        .iter()
        .find(label)
        .or_else(|| integers.iter().find(|column| names.contains_key(*column)));
    match class {
        Some(column) => {
            Targets::Classes { column: column.clone(), names: names.get(column).cloned() }
        }
        None if !booleans.is_empty() => Targets::Binary(booleans),
        None if !reals.is_empty() => Targets::Real(reals),
        None => Targets::None,
    }
}

/// Names of the classes of every `ClassLabel` column, which the library `datasets` keeps as JSON in
/// the file's metadata.
fn class_names(file: &FileMetaData) -> BTreeMap<String, Vec<String>> {
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
