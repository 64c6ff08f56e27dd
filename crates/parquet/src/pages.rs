//! Pages of one column, checked before they are decoded.
//!
//! The decoder of `parquet` panics where a page refers to a dictionary that the column does not
//! have, and makes room for as many values as it claims.

use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use crate::claims::check_claims;
use crate::guard::Guard;

pub(crate) struct Pages {
    inner: SerializedPageReader<Guard>,
    column: ColumnDescPtr,
    dictionary: bool,
    /// Values that the metadata says are still to come.
    left: u64,
}

impl Pages {
    pub(crate) fn new(guard: Guard, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Self> {
        let left = u64::try_from(chunk.num_values()).unwrap_or(0);
        let inner = SerializedPageReader::new(Arc::new(guard), chunk, rows, None)?;
        Ok(Self { inner, column: chunk.column_descr_ptr(), dictionary: false, left })
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        if let Some(page) = &page {
            check_claims(page, &self.column)?;
        }
        match &page {
            Some(Page::DictionaryPage { .. }) => self.dictionary = true,
            Some(data) => {
                let values = u64::from(data.num_values());
                self.left = self.left.checked_sub(values).ok_or_else(|| {
                    let most = self.left;
                    ParquetError::General(format!(
                        "a page of {values} values where {most} are left"
                    ))
                })?;

                let refers = matches!(
                    data.encoding(),
                    Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY
                );
                if refers && !self.dictionary {
                    return Err(ParquetError::General("a page without its dictionary".into()));
                }
            }
            None => {}
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
