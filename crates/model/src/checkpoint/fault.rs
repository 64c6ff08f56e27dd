//! What the parsers below report; the file's name is added where it is known.

use crate::Error;

/// A damaged or unexpected place in a checkpoint.
#[derive(Debug)]
pub(super) struct Fault {
    position: String,
    expected: String,
    found: String,
}

/// What the parsers return.
pub(super) type Parse<T> = Result<T, Fault>;

impl Fault {
    pub(super) fn new(
        position: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { position: position.into(), expected: expected.into(), found: found.into() }
    }

    pub(super) fn in_file(self, file: &str) -> Error {
        let Self { position, expected, found } = self;
        Error::Checkpoint { file: file.to_owned(), position, expected, found }
    }
}
