//! Which row belongs to which split: by a column, or drawn.

use super::read::{SPLIT, Table};
use crate::Result;
use crate::ranking::draw;
use crate::split_names::split_named;
use crate::text::quoted;

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
