//! A picture that tests write and read.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};

/// 24×16, a different colour in every corner.
pub(crate) fn picture() -> RgbImage {
    RgbImage::from_fn(24, 16, |x, y| {
        image::Rgb([(x * 10) as u8, (y * 15) as u8, if x < 12 { 30 } else { 220 }])
    })
}

pub(crate) fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(&picture()).unwrap();
    bytes
}

pub(crate) fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}
