//! Columns to predict: which ones, and what kind each is.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::cells::{MAX_WORDS, is_missing, is_odd_number, number, says_yes_or_no, whole};
use super::columns::{constant, left_out};
use super::read::Table;
use crate::text::quoted;
use crate::{Error, Result};

/// Most classes that are taken for classes unasked, where they are whole numbers: ratings and
/// digits are, ages and counts are not.
const MAX_NUMBERS: usize = 20;

/// What the cells of a target column mean. Cells that say nothing (empty, `NA`, `nan`, `None`, `?`
/// and the like) are missing, whatever the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// `1` and `0`, `1` and `-1`, `true` and `false`, or `yes` and `no`.
    Binary,
    /// A number.
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
/// binary, words are classes (at most 1000 different ones), and so are whole numbers of a column
/// that is the only target (at most 20). Other numbers are real.
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

/// What -1 says in a binary column that has 0 or missing cells, too, where it may mean that a
/// reader was not certain (CheXpert).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncertain {
    /// Nothing.
    Missing,
    /// No.
    No,
    /// Yes.
    Yes,
}

impl FromStr for Uncertain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "missing" => Ok(Self::Missing),
            "no" => Ok(Self::No),
            "yes" => Ok(Self::Yes),
            _ => Err(Error::UnknownName {
                what: "uncertain",
                expected: "missing, no, yes",
                found: text.to_owned(),
            }),
        }
    }
}

/// A column to predict, and its kind.
pub(super) struct Target<'a> {
    pub(super) table: &'a Table,
    pub(super) column: usize,
    pub(super) kind: TargetKind,
}

impl<'a> Target<'a> {
    pub(super) fn name(&self) -> String {
        self.table.name(self.column)
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.table.cells(self.column)
    }

    /// An error about the cell of a row.
    pub(super) fn error(&self, row: usize, expected: &str) -> Error {
        of_targets(self.table.cell_error(row, self.column, expected))
    }
}

/// An error that a choice of other targets, or of their kinds, may mend.
fn of_targets(error: Error) -> Error {
    match error {
        Error::Table { file, line, expected, found } => {
            Error::Targets { file, line, expected, found }
        }
        other => other,
    }
}

/// The columns chosen, or those of `others` that look like targets.
pub(super) fn targets<'a>(
    table: &'a Table,
    others: &[usize],
    chosen: &[TargetColumn],
    remarks: &mut Vec<String>,
) -> Result<Vec<Target<'a>>> {
    let columns = match chosen {
        [] => unasked(table, others, remarks),
        _ => asked(table, others, chosen)?,
    };
    let alone = columns.len() == 1;
    let kind = |(column, kind): (usize, Option<TargetKind>)| {
        let kind = kind.map_or_else(|| find_kind(table, column, alone), Ok)?;
        Ok(Target { table, column, kind })
    };
    columns.into_iter().map(kind).collect()
}

type Asked = (usize, Option<TargetKind>);

fn unasked(table: &Table, others: &[usize], remarks: &mut Vec<String>) -> Vec<Asked> {
    type Reason = fn(&Table, usize) -> Option<String>;
    let part = |columns: &[usize], why: Reason| -> (Vec<usize>, Vec<String>) {
        let (out, kept): (Vec<usize>, Vec<usize>) =
            columns.iter().partition(|&&column| why(table, column).is_some());
        let say = |column| {
            let reason = why(table, column)?;
            Some(format!("column {} is left out: {reason}", table.name(column)))
        };
        (kept, out.into_iter().filter_map(say).collect())
    };
    let (mut columns, said) = part(others, left_out);
    remarks.extend(said);
    let (varied, said) = part(&columns, constant);
    // Where nothing would remain, the error about one of them says more.
    if !varied.is_empty() {
        remarks.extend(said);
        columns = varied;
    }
    columns.into_iter().map(|column| (column, None)).collect()
}

fn asked(table: &Table, others: &[usize], chosen: &[TargetColumn]) -> Result<Vec<Asked>> {
    let mut seen = HashSet::new();
    let find = |target: &TargetColumn| {
        let found = others.iter().copied().find(|&column| table.header[column] == target.name);
        let Some(column) = found else {
            let known: Vec<_> = others.iter().map(|&column| table.name(column)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let expected = format!("a target column {}", quoted(&target.name));
            return Err(table.error(1, expected, known));
        };
        if !seen.insert(column) {
            let found = format!("{} twice", quoted(&target.name));
            return Err(table.error(1, "each target once", found));
        }
        Ok((column, target.kind))
    };
    chosen.iter().map(find).collect()
}

/// The kind of a column, by all its cells; fails where some are numbers and others are words.
fn find_kind(table: &Table, column: usize, alone: bool) -> Result<TargetKind> {
    let known = || table.cells(column).enumerate().filter(|(_, cell)| !is_missing(cell));
    if known().all(|(_, cell)| says_yes_or_no(cell)) {
        return Ok(TargetKind::Binary);
    }
    let fail = |row: usize, expected| Err(of_targets(table.cell_error(row, column, expected)));
    if let Some((row, _)) = known().find(|(_, cell)| is_odd_number(cell)) {
        return fail(row, "a finite number, written like 1234.5,");
    }
    let (numbers, words): (Vec<_>, Vec<_>) = known().partition(|(_, cell)| number(cell).is_some());
    let different = known().map(|(_, cell)| cell).collect::<HashSet<_>>().len();
    match (&numbers[..], &words[..]) {
        (_, []) => {
            let whole = numbers.iter().all(|(_, cell)| whole(cell).is_some());
            let classes = alone && whole && different <= MAX_NUMBERS;
            Ok(if classes { TargetKind::Class } else { TargetKind::Real })
        }
        ([], _) if different <= MAX_WORDS => Ok(TargetKind::Class),
        ([], [(row, _), ..]) => fail(*row, "a number, yes or no, or few different words"),
        (_, [(row, _), ..]) if words.len() <= numbers.len() => fail(*row, "a number, as elsewhere"),
        ([(row, _), ..], _) => fail(*row, "a word, as elsewhere"),
    }
}
