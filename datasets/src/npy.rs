//! Pictures in one `.npy` file: uint8, `(N, H, W, 3)`, C order; every split is the whole file.
//!
//! Format: numpy's NEP 1, versions 1 to 3. The header is read strictly and its shape checked
//! against the length of the file before anything is allocated; pictures are read where they lie.

use std::fs::File;
use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::fingerprint::Fingerprint;
use crate::store::read_exact_at;
use crate::{Dataset, Error, Labels, Result, Split};

const NAME: &str = "npy";
/// Longest header, in bytes; numpy writes 118 for our shapes.
const MAX_HEADER: usize = 1 << 16;
/// Largest side of a picture, in pixels.
const MAX_SIDE: u64 = 16_384;

/// Pictures of a `.npy` file.
#[derive(Debug)]
pub struct Npy {
    name: String,
    file: File,
    /// Offset of the first pixel in bytes.
    data: u64,
    /// N, H, W.
    shape: [usize; 3],
    fingerprint: String,
    stamp: String,
}

impl Npy {
    /// Opens a file and checks its header and its length.
    ///
    /// # Errors
    /// [`Error::Header`] where the file is not uint8 `(N, H, W, 3)` in C order or its length does
    /// not match; [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        let length = metadata.len();
        let (header, data) = read_header(path, &file, length)?;
        let fail = |(expected, found): (String, String)| header_error(path, expected, found);
        let shape = parse_header(&header).map_err(fail)?;
        let [n, h, w] = checked_shape(&shape, length - data).map_err(fail)?;
        let name = format!("{NAME}:{}", path.display());
        let fingerprint = fingerprint(&file, [n, h, w], data).map_err(Error::io(path))?;
        let stamp = Fingerprint::new(&fingerprint).file(&metadata).hex();
        Ok(Self { name, file, data, shape: [n, h, w], fingerprint, stamp })
    }
}

/// Covers the shape and blocks of pixels spread evenly over the file, first and last included: a
/// file of many gigabytes would take minutes to hash as a whole.
fn fingerprint(file: &File, shape: [usize; 3], data: u64) -> std::io::Result<String> {
    const BLOCKS: u64 = 64;
    const BLOCK: u64 = 4096;
    let pixels = shape.iter().map(|&side| side as u64).product::<u64>() * 3;
    let mut hash = shape.iter().fold(Fingerprint::new(NAME), |h, &side| h.number(side as u64));
    let mut block = vec![0; BLOCK.min(pixels) as usize];
    let last = pixels - block.len() as u64;
    for i in 0..BLOCKS {
        // In 128 bits: the product may not fit in 64.
        let offset = (u128::from(last) * u128::from(i) / u128::from(BLOCKS - 1)) as u64;
        read_exact_at(file, &mut block, data + offset)?;
        hash = hash.fact(&block);
    }
    Ok(hash.hex())
}

fn header_error(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
    let found: String = found.into();
    let found = found.escape_default().take(200).collect();
    Error::Header { path: path.to_owned(), expected: expected.into(), found }
}

/// Reads the text of the header and the offset of the data.
fn read_header(path: &Path, file: &File, length: u64) -> Result<(String, u64)> {
    let short = || header_error(path, "a .npy header", format!("a file of {length} bytes"));
    let mut start = [0; 12];
    let known = (length as usize).min(12);
    if known < 10 {
        return Err(short());
    }
    read_exact_at(file, &mut start[..known], 0).map_err(Error::io(path))?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(header_error(path, "the bytes \\x93NUMPY", format!("{:02x?}", &start[..6])));
    }
    let (offset, size) = match start[6] {
        1 => (10, usize::from(u16::from_le_bytes([start[8], start[9]]))),
        2 | 3 => (12, u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize),
        version => return Err(header_error(path, ".npy version 1, 2 or 3", version.to_string())),
    };
    if size > MAX_HEADER {
        let expected = format!("a header of at most {MAX_HEADER} bytes");
        return Err(header_error(path, expected, size.to_string()));
    }
    if (offset + size) as u64 > length {
        return Err(short());
    }
    let mut header = vec![0; size];
    read_exact_at(file, &mut header, offset as u64).map_err(Error::io(path))?;
    let header = String::from_utf8(header)
        .map_err(|_| header_error(path, "a header in ASCII", "other bytes"))?;
    Ok((header, (offset + size) as u64))
}

type Mismatch = (String, String);

/// Reads `{'descr': '|u1', 'fortran_order': False, 'shape': (N, H, W, 3), }`, keys in any order.
fn parse_header(header: &str) -> Result<Vec<u64>, Mismatch> {
    let wrong = |expected: &str| (expected.to_owned(), header.trim().to_owned());
    let dict = header.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let mut rest = dict.ok_or_else(|| wrong("a header {…}"))?.trim();
    let (mut descr, mut order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, value) = rest.split_once(':').ok_or_else(|| wrong("'key': value"))?;
        let value = value.trim_start();
        let end = if value.starts_with('(') { value.find(')').map(|i| i + 1) } else { None };
        let end = end.or_else(|| value.find(',')).unwrap_or(value.len());
        let (slot, value, after) = (key.trim(), value[..end].trim(), value[end..].trim_start());
        let slot = match slot.trim_matches(['\'', '"']) {
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
    match descr.map(|descr| descr.trim_matches(['\'', '"'])) {
        Some("|u1" | "<u1" | ">u1" | "u1") => {}
        found => {
            let found = found.unwrap_or("none").escape_debug().take(80).collect();
            return Err(("descr '|u1' (uint8)".to_owned(), found));
        }
    }
    if order != Some("False") {
        return Err(wrong("fortran_order False (C order)"));
    }
    let shape = shape.and_then(|text| text.strip_prefix('(')?.strip_suffix(')'));
    let shape = shape.ok_or_else(|| wrong("a shape (N, H, W, 3)"))?;
    let fields = shape.split(',').map(str::trim).filter(|field| !field.is_empty());
    let numbers: Result<Vec<u64>, _> = fields.map(str::parse).collect();
    numbers.map_err(|_| wrong("a shape (N, H, W, 3)"))
}

/// Checks a shape against limits and against the bytes that follow the header.
fn checked_shape(shape: &[u64], bytes: u64) -> Result<[usize; 3], Mismatch> {
    let &[n, h, w, 3] = shape else {
        return Err(("a shape (N, H, W, 3)".to_owned(), format!("{shape:?}")));
    };
    if !(1..=MAX_SIDE).contains(&h) || !(1..=MAX_SIDE).contains(&w) {
        return Err((format!("sides of 1 to {MAX_SIDE} pixels"), format!("{h}x{w}")));
    }
    // The product of two sides and 3 cannot overflow.
    let expected = n.checked_mul(h * w * 3);
    if expected != Some(bytes) {
        let expected = expected.map_or("fewer pictures".to_owned(), |n| format!("{n} bytes"));
        return Err((format!("{expected} of pixels"), format!("{bytes} bytes")));
    }
    Ok([n as usize, h as usize, w as usize])
}

impl Dataset for Npy {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self, _split: Split) -> usize {
        self.shape[0]
    }

    fn key(&self, _split: Split, index: usize) -> String {
        assert!(index < self.shape[0], "index {index} of {} pictures", self.shape[0]);
        index.to_string()
    }

    fn labels(&self, _split: Split) -> Labels {
        Labels::None
    }

    fn groups(&self, _split: Split) -> Option<Vec<u64>> {
        None
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let [_, h, w] = self.shape;
        let mut pixels = vec![0; h * w * 3];
        let offset = self.data + (index * pixels.len()) as u64;
        let path = PathBuf::from(&self.name);
        read_exact_at(&self.file, &mut pixels, offset).map_err(Error::io(&path))?;
        Ok(RgbImage::from_raw(w as u32, h as u32, pixels).expect("the buffer has H*W*3 bytes"))
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn stamp(&self) -> String {
        self.stamp.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Npy> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        fs::write(&path, bytes).unwrap();
        Npy::open(&path)
    }

    const HEADER: &str = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 3, 3), }     \n";

    #[test]
    fn pictures_are_read_upright_and_in_every_split() {
        let data: Vec<u8> = (0..36).collect();
        let npy = open(&file(HEADER, &data)).unwrap();
        for split in Split::ALL {
            assert_eq!(npy.len(split), 2);
            let picture = npy.image(split, 1).unwrap();
            assert_eq!(picture.dimensions(), (3, 2));
            assert_eq!(picture.get_pixel(2, 0).0, [24, 25, 26]);
            assert_eq!(picture.get_pixel(0, 1).0, [27, 28, 29]);
        }
        assert!(npy.image(Split::Test, 2).is_err());
    }

    #[test]
    fn hostile_headers_are_one_clear_line() {
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")
        };
        let cases = [
            (header("'<f4'", "False", "(1, 2, 2, 3)"), "uint8"),
            (header("'|u1'", "True", "(1, 2, 2, 3)"), "C order"),
            (header("'|u1'", "False", "(1, 2, 2)"), "[1, 2, 2]"),
            (header("'|u1'", "False", "(1, 2, 2, 4)"), "(N, H, W, 3)"),
            (header("'|u1'", "False", "(-1, 2, 2, 3)"), "(N, H, W, 3)"),
            (header("'|u1'", "False", "(1, 0, 2, 3)"), "0x2"),
            (header("'|u1'", "False", "(1, 99999999999, 2, 3)"), "99999999999x2"),
            (header("'|u1'", "False", "(99999999999999999999, 2, 2, 3)"), "(N, H, W, 3)"),
            (header("'|u1'", "False", "(18446744073709551615, 2, 2, 3)"), "fewer pictures"),
            (header("'|u1'", "False", "(2, 2, 2, 3)"), "24 bytes"),
            ("{'descr': '|u1', 'descr': '|u1'}".to_owned(), "each key once"),
            ("{'pickle': 1}".to_owned(), "only descr"),
            ("{'shape': (1, 2".to_owned(), "{…}"),
            ("[]".to_owned(), "{…}"),
        ];
        for (header, expected) in cases {
            let text = open(&file(&header, &[0; 12])).unwrap_err().to_string();
            // Non-ASCII characters of what was expected are kept, those of the file are escaped.
            assert!(text.contains(expected) && !text.contains('\n'), "{header}: {text}");
        }
    }

    #[test]
    fn the_fingerprint_sees_pixels_and_the_stamp_the_time_of_change() {
        let data: Vec<u8> = (0..36).collect();
        let npy = open(&file(HEADER, &data)).unwrap();
        assert_eq!(npy.fingerprint(), open(&file(HEADER, &data)).unwrap().fingerprint());
        for changed in [0, 17, 35] {
            let mut data = data.clone();
            data[changed] ^= 1;
            let other = open(&file(HEADER, &data)).unwrap();
            assert_ne!(npy.fingerprint(), other.fingerprint(), "byte {changed}");
        }
        let wider = HEADER.replace("(2, 2, 3, 3)", "(2, 3, 2, 3)");
        assert_ne!(npy.fingerprint(), open(&file(&wider, &data)).unwrap().fingerprint());
        assert!(open(&file(&HEADER.replace("(2,", "(0,"), &[])).is_ok());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        fs::write(&path, file(HEADER, &data)).unwrap();
        let before = Npy::open(&path).unwrap();
        let written = File::options().write(true).open(&path).unwrap();
        written.set_modified(std::time::UNIX_EPOCH).unwrap();
        let after = Npy::open(&path).unwrap();
        assert_eq!(before.fingerprint(), after.fingerprint());
        assert_ne!(before.stamp(), after.stamp());
    }

    #[test]
    fn short_and_foreign_files_are_one_clear_line() {
        let whole = file(HEADER, &[0; 36]);
        for length in 0..whole.len() {
            assert!(open(&whole[..length]).is_err(), "{length} bytes");
        }
        let mut long = whole.clone();
        long.push(0);
        assert!(open(&long).unwrap_err().to_string().contains("37 bytes"));
        assert!(open(b"\x93NUMPX\x01\x00\x00\x00").unwrap_err().to_string().contains("NUMPY"));
        let huge = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
        assert!(open(&huge).unwrap_err().to_string().contains("at most 65536"));
    }
}
