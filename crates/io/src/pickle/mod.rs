//! Data in Python's pickle format, read without running anything.
//!
//! A pickle is a program for a stack machine. The machine here knows only the instructions that
//! build data; a call stays a record of it, and what it means is up to the reader of the result.
//! Any name that the reader did not list is refused where it stands. Everything larger than a
//! number lies in one place and is referred to by position, strings stay where they are in the
//! file, and instructions are counted: neither cycles nor deep nesting can cost more than the
//! bytes that describe them.

mod machine;
#[cfg(test)]
mod tests;
mod value;

pub use value::{Call, Pickle, PickleRules, Value};
