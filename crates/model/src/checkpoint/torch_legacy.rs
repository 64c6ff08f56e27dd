//! PyTorch's stream form, before version 1.6: five pickles, then the storages one after another.
//!
//! Magic number, protocol, system, state dict, and the keys of the storages in the order of their
//! data; each storage is its length in elements as i64, then the elements. There is no checksum.

use std::collections::HashMap;

use super::{
    fault::Parse,
    objects::{Objects, RULES, Storage},
    torch,
    weights::Weights,
};
use vdvae_io::pickle::{Pickle, Value};
use vdvae_io::{Fault, quote};

/// The pickled magic number 0x1950a86a20f9469cfc6c, after the two bytes that state the protocol.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const PROTOCOL: i64 = 1001;

/// Whether a file of this form starts with `bytes`.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    after_magic(bytes).is_some()
}

/// Where the first pickle ends, in a file of this form.
fn after_magic(bytes: &[u8]) -> Option<usize> {
    // The protocol; from the fourth on, the length of a frame follows it.
    let [0x80, _, rest @ ..] = bytes else { return None };
    let rest = if rest.first() == Some(&0x95) { rest.get(9..)? } else { rest };
    rest.strip_prefix(MAGIC).map(|rest| bytes.len() - rest.len())
}

pub(super) fn read(bytes: &[u8]) -> Parse<(Weights, Vec<String>)> {
    let unpickle = |start, label| Pickle::read(bytes, start, label, RULES);
    let start = after_magic(bytes).expect("the kind of the file was found by it");
    let protocol = unpickle(start, "protocol")?;
    if protocol.root != Value::Int(PROTOCOL) {
        let found = protocol.describe(protocol.root);
        return Err(Fault::new("protocol", PROTOCOL.to_string(), found));
    }
    let system = unpickle(protocol.end, "system")?;
    check_byte_order(&system)?;
    let state = unpickle(system.end, "state dict")?;
    let keys = unpickle(state.end, "storage keys")?;
    let objects = Objects::of(&state)?;
    let data = locate(bytes, &objects.storages, &keys)?;
    torch::assemble(&state, &objects, bytes.len(), |storage, dtype| {
        let start = data.get(storage.key).copied().ok_or_else(|| {
            let position = format!("storage {}", quote(storage.key));
            Fault::new(position, "its data in the file", "none")
        })?;
        let size = storage.bytes().expect("locate has found this many bytes in the file");
        let mut elements = Vec::with_capacity(storage.len);
        dtype.decode(&bytes[start..start + size], &mut elements);
        Ok(elements)
    })
}

fn check_byte_order(system: &Pickle<'_>) -> Parse<()> {
    match system.lookup(system.root, "little_endian") {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => {
            Err(Fault::new("system", "little-endian data", "big-endian data"))
        }
        _ => Err(Fault::new("system", "little_endian stated", "nothing of the kind")),
    }
}

/// Where the elements of every storage start. All lie inside the file, which ends after the last.
fn locate<'a>(
    bytes: &[u8],
    storages: &[Storage<'a>],
    keys: &Pickle<'a>,
) -> Parse<HashMap<&'a str, usize>> {
    let described: HashMap<&str, &Storage> =
        storages.iter().map(|storage| (storage.key, storage)).collect();
    let list = keys
        .sequence(keys.root)
        .ok_or_else(|| Fault::new("storage keys", "a list of keys", keys.describe(keys.root)))?;
    let mut found = HashMap::new();
    let mut at = keys.end;
    for key in list {
        let storage = match *key {
            Value::Text(key) => described.get(key),
            _ => None,
        };
        let storage = storage.ok_or_else(|| {
            let found = keys.describe(*key);
            Fault::new("storage keys", "keys of storages in the state dict", found)
        })?;
        let fault = |expected: String, found: String| {
            Fault::new(format!("storage {} at byte {at}", quote(storage.key)), expected, found)
        };
        let rest = &bytes[at..];
        let Some((stated, data)) = rest.split_first_chunk() else {
            return Err(fault("its length".into(), format!("the end after {} bytes", rest.len())));
        };
        let stated = i64::from_le_bytes(*stated);
        if usize::try_from(stated) != Ok(storage.len) {
            return Err(fault(format!("{} elements", storage.len), stated.to_string()));
        }
        let Some(size) = storage.bytes().filter(|size| *size <= data.len()) else {
            let expected = format!("{} elements of {} bytes", storage.len, storage.size);
            return Err(fault(expected, format!("{} bytes to the end of the file", data.len())));
        };
        found.insert(storage.key, bytes.len() - data.len());
        at = bytes.len() - data.len() + size;
    }
    if at != bytes.len() {
        let position = format!("byte {at}");
        return Err(Fault::new(
            position,
            "the end of the file",
            format!("{} more bytes", bytes.len() - at),
        ));
    }
    Ok(found)
}
