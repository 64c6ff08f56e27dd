//! Bytes of a picture's file to RGB pixels, strictly and within limits.
//!
//! JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, PGM and PBM, told apart by their contents; of several frames or
//! pages the first. The `image` crate decodes damaged JPEGs leniently and fills what is missing with
//! grey; here a picture is whole or an error. JPEGs are therefore read with zune-jpeg in its strict
//! mode, and must end in an end-of-image marker; JPEG has no checksum, so damage that leaves both
//! intact is not seen.
//!
//! Colours become RGB as with Pillow's `convert("RGB")`: grey is repeated, a palette looked up, alpha
//! dropped. Pictures of 16 bits are scaled to 8, by rounding, where Pillow keeps the upper byte of
//! colours and cuts grey off at 255.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::Exif;
use super::foreign::describe;
use crate::{Error, Result};

/// Largest file of one picture, in bytes.
pub const MAX_PICTURE_BYTES: u64 = 64 << 20;
/// Largest side of a picture, in pixels.
const MAX_SIDE: usize = 16_384;
/// Largest picture, in pixels: a 10-byte header must not cost gigabytes.
const MAX_PIXELS: usize = 64 << 20;

/// Decodes one picture; `key` names it in errors.
///
/// # Errors
/// [`Error::Picture`] where the bytes are no picture of a format above, or not the whole of one, or
/// where the picture has more than 16,384 pixels on a side or 67 million in all.
pub fn decode_picture(key: &str, bytes: &[u8], exif: Exif) -> Result<RgbImage> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    let decoded = match image::guess_format(bytes) {
        Ok(Jpeg) => decode_jpeg(bytes),
        Ok(format @ (Bmp | Gif | Png | Pnm | Tiff | WebP)) => decode_other(bytes, format),
        _ => Err(format!("expected {FORMATS}, found {}", describe(bytes))),
    };
    let (picture, orientation) = decoded
        .map_err(|reason| Error::Picture { key: key.to_owned(), reason: one_line(&reason) })?;
    Ok(match exif {
        Exif::Ignore => picture,
        Exif::Apply => turned(picture, orientation),
    })
}

/// The formats that [`decode_picture`] reads, for messages and help.
pub const FORMATS: &str = "JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, PGM or PBM";

fn turned(picture: RgbImage, orientation: Orientation) -> RgbImage {
    let mut picture = DynamicImage::from(picture);
    picture.apply_orientation(orientation);
    picture.into_rgb8()
}

/// What a block of EXIF says; one that cannot be understood says nothing.
fn orientation(exif: Option<&[u8]>) -> Orientation {
    // Some writers keep the mark that only JPEG needs.
    let block = exif.map(|block| block.strip_prefix(b"Exif\0\0").unwrap_or(block));
    block.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// A picture as stored, and how it is to be turned.
type Decoded = Result<(RgbImage, Orientation), String>;

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

fn decode_jpeg(bytes: &[u8]) -> Decoded {
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
    let picture = RgbImage::from_raw(width as u32, height as u32, pixels)
        .ok_or_else(|| format!("expected {expected} bytes of pixels, found {found}"))?;
    Ok((picture, orientation(decoder.exif().map(Vec::as_slice))))
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

fn decode_other(bytes: &[u8], format: ImageFormat) -> Decoded {
    let text = |error: image::ImageError| error.to_string();
    check_length(bytes, format)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE as u32);
    limits.max_image_height = Some(MAX_SIDE as u32);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(text)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    let orientation = match format {
        // A tag of the picture itself.
        ImageFormat::Tiff => decoder.orientation().map_err(text)?,
        ImageFormat::Png => orientation(png_exif(bytes)),
        _ => orientation(decoder.exif_metadata().map_err(text)?.as_deref()),
    };
    let picture = DynamicImage::from_decoder(decoder).map_err(text)?;
    Ok((to_rgb(picture), orientation))
}

/// Compares what a WebP file says of its length: its last pixels may lack and not be missed.
fn check_length(bytes: &[u8], format: ImageFormat) -> Result<(), String> {
    let Some(&[a, b, c, d]) = bytes.get(4..8).filter(|_| format == ImageFormat::WebP) else {
        return Ok(());
    };
    let (stated, found) = (u64::from(u32::from_le_bytes([a, b, c, d])) + 8, bytes.len() as u64);
    if stated <= found {
        return Ok(());
    }
    Err(format!("truncated WebP: expected {stated} bytes, found {found}"))
}

/// The chunk `eXIf`, which may come after the pixels, where the `png` crate does not see it.
fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 8;
    loop {
        let &[a, b, c, d, ref kind @ ..] = bytes.get(at..at + 8)? else { return None };
        let end = (at + 8).checked_add(u32::from_be_bytes([a, b, c, d]) as usize)?;
        if kind == b"eXIf" {
            return bytes.get(at + 8..end);
        }
        at = end.checked_add(4)?;
    }
}

/// Colours as stored; an alpha channel is dropped, as Pillow's `convert("RGB")` does.
///
/// Grey of 8 bits and less is repeated here: the `image` crate converts it through float32.
pub fn to_rgb(picture: DynamicImage) -> RgbImage {
    let (width, height) = (picture.width(), picture.height());
    let grey = match &picture {
        DynamicImage::ImageLuma8(grey) => grey.as_raw().iter().flat_map(|&v| [v; 3]).collect(),
        DynamicImage::ImageLumaA8(grey) => {
            grey.as_raw().chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect()
        }
        _ => return picture.into_rgb8(),
    };
    RgbImage::from_raw(width, height, grey).expect("three bytes a pixel")
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    /// 24×16, a different colour in every corner.
    fn picture() -> RgbImage {
        RgbImage::from_fn(24, 16, |x, y| {
            image::Rgb([(x * 10) as u8, (y * 15) as u8, if x < 12 { 30 } else { 220 }])
        })
    }

    fn jpeg() -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(&picture()).unwrap();
        bytes
    }

    fn png() -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn decode(key: &str, bytes: &[u8]) -> Result<RgbImage> {
        decode_picture(key, bytes, Exif::Apply)
    }

    fn reason(bytes: &[u8]) -> String {
        let text = decode("a/b.jpg", bytes).unwrap_err().to_string();
        assert!(text.starts_with("picture a/b.jpg: ") && !text.contains('\n'), "{text}");
        text
    }

    #[test]
    fn png_is_read_exactly_and_upright() {
        let found = decode("a.png", &png()).unwrap();
        assert_eq!(found, picture());
    }

    #[test]
    fn grey_is_repeated_and_alpha_dropped() {
        let grey = |x: u32, y: u32| (x * 40 + y * 60) as u8;
        let with_alpha = image::GrayAlphaImage::from_fn(6, 4, |x, y| image::LumaA([grey(x, y), 9]));
        let without = image::GrayImage::from_fn(6, 4, |x, y| image::Luma([grey(x, y)]));
        for picture in [DynamicImage::from(with_alpha), DynamicImage::from(without)] {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
            let found = decode("a.png", bytes.get_ref()).unwrap();
            assert_eq!(found.dimensions(), (6, 4));
            assert!(found.enumerate_pixels().all(|(x, y, pixel)| pixel.0 == [grey(x, y); 3]));
        }
    }

    #[test]
    fn jpeg_is_read_closely_and_upright() {
        let found = decode("a.jpg", &jpeg()).unwrap();
        assert_eq!(found.dimensions(), (24, 16));
        let differences = found.as_raw().iter().zip(picture().into_raw());
        let total: u32 = differences.map(|(&a, b)| u32::from(a.abs_diff(b))).sum();
        // Quality 95 loses little; a transposed or mirrored picture would differ by 50 and more.
        assert!(total < 24 * 16 * 3 * 12, "mean difference {}", total / (24 * 16 * 3));
    }

    #[test]
    fn every_truncated_jpeg_is_an_error() {
        let bytes = jpeg();
        for length in 0..bytes.len() {
            assert!(decode("a.jpg", &bytes[..length]).is_err(), "{length} of {}", bytes.len());
        }
        assert!(reason(&bytes[..bytes.len() - 1]).contains("truncated JPEG"));
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_a_jpeg() {
        let bytes = jpeg();
        // An application segment that holds an end-of-image marker, as EXIF thumbnails do.
        let mut with_thumbnail = vec![0xff, 0xd8, 0xff, 0xe5, 0, 4, 0xff, 0xd9];
        with_thumbnail.extend_from_slice(&bytes[2..]);
        assert!(decode("a.jpg", &with_thumbnail).is_ok());
        assert!(decode("a.jpg", &with_thumbnail[..with_thumbnail.len() - 2]).is_err());
    }

    #[test]
    fn damaged_png_is_an_error() {
        let mut bytes = png();
        reason(&bytes[..bytes.len() / 2]);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        reason(&bytes);
    }

    #[test]
    fn other_bytes_are_named() {
        assert!(reason(b"").contains("JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, PGM or PBM"));
        assert!(reason(b"").ends_with("found an empty file"));
        assert!(reason(b"<!doctype html><title>404</title>").contains("found an HTML page"));
        assert!(reason(b"\0\0\0\x18ftypheic\0\0\0\0").ends_with("found a HEIC picture"));
        assert!(reason(b"\xfe\xdcabc").ends_with("found bytes [fe, dc, 61, 62]"));
    }

    #[test]
    fn a_small_file_cannot_claim_a_huge_picture() {
        let mut bytes = jpeg();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
        assert!(reason(&bytes).contains("16383x16383"));
        let mut bytes = png();
        bytes[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
        reason(&bytes);
        assert!(reason(b"P6 16383 16383 255\n").contains("16383x16383"));
        reason(b"GIF89a\xff\xff\xff\xff\0\0\0");
    }
}
