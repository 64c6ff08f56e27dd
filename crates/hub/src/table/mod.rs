//! One Parquet file: labels are read when it is opened, pictures when they are asked for.

mod candidates;
mod columns;
mod labels;
#[cfg(test)]
mod tests;

use std::path::Path;

use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use vdvae_io::MAX_PICTURE_BYTES;
use vdvae_parquet::ParquetFile;

use crate::{ClassNames, Error, Result};
pub use candidates::is_label;
pub use columns::{Columns, Target, TargetKind, Targets};
pub use labels::TableLabels;

/// Most rows of one file, and most labels: a column of one value repeated takes a few bytes,
/// however many rows it claims.
const MAX_ROWS: usize = 1 << 26;
const MAX_LABELS: usize = 1 << 28;
/// Rows read at once.
const STEP: usize = 1 << 16;
/// What a block of pictures may grow to before it is cut, in bytes.
const BLOCK_BYTES: usize = 4 << 20;
/// Most pictures of a block.
const BLOCK_ROWS: usize = 1024;

/// One open Parquet file: its metadata, not its pages.
#[derive(Debug)]
pub struct Table {
    file: ParquetFile,
    /// Number of the column of pictures.
    picture: usize,
    groups: Vec<RowGroup>,
}

/// Where a row group lies among the rows of its file.
#[derive(Debug, Clone, Copy)]
struct RowGroup {
    first: usize,
    rows: usize,
    /// Pictures of a block: about what one page holds, which has to be read as a whole.
    block: usize,
}

/// Some consecutive pictures, encoded.
#[derive(Debug, Default)]
pub struct Block {
    first: usize,
    bytes: Vec<u8>,
    /// Where each ends in `bytes`; `None` where the row has no picture.
    ends: Vec<(bool, usize)>,
}

impl Block {
    /// The encoded picture of a row, or why it has none; `None` where the block ends before it.
    pub fn get(&self, row: usize) -> Option<Result<&[u8], String>> {
        let at = row.checked_sub(self.first)?;
        let &(present, end) = self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1].1 };
        Some(if present {
            Ok(&self.bytes[start..end])
        } else {
            Err("no bytes in its row, or too many".into())
        })
    }

    fn push(&mut self, picture: Option<&[u8]>) {
        self.bytes.extend_from_slice(picture.unwrap_or_default());
        self.ends.push((picture.is_some(), self.bytes.len()));
    }
}

/// Finds what the columns of a file hold. Those that `chosen` names are predicted, or, where it names
/// none, the usual ones; without `chosen` nothing is. `names` are of the classes of columns that the
/// file does not name.
///
/// # Errors
/// [`Error::Table`] where it is no Parquet file or has no column of pictures; [`Error::Targets`]
/// where what to predict has to be chosen, or otherwise; [`Error::Io`].
pub fn columns(path: &Path, chosen: Option<&[Target]>, names: &ClassNames) -> Result<Columns> {
    let file = ParquetFile::open(path)?;
    Columns::find(file.metadata().file_metadata(), chosen, names).map_err(|wrong| {
        let (path, expected, found) = (path.to_owned(), wrong.expected, wrong.found);
        match wrong.of_targets {
            true => Error::Targets { path, expected, found },
            false => Error::Table { path, expected, found },
        }
    })
}

/// Whether a file has every column that is predicted.
///
/// # Errors
/// [`Error::Table`] where it is no Parquet file, [`Error::Io`].
pub fn has_targets(path: &Path, columns: &Columns) -> Result<bool> {
    let file = ParquetFile::open(path)?;
    let all = file.metadata().file_metadata().schema_descr().columns();
    let known = |name: &&str| all.iter().any(|column| column.path().string() == *name);
    Ok(columns.targets.names().iter().all(known))
}

impl Table {
    /// Opens a file that has these columns, and reads its labels.
    ///
    /// # Errors
    /// [`Error::Table`] where it is no whole Parquet file, lacks a column, or claims too much;
    /// [`Error::Io`].
    pub fn open(path: &Path, columns: &Columns) -> Result<(Self, TableLabels)> {
        let file = ParquetFile::open(path)?;
        let find = |name: &str| {
            let all = file.metadata().file_metadata().schema_descr().columns();
            all.iter().position(|column| column.path().string() == name).ok_or_else(|| {
                let all: Vec<String> = all.iter().map(|column| column.path().string()).collect();
                Error::Table {
                    path: path.to_owned(),
                    expected: format!("a column {name}, as in the first file"),
                    found: format!("the columns {}", all.join(", ")),
                }
            })
        };
        let picture = find(&columns.picture)?;
        let width = columns.targets.names().len();
        let numbers = find_all(columns, find)?;
        let mut table = Self { file, picture, groups: Vec::new() };
        table.groups = table.row_groups(width)?;
        let labels = table.labels(columns, &numbers)?;
        Ok((table, labels))
    }

    /// Rows of the file.
    pub fn rows(&self) -> usize {
        self.groups.last().map_or(0, |group| group.first + group.rows)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    fn error(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Table {
            path: self.path().to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn row_groups(&self, width: usize) -> Result<Vec<RowGroup>> {
        let mut groups = Vec::new();
        let mut first = 0_usize;
        for group in self.file.metadata().row_groups() {
            let rows = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
            let end = first.saturating_add(rows);
            if end > MAX_ROWS || end.saturating_mul(width) > MAX_LABELS {
                let expected = format!("at most {MAX_ROWS} rows and {MAX_LABELS} labels");
                return Err(self.error(expected, format!("{end} rows of {width} labels")));
            }
            let size = group.column(self.picture).uncompressed_size().max(1) as usize;
            let block = (rows.saturating_mul(1 << 20) / size).clamp(1, BLOCK_ROWS);
            groups.push(RowGroup { first, rows, block });
            first = end;
        }
        Ok(groups)
    }

    /// A column of one value a row, `missing` where it is null.
    fn column<T: DataType, V: Clone>(
        &self,
        column: usize,
        missing: V,
        convert: impl Fn(T::T) -> V,
    ) -> Result<Vec<V>> {
        let level =
            self.file.metadata().file_metadata().schema_descr().column(column).max_def_level();
        let is_present = |levels: &[i16], row: usize| level == 0 || levels.get(row) == Some(&level);
        let mut all = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            let before = all.len();
            self.file.read(|file| {
                let mut reader = file.column::<T>(number, column)?;
                let (mut values, mut present) = (Vec::new(), Vec::new());
                while all.len() - before < group.rows {
                    values.clear();
                    present.clear();
                    let step = STEP.min(group.rows - (all.len() - before));
                    let read = reader.read_records(step, Some(&mut present), None, &mut values)?;
                    if read.0 == 0 {
                        break;
                    }
                    let mut found = values.drain(..).map(&convert);
                    all.extend((0..read.0).map(|row| match is_present(&present, row) {
                        true => found.next().unwrap_or_else(|| missing.clone()),
                        false => missing.clone(),
                    }));
                }
                Ok(())
            })?;
            if all.len() - before != group.rows {
                let expected = format!("{} rows in row group {number}", group.rows);
                return Err(self.error(expected, (all.len() - before).to_string()));
            }
        }
        Ok(all)
    }

    /// Row group and block that a row belongs to.
    ///
    /// # Panics
    /// If the row is not below [`Table::rows`].
    pub fn place(&self, row: usize) -> (usize, usize) {
        let group = self.groups.partition_point(|group| group.first + group.rows <= row);
        (group, (row - self.groups[group].first) / self.groups[group].block)
    }

    /// Reads a block of pictures; it ends early where they are large.
    ///
    /// # Errors
    /// [`Error::Table`] where its pages are damaged, [`Error::Io`].
    pub fn block(&self, (group, block): (usize, usize)) -> Result<Block> {
        let RowGroup { first, rows, block: size } = self.groups[group];
        let start = block * size;
        self.pictures(group, first + start, size.min(rows - start))
    }

    /// Reads one picture that its block does not reach.
    ///
    /// # Errors
    /// As for [`Table::block`].
    pub fn single(&self, row: usize) -> Result<Block> {
        self.pictures(self.place(row).0, row, 1)
    }

    fn pictures(&self, group: usize, from: usize, count: usize) -> Result<Block> {
        Ok(self.file.read(|file| {
            let mut reader = file.column::<ByteArrayType>(group, self.picture)?;
            reader.skip_records(from - self.groups[group].first)?;
            let mut block = Block { first: from, ..Block::default() };
            let (mut values, mut present) = (Vec::<ByteArray>::new(), Vec::new());
            while block.ends.len() < count && block.bytes.len() < BLOCK_BYTES {
                values.clear();
                present.clear();
                let read = reader.read_records(1, Some(&mut present), None, &mut values)?;
                if read.0 == 0 {
                    let row = from + block.ends.len();
                    return Err(ParquetError::EOF(format!("no picture in row {row}")));
                }
                let picture = values.first().map(ByteArray::data);
                block.push(picture.filter(|picture| picture.len() as u64 <= MAX_PICTURE_BYTES));
            }
            Ok(block)
        })?)
    }
}

/// Numbers of the columns of targets, then of the group.
fn find_all(columns: &Columns, find: impl Fn(&str) -> Result<usize>) -> Result<Vec<usize>> {
    let group = columns.group.iter().map(String::as_str);
    columns.targets.names().into_iter().chain(group).map(find).collect()
}
