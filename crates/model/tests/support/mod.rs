//! Builds small PyTorch checkpoints by hand, sound ones and hostile ones.

use std::io::{Cursor, Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A file below `tests/fixtures/parity/tiny`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/tiny");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// A tensor as a pickle describes it.
#[derive(Clone)]
pub(crate) struct TensorPickle {
    pub(crate) storage_type: &'static str,
    pub(crate) key: &'static str,
    pub(crate) elements: i32,
    pub(crate) offset: i32,
    pub(crate) size: Vec<i32>,
    pub(crate) stride: Vec<i32>,
}

impl TensorPickle {
    pub(crate) fn new(key: &'static str, size: &[i32], stride: &[i32]) -> Self {
        let (size, stride) = (size.to_vec(), stride.to_vec());
        let elements = size.iter().product();
        Self { storage_type: "FloatStorage", key, elements, offset: 0, size, stride }
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = global("torch._utils", "_rebuild_tensor_v2");
        out.extend(b"((");
        out.extend(text("storage"));
        out.extend(global("torch", self.storage_type));
        out.extend(text(self.key));
        out.extend(text("cpu"));
        out.extend(int(self.elements));
        out.extend(b"tQ");
        out.extend(int(self.offset));
        for numbers in [&self.size, &self.stride] {
            out.push(b'(');
            out.extend(numbers.iter().flat_map(|n| int(*n)));
            out.push(b't');
        }
        out.push(0x89);
        out.extend(global("collections", "OrderedDict"));
        out.extend(b")RtR");
        out
    }
}

/// A pickled dict from names to pickled values.
pub(crate) fn state_dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"\x80\x02".to_vec();
    out.extend(dict(entries));
    out.push(b'.');
    out
}

/// As [`state_dict`], to nest.
pub(crate) fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"}(".to_vec();
    for (name, value) in entries {
        out.extend(text(name));
        out.extend(value);
    }
    out.push(b'u');
    out
}

pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

pub(crate) fn int(number: i32) -> Vec<u8> {
    [b"J".as_slice(), &number.to_le_bytes()].concat()
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A PyTorch zip file with these entries below `model/`.
pub(crate) fn torch_zip(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        zip.start_file(format!("model/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A PyTorch legacy stream with these storages (key, elements, bytes).
pub(crate) fn torch_legacy(
    little_endian: bool,
    pickle: &[u8],
    storages: &[(&str, i64, &[u8])],
) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    out.extend(b"\x80\x02M\xe9\x03.");
    out.extend(state_dict(&[("little_endian", vec![if little_endian { 0x88 } else { 0x89 }])]));
    out.extend(pickle);
    out.extend(b"\x80\x02](");
    out.extend(storages.iter().flat_map(|(key, ..)| text(key)));
    out.extend(b"e.");
    for (_, elements, bytes) in storages {
        out.extend(elements.to_le_bytes());
        out.extend(*bytes);
    }
    out
}
