//! Pictures of every format against what Pillow reads of them (`fixtures/pictures.py`).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use image::RgbImage;
use vdvae_io::{Exif, decode_picture};

/// Name, file and pixels.
fn fixtures() -> Vec<(&'static str, Vec<u8>, RgbImage)> {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    };
    let fixture = |line: &'static str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, width, height, file, pixels] = fields[..] else { panic!("{line}") };
        let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
        (name, bytes(file), RgbImage::from_raw(width, height, bytes(pixels)).unwrap())
    };
    include_str!("fixtures/pictures.txt").lines().map(fixture).collect()
}

/// Largest difference allowed.
fn tolerance(name: &str) -> u8 {
    match name {
        // Lossy: inverse transforms and the interpolation of colours differ in rounding.
        "lossy.webp" | "cmyk.jpg" | "grey.jpg" | "turned.jpg" => 4,
        // Products of two colours, rounded once or twice.
        "cmyk.tif" => 1,
        _ => 0,
    }
}

#[test]
fn pixels_are_those_of_pillow() {
    for (name, file, expected) in fixtures() {
        let found = decode_picture(name, &file, Exif::Apply).unwrap();
        assert_eq!(found.dimensions(), expected.dimensions(), "{name}");
        let differences = found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b));
        let most = differences.max().unwrap();
        assert!(most <= tolerance(name), "{name}: {most}");
    }
}

#[test]
fn a_picture_is_whole_or_an_error() {
    for (name, file, _) in fixtures() {
        let decode = |bytes: &[u8]| decode_picture(name, bytes, Exif::Ignore);
        let whole = decode(&file).unwrap();
        // The last digits of a text may lack and not be missed.
        let text = if name == "text.ppm" { 3 } else { 0 };
        for length in 0..file.len() - text {
            // What is cut off may be another frame, or what says which way is up.
            if let Ok(found) = decode(&file[..length]) {
                assert_eq!(found, whole, "{name}: {length} of {} bytes", file.len());
            }
        }
        assert!(decode(&file[..file.len() / 3]).is_err(), "{name}");
    }
}

#[test]
fn orientation_is_ignored_where_asked() {
    let mut turned = 0;
    for (name, file, expected) in fixtures() {
        let stored = decode_picture(name, &file, Exif::Ignore).unwrap();
        if name.starts_with("turned") && name != "turned1.png" {
            assert_ne!(stored, expected, "{name}");
            turned += 1;
        }
    }
    assert_eq!(turned, 10);
}
