//! A CSV file as text cells, with the line each row is on.
//!
//! Cells are parted by commas, semicolons, tabs or bars, whichever the header shows.

use std::fs;
use std::path::Path;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};
use sha2::{Digest, Sha256};

use crate::text::quoted;
use crate::{Error, Result};

/// What may part cells, the usual one first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Largest file, in bytes; a million rows of 200 characters fit.
const MAX_BYTES: u64 = 256 << 20;
/// Most columns.
const MAX_COLUMNS: usize = 16_384;

/// The cells of a file, without the space around them.
pub(super) struct Table {
    /// The file, as errors name it.
    pub(super) file: String,
    pub(super) sha256: [u8; 32],
    /// What parts cells.
    pub(super) delimiter: u8,
    pub(super) header: Vec<String>,
    records: Vec<StringRecord>,
    /// Line of every row, counted from 1.
    pub(super) lines: Vec<usize>,
}

impl Table {
    /// Reads a file of at least one row below a header of names that differ. The delimiter is the
    /// one by which the header has a column that `names_pictures`, and most columns.
    pub(super) fn read(path: &Path, names_pictures: impl Fn(&str) -> bool) -> Result<Self> {
        let file = path.display().to_string();
        let bytes = read_bytes(path)?;
        let sha256 = Sha256::digest(&bytes).into();
        let (header, records, lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut table = Self { file, sha256, delimiter: b',', header, records, lines };
        let text = table.text(&bytes)?;
        let (delimiter, reader) = reader(text, names_pictures);
        table.delimiter = delimiter;
        table.parse(text, reader)?;
        table.check_header()?;
        match table.rows() {
            0 => Err(table.error(2, "a row for each picture", "the end of the file")),
            _ => Ok(table),
        }
    }

    /// The bytes as text, without a byte order mark.
    fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str> {
        let expected = "text in UTF-8";
        let line = |at: usize| 1 + newlines(&bytes[..at]);
        // Text in UTF-16 of plain letters is valid UTF-8, with a zero after each of them.
        let zero = bytes.iter().position(|byte| *byte == 0);
        if let Some(at) = zero.or(bytes.starts_with(&[0xff, 0xfe]).then_some(0)) {
            return Err(self.error(line(at), expected, "UTF-16, or no text"));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            self.error(line(at), expected, format!("the byte {:02x}", bytes[at]))
        })?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    fn parse(&mut self, text: &str, mut reader: Reader<&[u8]>) -> Result<()> {
        let header = reader.headers().map_err(|error| self.csv_error(text, &error))?;
        self.header = header.iter().map(str::to_owned).collect();
        for record in reader.into_records() {
            let record = record.map_err(|error| self.csv_error(text, &error))?;
            self.lines.push(line(text, record.position()));
            self.records.push(record);
        }
        // The parser ends an open quotation with the file, and all lines since are one cell.
        let last = self.records.last().filter(|last| last.iter().any(|cell| cell.contains('\n')));
        match (last, self.lines.last()) {
            (Some(_), Some(&line)) if text.matches('"').count() % 2 == 1 => {
                Err(self.error(line, "a closing quotation mark", "the end of the file"))
            }
            _ => Ok(()),
        }
    }

    fn check_header(&self) -> Result<()> {
        if self.header.is_empty() {
            return Err(self.error(1, "a header with a column of pictures", "an empty file"));
        }
        if self.header.len() > MAX_COLUMNS {
            let expected = format!("at most {MAX_COLUMNS} columns");
            return Err(self.error(1, expected, self.header.len().to_string()));
        }
        let mut sorted: Vec<&String> = self.header.iter().filter(|name| !name.is_empty()).collect();
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

    /// A column as messages name it.
    pub(super) fn name(&self, column: usize) -> String {
        match &self.header[column][..] {
            "" => format!("{} (without a name)", column + 1),
            name => quoted(name),
        }
    }

    /// The cells of a column, in the order of the rows.
    pub(super) fn cells(&self, column: usize) -> impl Iterator<Item = &str> + Clone {
        self.records.iter().map(move |record| &record[column])
    }

    /// Names of all columns, for messages.
    pub(super) fn names(&self) -> String {
        let names: Vec<String> = (0..self.header.len()).map(|column| self.name(column)).collect();
        names.join(", ")
    }

    /// An error about the cell of a row.
    pub(super) fn cell_error(&self, row: usize, column: usize, expected: &str) -> Error {
        let expected = format!("{expected} in column {}", self.name(column));
        let found = match self.cell(row, column) {
            "" => "an empty cell".to_owned(),
            cell => quoted(cell),
        };
        self.error(self.lines[row], expected, found)
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
            _ => self.error(line, "separated values", error.to_string()),
        }
    }
}

/// A parser of the text, and what parts the cells, by its header.
fn reader(text: &str, names_pictures: impl Fn(&str) -> bool) -> (u8, Reader<&[u8]>) {
    let parser = |delimiter: u8| {
        let mut parser = ReaderBuilder::new();
        parser.delimiter(delimiter).trim(Trim::All).from_reader(text.as_bytes())
    };
    let score = |reader: &mut Reader<&[u8]>| {
        let header = reader.headers().cloned().unwrap_or_default();
        (header.iter().any(&names_pictures), header.len())
    };
    // What the text lacks parts nothing.
    let found = DELIMITERS.into_iter().filter(|delimiter| text.as_bytes().contains(delimiter));
    let mut readers: Vec<_> = found.map(|delimiter| (delimiter, parser(delimiter))).collect();
    let scores: Vec<_> = readers.iter_mut().map(|(_, reader)| score(reader)).collect();
    // `max_by_key` takes the last of equals.
    let best = (0..readers.len()).rev().max_by_key(|&at| scores[at]);
    best.map_or_else(|| (b',', parser(b',')), |best| readers.swap_remove(best))
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
