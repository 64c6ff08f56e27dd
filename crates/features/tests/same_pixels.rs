//! A picture in memory and the same picture in a folder are the same bytes to the network.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::Device;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use vdvae_datasets::{Dataset, Folder, OnBadImage, Preparation, Split, load_batch};
use vdvae_model::Images;

fn value(x: u32, y: u32, c: u32) -> u8 {
    ((x * 37 + y * 91 + c * 53 + x * y * 7) % 256) as u8
}

#[test]
fn pictures_of_odd_sizes_and_kinds_are_prepared_alike() {
    let mut pictures: Vec<DynamicImage> = Vec::new();
    for (w, h) in [(1, 1), (1, 7), (13, 9), (9, 13), (16, 16), (17, 16), (61, 47), (200, 3)] {
        let rgb = |x, y| image::Rgb([0, 1, 2].map(|c| value(x, y, c)));
        let rgba = |x, y| image::Rgba([0, 1, 2, 3].map(|c| value(x, y, c)));
        pictures.push(RgbImage::from_fn(w, h, rgb).into());
        pictures.push(RgbaImage::from_fn(w, h, rgba).into());
        pictures.push(GrayImage::from_fn(w, h, |x, y| image::Luma([value(x, y, 0)])).into());
        let with_alpha = |x, y| image::LumaA([value(x, y, 0), value(x, y, 1)]);
        pictures.push(GrayAlphaImage::from_fn(w, h, with_alpha).into());
        let deep = |x, y| image::Rgb([0, 1, 2].map(|c| u16::from(value(x, y, c)) * 251));
        pictures.push(DynamicImage::ImageRgb16(image::ImageBuffer::from_fn(w, h, deep)));
    }
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join("train");
    std::fs::create_dir(&train).unwrap();
    for (i, picture) in pictures.iter().enumerate() {
        picture.save(train.join(format!("{i:02}.png"))).unwrap();
    }
    // Other splits, or they would be drawn from train.
    for split in ["valid", "test"] {
        std::fs::create_dir(folder.path().join(split)).unwrap();
        pictures[0].save(folder.path().join(split).join("0.png")).unwrap();
    }
    let data = Folder::open(folder.path(), 0).unwrap();
    let indices: Vec<usize> = (0..data.len(Split::Train)).collect();
    assert_eq!(indices.len(), pictures.len());
    for size in [1, 8, 16, 33] {
        let preparation = Preparation::new(size);
        let batch = load_batch(&data, Split::Train, &indices, &preparation, OnBadImage::Fail);
        let pixels = pictures.to_pixels(size, &Device::Cpu).unwrap();
        let pixels = pixels.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        assert_eq!(pixels, batch.unwrap().pixels, "size {size}");
    }
}
