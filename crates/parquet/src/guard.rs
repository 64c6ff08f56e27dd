//! A Parquet file as the crate `parquet` reads it, with a limit on what a page may claim.
//!
//! A page says how large it is once decompressed, and that much memory is filled before anything
//! else is looked at: a file of a hundred bytes could ask for 2 GiB. Headers and metadata say how many
//! elements lists have ([`Walk`]).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use vdvae_io::read_exact_at;

use crate::format::{FILE_METADATA, PAGE_HEADER, UNCOMPRESSED_SIZE};
use crate::thrift::Walk;

/// Largest page, in bytes: a page ends with the value that fills it, and a picture of 64 MiB is
/// the largest that is decoded.
const MAX_PAGE_BYTES: i64 = 128 << 20;
/// Largest piece read at once: a page, or the metadata at the end of the file.
const MAX_PIECE_BYTES: usize = 256 << 20;

/// Headers of pages have some tens of bytes.
const HEADER_BYTES: usize = 512;
/// What ends a file: the length of its metadata, and these four bytes.
const FOOTER: (usize, &[u8]) = (8, b"PAR1");

/// An open file.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    file: Arc<File>,
    length: u64,
    /// Whether what is read byte by byte is the header of a page.
    pages: bool,
}

impl Guard {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), length, pages: false })
    }

    /// Fails where the metadata at the end of the file claims more than it has. What is no Parquet file
    /// is for `parquet` to refuse.
    pub(crate) fn check_metadata(&self) -> Result<()> {
        let Some(before) = self.length.checked_sub(FOOTER.0 as u64) else { return Ok(()) };
        let footer = self.get_bytes(before, FOOTER.0)?;
        let Some((length, magic)) = footer.split_first_chunk() else { return Ok(()) };
        let length = u32::from_le_bytes(*length);
        let Some(start) = before.checked_sub(length.into()) else { return Ok(()) };
        if magic != FOOTER.1 {
            return Ok(());
        }
        let metadata = self.get_bytes(start, length as usize)?;
        let walk = Walk::new(&metadata[..], length.into(), true);
        Ok(walk.structure(FILE_METADATA, &mut |_, _| ())?)
    }

    /// For reading pages.
    pub(crate) fn pages(self) -> Self {
        Self { pages: true, ..self }
    }
}

impl Length for Guard {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Guard {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let unchecked = self.pages;
        let from = From { file: Arc::clone(&self.file), at: start, end: self.length, unchecked };
        Ok(BufReader::with_capacity(HEADER_BYTES, from))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64);
        if length > MAX_PIECE_BYTES || end.is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes from byte {start} of a file of {}",
                self.length
            )));
        }
        let mut bytes = vec![0; length];
        read_exact_at(&self.file, &mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// Reads on from one place. Nothing is read, and nothing checked, before the first byte is asked
/// for: `parquet` also makes readers that it does not use, at places where no header is.
pub(crate) struct From {
    file: Arc<File>,
    at: u64,
    end: u64,
    unchecked: bool,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        read_exact_at(&self.file, &mut buffer[..count], self.at)?;
        if std::mem::take(&mut self.unchecked) {
            let header = Self { file: Arc::clone(&self.file), unchecked: false, ..*self };
            let header = BufReader::with_capacity(HEADER_BYTES, header);
            check_page(header, self.end.saturating_sub(self.at))?;
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Refuses a page header of at most so many bytes that claims too much, or is none.
fn check_page(header: impl Read, most: u64) -> io::Result<()> {
    let mut largest = 0;
    Walk::new(header, most, false).structure(PAGE_HEADER, &mut |field, value| {
        if field == UNCOMPRESSED_SIZE {
            // `parquet` cuts numbers down to 32 bits.
            largest = largest.max(i64::from(value as i32));
        }
    })?;
    match largest > MAX_PAGE_BYTES {
        true => Err(io::Error::other(format!(
            "expected a page of at most {MAX_PAGE_BYTES} bytes, found one of {largest}"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_claim_too_much_are_refused() {
        let check = |fields: &[&[u8]]| {
            let header = [&fields.concat()[..], &[0]].concat();
            check_page(&header[..], header.len() as u64).map_err(|error| error.to_string())
        };
        // Fields 1 to 3: a data page, its size decompressed and as it is; 128 MiB, and one more.
        let (kind, compressed) = (&[0x15, 0][..], &[0x15, 2][..]);
        let (most, more) =
            (&[0x15, 0x80, 0x80, 0x80, 0x80, 1][..], [0x15, 0x82, 0x80, 0x80, 0x80, 1]);
        let refused = "expected a page of at most 134217728 bytes, found one of 134217729";
        assert_eq!(check(&[kind, most, compressed]), Ok(()));
        assert_eq!(check(&[kind, &more, compressed]), Err(refused.into()));
        // Before the others, and a second time: the number of a field can be written out.
        let first = [&[0x05, 4][..], &more[1..]].concat();
        let kind_again = [0x05, 2, 0];
        assert_eq!(check(&[&first, &kind_again]), Err(refused.into()));
        assert_eq!(check(&[kind, most, compressed, &first]), Err(refused.into()));
        assert_eq!(check(&[kind, &more, &[0x05, 4, 2]]), Err(refused.into()));
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let guard = Guard::open(file.path()).unwrap();
        assert_eq!(guard.get_bytes(2, 3).unwrap(), "234");
        for (start, length) in [(0, 11), (11, 0), (u64::MAX, 2), (0, usize::MAX)] {
            assert!(guard.get_bytes(start, length).is_err());
        }
        let mut text = String::new();
        guard.get_read(7).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "789");
        assert_eq!(guard.get_read(99).unwrap().read(&mut [0; 4]).unwrap(), 0);
    }
}
