//! The columns that may be predicted, and which of them are.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::schema::types::ColumnDescriptor;

use super::columns::{Target, TargetKind, Targets};
use crate::ClassNames;

/// Names of a column of labels.
const LABELS: [&str; 2] = ["label", "labels"];

/// Whether a column of this name is predicted unasked.
pub fn is_label(name: &str) -> bool {
    LABELS.contains(&name)
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
pub(super) struct Candidates<'a> {
    /// The column `label`, of whatever it is.
    pub(super) labelled: Option<&'a String>,
    pub(super) columns: Vec<(&'a str, Stored)>,
    pub(super) names: ClassNames,
}

impl Candidates<'_> {
    fn stored(&self, name: &str) -> Option<Stored> {
        self.columns.iter().find(|(column, _)| *column == name).map(|(_, stored)| *stored)
    }

    /// The first column of these names, in any case of letters, that is stored in one of these ways.
    pub(super) fn named(&self, names: &[&str], stored: &[Stored]) -> Option<&str> {
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

    /// What to say where nothing is predicted unasked.
    pub(super) fn unasked(&self) -> Option<String> {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        match (self.labelled, &names[..]) {
            (Some(label), _) => {
                Some(format!("no labels: `{label}` has no word, number or truth value in each row"))
            }
            (None, []) => None,
            (None, names) => {
                let names = names.join("`, `");
                Some(format!("no labels: nothing is predicted unasked of the columns `{names}`"))
            }
        }
    }

    /// What is predicted unasked.
    pub(super) fn usual(&self) -> Result<Targets, Wrong> {
        let label = LABELS.iter().find_map(|&name| Some((name, self.stored(name)?)));
        let named: Vec<String> = self.all(Stored::Integer);
        let named: Vec<&str> = named
            .iter()
            .map(String::as_str)
            .filter(|name| self.names.contains_key(*name))
            .collect();
        if label.is_none() && self.labelled.is_some() {
            return Ok(Targets::None);
        }
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
    pub(super) fn chosen(&self, chosen: &[Target]) -> Result<Targets, Wrong> {
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
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Wrong::of_targets(expected, known));
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

pub(super) fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8
}
