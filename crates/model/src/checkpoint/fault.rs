//! What the parsers below report; the file's name is added where it is known.

use vdvae_io::Fault;

use crate::Error;

/// What the parsers return.
pub(super) type Parse<T> = Result<T, Fault>;

pub(super) fn in_file(fault: Fault, file: &str) -> Error {
    let Fault { position, expected, found } = fault;
    Error::Checkpoint { file: file.to_owned(), position, expected, found }
}
