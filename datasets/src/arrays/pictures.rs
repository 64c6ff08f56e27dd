//! Pictures in one array of numpy's: of which shape, type and range, and where each lies.
//!
//! The header is read strictly and its shape checked against the length of the file before anything
//! is allocated; pictures are read where they lie. Arrays that are not plain bytes are read through
//! once when they are opened: their range decides what a number means, and a number out of it is found
//! before any work starts.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use image::RgbImage;
use vdvae_io::{Fault, NpyHeader, NpyNumber, read_exact_at};

use crate::fingerprint::Fingerprint;
use crate::{Error, Result};

/// Largest side of a picture, in pixels.
const MAX_SIDE: u64 = 16_384;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Where the channels of pictures are in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayLayout {
    /// N×H×W×C: last.
    Nhwc,
    /// N×C×H×W: before the pixels, as PyTorch has them.
    Nchw,
}

impl fmt::Display for ArrayLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nhwc => "nhwc",
            Self::Nchw => "nchw",
        })
    }
}

impl FromStr for ArrayLayout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Nhwc, Self::Nchw].into_iter().find(|l| l.to_string() == text).ok_or_else(|| {
            Error::UnknownName { what: "layout", expected: "nhwc, nchw", found: text.to_owned() }
        })
    }
}

/// An array in a file, or in a part of one.
#[derive(Debug, Clone)]
pub(super) struct ArrayFile {
    /// What errors and remarks call it.
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    /// Bytes.
    pub(super) length: u64,
}

impl ArrayFile {
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        read_exact_at(&self.file, buffer, self.offset + offset).map_err(Error::io(&self.path))
    }

    /// The header, whose numbers fill the rest of the file.
    pub(super) fn header(&self) -> Result<(NpyHeader, NpyNumber)> {
        let mut start = vec![0; self.length.min(NpyHeader::MAX_BYTES as u64) as usize];
        self.read(0, &mut start)?;
        let fail = |fault: Fault| Error::header(&self.path, fault.expected, fault.found);
        let header = NpyHeader::parse(&start).map_err(fail)?;
        let number = header.number().map_err(fail)?;
        let found = self.length - header.data as u64;
        let bytes = |bytes: u64, &side: &u64| bytes.checked_mul(side);
        let expected = header.shape.iter().try_fold(number.size() as u64, bytes);
        if expected != Some(found) {
            let expected = expected.map_or("fewer numbers".to_owned(), |n| format!("{n} bytes"));
            let expected = format!("{expected} of {:?} {}", header.shape, header.descr);
            return Err(Error::header(&self.path, expected, format!("{found} bytes")));
        }
        Ok((header, number))
    }

    /// Every number in the order of the file, with its position.
    pub(super) fn numbers(
        &self,
        data: u64,
        number: NpyNumber,
        mut visit: impl FnMut(u64, f64) -> Result<()>,
    ) -> Result<()> {
        let mut piece = vec![0; PIECE.min((self.length - data) as usize)];
        let (mut at, mut position) = (data, 0);
        while at < self.length {
            let size = (self.length - at).min(piece.len() as u64);
            self.read(at, &mut piece[..size as usize])?;
            for value in number.decode(&piece[..size as usize]) {
                visit(position, value)?;
                position += 1;
            }
            at += size;
        }
        Ok(())
    }
}

/// What the shape of an array says of its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    pictures: usize,
    height: usize,
    width: usize,
    channels: usize,
    layout: ArrayLayout,
}

/// Pictures of one array.
#[derive(Debug)]
pub(super) struct PictureArray {
    array: ArrayFile,
    /// Offset of the first number in bytes.
    data: u64,
    number: NpyNumber,
    fortran: bool,
    shape: Shape,
    /// What a number is multiplied by to be a byte.
    scale: f64,
    /// Whether no byte that was looked at is above 1.
    dark: bool,
    pub(super) fingerprint: String,
}

impl PictureArray {
    pub(super) fn open(array: ArrayFile, asked: Option<ArrayLayout>) -> Result<Self> {
        let (header, number) = array.header()?;
        let shape = shape(&header.shape, asked, &array.path)?;
        let NpyHeader { data, fortran, .. } = header;
        let data = data as u64;
        let (scale, dark, fingerprint) = (1.0, number.is_byte(), String::new());
        let mut opened = Self { array, data, number, fortran, shape, scale, dark, fingerprint };
        opened.scale = opened.check_range()?;
        opened.fingerprint = opened.identify(&header.descr)?;
        Ok(opened)
    }

    pub(super) fn len(&self) -> usize {
        self.shape.pictures
    }

    /// What was decided, for a user to see; nothing where pictures are plain bytes.
    pub(super) fn remark(&self) -> Option<String> {
        let Shape { height, width, channels, layout, .. } = self.shape;
        let mut said = Vec::new();
        if channels == 1 {
            said.push("as grey".to_owned());
        }
        if layout == ArrayLayout::Nchw {
            said.push(format!("as N×{channels}×{height}×{width}"));
        }
        if channels == 4 {
            said.push("without their alpha".to_owned());
        }
        match (self.number.is_float(), self.scale) {
            (true, 1.0) => said.push("as floats from 0 to 255".to_owned()),
            (true, _) => said.push("as floats from 0 to 1".to_owned()),
            _ => {}
        }
        if self.fortran {
            said.push("in Fortran order, which is slow to read".to_owned());
        }
        if self.dark {
            said.push("though no byte looked at is above 1: all but black".to_owned());
        }
        let path = self.array.path.display();
        (!said.is_empty()).then(|| format!("{path}: pictures are read {}", said.join(", ")))
    }

    /// Reads every number, where not every one is a byte, and says what to multiply them by: 1, or 255
    /// where all are floats of 0 to 1.
    fn check_range(&self) -> Result<f64> {
        if self.number.is_byte() {
            return Ok(1.0);
        }
        let (n, size) = (self.shape.pictures as u64, self.numbers_of_one() as u64);
        // Of each picture: whether all is at most 1, and whether something has a fraction.
        let mut seen = vec![(true, false); self.shape.pictures];
        self.array.numbers(self.data, self.number, |position, value| {
            let picture = if self.fortran { position % n } else { position / size } as usize;
            // Not a number is in no range.
            if !(0.0..=255.0).contains(&value) {
                let found = format!("{value} in picture {picture}");
                return Err(self.wrong("numbers from 0 to 1, or from 0 to 255", found));
            }
            let (small, fraction) = &mut seen[picture];
            *small &= value <= 1.0;
            *fraction |= value.fract() != 0.0;
            Ok(())
        })?;
        let Some(large) = seen.iter().position(|(small, _)| !small) else {
            return match self.number.is_float() {
                true => Ok(255.0),
                // As brightness these would be black; they may be masks, or mean 0 and 255.
                false => Err(self.wrong("whole numbers from 0 to 255", "none above 1".to_owned())),
            };
        };
        match seen.iter().position(|&(small, fraction)| small && fraction) {
            None => Ok(1.0),
            Some(small) => {
                let found = format!("1 at most in picture {small}, and more in picture {large}");
                Err(self.wrong("all pictures from 0 to 1, or all from 0 to 255", found))
            }
        }
    }

    fn wrong(&self, expected: &str, found: String) -> Error {
        Error::header(&self.array.path, expected, found)
    }

    fn numbers_of_one(&self) -> usize {
        let Shape { height, width, channels, .. } = self.shape;
        height * width * channels
    }

    /// Covers the shape and blocks of numbers spread evenly over the file, first and last included: a
    /// file of many gigabytes would take minutes to hash as a whole.
    fn identify(&mut self, descr: &str) -> Result<String> {
        const BLOCKS: u64 = 64;
        const BLOCK: u64 = 4096;
        let Shape { pictures, height, width, channels, layout } = self.shape;
        let sides = [pictures, height, width];
        let mut hash = sides.iter().fold(Fingerprint::new("npy"), |h, &side| h.number(side as u64));
        if !(self.number.is_byte() && channels == 3 && layout == ArrayLayout::Nhwc && !self.fortran)
        {
            let order = if self.fortran { "fortran" } else { "c" };
            hash = hash.fact(format!("{descr} {channels} {layout} {order}").as_bytes());
        }
        let bytes = self.array.length - self.data;
        let mut block = vec![0; BLOCK.min(bytes) as usize];
        let last = bytes - block.len() as u64;
        for i in 0..BLOCKS {
            // In 128 bits: the product may not fit in 64.
            let offset = (u128::from(last) * u128::from(i) / u128::from(BLOCKS - 1)) as u64;
            self.array.read(self.data + offset, &mut block)?;
            self.dark &= block.iter().all(|byte| *byte <= 1);
            hash = hash.fact(&block);
        }
        Ok(hash.hex())
    }

    /// One picture, upright.
    pub(super) fn picture(&self, index: usize) -> Result<RgbImage> {
        let Shape { height, width, channels, layout, .. } = self.shape;
        let numbers = self.stored(index)?;
        let byte = |position: usize| (numbers[position] * self.scale).round() as u8;
        let picture = RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let pixel = y as usize * width + x as usize;
            // Grey has one channel, and of four the last is alpha.
            image::Rgb([0, 1, 2].map(|channel| match layout {
                ArrayLayout::Nhwc => byte(pixel * channels + channel % channels),
                ArrayLayout::Nchw => byte(channel % channels * height * width + pixel),
            }))
        });
        Ok(picture)
    }

    /// The numbers of one picture in C order.
    fn stored(&self, index: usize) -> Result<Vec<f64>> {
        let size = self.number.size();
        if !self.fortran {
            let mut bytes = vec![0; self.numbers_of_one() * size];
            self.array.read(self.data + index as u64 * bytes.len() as u64, &mut bytes)?;
            return Ok(self.number.decode(&bytes).collect());
        }
        // The number of picture, first, second and third side lies at n + N (a + A (b + B c)).
        let Shape { pictures, height, width, channels, layout } = self.shape;
        let [a, b, c] = match layout {
            ArrayLayout::Nhwc => [height, width, channels],
            ArrayLayout::Nchw => [channels, height, width],
        };
        let mut numbers = Vec::with_capacity(a * b * c);
        let mut bytes = vec![0; size];
        for i in 0..a * b * c {
            let at = i / (b * c) + a * (i / c % b + b * (i % c));
            let at = index as u64 + pictures as u64 * at as u64;
            self.array.read(self.data + at * size as u64, &mut bytes)?;
            numbers.extend(self.number.decode(&bytes));
        }
        Ok(numbers)
    }
}

/// Which side of an array is which.
fn shape(sides: &[u64], asked: Option<ArrayLayout>, path: &Path) -> Result<Shape> {
    const EXPECTED: &str =
        "a shape (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels C, or (N, H, W)";
    let wrong = || Error::header(path, EXPECTED, format!("{sides:?}"));
    let colours = |side: u64| matches!(side, 1 | 3 | 4);
    let (layout, [n, h, w, c]) = match *sides {
        // One picture with its channels last would be grey slices of it.
        [_, _, w] if colours(w) => return Err(wrong()),
        [n, h, w] => (ArrayLayout::Nhwc, [n, h, w, 1]),
        [n, a, b, c] => match (asked, colours(a), colours(c)) {
            (Some(ArrayLayout::Nhwc), _, true) | (None, false, true) => {
                (ArrayLayout::Nhwc, [n, a, b, c])
            }
            (Some(ArrayLayout::Nchw), true, _) | (None, true, false) => {
                (ArrayLayout::Nchw, [n, b, c, a])
            }
            (None, true, true) => {
                return Err(Error::AmbiguousArray { path: path.into(), shape: sides.to_vec() });
            }
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    };
    if !(1..=MAX_SIDE).contains(&h) || !(1..=MAX_SIDE).contains(&w) {
        let expected = format!("sides of 1 to {MAX_SIDE} pixels");
        return Err(Error::header(path, expected, format!("{h}x{w}")));
    }
    let [pictures, height, width, channels] = [n, h, w, c].map(|side| side as usize);
    Ok(Shape { pictures, height, width, channels, layout })
}
