//! Which row belongs to which split: by a column, or drawn.

use super::read::{SPLIT, Table};
use crate::ranking::draw;
use crate::text::quoted;
use crate::{Result, Split};

/// Rows of train, valid and test, in the order of the file. `units` says of every row what it is
/// dealt out with: the key of its picture, or its group.
pub(super) fn assign(table: &Table, units: &[&str], seed: u64) -> Result<[Vec<usize>; 3]> {
    let unit = |row: usize| units[row];
    let Some(column) = table.column(SPLIT) else {
        let [test, valid, train] = draw((0..table.rows()).collect(), unit, seed);
        return Ok([train, valid, test]);
    };
    let mut splits: [Vec<usize>; 3] = Default::default();
    for row in 0..table.rows() {
        let name = table.cell(row, column);
        let split = split_named(name)
            .ok_or_else(|| table.error(table.lines[row], "train, valid or test", quoted(name)))?;
        splits[split.position()].push(row);
    }
    if splits[1].is_empty() {
        let [valid, train] = draw(std::mem::take(&mut splits[0]), unit, seed);
        (splits[0], splits[1]) = (train, valid);
    }
    Ok(splits)
}

fn split_named(name: &str) -> Option<Split> {
    match name.to_ascii_lowercase().as_str() {
        "train" => Some(Split::Train),
        "valid" | "val" | "validation" => Some(Split::Valid),
        "test" => Some(Split::Test),
        _ => None,
    }
}
