//! TensorBoard event files: the few records that curves are made of.
//!
//! A file is a row of TFRecords (length, checksum, bytes, checksum), each one `Event` message of
//! TensorFlow's `event.proto` in protobuf's wire format. Written out here because the messages
//! needed have a handful of fields.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Result, io_error};

/// An event file that is being written.
#[derive(Debug)]
pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts a file for the steps after `step`. TensorBoard then leaves out what earlier files of
    /// the folder say about those steps.
    pub(crate) fn create(folder: &Path, step: u64) -> Result<Self> {
        let now = since_1970();
        let (seconds, process) = (now as u64, std::process::id());
        let name = |n| format!("events.out.tfevents.{seconds:010}.vdvae.{process}.{n}");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        // Two runs of one process within a second: the first number that is free.
        let free = (0..u32::MAX).map(|n| folder.join(name(n))).find(|path| !path.exists());
        let path = free.expect("a folder does not hold four billion files");
        let file = options.open(&path).map_err(io_error(&path, "write"))?;
        let mut events = Self { path, file };
        events.append(&[event(now, 0, FILE_VERSION, b"brain.Event:2")])?;
        // SessionLog { status: START }: forget the steps from here on.
        events.append(&[event(now, step + 1, SESSION_LOG, &[0x08, 0x01])])?;
        Ok(events)
    }

    /// Appends one point for each curve, at a step.
    pub(crate) fn scalars(&mut self, step: u64, curves: &[(&str, f64)]) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in curves {
            let mut point = Vec::new();
            bytes_field(&mut point, 1, tag.as_bytes());
            point.push(key(2, FIXED32));
            point.extend((*value as f32).to_le_bytes());
            bytes_field(&mut summary, 1, &point);
        }
        self.append(&[event(since_1970(), step, SUMMARY, &summary)])
    }

    /// Appends records in one write, so that other programs see them whole.
    fn append(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        let records: Vec<u8> = messages.iter().flat_map(|message| record(message)).collect();
        self.file.write_all(&records).map_err(io_error(&self.path, "write"))
    }
}

/// Fields of `Event` beside `wall_time` (1) and `step` (2).
const FILE_VERSION: u8 = 3;
const SUMMARY: u8 = 5;
const SESSION_LOG: u8 = 7;

/// Protobuf's wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

fn key(field: u8, wire_type: u8) -> u8 {
    field << 3 | wire_type
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(key(field, BYTES));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn event(wall_time: f64, step: u64, field: u8, contents: &[u8]) -> Vec<u8> {
    let mut message = vec![key(1, FIXED64)];
    message.extend(wall_time.to_le_bytes());
    message.push(key(2, VARINT));
    varint(&mut message, step);
    bytes_field(&mut message, field, contents);
    message
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend_from_slice(message);
    record.extend(masked_crc(message).to_le_bytes());
    record
}

/// CRC-32C, rotated and shifted as TFRecords want it.
fn masked_crc(bytes: &[u8]) -> u32 {
    const MASK: u32 = 0xa282_ead8;
    crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

/// CRC with Castagnoli's polynomial, bit by bit: records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of RFC 3720, B.4.
    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// From `EventFileWriter` of tensorboard 2.21 with `Event(wall_time=1.5, step=300,
    /// summary=Summary(value=[Summary.Value(tag="a/b", simple_value=0.25)]))`.
    #[test]
    fn a_point_is_the_record_that_tensorboard_writes() {
        let mut point = vec![];
        bytes_field(&mut point, 1, b"a/b");
        point.push(key(2, FIXED32));
        point.extend(0.25f32.to_le_bytes());
        let mut summary = vec![];
        bytes_field(&mut summary, 1, &point);
        let hex: String = record(&event(1.5, 300, SUMMARY, &summary))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "1a00000000000000129bd82d09000000000000f83f10ac022a0c0a0a0a03612f62150000803ef9cde7ed"
        );
    }

    #[test]
    fn a_file_starts_with_its_version_and_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path(), 6).unwrap();
        file.scalars(7, &[("x", 1.0), ("y", 2.0)]).unwrap();
        EventFile::create(folder.path(), 7).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a file for each start");
        let bytes = std::fs::read(&file.path).unwrap();
        let messages = messages(&bytes);
        // After the wall time (9 bytes): step 0 and the version, step 7 and START, two points.
        assert_eq!(messages[0][9..], [&[0x10, 0, 0x1a, 13], &b"brain.Event:2"[..]].concat());
        assert_eq!(messages[1][9..], [0x10, 7, 0x3a, 2, 0x08, 0x01]);
        let point = |tag: u8, value: f32| {
            [&[0x0a, 8, 0x0a, 1, tag, 0x15], &value.to_le_bytes()[..]].concat()
        };
        let points = [point(b'x', 1.0), point(b'y', 2.0)].concat();
        assert_eq!(messages[2][9..], [&[0x10, 7, 0x2a, 20], &points[..]].concat());
        assert_eq!(messages.len(), 3);
    }

    /// The messages of a file whose lengths and checksums are right.
    fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut messages = vec![];
        while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
            let (crc, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*crc), masked_crc(length));
            let (message, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
            let (crc, rest) = rest.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*crc), masked_crc(message));
            messages.push(message);
            bytes = rest;
        }
        messages
    }
}
