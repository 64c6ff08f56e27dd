//! Which row belongs to which split: by a column, or drawn.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::read::{Table, quoted};
use super::{Picture, SPLIT};
use crate::{Result, Split};

/// One row in this many goes to `valid`, and one to `test`.
const HELD_OUT: usize = 10;

/// Rows of train, valid and test, in the order of the file.
pub(super) fn assign(
    table: &Table,
    pictures: &[Picture],
    groups: Option<&[&str]>,
    seed: u64,
) -> Result<[Vec<usize>; 3]> {
    let unit = |row: usize| groups.map_or(pictures[row].key.as_str(), |groups| groups[row]);
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

/// Deals rows out to parts: a tenth of them each, and what remains to the last.
///
/// Rows of one unit stay together. Units come in the order of SHA-256(seed, name), so that a row
/// more changes little.
pub(crate) fn draw<'a, const PARTS: usize>(
    rows: Vec<usize>,
    unit: impl Fn(usize) -> &'a str,
    seed: u64,
) -> [Vec<usize>; PARTS] {
    let mut units: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &row in &rows {
        units.entry(unit(row)).or_default().push(row);
    }
    let mut units: Vec<_> = units.into_iter().collect();
    units.sort_by_cached_key(|(name, _)| {
        let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name);
        <[u8; 32]>::from(hash.finalize())
    });
    // At least one of three or more.
    let enough = if rows.len() < 3 { 0 } else { (rows.len() / HELD_OUT).max(1) };
    let mut parts = [const { Vec::new() }; PARTS];
    for (_, unit) in units {
        let open = parts[..PARTS - 1].iter().position(|part: &Vec<usize>| part.len() < enough);
        parts[open.unwrap_or(PARTS - 1)].extend(unit);
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}
