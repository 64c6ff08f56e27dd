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

use super::claims::check_claims;
use super::guard::Guard;

pub(super) struct Pages {
    inner: SerializedPageReader<Guard>,
    column: ColumnDescPtr,
    dictionary: bool,
}

impl Pages {
    pub(super) fn new(guard: Guard, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Self> {
        let inner = SerializedPageReader::new(Arc::new(guard), chunk, rows, None)?;
        Ok(Self { inner, column: chunk.column_descr_ptr(), dictionary: false })
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
            Some(data) if !self.dictionary => {
                let refers = matches!(
                    data.encoding(),
                    Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY
                );
                if refers {
                    return Err(ParquetError::General("a page without its dictionary".into()));
                }
            }
            _ => {}
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
