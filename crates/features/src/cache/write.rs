//! One entry of the cache, to write: [`super::entry`] says how it is laid out.

use std::io::{self, Write};

use safetensors::Dtype;
use serde_json::{Value, json};

use super::entry::{BLOCK, CHECKSUMS, CONTENTS, Encoding, FORMAT, INDICES, KEYS, MAX_HEADER};
use crate::extract::Extracted;
use crate::{FeatureTable, Part};

/// What a file says it is, beside its arrays.
pub(super) struct Facts<'a> {
    /// Everything that decides the numbers.
    pub(super) identity: &'a Value,
    /// What a reader would call the model.
    pub(super) model: &'a str,
    /// Name of the data set.
    pub(super) data: &'a str,
}

/// Writes the features of one source as a whole entry.
pub(super) fn write(
    file: &mut impl Write,
    facts: &Facts<'_>,
    parts: &[Part],
    encoding: Encoding,
    (table, extracted): (&FeatureTable, &Extracted),
) -> io::Result<()> {
    let keys = serde_json::to_vec(&table.keys)?;
    let rows = table.rows();
    let mut arrays = vec![
        (INDICES, Dtype::U64, vec![rows], rows * 8),
        (KEYS, Dtype::U8, vec![keys.len()], keys.len()),
        (CONTENTS, Dtype::U64, vec![rows], rows * 8),
    ];
    arrays.extend(parts.iter().map(|part| {
        let shape = vec![rows, part.columns()];
        (&part.name[..], encoding.dtype(), shape, rows * part.columns() * encoding.width())
    }));
    let sums = arrays.len();
    arrays.push((CHECKSUMS, Dtype::U32, vec![sums], sums * 4));

    let mut out = Summing { file, sums: Vec::new() };
    out.file.write_all(&header(facts, &extracted.skipped, &arrays)?)?;
    let indices = extracted.indices.iter().flat_map(|&index| (index as u64).to_le_bytes());
    out.array(std::iter::once(indices.collect()))?;
    out.array(std::iter::once(keys))?;
    let contents = extracted.contents.iter().flat_map(|content| content.to_le_bytes());
    out.array(std::iter::once(contents.collect()))?;
    let mut first = 0;
    for part in parts {
        let columns = first..first + part.columns();
        first = columns.end;
        let rows_at_once = (BLOCK / (columns.len() * encoding.width()).max(1)).max(1);
        let blocks = table.features.axis_chunks_iter(ndarray::Axis(0), rows_at_once);
        out.array(blocks.map(|block| {
            let mut bytes = Vec::with_capacity(block.nrows() * columns.len() * encoding.width());
            let block = block.slice_move(ndarray::s![.., columns.clone()]);
            encoding.write(block.iter().copied(), &mut bytes);
            bytes
        }))?;
    }
    let sums: Vec<u8> = out.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    out.file.write_all(&sums)
}

type Layout<'a> = (&'a str, Dtype, Vec<usize>, usize);

/// Length and JSON of a safetensors header.
fn header(
    facts: &Facts<'_>,
    skipped: &[(String, String)],
    arrays: &[Layout<'_>],
) -> io::Result<Vec<u8>> {
    let mut json = serde_json::Map::new();
    let metadata = json!({
        "format": FORMAT,
        "identity": facts.identity.to_string(),
        "model": facts.model,
        "data": facts.data,
        "skipped": serde_json::to_string(skipped)?,
    });
    json.insert("__metadata__".to_owned(), metadata);
    let mut offset = 0;
    for (name, dtype, shape, bytes) in arrays {
        let offsets = [offset, offset + bytes];
        offset += bytes;
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        json.insert((*name).to_owned(), entry);
    }
    let mut text = serde_json::to_vec(&json)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    if text.len() as u64 > MAX_HEADER {
        return Err(io::Error::other(format!("a header of {} bytes", text.len())));
    }
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}

/// A file, and the checksums of the arrays written so far.
struct Summing<'a, W> {
    file: &'a mut W,
    sums: Vec<u32>,
}

impl<W: Write> Summing<'_, W> {
    fn array(&mut self, blocks: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        let mut sum = crc32fast::Hasher::new();
        for block in blocks {
            sum.update(&block);
            self.file.write_all(&block)?;
        }
        self.sums.push(sum.finalize());
        Ok(())
    }
}
