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

use super::format::{FILE_METADATA, PAGE_HEADER};
use super::thrift::Walk;

/// Largest page, in bytes: a page ends with the value that fills it, and a picture of 64 MiB is
/// the largest that is decoded.
const MAX_PAGE_BYTES: u64 = 128 << 20;
/// Largest piece read at once: a page, or the metadata at the end of the file.
const MAX_PIECE_BYTES: usize = 256 << 20;

/// Headers of pages have some tens of bytes.
const HEADER_BYTES: usize = 512;
/// What ends a file: the length of its metadata, and these four bytes.
const FOOTER: (usize, &[u8]) = (8, b"PAR1");

/// An open file.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    file: Arc<File>,
    length: u64,
    /// Whether what is read byte by byte is the header of a page.
    pages: bool,
}

impl Guard {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), length, pages: false })
    }

    /// Fails where the metadata at the end of the file claims more than it has. What is no Parquet file
    /// is for `parquet` to refuse.
    pub(super) fn check_metadata(&self) -> Result<()> {
        let Some(before) = self.length.checked_sub(FOOTER.0 as u64) else { return Ok(()) };
        let footer = self.get_bytes(before, FOOTER.0)?;
        let Some((length, magic)) = footer.split_first_chunk() else { return Ok(()) };
        let length = u32::from_le_bytes(*length);
        let Some(start) = before.checked_sub(length.into()) else { return Ok(()) };
        if magic != FOOTER.1 {
            return Ok(());
        }
        let metadata = self.get_bytes(start, length as usize)?;
        Ok(Walk::new(&metadata[..], length.into(), true).structure(FILE_METADATA)?)
    }

    /// For reading pages.
    pub(super) fn pages(self) -> Self {
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
pub(super) struct From {
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
            check_page(&buffer[..count])?;
            let header = Self { file: Arc::clone(&self.file), unchecked: false, ..*self };
            let header = BufReader::with_capacity(HEADER_BYTES, header);
            Walk::new(header, self.end.saturating_sub(self.at), false).structure(PAGE_HEADER)?;
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Refuses a page header that claims too much. What is no header is for `parquet` to refuse.
fn check_page(header: &[u8]) -> io::Result<()> {
    match uncompressed_size(header) {
        Some(size) if size > MAX_PAGE_BYTES => Err(io::Error::other(format!(
            "expected a page of at most {MAX_PAGE_BYTES} bytes, found one of {size}"
        ))),
        _ => Ok(()),
    }
}

/// The second field of a page header, `uncompressed_page_size`: in Thrift's compact protocol, two
/// 32-bit integers (type 5) one field apart, each a zigzag varint.
fn uncompressed_size(header: &[u8]) -> Option<u64> {
    const NEXT_I32: u8 = 0x15;
    let (&field, rest) = header.split_first()?;
    let (_, rest) = varint(rest)?;
    let (&next, rest) = rest.split_first()?;
    let (size, _) = varint(rest)?;
    // Half of a zigzag number, rounded up, is its distance from zero.
    (field == NEXT_I32 && next == NEXT_I32).then_some(size.div_ceil(2))
}

pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_claim_too_much_are_refused() {
        // type 0 (data), 300 bytes (zigzag 600: 0xd8 0x04), then the compressed size.
        assert_eq!(uncompressed_size(&[0x15, 0, 0x15, 0xd8, 0x04, 0x15, 2]), Some(300));
        // The largest 32-bit number.
        let huge = [0x15, 4, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(uncompressed_size(&huge), Some((1 << 31) - 1));
        assert!(check_page(&huge).unwrap_err().to_string().contains("2147483647"));
        for other in [&b""[..], &[0x15], &[0x15, 0x80], b"PNG is no header"] {
            assert!(check_page(other).is_ok());
        }
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
