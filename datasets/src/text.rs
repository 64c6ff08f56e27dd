//! A text file of a data set, line by line, and what is wrong in it.

use std::{fs, io};

use crate::store::FileStore;
use crate::{Error, Result};

/// A text file: its name for errors, and its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Text<'a> {
    /// Lines that are not blank, with their numbers from 1.
    pub(crate) fn lines(self) -> impl Iterator<Item = (usize, &'a str)> {
        let lines = self.text.strip_prefix('\u{feff}').unwrap_or(self.text).lines();
        lines.enumerate().map(|(i, line)| (i + 1, line.trim())).filter(|(_, line)| !line.is_empty())
    }

    pub(crate) fn error(
        self,
        line: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        let (file, expected, found) = (self.file.to_owned(), expected.into(), found.into());
        Error::Table { file, line, expected, found }
    }

    /// The error about a picture that has no line.
    pub(crate) fn no_line(self, key: &str) -> Error {
        Error::NoLine { file: self.file.to_owned(), key: key.to_owned() }
    }
}

/// The text of a file of at most `limit` bytes.
pub(crate) fn read_text(store: &FileStore, name: &str, limit: u64) -> Result<String> {
    Ok(lossy(store.read(name, limit)?))
}

/// The text of a file of at most `limit` bytes beside the root of a store, where there is one.
pub(crate) fn read_beside(store: &FileStore, name: &str, limit: u64) -> Result<Option<String>> {
    let Some(path) = store.root().parent().map(|parent| parent.join(name)) else { return Ok(None) };
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path, source }),
        Ok(metadata) if metadata.len() > limit => {
            let found = metadata.len().to_string();
            Err(Error::header(&path, format!("at most {limit} bytes"), found))
        }
        Ok(_) => Ok(Some(lossy(fs::read(&path).map_err(Error::io(&path))?))),
    }
}

/// Published text files are ASCII; anything else shows up as a field that is not expected.
pub(crate) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Text of a file as messages show it: on one line, and not too long, as a line of a binary file
/// can be.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("`{shown}{more}`")
}
