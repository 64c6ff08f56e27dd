//! What headers of the kinds GNU and pax say about the member that follows them.

use std::io::{self, Read};

use tar::EntryType;

use super::writer::MAX_NAME_BYTES;
use crate::names::text;

/// Longest key of a pax record that matters, and what stands around the value.
const MAX_KEY_BYTES: u64 = 32;

/// Whether a header is about the next member, or about all of them.
pub(super) fn is_extension(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// What was said about the next member.
#[derive(Default)]
pub(super) struct Extension {
    pub(super) name: Option<String>,
    /// Of a link.
    pub(super) target: Option<String>,
    pub(super) size: Option<u64>,
    /// Whether it is stored with holes.
    pub(super) sparse: bool,
}

impl Extension {
    /// Reads the data of one header. Of those about all members nothing is wanted.
    pub(super) fn read(
        &mut self,
        kind: EntryType,
        data: &mut io::Take<impl Read>,
    ) -> Result<(), String> {
        if kind.is_gnu_longname() {
            self.name = Some(whole_name(data)?);
        } else if kind.is_gnu_longlink() {
            self.target = Some(whole_name(data)?);
        } else if kind.is_pax_local_extensions() {
            while let Some(length) = record_length(data)? {
                self.record(&mut data.take(length))?;
            }
        }
        Ok(())
    }

    /// Reads `KEY=VALUE\n`. Attributes (`SCHILY.xattr.…`, `LIBARCHIVE.…`) may be long: they are
    /// skipped.
    fn record(&mut self, record: &mut io::Take<impl Read>) -> Result<(), String> {
        let length = record.limit();
        let mut start = Vec::new();
        let read = record.take(MAX_NAME_BYTES + MAX_KEY_BYTES).read_to_end(&mut start);
        read.map_err(|error| error.to_string())?;
        let skipped = io::copy(record, &mut io::sink()).map_err(|error| error.to_string())?;
        let whole = skipped == 0;
        if start.len() as u64 + skipped != length {
            return Err(format!("expected a pax record of {length} bytes, found its end before"));
        }
        let record = text(&start);
        let (key, value) = record.split_once('=').unwrap_or((&record, ""));
        let value = || match value.strip_suffix('\n') {
            Some(value) if whole => Ok(Some(value.to_owned()).filter(|value| !value.is_empty())),
            _ => Err(too_long()),
        };
        match key {
            // The name that the file has, where `path` is that of its parts.
            "GNU.sparse.name" => (self.name, self.sparse) = (value()?, true),
            _ if key.starts_with("GNU.sparse.") => self.sparse = true,
            "path" if !self.sparse => self.name = value()?,
            "linkpath" => self.target = value()?,
            "size" => {
                let size = value()?.and_then(|size| size.parse().ok());
                self.size = Some(size.ok_or("expected a size in digits in a pax header")?);
            }
            _ => {}
        }
        Ok(())
    }
}

fn too_long() -> String {
    format!("expected a name of at most {MAX_NAME_BYTES} bytes")
}

/// A name that ends at the end of the data, or at a zero.
fn whole_name(data: &mut io::Take<impl Read>) -> Result<String, String> {
    if data.limit() > MAX_NAME_BYTES {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Ok(text(&bytes[..end]).into_owned())
}

/// What remains of the next record after its length, which counts itself; `None` at the end.
fn record_length(data: &mut impl Read) -> Result<Option<u64>, String> {
    let (mut length, mut read) = (0_u64, 0);
    loop {
        let mut byte = [0];
        let count = data.read(&mut byte).map_err(|error| error.to_string())?;
        match byte[0] {
            0 if read == 0 => return Ok(None),
            digit @ b'0'..=b'9' if count == 1 && read < 18 => {
                length = length * 10 + u64::from(digit - b'0');
            }
            b' ' if read > 0 && length > read + 1 => return Ok(Some(length - read - 1)),
            _ => return Err("expected a pax record `LENGTH KEY=VALUE`".to_owned()),
        }
        read += 1;
    }
}
