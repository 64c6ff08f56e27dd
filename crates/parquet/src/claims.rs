//! What a page claims to hold, checked before it is decoded.
//!
//! The decoder of `parquet` makes room for as many values as a dictionary claims, and for as many as
//! the list of their lengths does, before it reads one: a file of a thousand bytes could ask for 62 GB.

use parquet::basic::{Encoding, Type};
use parquet::column::page::Page;
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::ColumnDescriptor;

use crate::thrift::varint;

/// Most values of a dictionary, which writers end at a megabyte, and of a page with a list of lengths:
/// those that are all the same take next to no bytes.
const MAX_VALUES: u64 = 1 << 22;

/// Fails where a page claims more values than it has bytes for, or more lengths than values. What has no
/// such form is for `parquet` to refuse.
pub(crate) fn check_claims(page: &Page, column: &ColumnDescriptor) -> Result<()> {
    let values = u64::from(page.num_values());
    if let Page::DictionaryPage { buf, .. } = page {
        let held = buf.len() as u64 * 8 / bits(column);
        return at_most(MAX_VALUES.min(held), "a dictionary", values);
    }
    let lists = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // Of what each value shares with the one before, and of the rest.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    at_most(MAX_VALUES, "a page with lengths", values)?;
    let mut rest = self::values(page, column);
    for _ in 0..lists {
        let Some(list) = rest.and_then(List::read) else { return Ok(()) };
        at_most(values, "a list of lengths", list.length)?;
        rest = list.end();
    }
    Ok(())
}

fn at_most(most: u64, what: &str, found: u64) -> Result<()> {
    match found > most {
        true => Err(ParquetError::General(format!(
            "expected {what} of at most {most} values, found {found}"
        ))),
        false => Ok(()),
    }
}

/// What a value takes at least.
fn bits(column: &ColumnDescriptor) -> u64 {
    match column.physical_type() {
        Type::BOOLEAN => 1,
        // Its length comes first.
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 32,
        Type::INT64 | Type::DOUBLE => 64,
        Type::INT96 => 96,
        Type::FIXED_LEN_BYTE_ARRAY => 8 * u64::try_from(column.type_length()).unwrap_or(0).max(1),
    }
}

/// The values of a page, behind its levels; `None` where it ends before them.
fn values<'a>(page: &'a Page, column: &ColumnDescriptor) -> Option<&'a [u8]> {
    let levels = [column.max_rep_level(), column.max_def_level()];
    match page {
        Page::DataPage { buf, num_values, def_level_encoding, rep_level_encoding, .. } => {
            let encodings = [rep_level_encoding, def_level_encoding];
            let mut rest = &buf[..];
            for (most, encoding) in levels.into_iter().zip(encodings).filter(|(most, _)| *most > 0)
            {
                let (bytes, after) = match encoding {
                    Encoding::RLE => {
                        let (length, after) = rest.split_first_chunk()?;
                        (u32::from_le_bytes(*length).into(), after)
                    }
                    // So many bits for each value, which parquet writes no more.
                    _ => {
                        let bits = u64::from(i16::BITS - most.leading_zeros());
                        ((u64::from(*num_values) * bits).div_ceil(8), rest)
                    }
                };
                rest = after.get(usize::try_from(bytes).ok()?..)?;
            }
            Some(rest)
        }
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
            buf.get(usize::try_from(levels).ok()?..)
        }
        Page::DictionaryPage { .. } => None,
    }
}

/// The head of numbers that are packed by their differences (DELTA_BINARY_PACKED), and what follows it.
struct List<'a> {
    /// Numbers of a block, and parts of a block.
    block: u64,
    parts: u64,
    /// Numbers in all.
    length: u64,
    rest: &'a [u8],
}

impl<'a> List<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut next = || varint(&mut rest).ok();
        let (block, parts, length, _first) = (next()?, next()?, next()?, next()?);
        Some(Self { block, parts, length, rest })
    }

    /// What follows the numbers: each block is its smallest difference, the width of each part in bits,
    /// a byte each, and the parts that have numbers.
    fn end(&self) -> Option<&'a [u8]> {
        let of_part = self.block.checked_div(self.parts).filter(|numbers| *numbers > 0)?;
        let mut left = self.length.saturating_sub(1);
        let mut rest = self.rest;
        while left > 0 {
            let _smallest = varint(&mut rest).ok()?;
            let (widths, mut parts) = rest.split_at_checked(usize::try_from(self.parts).ok()?)?;
            for width in widths {
                if left > 0 {
                    let bytes = u64::from(*width).checked_mul(of_part)? / 8;
                    parts = parts.get(usize::try_from(bytes).ok()?..)?;
                    left = left.saturating_sub(of_part);
                }
            }
            rest = parts;
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parquet::basic::Type;
    use parquet::schema::types::{ColumnPath, Type as Schema};

    use super::*;

    /// A column of bytes that may be missing.
    fn column() -> ColumnDescriptor {
        let schema = Schema::primitive_type_builder("bytes", Type::BYTE_ARRAY).build().unwrap();
        ColumnDescriptor::new(Arc::new(schema), 1, 0, ColumnPath::from("bytes"))
    }

    fn page(encoding: Encoding, values: &[u8], num_values: u32) -> Page {
        // Two bytes of levels.
        let buf = Bytes::from([&[2, 0, 0, 0, 8, 1], values].concat());
        let (def_level_encoding, rep_level_encoding) = (Encoding::RLE, Encoding::RLE);
        let statistics = None;
        Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding,
            rep_level_encoding,
            statistics,
        }
    }

    #[test]
    fn a_dictionary_has_bytes_for_its_values() {
        let check = |num_values| {
            let (buf, encoding) = (Bytes::from_static(&[0; 42]), Encoding::PLAIN);
            let page = Page::DictionaryPage { buf, num_values, encoding, is_sorted: false };
            check_claims(&page, &column()).map_err(|error| error.to_string())
        };
        assert_eq!(check(10), Ok(()));
        let expected = "Parquet error: expected a dictionary of at most 10 values, found 11";
        assert_eq!(check(11), Err(expected.into()));
    }

    /// Blocks of 128 in 4 parts, so many numbers of which the first is 3, the others as much; the first
    /// part has 1 bit a number.
    fn list(length: u8) -> Vec<u8> {
        [&[0x80, 1, 4, length, 6, 0, 1, 0, 0, 0][..], &[0; 4]].concat()
    }

    #[test]
    fn more_lengths_than_values_are_refused() {
        let check = |encoding, values: &[u8], count| {
            let result = check_claims(&page(encoding, values, count), &column());
            result.map_err(|error| error.to_string())
        };
        let (single, double) = (Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY);
        let refused = |found: u64, most: u64| {
            let what = "a list of lengths";
            Err(format!("Parquet error: expected {what} of at most {most} values, found {found}"))
        };
        assert_eq!(check(single, &list(4), 4), Ok(()));
        assert_eq!(check(single, &list(5), 4), refused(5, 4));
        assert_eq!(check(Encoding::PLAIN, &list(5), 4), Ok(()));
        // Of the lists of the other encoding the second begins where the first ends.
        for (first, second, expected) in
            [(4, 4, Ok(())), (5, 4, refused(5, 4)), (4, 5, refused(5, 4)), (1, 1, Ok(()))]
        {
            let mut lists = list(first);
            if first == 1 {
                // A single number has no block.
                lists.truncate(5);
            }
            lists.extend(list(second));
            assert_eq!(check(double, &lists, 4), expected, "{first} {second}");
        }
        // 2^31 - 1 of both, in as many bytes.
        let huge = [&[0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 7, 6][..], &[0; 99]].concat();
        assert_eq!(check(single, &huge, 4), refused((1 << 31) - 1, 4));
        let text = check(single, &huge, i32::MAX as u32).unwrap_err();
        assert!(text.contains("a page with lengths of at most 4194304 values, found 2147483647"));
        for cut in [&[][..], &[0x80], &list(4)[..7]] {
            assert_eq!(check(double, cut, 4), Ok(()), "left to parquet");
        }
    }
}
