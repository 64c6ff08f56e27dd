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

#[test]
fn folders_of_splits_fit_or_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    add_tiny_model(folder);
    for at in ["p/train", "p/bus", "p/car"] {
        fs::create_dir_all(folder.join(at)).unwrap();
        fs::write(folder.join(at).join("a.png"), encoded(ImageFormat::Png)).unwrap();
    }
    fs::write(folder.join("p/car/notes.txt"), "text").unwrap();
    let command = "extract --checkpoint model.safetensors --out f.npz --split test --data";
    let line = vdvae(folder, &format!("{command} folder:p")).error(1);
    let found = "found bus (1), car (1), train (1); --splits train=DIR,test=DIR says which folders";
    assert!(line.contains(found), "{line}");
    let ran = vdvae(folder, &format!("{command} folder:p --splits train=bus,test=car"));
    assert!(ran.stderr.contains("note: left out files that are no pictures"), "{}", ran.stderr);
    ran.ok();
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("f.npz.json")).unwrap()).unwrap();
    assert_eq!(manifest["keys"], serde_json::json!(["car/a.png"]));
    let remarks = [
        "left out files that are no pictures by their names (1): .txt 1",
        "left out pictures outside of the splits' folders (1)",
    ];
    assert_eq!([0, 1].map(|i| manifest["remarks"][i].as_str().unwrap()), remarks);
    let line = vdvae(folder, &format!("{command} toy-faces --splits train=bus")).error(2);
    assert!(line.contains("--splits: expected folder:PATH"), "{line}");
    let line = vdvae(folder, &format!("{command} folder:p --splits trian=bus")).error(2);
    assert!(line.contains("train=DIR, valid=DIR, test=DIR, found `trian=bus`"), "{line}");
}
