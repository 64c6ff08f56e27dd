//! An order of named things that depends on a seed and their names alone, and splits drawn by it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Things in the order of SHA-256(seed, name), by which they are dealt out to splits: it depends
/// neither on where they lie nor on what lies beside them.
pub(crate) fn ranked<T>(mut things: Vec<T>, seed: u64, name: impl Fn(&T) -> &str) -> Vec<T> {
    let hash = |thing: &T| {
        let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name(thing));
        <[u8; 32]>::from(hash.finalize())
    };
    things.sort_by_cached_key(hash);
    things
}

/// One row in this many goes to each part but the last.
const HELD_OUT: usize = 10;

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
    let units = ranked(units.into_iter().collect(), seed, |(name, _)| name);
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
