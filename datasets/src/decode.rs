//! Bytes of a JPEG or PNG file to RGB pixels, strictly and within limits.
//!
//! The `image` crate decodes damaged JPEGs leniently and fills what is missing with grey; here a
//! picture is whole or an error. JPEGs are therefore read with zune-jpeg in its strict mode. EXIF
//! orientation is ignored, as the reference loaders of all supported data sets do.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::{Error, Result};

/// Largest file of one picture, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 20;
/// Largest side of a picture, in pixels.
const MAX_SIDE: usize = 16_384;
/// Largest picture, in pixels: a 10-byte header must not cost gigabytes.
const MAX_PIXELS: usize = 64 << 20;

/// Decodes one picture; `key` names it in errors.
pub(crate) fn decode(key: &str, bytes: &[u8]) -> Result<RgbImage> {
    let decoded = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => decode_jpeg(bytes),
        Ok(ImageFormat::Png) => decode_png(bytes),
        _ => {
            let start = &bytes[..bytes.len().min(4)];
            Err(format!("expected a JPEG or PNG file, found bytes {start:02x?}"))
        }
    };
    decoded.map_err(|reason| Error::Picture { key: key.to_owned(), reason: one_line(&reason) })
}

/// Decoder messages may span lines; ours may not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width == 0 || height == 0 || width.max(height) > MAX_SIDE || width * height > MAX_PIXELS {
        return Err(format!(
            "expected sides of 1 to {MAX_SIDE} and at most {MAX_PIXELS} pixels, \
             found {width}x{height}"
        ));
    }
    Ok(())
}

fn decode_jpeg(bytes: &[u8]) -> Result<RgbImage, String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("no size in the JPEG header")?;
    check_size(width, height)?;
    check_jpeg_end(bytes)?;
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let expected = width * height * 3;
    let found = pixels.len();
    RgbImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| format!("expected {expected} bytes of pixels, found {found}"))
}

/// Demands an end-of-image marker after the last scan.
///
/// Truncation that happens to end on a whole entropy-coded symbol is otherwise invisible. Segments
/// are walked by their lengths, so that the end marker of an embedded thumbnail does not count.
fn check_jpeg_end(bytes: &[u8]) -> Result<(), String> {
    let mut at = 2;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        match (first, marker) {
            (0xff, 0xd9) => return Ok(()),
            // Fill bytes, stuffed zeros and restart markers carry no length.
            (0xff, 0xff) => at += 1,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { break };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
            _ => at += 1,
        }
    }
    Err(format!("truncated JPEG: no end-of-image marker in {} bytes", bytes.len()))
}

fn decode_png(bytes: &[u8]) -> Result<RgbImage, String> {
    let reader = || ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let (width, height) = reader().into_dimensions().map_err(|error| error.to_string())?;
    check_size(width as usize, height as usize)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE as u32);
    limits.max_image_height = Some(MAX_SIDE as u32);
    let mut reader = reader();
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| error.to_string())?;
    Ok(drop_alpha(picture))
}

/// Colours as stored; an alpha channel is dropped, as Pillow's `convert("RGB")` does.
fn drop_alpha(picture: DynamicImage) -> RgbImage {
    picture.into_rgb8()
}
