//! Headers of numpy's `.npy` files, and their numbers.
//!
//! Format: numpy's NEP 1, versions 1 to 3. A header is read strictly and says only what the file
//! claims: the caller compares the shape with the bytes that follow.

use half::f16;

use crate::{Fault, describe};

/// Longest header, in bytes; numpy writes 118 for arrays of a few dimensions.
const MAX_HEADER: usize = 1 << 16;

/// What the header of a `.npy` file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpyHeader {
    /// Type of the numbers as numpy writes it, such as `<f4` or `|u1`.
    pub descr: String,
    /// Sizes of the array, the first dimension first.
    pub shape: Vec<u64>,
    /// Whether the first dimension runs fastest (Fortran order), and not the last.
    pub fortran: bool,
    /// Offset of the first number, in bytes.
    pub data: usize,
}

impl NpyHeader {
    /// Bytes from the start of a file that hold any header this reads.
    pub const MAX_BYTES: usize = 12 + MAX_HEADER;

    /// Reads the header of a file from its first bytes, [`Self::MAX_BYTES`] or the whole file.
    ///
    /// # Errors
    /// A [`Fault`] where they are no header, or are cut short.
    pub fn parse(start: &[u8]) -> Result<Self, Fault> {
        let short = || fault("a .npy header", format!("a file of {} bytes", start.len()));
        if start.len() < 10 {
            return Err(short());
        }
        if start[..6] != *b"\x93NUMPY" {
            return Err(Fault::new("header", "the bytes \\x93NUMPY", describe(start)));
        }
        let (offset, size) = match (start[6], &start[8..]) {
            (1, [a, b, ..]) => (10, usize::from(u16::from_le_bytes([*a, *b]))),
            (2 | 3, [a, b, c, d, ..]) => (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
            (1..=3, _) => return Err(short()),
            (version, _) => return Err(fault(".npy version 1, 2 or 3", version.to_string())),
        };
        if size > MAX_HEADER {
            let expected = format!("a header of at most {MAX_HEADER} bytes");
            return Err(fault(expected, size.to_string()));
        }
        let header = start.get(offset..offset + size).ok_or_else(short)?;
        let header =
            std::str::from_utf8(header).map_err(|_| fault("a header in ASCII", "other bytes"))?;
        let (descr, fortran, shape) = parse_dict(header)?;
        Ok(Self { descr, shape, fortran, data: offset + size })
    }

    /// The type of the numbers.
    ///
    /// # Errors
    /// A [`Fault`] for what is neither a whole number nor a float of 16 bits or more.
    pub fn number(&self) -> Result<NpyNumber, Fault> {
        NpyNumber::parse(&self.descr)
            .ok_or_else(|| fault("whole numbers or floats of 16 to 64 bits", &*self.descr))
    }
}

/// A type of numbers in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NpyNumber {
    kind: Kind,
    /// Bytes of one number.
    size: usize,
    big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unsigned,
    Signed,
    Float,
}

impl NpyNumber {
    fn parse(descr: &str) -> Option<Self> {
        let (big_endian, name) = match descr.as_bytes().first()? {
            b'>' => (true, &descr[1..]),
            b'<' | b'|' | b'=' => (false, &descr[1..]),
            _ => (false, descr),
        };
        let (kind, size) = match name {
            "u1" | "u2" | "u4" | "u8" => (Kind::Unsigned, &name[1..]),
            "i1" | "i2" | "i4" | "i8" => (Kind::Signed, &name[1..]),
            "f2" | "f4" | "f8" => (Kind::Float, &name[1..]),
            _ => return None,
        };
        Some(Self { kind, size: size.parse().ok()?, big_endian })
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        self.size
    }

    /// Whether numbers are bytes without a sign.
    pub fn is_byte(self) -> bool {
        (self.kind, self.size) == (Kind::Unsigned, 1)
    }

    /// Whether numbers may have a fraction.
    pub fn is_float(self) -> bool {
        self.kind == Kind::Float
    }

    /// The numbers in some bytes, without an incomplete last one. Whole numbers beyond 2^53 are
    /// rounded.
    pub fn decode(self, bytes: &[u8]) -> impl Iterator<Item = f64> {
        bytes.chunks_exact(self.size).map(move |bytes| {
            // The lowest byte first, and the sign carried up to 64 bits.
            let mut wide = [0; 8];
            wide[..self.size].copy_from_slice(bytes);
            if self.big_endian {
                wide[..self.size].reverse();
            }
            let number = u64::from_le_bytes(wide);
            let unused = 64 - 8 * self.size as u32;
            match (self.kind, self.size) {
                (Kind::Unsigned, _) => number as f64,
                (Kind::Signed, _) => ((number << unused) as i64 >> unused) as f64,
                (Kind::Float, 2) => f16::from_bits(number as u16).to_f64(),
                (Kind::Float, 4) => f64::from(f32::from_bits(number as u32)),
                (Kind::Float, _) => f64::from_bits(number),
            }
        })
    }
}

/// What a file says is shortened, and escaped so that it stays on one line.
fn fault(expected: impl Into<String>, found: impl Into<String>) -> Fault {
    let found: String = found.into().escape_default().take(200).collect();
    Fault::new("header", expected, found)
}

/// Reads `{'descr': '|u1', 'fortran_order': False, 'shape': (N, H, W, 3), }`, keys in any order.
fn parse_dict(header: &str) -> Result<(String, bool, Vec<u64>), Fault> {
    let wrong = |expected: &str| fault(expected, header.trim());
    let dict = header.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let mut rest = dict.ok_or_else(|| wrong("a header {…}"))?.trim();
    let (mut descr, mut order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, value) = rest.split_once(':').ok_or_else(|| wrong("'key': value"))?;
        let value = value.trim_start();
        let end = if value.starts_with('(') { value.find(')').map(|i| i + 1) } else { None };
        let end = end.or_else(|| value.find(',')).unwrap_or(value.len());
        let (slot, value, after) = (key.trim(), value[..end].trim(), value[end..].trim_start());
        let slot = match unquoted(slot) {
            "descr" => &mut descr,
            "fortran_order" => &mut order,
            "shape" => &mut shape,
            _ => return Err(wrong("only descr, fortran_order and shape")),
        };
        if slot.replace(value).is_some() {
            return Err(wrong("each key once"));
        }
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        if rest.len() == after.len() && !rest.is_empty() {
            return Err(wrong("a comma between entries"));
        }
    }
    let descr = descr.map(unquoted).ok_or_else(|| wrong("descr, the type of the numbers"))?;
    let fortran = match order {
        Some("False") => false,
        Some("True") => true,
        _ => return Err(wrong("fortran_order, True or False")),
    };
    let shape = shape.and_then(|text| text.strip_prefix('(')?.strip_suffix(')'));
    let shape = shape.ok_or_else(|| wrong("a shape of natural numbers"))?;
    let fields = shape.split(',').map(str::trim).filter(|field| !field.is_empty());
    let numbers: Result<Vec<u64>, _> = fields.map(str::parse).collect();
    let numbers = numbers.map_err(|_| wrong("a shape of natural numbers"))?;
    Ok((descr.to_owned(), fortran, numbers))
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['\'', '"'])
}

/// The header of a version 1.0 file in C order, as numpy writes it; the numbers follow.
pub fn npy_header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    let sizes = sizes.join(", ");
    let mut dict =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}{comma}), }}");
    // Magic, version and length take ten bytes; numbers begin at a multiple of 64.
    let padding = (10 + dict.len() + 1).next_multiple_of(64) - (10 + dict.len() + 1);
    dict.push_str(&" ".repeat(padding));
    dict.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(dict.len() as u16).to_le_bytes());
    header.extend_from_slice(dict.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes()].concat()
    }

    #[test]
    fn what_is_written_reads_back() {
        for shape in [&[][..], &[7], &[2, 3], &[1, 2, 3, 4, 5, 6]] {
            let bytes = npy_header("<f4", shape);
            assert_eq!(bytes.len() % 64, 0);
            let header = NpyHeader::parse(&bytes).unwrap();
            assert_eq!((&header.descr[..], header.data), ("<f4", bytes.len()));
            assert!(header.shape.into_iter().eq(shape.iter().map(|&n| n as u64)));
        }
        // What numpy.save writes for float32 of this shape.
        let numpy = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(npy_header("<f4", &[2, 3]), file(&format!("{numpy:<117}\n")));
    }

    #[test]
    fn later_versions_and_other_spacing_are_read() {
        let header = b"{\"shape\":(4,),'fortran_order':False , 'descr':'>i8'}";
        for version in [2, 3] {
            let mut bytes = b"\x93NUMPY".to_vec();
            bytes.extend([version, 0]);
            bytes.extend((header.len() as u32).to_le_bytes());
            bytes.extend(header);
            let parsed = NpyHeader::parse(&bytes).unwrap();
            assert_eq!((&parsed.descr[..], &parsed.shape[..]), (">i8", &[4][..]));
            assert_eq!(parsed.data, bytes.len());
        }
    }

    #[test]
    fn hostile_headers_are_one_clear_line() {
        let cases = [
            ("{'descr': '|u1', 'descr': '|u1'}", "each key once"),
            ("{'pickle': 1}", "only descr"),
            ("{'shape': (1, 2", "{…}"),
            ("[]", "{…}"),
            ("{}", "descr"),
            ("{'descr'}", "'key': value"),
            ("{'shape': (1,) 'descr': '|u1'}", "a comma"),
            ("{'descr': '|u1', 'fortran_order': 1, 'shape': (1,)}", "True or False"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}", "natural"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': 1}", "natural"),
            (
                "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                "natural",
            ),
            ("{'descr\n'", "{…}"),
        ];
        for (header, expected) in cases {
            let text = NpyHeader::parse(&file(header)).unwrap_err().to_string();
            assert!(text.contains(expected) && !text.contains('\n'), "{header}: {text}");
        }
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        // numpy.array([1, -2 or 254 or 65534, ...]) in both orders of bytes.
        let read = |descr: &str, bytes: &[u8]| -> Vec<f64> {
            NpyNumber::parse(descr).unwrap().decode(bytes).collect()
        };
        assert_eq!(read("|u1", &[1, 254]), [1.0, 254.0]);
        assert_eq!(read("|i1", &[1, 254]), [1.0, -2.0]);
        assert_eq!(read("<u2", &[1, 0, 0xfe, 0xff]), [1.0, 65534.0]);
        assert_eq!(read(">i2", &[0, 1, 0xff, 0xfe, 9]), [1.0, -2.0]);
        assert_eq!(read(">u4", &[0, 0, 1, 0]), [256.0]);
        assert_eq!(read("<i8", &(-3i64).to_le_bytes()), [-3.0]);
        assert_eq!(read("<u8", &u64::MAX.to_le_bytes()), [2f64.powi(64)]);
        assert_eq!(read("<f2", &[0x00, 0x3e]), [1.5]);
        assert_eq!(read(">f2", &[0x3e, 0x00]), [1.5]);
        assert_eq!(read(">f4", &1.5f32.to_be_bytes()), [1.5]);
        assert_eq!(read("<f8", &(-1.5f64).to_le_bytes()), [-1.5]);
        for other in ["|b1", "<c8", "<U3", "|O", "<f16", "", "<u3", "f"] {
            assert_eq!(NpyNumber::parse(other), None, "{other}");
        }
    }

    #[test]
    fn short_and_foreign_bytes_are_refused() {
        let whole = npy_header("<f4", &[2]);
        for length in 0..whole.len() {
            assert!(NpyHeader::parse(&whole[..length]).is_err(), "{length} bytes");
        }
        let found = |bytes: &[u8]| NpyHeader::parse(bytes).unwrap_err().to_string();
        assert!(found(b"\x93NUMPX\x01\x00\x00\x00").contains("NUMPY"));
        assert!(found(b"\x93NUMPY\x04\x00\x00\x00\x00\x00").contains("version 1, 2 or 3, found 4"));
        assert!(found(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("at most 65536"));
        assert!(found(b"\x93NUMPY\x01\x00\x01\x00\xff").contains("ASCII"));
    }
}
