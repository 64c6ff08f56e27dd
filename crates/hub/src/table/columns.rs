//! Which columns of a table are the picture, its labels and its group.

use std::collections::BTreeMap;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

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

/// Names of a column of labels.
const LABELS: [&str; 2] = ["label", "labels"];

/// Whether a column of this name is predicted unasked.
pub fn is_label(name: &str) -> bool {
    LABELS.contains(&name)
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
        let candidates = Candidates {
            columns: columns.collect(),
            names: names.clone().into_iter().chain(class_names(file)).collect(),
        };
        let targets = match chosen {
            None => Targets::None,
            Some([]) => candidates.usual()?,
            Some(chosen) => candidates.chosen(chosen)?,
        };
        if chosen == Some(&[]) && targets == Targets::None && !candidates.columns.is_empty() {
            let names: Vec<&str> = candidates.columns.iter().map(|(name, _)| *name).collect();
            let names = names.join("`, `");
            remarks
                .push(format!("no labels: nothing is predicted unasked of the columns `{names}`"));
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

/// What is wrong with a file's columns.
pub(super) struct Wrong {
    pub(super) expected: String,
    pub(super) found: String,
    /// Whether other targets could mend it.
    pub(super) of_targets: bool,
}

impl Wrong {
    fn of_targets(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into(), of_targets: true }
    }
}

/// How a column that may be a target is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Boolean,
    Integer,
    Real,
    Text,
}

impl Stored {
    pub(super) fn of(column: &ColumnDescriptor) -> Option<Self> {
        match column.physical_type() {
            Type::BOOLEAN => Some(Self::Boolean),
            Type::INT32 | Type::INT64 => is_whole(column).then_some(Self::Integer),
            Type::FLOAT | Type::DOUBLE => Some(Self::Real),
            Type::BYTE_ARRAY if is_text(column) => Some(Self::Text),
            _ => None,
        }
    }
}

/// The columns that may be predicted.
struct Candidates<'a> {
    columns: Vec<(&'a str, Stored)>,
    names: ClassNames,
}

impl Candidates<'_> {
    fn stored(&self, name: &str) -> Option<Stored> {
        self.columns.iter().find(|(column, _)| *column == name).map(|(_, stored)| *stored)
    }

    /// The first column of these names, in any case of letters, that is stored in one of these ways.
    fn named(&self, names: &[&str], stored: &[Stored]) -> Option<&str> {
        let has = |name: &&str| {
            let mut columns = self.columns.iter().filter(|(_, of)| stored.contains(of));
            columns.find(|(column, _)| column.eq_ignore_ascii_case(name)).map(|(column, _)| *column)
        };
        names.iter().find_map(has)
    }

    fn all(&self, of: Stored) -> Vec<String> {
        let columns = self.columns.iter().filter(|(_, stored)| *stored == of);
        columns.map(|(name, _)| (*name).to_owned()).collect()
    }

    fn classes(&self, column: &str) -> Targets {
        let names = self.names.get(column).cloned();
        Targets::Classes { column: column.to_owned(), names }
    }

    /// What is predicted unasked.
    fn usual(&self) -> Result<Targets, Wrong> {
        let label = LABELS.iter().find_map(|&name| Some((name, self.stored(name)?)));
        let named: Vec<String> = self.all(Stored::Integer);
        let named: Vec<&str> = named
            .iter()
            .map(String::as_str)
            .filter(|name| self.names.contains_key(*name))
            .collect();
        Ok(match (label, &named[..]) {
            (Some((name, Stored::Boolean)), _) => Targets::Binary(vec![name.to_owned()]),
            (Some((name, Stored::Real)), _) => Targets::Real(vec![name.to_owned()]),
            (Some((name, Stored::Integer | Stored::Text)), _) => self.classes(name),
            (None, [name]) => self.classes(name),
            (None, [_, ..]) => {
                return Err(Wrong::of_targets("one column of classes", named.join(", ")));
            }
            (None, []) => match (self.all(Stored::Boolean), self.all(Stored::Real)) {
                (booleans, _) if !booleans.is_empty() => Targets::Binary(booleans),
                (_, reals) if !reals.is_empty() => Targets::Real(reals),
                _ => Targets::None,
            },
        })
    }

    /// What is asked for.
    fn chosen(&self, chosen: &[Target]) -> Result<Targets, Wrong> {
        let kinds: Vec<TargetKind> =
            chosen.iter().map(|target| self.kind(target)).collect::<Result<_, _>>()?;
        let names: Vec<String> = chosen.iter().map(|target| target.name.clone()).collect();
        if let Some(twice) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            return Err(Wrong::of_targets("each target once", format!("{} twice", names[twice])));
        }
        if kinds.iter().any(|kind| *kind != kinds[0]) {
            return Err(Wrong::of_targets("targets of one kind", names.join(", ")));
        }
        match (kinds[0], &names[..]) {
            (TargetKind::Binary, _) => Ok(Targets::Binary(names)),
            (TargetKind::Real, _) => Ok(Targets::Real(names)),
            (TargetKind::Class, [name]) => Ok(self.classes(name)),
            (TargetKind::Class, _) => {
                Err(Wrong::of_targets("one column of classes", names.join(", ")))
            }
        }
    }

    /// What a column that was asked for means.
    fn kind(&self, Target { name, kind }: &Target) -> Result<TargetKind, Wrong> {
        let Some(stored) = self.stored(name) else {
            let known: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
            let expected = format!("a column {name} of words, numbers or truth values");
            return Err(Wrong::of_targets(expected, known.join(", ")));
        };
        let classes = self.names.contains_key(name) || is_label(name);
        match (stored, kind) {
            (Stored::Boolean, None | Some(TargetKind::Binary)) => Ok(TargetKind::Binary),
            (Stored::Real, None | Some(TargetKind::Real)) => Ok(TargetKind::Real),
            (Stored::Text, None | Some(TargetKind::Class)) => Ok(TargetKind::Class),
            (Stored::Integer, Some(kind)) => Ok(*kind),
            // Whole numbers of which some are missing are often stored so.
            (Stored::Real, Some(TargetKind::Class)) => Ok(TargetKind::Class),
            (Stored::Integer, None) if classes => Ok(TargetKind::Class),
            (Stored::Integer, None) => {
                let expected = format!("the kind of the whole numbers in {name}");
                let kinds = format!("{name}:class, {name}:real or {name}:binary");
                Err(Wrong::of_targets(format!("{expected} ({kinds})"), "none"))
            }
            (stored, Some(_)) => {
                let found = match stored {
                    Stored::Boolean => "truth values",
                    Stored::Real => "numbers",
                    _ => "words",
                };
                Err(Wrong::of_targets(format!("another kind of target for {name}"), found))
            }
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

/// Whether whole numbers mean themselves: they may be days, times or decimals, too.
fn is_whole(column: &ColumnDescriptor) -> bool {
    let logical = matches!(column.logical_type_ref(), None | Some(LogicalType::Integer(_)));
    let other = [
        ConvertedType::DATE,
        ConvertedType::DECIMAL,
        ConvertedType::TIME_MILLIS,
        ConvertedType::TIME_MICROS,
        ConvertedType::TIMESTAMP_MILLIS,
        ConvertedType::TIMESTAMP_MICROS,
    ];
    logical && !other.contains(&column.converted_type())
}

/// Whether whole numbers have no sign.
pub(super) fn is_unsigned(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::Integer(kind)) if !kind.is_signed)
        || matches!(column.converted_type(), ConvertedType::UINT_32 | ConvertedType::UINT_64)
}

fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8
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
