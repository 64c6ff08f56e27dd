//! One entry of the cache, to read: a safetensors file, written once and never changed.
//!
//! `indices` and `keys` name the rows, `contents` hashes their pixels, one array a layer holds their features, and `crc32` holds
//! the checksum of every array before it. The metadata says what the file answers. Arrays are
//! written and read in blocks of rows; a request reads only the layers it needs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::Value;

use crate::Part;

pub(super) const FORMAT: &str = "vdvae-feature-cache";
/// Longest header, in bytes: metadata, and a line for each of some thousands of layers.
pub(super) const MAX_HEADER: u64 = 16 << 20;
/// Bytes read or written at once.
pub(super) const BLOCK: usize = 1 << 20;
pub(super) const INDICES: &str = "indices";
pub(super) const KEYS: &str = "keys";
/// Entries from before there was this array are computed again.
pub(super) const CONTENTS: &str = "contents";
pub(super) const CHECKSUMS: &str = "crc32";

/// What is wrong with a file: what was expected, and what was found.
pub(super) type Damage = String;

/// How the numbers of an entry lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// float32.
    Float,
    /// Multiples of 1/255, as bytes: pixels, at a quarter of the size.
    Byte,
}

impl Encoding {
    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::Float => Dtype::F32,
            Self::Byte => Dtype::U8,
        }
    }

    /// Bytes of one number.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Float => 4,
            Self::Byte => 1,
        }
    }

    pub(super) fn write(self, values: impl Iterator<Item = f32>, out: &mut Vec<u8>) {
        match self {
            Self::Float => values.for_each(|value| out.extend_from_slice(&value.to_le_bytes())),
            Self::Byte => out.extend(values.map(|value| (value * 255.0).round() as u8)),
        }
    }

    fn read(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Self::Float => bytes.chunks_exact(4).zip(values).for_each(|(bytes, value)| {
                *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }),
            // As the extraction divides, so that the numbers are the same to the bit.
            Self::Byte => {
                let pairs = bytes.iter().zip(values);
                pairs.for_each(|(&byte, value)| *value = f32::from(byte) / 255.0);
            }
        }
    }
}

/// An entry whose header has been read, and fits the length of its file.
pub(super) struct Entry {
    file: File,
    metadata: Metadata,
    /// Where the arrays begin, in bytes.
    data: u64,
    /// Checksums by name.
    sums: HashMap<String, u32>,
    pub(super) identity: Value,
    pub(super) model: String,
    pub(super) data_name: String,
    /// Key and reason of every picture that was left out.
    pub(super) skipped: Vec<(String, String)>,
}

/// The rows of an entry.
pub(super) struct Rows {
    pub(super) indices: Vec<usize>,
    pub(super) keys: Vec<String>,
    /// Hashes of their pixels.
    pub(super) contents: Vec<u64>,
}

impl Entry {
    /// Reads the header, and nothing that it promises before it was compared with the file.
    pub(super) fn open(mut file: File) -> Result<Self, Damage> {
        let length = file.metadata().map_err(io_damage)?.len();
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(io_damage)?;
        let size = u64::from_le_bytes(size);
        let data = size.saturating_add(8);
        if size > MAX_HEADER || data > length {
            return Err(format!("expected a header, found one of {size} bytes in {length}"));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(io_damage)?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| format!("expected a safetensors header, found {error}"))?;
        if metadata.data_len() as u64 != length - data {
            let expected = metadata.data_len() as u64 + data;
            return Err(format!("expected {expected} bytes, found {length}"));
        }
        let facts = metadata.metadata().clone().unwrap_or_default();
        if facts.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(format!("expected the format {FORMAT}, found another"));
        }
        let fact = |name: &str| {
            facts.get(name).cloned().ok_or_else(|| format!("expected `{name}`, found nothing"))
        };
        let json_damage = |error: serde_json::Error| format!("expected facts, found {error}");
        let mut entry = Self {
            file,
            data,
            sums: HashMap::new(),
            identity: serde_json::from_str(&fact("identity")?).map_err(json_damage)?,
            model: fact("model")?,
            data_name: fact("data")?,
            skipped: serde_json::from_str(&fact("skipped")?).map_err(json_damage)?,
            metadata,
        };
        entry.sums = entry.checksums()?;
        Ok(entry)
    }

    fn info(&self, name: &str, dtype: Dtype) -> Result<&TensorInfo, Damage> {
        let info = self.metadata.info(name);
        info.filter(|info| info.dtype == dtype)
            .ok_or_else(|| format!("expected {name} as {dtype:?}, found {info:?}"))
    }

    /// Checksums of all arrays before the last.
    fn checksums(&mut self) -> Result<HashMap<String, u32>, Damage> {
        let mut names = self.metadata.offset_keys();
        let last = names.pop().unwrap_or_default();
        let (start, length) = range(self.info(CHECKSUMS, Dtype::U32)?);
        if last != CHECKSUMS || length != 4 * names.len() {
            return Err(format!("expected {} checksums at the end, found {last}", names.len()));
        }
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(self.data + start)).map_err(io_damage)?;
        self.file.read_exact(&mut bytes).map_err(io_damage)?;
        let sums = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(names.into_iter().zip(sums).collect())
    }

    /// Whether the entry has every array asked for.
    pub(super) fn holds(&self, parts: &[Part]) -> bool {
        let mut names = parts.iter().map(|part| &part.name[..]).chain([CONTENTS]);
        names.all(|name| self.metadata.info(name).is_some())
    }

    /// Names of the layers' arrays and their columns, in order.
    pub(super) fn arrays(&self) -> Vec<(String, usize)> {
        let names = self.metadata.offset_keys();
        let layers = names
            .into_iter()
            .filter(|name| ![INDICES, KEYS, CONTENTS, CHECKSUMS].contains(&&name[..]));
        let columns = |name: &str| self.metadata.info(name)?.shape.get(1).copied();
        layers
            .map(|name| {
                let n = columns(&name).unwrap_or(0);
                (name, n)
            })
            .collect()
    }

    /// Pictures.
    pub(super) fn rows(&self) -> usize {
        self.metadata.info(INDICES).and_then(|info| info.shape.first().copied()).unwrap_or(0)
    }

    /// Reads an array in blocks of whole rows of `row` bytes and compares its checksum.
    fn read(
        &mut self,
        name: &str,
        dtype: Dtype,
        row: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<(), Damage> {
        let (start, mut left) = range(self.info(name, dtype)?);
        self.file.seek(SeekFrom::Start(self.data + start)).map_err(io_damage)?;
        let mut sum = crc32fast::Hasher::new();
        let mut block = vec![0; (BLOCK / row.max(1)).max(1) * row.max(1)];
        while left > 0 {
            let length = block.len().min(left);
            let block = &mut block[..length];
            self.file.read_exact(block).map_err(io_damage)?;
            sum.update(block);
            visit(block);
            left -= length;
        }
        let (expected, found) = (self.sums.get(name).copied(), sum.finalize());
        if expected == Some(found) {
            return Ok(());
        }
        let expected = expected.unwrap_or_default();
        Err(format!("expected {name} with checksum {expected:08x}, found {found:08x}"))
    }

    /// Which pictures the rows are.
    pub(super) fn read_rows(&mut self) -> Result<Rows, Damage> {
        let indices = self.read_numbers(INDICES)?;
        let indices: Vec<usize> = indices.into_iter().map(|index| index as usize).collect();
        let contents = self.read_numbers(CONTENTS)?;
        let mut keys = Vec::new();
        self.read(KEYS, Dtype::U8, 1, |bytes| keys.extend_from_slice(bytes))?;
        let keys: Vec<String> =
            serde_json::from_slice(&keys).map_err(|e| format!("expected keys, found {e}"))?;
        for (what, found) in [("keys", keys.len()), ("contents", contents.len())] {
            if found != indices.len() {
                return Err(format!("expected {} {what}, found {found}", indices.len()));
            }
        }
        Ok(Rows { indices, keys, contents })
    }

    fn read_numbers(&mut self, name: &str) -> Result<Vec<u64>, Damage> {
        let mut numbers = Vec::new();
        self.read(name, Dtype::U64, 8, |bytes| {
            let (chunks, _) = bytes.as_chunks();
            numbers.extend(chunks.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        })?;
        Ok(numbers)
    }

    /// The numbers of some arrays side by side, `(N, columns)` row after row.
    pub(super) fn read_parts(
        &mut self,
        parts: &[Part],
        encoding: Encoding,
    ) -> Result<Vec<f32>, Damage> {
        let rows = self.rows();
        for part in parts {
            let info = self.info(&part.name, encoding.dtype())?;
            let expected = [rows, part.columns()];
            if info.shape != expected {
                return Err(format!(
                    "expected {} of {expected:?}, found {:?}",
                    part.name, info.shape
                ));
            }
        }
        // The arrays are there, so this is at most four times the size of the file.
        let width: usize = parts.iter().map(Part::columns).sum();
        let mut values = vec![0f32; rows * width];
        let mut first = 0;
        for part in parts {
            let columns = first..first + part.columns();
            first = columns.end;
            let bytes = columns.len() * encoding.width();
            let mut table = values.chunks_exact_mut(width.max(1));
            self.read(&part.name, encoding.dtype(), bytes, |block| {
                for (bytes, row) in block.chunks_exact(bytes.max(1)).zip(&mut table) {
                    encoding.read(bytes, &mut row[columns.clone()]);
                }
            })?;
        }
        Ok(values)
    }
}

/// Offset and length of an array, in bytes.
fn range(info: &TensorInfo) -> (u64, usize) {
    let (start, end) = info.data_offsets;
    (start as u64, end.saturating_sub(start))
}

fn io_damage(error: io::Error) -> Damage {
    format!("cannot read: {error}")
}
