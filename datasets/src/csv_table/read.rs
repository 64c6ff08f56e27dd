//! A CSV file as text cells, with the line each row is on.

use std::fs;
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use sha2::{Digest, Sha256};

use crate::text::quoted;
use crate::{Error, Result};

/// Columns with a meaning of their own; all others may be predicted.
pub(super) const PATH: &str = "path";
pub(super) const SPLIT: &str = "split";
pub(super) const GROUP: &str = "group";
/// Largest file, in bytes; a million rows of 200 characters fit.
const MAX_BYTES: u64 = 256 << 20;
/// Most columns.
const MAX_COLUMNS: usize = 16_384;

/// The cells of a file, without the space around them.
pub(super) struct Table {
    /// The file, as errors name it.
    pub(super) file: String,
    pub(super) sha256: [u8; 32],
    pub(super) header: Vec<String>,
    records: Vec<StringRecord>,
    /// Line of every row, counted from 1.
    pub(super) lines: Vec<usize>,
}

impl Table {
    /// Reads a file of at least one row below a header of names that differ.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let bytes = read_bytes(path)?;
        let sha256 = Sha256::digest(&bytes).into();
        let mut table =
            Self { file, sha256, header: Vec::new(), records: Vec::new(), lines: Vec::new() };
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = 1 + newlines(&bytes[..error.valid_up_to()]);
            let found = format!("the byte {:02x}", bytes[error.valid_up_to()]);
            table.error(line, "text in UTF-8", found)
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        table.parse(text)?;
        table.check_header()?;
        match table.rows() {
            0 => Err(table.error(2, "a row for each picture", "the end of the file")),
            _ => Ok(table),
        }
    }

    fn parse(&mut self, text: &str) -> Result<()> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| self.csv_error(text, &error))?;
        self.header = header.iter().map(str::to_owned).collect();
        for record in reader.into_records() {
            let record = record.map_err(|error| self.csv_error(text, &error))?;
            self.lines.push(line(text, record.position()));
            self.records.push(record);
        }
        Ok(())
    }

    fn check_header(&self) -> Result<()> {
        if self.header.is_empty() {
            return Err(self.error(1, "a header with a column `path`", "an empty file"));
        }
        if self.header.len() > MAX_COLUMNS {
            let expected = format!("at most {MAX_COLUMNS} columns");
            return Err(self.error(1, expected, self.header.len().to_string()));
        }
        let mut sorted: Vec<&String> = self.header.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => {
                let found = format!("two columns {}", quoted(pair[0]));
                Err(self.error(1, "a different name for each column", found))
            }
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.records.len()
    }

    /// Position of a column.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|found| found == name)
    }

    pub(super) fn cell(&self, row: usize, column: usize) -> &str {
        &self.records[row][column]
    }

    pub(super) fn error(
        &self,
        line: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        let file = self.file.clone();
        Error::Table { file, line, expected: expected.into(), found: found.into() }
    }

    fn csv_error(&self, text: &str, error: &csv::Error) -> Error {
        let line = line(text, error.position());
        match error.kind() {
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                let expected = format!("{expected_len} fields, as in the header");
                self.error(line, expected, len.to_string())
            }
            _ => self.error(line, "comma-separated values", error.to_string()),
        }
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    let expected = format!("a CSV file of at most {MAX_BYTES} bytes");
    let refuse = |found: String| Error::Header { path: path.to_owned(), expected, found };
    if !metadata.is_file() {
        return Err(refuse("no regular file".to_owned()));
    }
    if metadata.len() > MAX_BYTES {
        return Err(refuse(metadata.len().to_string()));
    }
    fs::read(path).map_err(Error::io(path))
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Line of a record, counted from 1. The position that the parser gives lies before the blank
/// lines in front of it.
fn line(text: &str, position: Option<&csv::Position>) -> usize {
    let Some(position) = position else { return 1 };
    let rest = text.as_bytes().get(position.byte() as usize..).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    position.line() as usize + newlines(&rest[..blank])
}
