//! Bytes in and out of files, for every crate above: files that are replaced as a whole, hashes,
//! and formats that are read without believing what they say. And, as kernels lie in two crates that
//! know nothing of each other, the [`InstructionSet`] that both use.
//!
//! ```
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("results.json");
//! vdvae_io::write(&path, b"{}")?;
//! assert_eq!(std::fs::read(&path)?, b"{}");
//! # Ok::<(), std::io::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod fault;
mod grid;
mod hash;
mod instruction_set;
mod npy;
mod replace;

pub use cache::cache_folder;
pub use fault::Fault;
pub use grid::{Grid, write_png};
pub use hash::{hex, sha256};
pub use instruction_set::{
    InstructionSet, InstructionSetError, instruction_set, requested_instruction_set,
};
pub use npy::{NpyHeader, npy_header};
pub use replace::{check_writable, is_unfinished, replace, write};
