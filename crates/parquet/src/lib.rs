//! Parquet files, read by the crate `parquet` once what they claim was checked.
//!
//! A file of a thousand bytes may claim a page of gigabytes, lists of two thousand million elements, or
//! a dictionary that it does not have. Here it is an [`Error`] of one line: nothing is allocated, and
//! nothing is walked through, that the file has no bytes for. [`ParquetFile::read`] is the way in; what
//! the columns hold, the crates above say.
//!
//! # Architecture
//!
//! `guard` stands between the crate `parquet` and the file: it bounds every piece that is read, walks the
//! structures of Thrift's protocol (`thrift`, with the fields of `format`) before `parquet` does, and
//! refuses pages of more bytes than a page may have. `pages` looks at each page once it is decompressed,
//! and `claims` at what it says of the number of its values.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod claims;
mod error;
mod file;
mod format;
mod guard;
mod pages;
mod thrift;

pub use error::{Error, Result};
pub use file::{OpenFile, ParquetFile};
