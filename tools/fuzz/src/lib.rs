//! The readers of untrusted bytes, as a fuzzer calls them: of every format but our own saved probes and
//! cached features, which carry a hash of themselves.
//!
//! A reader gets bytes and says whether they are a file of its format. Whatever they are, it must
//! not panic, and must not take more memory than a small multiple of their length. `run.sh` beside
//! this crate gives each reader a minute of libFuzzer; the tests, which need no fuzzer, damage the
//! seeds a few thousand times.

mod files;
mod readers;
mod seeds;

/// A reader, and files that it reads.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// Name, as `run.sh` takes it.
    pub name: &'static str,
    /// Reads bytes to the end of what they hold.
    ///
    /// # Errors
    /// What the reader says against them.
    pub read: fn(&[u8]) -> Result<(), String>,
    /// Valid files, small ones.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All readers.
pub static READERS: [Reader; 14] = [
    Reader { name: "archive", read: readers::archive, seeds: seeds::archives },
    Reader { name: "picture", read: readers::picture, seeds: seeds::pictures },
    Reader { name: "npy", read: readers::npy, seeds: seeds::npy },
    Reader { name: "npz", read: readers::npz, seeds: seeds::npz },
    Reader { name: "idx", read: readers::idx, seeds: seeds::idx },
    Reader { name: "cifar", read: readers::cifar, seeds: seeds::cifar },
    Reader { name: "celeba", read: readers::celeba, seeds: seeds::celeba },
    Reader { name: "latents", read: readers::latents, seeds: seeds::latents },
    Reader { name: "pickle", read: readers::pickle, seeds: seeds::pickles },
    Reader { name: "checkpoint", read: readers::checkpoint, seeds: seeds::checkpoints },
    Reader { name: "csv", read: readers::csv, seeds: seeds::tables },
    Reader { name: "pairs", read: readers::pairs, seeds: seeds::pairs },
    Reader { name: "parquet", read: readers::parquet, seeds: seeds::parquet },
    Reader { name: "card", read: readers::card, seeds: seeds::cards },
];

/// The reader of a name.
///
/// # Panics
/// If there is none.
pub fn reader(name: &str) -> &'static Reader {
    let found = READERS.iter().find(|reader| reader.name == name);
    found.unwrap_or_else(|| panic!("no reader is named {name}"))
}
