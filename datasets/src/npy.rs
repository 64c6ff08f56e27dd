//! Pictures in one `.npy` file: uint8, `(N, H, W, 3)`, C order; every split is the whole file.
//!
//! The header is read strictly and its shape checked
//! against the length of the file before anything is allocated; pictures are read where they lie.

use std::fs::File;
use std::path::{Path, PathBuf};

use image::RgbImage;
use vdvae_io::{Fault, NpyHeader, read_exact_at};

use crate::fingerprint::Fingerprint;
use crate::{Dataset, Error, Labels, Result, Split};

const NAME: &str = "npy";
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
        let NpyHeader { shape, data, .. } = read_header(path, &file, length)?;
        let data = data as u64;
        let [n, h, w] = checked_shape(&shape, length - data)
            .map_err(|(expected, found)| Error::header(path, expected, found))?;
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

/// Reads the header of a file of so many bytes.
fn read_header(path: &Path, file: &File, length: u64) -> Result<NpyHeader> {
    let mut start = vec![0; length.min(NpyHeader::MAX_BYTES as u64) as usize];
    read_exact_at(file, &mut start, 0).map_err(Error::io(path))?;
    let fail = |fault: Fault| Error::header(path, fault.expected, fault.found);
    let header = NpyHeader::parse(&start).map_err(fail)?;
    match header.descr.as_str() {
        "|u1" | "<u1" | ">u1" | "u1" => Ok(header),
        _ => Err(Error::header(path, "descr '|u1' (uint8)", header.descr)),
    }
}

type Mismatch = (String, String);

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
            (header("'|u1'", "False", "(-1, 2, 2, 3)"), "natural numbers"),
            (header("'|u1'", "False", "(1, 0, 2, 3)"), "0x2"),
            (header("'|u1'", "False", "(1, 99999999999, 2, 3)"), "99999999999x2"),
            (header("'|u1'", "False", "(99999999999999999999, 2, 2, 3)"), "natural numbers"),
            (header("'|u1'", "False", "(18446744073709551615, 2, 2, 3)"), "fewer pictures"),
            (header("'|u1'", "False", "(2, 2, 2, 3)"), "24 bytes"),
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
    }
}
