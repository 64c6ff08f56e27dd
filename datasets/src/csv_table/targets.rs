//! Columns as targets: binary attributes, one class, or numbers.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use super::read::{GROUP, PATH, SPLIT, Table};
use crate::text::quoted;
use crate::{Error, Labels, Result};

/// Most classes that are taken for classes unasked, where they are words.
const MAX_WORDS: usize = 1000;
/// Most classes that are taken for classes unasked, where they are whole numbers: ratings and
/// digits are, ages and counts are not.
const MAX_NUMBERS: usize = 20;
/// Most classes.
const MAX_CLASSES: usize = 65_536;

/// What the cells of a target column mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// `1` and `0`, `1` and `-1`, `true` and `false`, or `yes` and `no`; an empty cell is missing.
    Binary,
    /// A number; an empty cell is missing.
    Real,
    /// The name of a class.
    Class,
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binary => "binary",
            Self::Real => "real",
            Self::Class => "class",
        })
    }
}

/// A column to predict: `NAME`, or `NAME:binary`, `NAME:real`, `NAME:class`.
///
/// A kind that is not given is found. Cells of two values as [`TargetKind::Binary`] lists them are
/// binary. A column that is the only target is a class where its cells are words (at most 1000
/// different ones) or whole numbers (at most 20). Other numbers are real.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetColumn {
    /// Name in the header.
    pub name: String,
    /// What its cells mean, where that is given.
    pub kind: Option<TargetKind>,
}

impl FromStr for TargetColumn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, kind) = match text.rsplit_once(':') {
            None => (text, None),
            Some((name, "binary")) => (name, Some(TargetKind::Binary)),
            Some((name, "real")) => (name, Some(TargetKind::Real)),
            Some((name, "class")) => (name, Some(TargetKind::Class)),
            Some(_) => ("", None),
        };
        if name.is_empty() {
            return Err(Error::UnknownName {
                what: "target",
                expected: "NAME, NAME:binary, NAME:real, NAME:class",
                found: text.to_owned(),
            });
        }
        Ok(Self { name: name.to_owned(), kind })
    }
}

/// One column of a table.
struct Column<'a> {
    table: &'a Table,
    index: usize,
}

impl<'a> Column<'a> {
    fn name(&self) -> String {
        quoted(&self.table.header[self.index])
    }

    fn cells(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (table, index) = (self.table, self.index);
        (0..table.rows()).map(move |row| table.cell(row, index))
    }

    /// An error about the cell of a row.
    fn error(&self, row: usize, expected: &str) -> Error {
        let expected = format!("{expected} in column {}", self.name());
        let found = match self.table.cell(row, self.index) {
            "" => "an empty cell".to_owned(),
            cell => quoted(cell),
        };
        self.table.error(self.table.lines[row], expected, found)
    }

    /// Fails where there is one value, or none.
    fn require_two<T: PartialEq>(
        &self,
        mut values: impl Iterator<Item = (usize, T)>,
    ) -> Result<()> {
        let expected = format!("two values or more in column {}", self.name());
        let Some((row, first)) = values.next() else {
            return Err(self.table.error(1, expected, "only empty cells"));
        };
        if values.any(|(_, value)| value != first) {
            return Ok(());
        }
        let found = format!("only {}", quoted(self.table.cell(row, self.index)));
        Err(self.table.error(1, expected, found))
    }
}

/// Labels of all rows, by the columns chosen.
pub(super) fn labels(table: &Table, chosen: &[TargetColumn]) -> Result<Labels> {
    let columns = columns(table, chosen)?;
    let alone = columns.len() == 1;
    let kinds = columns.iter().map(|(column, kind)| match kind {
        Some(kind) => Ok(*kind),
        None => find_kind(column, alone),
    });
    let kinds: Vec<TargetKind> = kinds.collect::<Result<_>>()?;
    let Some(&first) = kinds.first() else { return Ok(Labels::None) };
    if let Some(other) = kinds.iter().position(|&kind| kind != first) {
        let names = [&columns[0].0, &columns[other].0].map(Column::name);
        let found = format!("{} ({first}) and {} ({})", names[0], names[1], kinds[other]);
        return Err(of_targets(table.error(1, "targets of one kind", found)));
    }
    let names = columns.iter().map(|(column, _)| table.header[column.index].clone()).collect();
    match first {
        TargetKind::Binary => Ok(Labels::Binary { names, values: side_by_side(&columns, binary)? }),
        TargetKind::Real => Ok(Labels::Real { names, values: side_by_side(&columns, real)? }),
        TargetKind::Class if alone => classes(&columns[0].0),
        TargetKind::Class => {
            let found = columns.len().to_string();
            Err(of_targets(table.error(1, "one column of classes", found)))
        }
    }
}

/// The columns chosen, or all that have no other meaning.
fn columns<'a>(
    table: &'a Table,
    chosen: &[TargetColumn],
) -> Result<Vec<(Column<'a>, Option<TargetKind>)>> {
    let targets = || {
        let names = table.header.iter().enumerate();
        names.filter(|(_, name)| ![PATH, SPLIT, GROUP].contains(&name.as_str()))
    };
    if chosen.is_empty() {
        return Ok(targets().map(|(index, _)| (Column { table, index }, None)).collect());
    }
    let mut seen = HashSet::new();
    let find = |target: &TargetColumn| {
        let index = targets().find(|(_, name)| **name == target.name).map(|(index, _)| index);
        let Some(index) = index else {
            let known: Vec<_> = targets().map(|(_, name)| quoted(name)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let expected = format!("a target column {}", quoted(&target.name));
            return Err(table.error(1, expected, known));
        };
        if !seen.insert(index) {
            let found = format!("{} twice", quoted(&target.name));
            return Err(table.error(1, "each target once", found));
        }
        Ok((Column { table, index }, target.kind))
    };
    chosen.iter().map(find).collect()
}

fn is_missing(cell: &str) -> bool {
    cell.is_empty() || ["na", "n/a", "nan", "null"].contains(&cell.to_ascii_lowercase().as_str())
}

fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|number: &f64| number.is_finite())
}

fn find_kind(column: &Column<'_>, alone: bool) -> Result<TargetKind> {
    column.require_two(column.cells().enumerate().filter(|(_, cell)| !is_missing(cell)))?;
    if binary(column).is_ok() {
        return Ok(TargetKind::Binary);
    }
    let present = || column.cells().filter(|cell| !is_missing(cell));
    let different = present().collect::<HashSet<_>>().len();
    let whole = present().all(|cell| cell.parse::<i64>().is_ok());
    let word = column.cells().position(|cell| !is_missing(cell) && number(cell).is_none());
    match word {
        None if alone && whole && different <= MAX_NUMBERS => Ok(TargetKind::Class),
        None => Ok(TargetKind::Real),
        Some(_) if alone && different <= MAX_WORDS => Ok(TargetKind::Class),
        Some(row) => Err(of_targets(column.error(row, "a number, yes or no"))),
    }
}

/// An error that a choice of other targets may mend.
fn of_targets(error: Error) -> Error {
    match error {
        Error::Table { file, line, expected, found } => {
            Error::Targets { file, line, expected, found }
        }
        other => other,
    }
}

/// The values of several columns, row by row.
fn side_by_side<T: Copy>(
    columns: &[(Column<'_>, Option<TargetKind>)],
    read: impl Fn(&Column<'_>) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let columns: Vec<Vec<T>> =
        columns.iter().map(|(column, _)| read(column)).collect::<Result<_>>()?;
    let rows = columns[0].len();
    Ok((0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect())
}

/// 1, 0, or -1 where a cell is missing.
fn binary(column: &Column<'_>) -> Result<Vec<i8>> {
    let expected = "1 or 0, 1 or -1, true or false, yes or no";
    // 0 and -1 both say no, but not in one column: there, -1 may mean that it is not known.
    let mut no = None;
    let values = column.cells().enumerate().map(|(row, cell)| {
        if is_missing(cell) {
            return Ok(-1);
        }
        let lower = cell.to_ascii_lowercase();
        let value = match lower.as_str() {
            "true" | "yes" => 1,
            "false" | "no" => 0,
            _ => match number(cell) {
                Some(1.0) => 1,
                Some(value @ (0.0 | -1.0)) if *no.get_or_insert(value) == value => 0,
                _ => return Err(column.error(row, expected)),
            },
        };
        Ok(value)
    });
    let values: Vec<i8> = values.collect::<Result<_>>()?;
    column.require_two(values.iter().copied().enumerate().filter(|&(_, value)| value >= 0))?;
    Ok(values)
}

/// Numbers, NaN where a cell is missing.
fn real(column: &Column<'_>) -> Result<Vec<f32>> {
    let values = column.cells().enumerate().map(|(row, cell)| match number(cell) {
        // A number may still be too large for 32 bits.
        Some(value) if (value as f32).is_finite() => Ok(value as f32),
        None if is_missing(cell) => Ok(f32::NAN),
        _ => Err(column.error(row, "a number")),
    });
    let values: Vec<f32> = values.collect::<Result<_>>()?;
    column.require_two(values.iter().copied().enumerate().filter(|(_, value)| !value.is_nan()))?;
    Ok(values)
}

/// Classes in the order of their names, or of their numbers where all are whole numbers.
fn classes(column: &Column<'_>) -> Result<Labels> {
    if let Some(row) = column.cells().position(str::is_empty) {
        return Err(column.error(row, "a class"));
    }
    column.require_two(column.cells().enumerate())?;
    let whole = column.cells().all(|cell| cell.parse::<i64>().is_ok());
    let order = |cell: &str| if whole { cell.parse::<i64>().unwrap_or_default() } else { 0 };
    let mut ranks: BTreeMap<(i64, &str), u32> =
        column.cells().map(|cell| ((order(cell), cell), 0)).collect();
    if ranks.len() > MAX_CLASSES {
        let expected = format!("at most {MAX_CLASSES} classes in column {}", column.name());
        return Err(column.table.error(1, expected, ranks.len().to_string()));
    }
    ranks.values_mut().zip(0..).for_each(|(rank, position)| *rank = position);
    let labels = column.cells().map(|cell| ranks[&(order(cell), cell)]).collect();
    Ok(Labels::Classes {
        names: ranks.keys().map(|(_, name)| (*name).to_owned()).collect(),
        labels,
    })
}
