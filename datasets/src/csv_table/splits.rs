//! Which row belongs to which split: by columns, or drawn.

use std::collections::BTreeSet;

use super::cells::{number, whole, yes_or_no};
use super::read::Table;
use crate::ranking::draw;
use crate::split_names::{plainly_named, split_named};
use crate::text::quoted;
use crate::{Result, Split};

/// The column of splits that has numbers: 0 is train, 1 valid and 2 test, as CelebA has it.
const NUMBERED: &str = "partition";
/// Names of columns of splits; all but the first may be about something else, too.
const SPLITS: [&str; 4] = ["split", "set", "subset", "partition"];

/// A column that says which split a row belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitColumn {
    pub(super) column: usize,
    /// `is_test` and the like say of one split whether a row belongs to it; others name the split.
    about: Option<Split>,
    /// Whether 0, 1 and 2 are splits.
    numbered: bool,
}

/// Splits that a row may belong to, by their positions.
type Allowed = [bool; 3];

impl SplitColumn {
    /// A column that is known or given as one of splits.
    pub(super) fn new(table: &Table, column: usize, given: bool) -> Self {
        let name = &table.header[column];
        let numbers: BTreeSet<i64> = table.cells(column).filter_map(whole).collect();
        // In another column 1 and 0 may as well be yes and no.
        let all = [0, 1, 2].iter().all(|number| numbers.contains(number));
        let numbered = given || all || name.eq_ignore_ascii_case(NUMBERED);
        Self { column, about: about(name), numbered }
    }

    /// Whether every cell names a split, of which there are several.
    fn tells(table: &Table, column: usize) -> bool {
        let named = table.cells(column).map(plainly_named).collect::<Option<BTreeSet<_>>>();
        named.is_some_and(|splits| splits.len() > 1)
    }

    /// Whether numbers say what is in which split.
    fn has_numbers(&self, table: &Table) -> bool {
        self.about.is_none() && table.cells(self.column).any(|cell| whole(cell).is_some())
    }

    /// What a cell says.
    fn allowed(&self, cell: &str) -> Option<Allowed> {
        let is = |split: Split| Split::ALL.map(|other| other == split);
        match self.about {
            None => {
                let numbered = || match whole(cell).filter(|_| self.numbered)? {
                    0 => Some(Split::Train),
                    1 => Some(Split::Valid),
                    2 => Some(Split::Test),
                    _ => None,
                };
                split_named(cell).or_else(numbered).map(is)
            }
            Some(split) => {
                let numbered = || match number(cell)? {
                    1.0 => Some(true),
                    0.0 => Some(false),
                    _ => None,
                };
                let yes = yes_or_no(cell).or_else(numbered)?;
                Some(is(split).map(|own| own == yes))
            }
        }
    }
}

/// The split of `is_test`, `isValid`, `is_training_image`.
fn about(name: &str) -> Option<Split> {
    let rest = name.get(..2).filter(|is| is.eq_ignore_ascii_case("is")).and(name.get(2..))?;
    plainly_named(rest)
}

/// The columns that say what split a row belongs to, by their names, or by cells that all name one. A
/// column `set`, `subset` or `partition` none of whose cells does is about something else.
pub(super) fn find(table: &Table, free: &[usize], remarks: &mut Vec<String>) -> Vec<SplitColumn> {
    let mut found = Vec::new();
    for &column in free {
        let split = SplitColumn::new(table, column, false);
        let name = &table.header[column];
        let named = SPLITS.iter().position(|known| name.eq_ignore_ascii_case(known));
        let mut cells = table.cells(column);
        let says = match named {
            None if split.about.is_none() && !SplitColumn::tells(table, column) => continue,
            None | Some(0) => true,
            Some(_) => {
                cells.clone().any(|cell| split_named(cell).is_some())
                    || cells.all(|cell| split.allowed(cell).is_some())
            }
        };
        if says {
            found.push(split);
        } else {
            remarks.push(format!("column {} names no splits", table.name(column)));
        }
    }
    found
}

/// Rows of train, valid and test, in the order of the file. `units` says of every row what it is
/// dealt out with: the key of its picture, or its group.
pub(super) fn assign(
    table: &Table,
    columns: &[SplitColumn],
    units: &[&str],
    seed: u64,
    remarks: &mut Vec<String>,
) -> Result<[Vec<usize>; 3]> {
    let unit = |row: usize| units[row];
    if columns.is_empty() {
        let [test, valid, train] = draw((0..table.rows()).collect(), unit, seed);
        remarks.push("splits are drawn: a tenth of the rows for each of valid and test".to_owned());
        return Ok([train, valid, test]);
    }
    let mut splits: [Vec<usize>; 3] = Default::default();
    for row in 0..table.rows() {
        splits[split_of(table, columns, row)?.position()].push(row);
    }
    let mut by =
        columns.iter().map(|split| table.name(split.column)).collect::<Vec<_>>().join(", ");
    if columns.iter().any(|split| split.has_numbers(table)) {
        by += ", where 0 is train, 1 valid and 2 test";
    }
    let [train, valid, test] = &mut splits;
    if test.is_empty() && !valid.is_empty() {
        *test = std::mem::take(valid);
        by += ", whose valid rows serve as test";
    }
    if valid.is_empty() {
        [*valid, *train] = draw(std::mem::take(train), unit, seed);
        by += "; valid is drawn from train";
    }
    remarks.push(format!("splits are those of column {by}"));
    Ok(splits)
}

/// The split of a row, on which all columns agree.
fn split_of(table: &Table, columns: &[SplitColumn], row: usize) -> Result<Split> {
    let mut allowed = [true; 3];
    for (place, split) in columns.iter().enumerate() {
        let cell = table.cell(row, split.column);
        let said = split.allowed(cell).ok_or_else(|| {
            let expected = match split.about {
                Some(_) => "yes or no",
                None if whole(cell).is_some() => "train, valid or test, or all of 0, 1 and 2,",
                None => "train, valid or test",
            };
            table.cell_error(row, split.column, expected)
        })?;
        allowed = std::array::from_fn(|at| allowed[at] && said[at]);
        if allowed == [false; 3] {
            let say = |split: &SplitColumn| {
                let cell = quoted(table.cell(row, split.column));
                format!("{cell} in column {}", table.name(split.column))
            };
            let found: Vec<String> = columns[..=place].iter().map(say).collect();
            let line = table.lines[row];
            return Err(table.error(line, "columns that agree on the split", found.join(", ")));
        }
    }
    // Not for testing says `is_test`, not for training `is_train`.
    Ok(match allowed {
        [true, _, _] => Split::Train,
        [false, _, true] => Split::Test,
        _ => Split::Valid,
    })
}
