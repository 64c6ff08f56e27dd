//! Files of pictures, as every command reads them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use serde_json::Value;
use support::{add_tiny_model, vdvae};

fn encoded(format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 10, y as u8 * 15, 90]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn a_broken_picture_is_refused_or_left_out_by_reconstruct_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    // Contents decide, not names.
    fs::write(folder.join("whole.jpg"), encoded(ImageFormat::Bmp)).unwrap();
    let jpeg = encoded(ImageFormat::Jpeg);
    fs::write(folder.join("half.jpg"), &jpeg[..jpeg.len() - 2]).unwrap();
    let command = "reconstruct --checkpoint model.safetensors --images half.jpg whole.jpg";
    let line = vdvae(folder, command).error(1);
    assert!(line.contains("picture half.jpg: truncated JPEG"), "{line}");
    assert!(!folder.join("reconstructions.png").exists());
    let ran = vdvae(folder, &format!("{command} --on-bad-image skip"));
    assert!(ran.stderr.contains("skipped half.jpg: truncated JPEG"), "{}", ran.stderr);
    ran.ok();
    let grid = image::open(folder.join("reconstructions.png")).unwrap();
    assert_eq!(grid.height(), 16 + 2, "one row");
}

#[test]
fn the_manifest_says_whether_pictures_were_turned() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    fs::create_dir(folder.join("p")).unwrap();
    fs::write(folder.join("p/a.png"), encoded(ImageFormat::Png)).unwrap();
    for (flag, expected) in [("", "apply"), ("--exif ignore", "ignore")] {
        let command = "extract --checkpoint model.safetensors --data folder:p --split train";
        vdvae(folder, &format!("{command} --out f.npz {flag}")).ok();
        let manifest: Value =
            serde_json::from_slice(&fs::read(folder.join("f.npz.json")).unwrap()).unwrap();
        assert_eq!(manifest["data"]["exif"], expected);
    }
}
