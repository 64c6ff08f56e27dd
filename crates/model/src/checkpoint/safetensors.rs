//! Our own file: safetensors with the configuration and two hashes in its metadata.
//!
//! Metadata keys: `format` is `vdvae`, `version` is `1`, `config` is the configuration's JSON,
//! `sha256` is [`Weights::sha256`], `metadata_sha256` covers all other entries. Any more entries
//! are the caller's. Tensors have published names, shapes and order, in float32 or float16. The same
//! content always gives the same bytes.
//!
//! Files of other programs, without these keys, are read too.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use ::safetensors::{Dtype as FileDtype, SafeTensors};
use half::f16;
use serde_json::json;
use sha2::{Digest, Sha256};
use vdvae_io::{Fault, hex, quote};

use super::{
    dtype::Dtype,
    fault::{Parse, in_file},
    prefix::{Networks, left_out},
    weights::{Array, Weights, little_endian},
};
use crate::{Error, Result, VdvaeConfig};

const FORMAT: &str = "vdvae";
const VERSION: &str = "1";
/// Metadata keys that only this module writes.
pub(super) const RESERVED: [&str; 5] = ["format", "version", "config", "sha256", "metadata_sha256"];

pub(super) type Metadata = BTreeMap<String, String>;

/// Reads a whole file but for what lies beside a network and is no weights, and says what that is. The
/// hashes are verified where the file has them.
pub(super) fn read(bytes: &[u8]) -> Parse<(Weights, Metadata, Vec<String>)> {
    check_header_length(bytes)?;
    let damaged = |error| {
        Fault::new("header", "a safetensors header that fits the file", quote(&format!("{error}")))
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata: Metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    check_metadata(&metadata)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let names = header.offset_keys();
    let (networks, mut beside) = (Networks::among(names.iter().map(String::as_str)), Vec::new());
    let mut weights = Weights::new();
    for name in &names {
        let view = tensors.tensor(name).map_err(damaged)?;
        let dtype = match view.dtype() {
            FileDtype::F64 => Dtype::F64,
            FileDtype::F32 => Dtype::F32,
            FileDtype::F16 => Dtype::F16,
            FileDtype::BF16 => Dtype::Bf16,
            _ if networks.has_beside(name) => {
                beside.push(name.as_str());
                continue;
            }
            other => {
                let position = format!("tensor {}", quote(name));
                return Err(Fault::new(position, "F64, F32, F16 or BF16", format!("{other:?}")));
            }
        };
        let mut data = Vec::with_capacity(view.data().len() / dtype.size());
        dtype.decode(view.data(), &mut data);
        weights.insert(name.as_str(), Array::new(view.shape().to_vec(), data));
    }
    if let Some(stated) = metadata.get("sha256") {
        same_hash("tensor data does not match its hash", stated, weights.sha256())?;
    }
    Ok((weights, metadata, left_out(&beside).into_iter().collect()))
}

/// Says where a truncated file ends, which the safetensors crate does not.
fn check_header_length(bytes: &[u8]) -> Parse<()> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Err(Fault::new("header", "8 bytes of header length", format!("{}", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > rest.len() as u64 {
        let found = format!("{} bytes to the end of the file", rest.len());
        return Err(Fault::new("header", format!("{length} bytes of JSON"), found));
    }
    Ok(())
}

/// Whether this module wrote a file of this metadata.
fn is_ours(metadata: &Metadata) -> bool {
    metadata.get("format").is_some_and(|format| format == FORMAT)
}

fn check_metadata(metadata: &Metadata) -> Parse<()> {
    if let Some(stated) = metadata.get("metadata_sha256") {
        same_hash("metadata does not match its hash", stated, metadata_sha256(metadata))?;
    }
    if is_ours(metadata) {
        let version = metadata.get("version").map_or("none", String::as_str);
        if version != VERSION {
            return Err(Fault::new("metadata version", VERSION, quote(version)));
        }
        if !metadata.contains_key("sha256") {
            return Err(Fault::new("metadata", "a sha256 of the tensors", "none"));
        }
    }
    Ok(())
}

fn same_hash(position: &str, stated: &str, computed: String) -> Parse<()> {
    if stated == computed {
        return Ok(());
    }
    Err(Fault::new(position, format!("sha256 {}", quote(stated)), computed))
}

fn metadata_sha256(metadata: &Metadata) -> String {
    let mut hash = Sha256::new();
    for (key, value) in metadata.iter().filter(|(key, _)| *key != "metadata_sha256") {
        for text in [key, value] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    hex(hash.finalize())
}

/// Writes weights and configuration as one file, and returns the SHA-256 of that file.
///
/// `extra` becomes further metadata entries, such as `step`. Names are not compared with `config`:
/// a training checkpoint holds more than a model. The file is written beside `path`,
/// flushed to disk and renamed: a reader, or a crash, sees the old file or the new one whole.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written, [`Error::Checkpoint`] when an extra key or the
/// name of a tensor is reserved.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    weights: &Weights,
    config: &VdvaeConfig,
    extra: &BTreeMap<String, String>,
) -> Result<String> {
    write(path.as_ref(), weights, Some(config), extra, Dtype::F32)
}

/// As [`write_safetensors`], of a network of another kind, whose configuration is an entry of its own
/// among `extra`.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_weights(
    path: impl AsRef<Path>,
    weights: &Weights,
    extra: &BTreeMap<String, String>,
) -> Result<String> {
    write(path.as_ref(), weights, None, extra, Dtype::F32)
}

/// As [`write_safetensors`], with every number rounded to the nearest of half precision (float16): a
/// file of half the size, whose hash is that of the rounded weights.
///
/// # Errors
/// As [`write_safetensors`]; also [`Error::Checkpoint`] for a finite weight that is too large.
pub fn write_safetensors_f16(
    path: impl AsRef<Path>,
    weights: &Weights,
    config: &VdvaeConfig,
    extra: &BTreeMap<String, String>,
) -> Result<String> {
    let path = path.as_ref();
    let rounded = in_f16(weights).map_err(|fault| in_file(fault, &path.display().to_string()))?;
    write(path, &rounded, Some(config), extra, Dtype::F16)
}

fn in_f16(weights: &Weights) -> Parse<Weights> {
    let round = |(name, array): (&str, &Array)| {
        let mut data = Vec::with_capacity(array.data().len());
        Dtype::F16.decode(&Dtype::F16.encode(array.data()), &mut data);
        let lost = |at: &usize| array.data()[*at].is_finite() && !data[*at].is_finite();
        match (0..data.len()).find(lost) {
            None => Ok((name.to_owned(), Array::new(array.shape().to_vec(), data))),
            Some(at) => {
                let (expected, found) = (format!("at most {} for f16", f16::MAX), array.data()[at]);
                Err(Fault::new(format!("{}[{at}]", quote(name)), expected, found.to_string()))
            }
        }
    };
    weights.iter().map(round).collect()
}

/// `dtype` has to hold every weight exactly, of which the file has the hash.
fn write(
    path: &Path,
    weights: &Weights,
    config: Option<&VdvaeConfig>,
    extra: &Metadata,
    dtype: Dtype,
) -> Result<String> {
    let header = header(weights, config, extra, dtype)
        .map_err(|fault| in_file(fault, &path.display().to_string()))?;
    vdvae_io::replace(path, |file| write_hashed(file, &header, weights, dtype))
        .map_err(|source| Error::Io { path: path.to_owned(), action: "write", source })
}

/// Length and JSON, padded so that the tensors are aligned.
fn header(
    weights: &Weights,
    config: Option<&VdvaeConfig>,
    extra: &Metadata,
    dtype: Dtype,
) -> Parse<Vec<u8>> {
    if let Some(key) = RESERVED.iter().find(|key| extra.contains_key(**key)) {
        return Err(Fault::new("metadata", "a key of its own for each entry", *key));
    }
    if weights.get("__metadata__").is_some() {
        return Err(Fault::new("tensors", "no tensor named __metadata__", "one"));
    }
    let own = [
        ("format", FORMAT.to_owned()),
        ("version", VERSION.to_owned()),
        ("sha256", weights.sha256()),
    ];
    let mut metadata = extra.clone();
    metadata.extend(config.map(|config| ("config".to_owned(), config.to_json())));
    metadata.extend(own.map(|(key, value)| (key.to_owned(), value)));
    metadata.insert("metadata_sha256".to_owned(), metadata_sha256(&metadata));

    let mut entries = serde_json::Map::new();
    entries.insert("__metadata__".to_owned(), json!(metadata));
    let mut start = 0;
    for (name, array) in weights.iter() {
        let end = start + dtype.size() * array.data().len();
        let entry = json!({
            "dtype": dtype.name(), "shape": array.shape(), "data_offsets": [start, end],
        });
        entries.insert(name.to_owned(), entry);
        start = end;
    }
    let mut json = serde_json::Value::Object(entries).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}

/// Returns the SHA-256 of what is written.
fn write_hashed(
    out: &mut impl Write,
    header: &[u8],
    weights: &Weights,
    dtype: Dtype,
) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut write = |bytes: &[u8]| {
        hash.update(bytes);
        out.write_all(bytes)
    };
    write(header)?;
    for (_, array) in weights.iter() {
        little_endian(array.data(), dtype).try_for_each(|bytes| write(&bytes))?;
    }
    Ok(hex(hash.finalize()))
}
