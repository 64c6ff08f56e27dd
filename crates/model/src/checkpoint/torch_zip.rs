//! PyTorch's zip form, since version 1.6: `NAME/data.pkl` and one entry a storage, `NAME/data/N`.
//!
//! Entries may be stored or deflated. Each one that is read is verified against its CRC.

use std::io::{Cursor, Read};

use zip::{ZipArchive, result::ZipError};

use super::{
    dtype::Dtype,
    fault::Parse,
    objects::{Objects, RULES, Storage},
    torch,
    weights::Weights,
};
use vdvae_io::pickle::Pickle;
use vdvae_io::{Fault, quote};

/// The largest published one is 250 kB.
const MAX_PICKLE_BYTES: u64 = 64 << 20;

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(super) fn read(bytes: &[u8]) -> Parse<(Weights, Vec<String>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| Fault::new("zip directory", "a whole zip archive", zip_text(&error)))?;
    let folder = folder(&archive)?;
    check_byte_order(&mut archive, &folder)?;
    let name = format!("{folder}data.pkl");
    let pickled = read_entry(&mut archive, &name)?;
    let pickle = Pickle::read(&pickled, 0, &name, RULES)?;
    torch::assemble(&pickle, &Objects::of(&pickle)?, bytes.len(), |storage, dtype| {
        read_storage(&mut archive, &format!("{folder}data/{}", storage.key), storage, dtype)
    })
}

/// The archive's single folder, with its slash.
fn folder(archive: &Archive) -> Parse<String> {
    let names = archive.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
    let mut folders = names.filter_map(|name| name.strip_suffix("data.pkl"));
    let single = folders.find(|folder| folder.find('/') == folder.len().checked_sub(1));
    single.map(str::to_owned).ok_or_else(|| {
        Fault::new("zip directory", "an entry NAME/data.pkl (a PyTorch checkpoint)", "none")
    })
}

/// Files from before PyTorch 2.1 do not state it, and are little-endian.
fn check_byte_order(archive: &mut Archive, folder: &str) -> Parse<()> {
    let name = format!("{folder}byteorder");
    if archive.index_for_name(&name).is_none() {
        return Ok(());
    }
    let order = read_entry(archive, &name)?;
    if order.trim_ascii() == b"little" {
        return Ok(());
    }
    Err(Fault::new(quote(&name), "little", quote(&String::from_utf8_lossy(&order))))
}

fn read_entry(archive: &mut Archive, name: &str) -> Parse<Vec<u8>> {
    let unreadable = |found: String| Fault::new(quote(name), "a readable entry", found);
    let mut entry = archive.by_name(name).map_err(|error| unreadable(zip_text(&error)))?;
    if entry.size() > MAX_PICKLE_BYTES {
        let expected = format!("at most {MAX_PICKLE_BYTES} bytes");
        return Err(Fault::new(quote(name), expected, entry.size().to_string()));
    }
    let mut bytes = Vec::new();
    // The reader stops at the stated size and compares the CRC there.
    entry.read_to_end(&mut bytes).map_err(|error| unreadable(quote(&error.to_string())))?;
    Ok(bytes)
}

fn read_storage(
    archive: &mut Archive,
    name: &str,
    storage: &Storage,
    dtype: Dtype,
) -> Parse<Vec<f32>> {
    let fault = |expected: &str, found: String| Fault::new(quote(name), expected, found);
    let mut entry =
        archive.by_name(name).map_err(|error| fault("the data of a tensor", zip_text(&error)))?;
    let expected = storage.bytes().map(|bytes| bytes as u64);
    if expected != Some(entry.size()) {
        let expected = format!("{} elements of {dtype:?}", storage.len);
        return Err(fault(&expected, format!("{} bytes", entry.size())));
    }
    let damaged =
        |error: std::io::Error| fault("data that matches its checksum", quote(&error.to_string()));
    let mut elements = Vec::with_capacity(storage.len);
    let mut piece = vec![0; 1 << 16];
    loop {
        let filled = fill(&mut entry, &mut piece).map_err(damaged)?;
        dtype.decode(&piece[..filled], &mut elements);
        if filled < piece.len() {
            break; // fill met the end, which is where the CRC is compared
        }
    }
    if elements.len() != storage.len {
        let expected = format!("{} elements", storage.len);
        return Err(fault(&expected, format!("{}", elements.len())));
    }
    Ok(elements)
}

/// Reads until `buffer` is full or the reader ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn zip_text(error: &ZipError) -> String {
    match error {
        ZipError::FileNotFound => "no such entry".into(),
        other => quote(&other.to_string()),
    }
}
