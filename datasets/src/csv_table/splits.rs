//! Which row belongs to which split: by columns, or drawn.

use super::cells::{number, yes_or_no};
use super::read::Table;
use crate::ranking::draw;
use crate::split_names::{split_named, split_word};
use crate::text::quoted;
use crate::{Result, Split};

/// A column of splits that may be another's name, too.
const SPLITS: [&str; 4] = ["split", "set", "subset", "partition"];

/// A column that says which split a row belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct SplitColumn {
    pub(super) column: usize,
    /// `is_test` and the like say of one split whether a row belongs to it; others name the split.
    about: Option<Split>,
}

/// Splits that a row may belong to, by their positions.
type Allowed = [bool; 3];

impl SplitColumn {
    pub(super) fn new(table: &Table, column: usize) -> Self {
        Self { column, about: about(&table.header[column]) }
    }

    /// What a cell says.
    fn allowed(&self, cell: &str) -> Option<Allowed> {
        let is = |split: Split| Split::ALL.map(|other| other == split);
        match self.about {
            None => {
                // As in CelebA's list_eval_partition.
                let numbered = || match number(cell)? {
                    0.0 => Some(Split::Train),
                    1.0 => Some(Split::Valid),
                    2.0 => Some(Split::Test),
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

/// The split of `is_test`, `isValid`, `is-train`.
fn about(name: &str) -> Option<Split> {
    let rest = name.get(..2).filter(|is| is.eq_ignore_ascii_case("is")).and(name.get(2..))?;
    split_word(rest.trim_start_matches(['_', '-', ' ']))
}

/// The columns that say what split a row belongs to. A column `set`, `subset` or `partition` none
/// of whose cells does is about something else.
pub(super) fn find(table: &Table, free: &[usize], remarks: &mut Vec<String>) -> Vec<SplitColumn> {
    let mut found = Vec::new();
    for &column in free {
        let split = SplitColumn::new(table, column);
        let name = &table.header[column];
        let named = SPLITS.iter().position(|known| name.eq_ignore_ascii_case(known));
        let mut cells = table.cells(column);
        let says = match named {
            None if split.about.is_none() => continue,
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
        let said = split.allowed(table.cell(row, split.column)).ok_or_else(|| {
            let expected = if split.about.is_some() { "yes or no" } else { "train, valid or test" };
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
