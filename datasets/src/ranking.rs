//! An order of named things that depends on a seed and their names alone.

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
