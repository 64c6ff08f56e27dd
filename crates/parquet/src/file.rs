//! A file's metadata, and its columns when they are asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::guard::Guard;
use crate::pages::Pages;
use crate::{Error, Result};

/// A Parquet file by its metadata. It is opened anew for every [read](Self::read), so that thousands of
/// them may be known at once.
#[derive(Debug)]
pub struct ParquetFile {
    path: PathBuf,
    metadata: ParquetMetaData,
}

/// A file that is open, for its columns.
#[derive(Debug)]
pub struct OpenFile<'a> {
    guard: Guard,
    metadata: &'a ParquetMetaData,
}

impl ParquetFile {
    /// Reads the metadata of a file.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is no whole Parquet file, [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let guard = open(path)?;
        let metadata = careful(path, || {
            guard.check_metadata()?;
            ParquetMetaDataReader::new().parse_and_finish(&guard)
        })?;
        Ok(Self { path: path.to_owned(), metadata })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Columns, row groups, and what else its writer said of it.
    pub fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// Opens the file for `run`, whose panics are errors: `parquet` does not expect all that is there.
    ///
    /// # Errors
    /// [`Error::Damaged`] for an error of `run`, [`Error::Io`] where the file cannot be opened.
    pub fn read<T>(&self, run: impl FnOnce(&OpenFile<'_>) -> ParquetResult<T>) -> Result<T> {
        let open = OpenFile { guard: open(&self.path)?.pages(), metadata: &self.metadata };
        careful(&self.path, || run(&open))
    }
}

impl OpenFile<'_> {
    /// A column of a row group, both by number.
    ///
    /// # Errors
    /// Where the file has no such column there.
    pub fn column<T: DataType>(
        &self,
        group: usize,
        column: usize,
    ) -> ParquetResult<ColumnReaderImpl<T>> {
        let group = self.metadata.row_group(group);
        let chunk = group.column(column);
        let starts = [Some(chunk.data_page_offset()), chunk.dictionary_page_offset()];
        if chunk.compressed_size() < 0 || starts.iter().flatten().any(|&start| start < 0) {
            return Err(ParquetError::General(format!("column {column} before the file begins")));
        }
        let pages = Pages::new(self.guard.clone(), chunk, group.num_rows() as usize)?;
        Ok(ColumnReaderImpl::new(chunk.column_descr_ptr(), Box::new(pages)))
    }
}

fn open(path: &Path) -> Result<Guard> {
    Guard::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Runs `parquet`, whose errors may have several lines, and which must not take the program down.
fn careful<T>(path: &Path, run: impl FnOnce() -> ParquetResult<T>) -> Result<T> {
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(ParquetError::General("a structure that the reader cannot follow".into()))
    });
    result.map_err(|error| Error::Damaged {
        path: path.to_owned(),
        found: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    })
}
