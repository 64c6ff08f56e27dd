//! Bytes in and out of files, for every crate above: files that are replaced as a whole, hashes,
//! pictures, and formats that are read without believing what they say. And, as kernels lie in two
//! crates that know nothing of each other, the [`InstructionSet`] that both use.
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
mod error;
mod fault;
mod hash;
mod inflate;
mod instruction_set;
mod npy;
pub mod pickle;
mod picture;
mod quote;
mod read_at;
mod replace;

pub use cache::cache_folder;
pub use error::{Error, Result};
pub use fault::Fault;
pub use hash::{hex, sha256};
pub use inflate::most_inflated;
pub use instruction_set::{
    InstructionSet, InstructionSetError, instruction_set, requested_instruction_set,
};
pub use npy::{NpyHeader, NpyNumber, npy_header};
pub use picture::{
    Crop, Exif, FORMATS, Grid, MAX_PICTURE_BYTES, MAX_SIZE, Preparation, Resize, decode_picture,
    describe, psnr, read_picture, recognise, ssim, to_rgb, write_png,
};
pub use quote::{printable, quote};
pub use read_at::read_exact_at;
pub use replace::{check_writable, is_unfinished, replace, write};
