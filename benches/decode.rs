//! JPEG files of 89×109 pixels, half the size of CelebA's, to batches of 32×32: decoded, cut to the
//! central square and resized, in parallel. Throughput counts pictures.

use std::error::Error;

use criterion::{BenchmarkId, Criterion, Throughput};
use image::codecs::jpeg::JpegEncoder;
use image::imageops;
use vdvae::datasets::{Dataset, Folder, OnBadImage, Preparation, Split, ToyFaces, load_batch};

const PICTURES: usize = 512;

fn decode(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let faces = ToyFaces::new(0);
    let folder = directory.path().join("train");
    std::fs::create_dir(&folder)?;
    for index in 0..PICTURES {
        let square = faces.render(Split::Train, index, 109).ok_or("toy faces are rendered")?;
        let picture = imageops::crop_imm(&square, 10, 0, 89, 109).to_image();
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&picture)?;
        std::fs::write(folder.join(format!("{index:06}.jpg")), bytes)?;
    }
    // Other splits, or they would be drawn from train.
    for split in ["valid", "test"] {
        std::fs::create_dir(directory.path().join(split))?;
        std::fs::copy(folder.join("000000.jpg"), directory.path().join(split).join("0.jpg"))?;
    }
    let pictures = Folder::open(directory.path(), 0)?;
    let indices: Vec<usize> = (0..PICTURES).collect();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(PICTURES as u64));
    for size in [32, 64] {
        let prep = Preparation::new(size);
        group.bench_function(BenchmarkId::new("jpeg-89x109", size), |bencher| {
            bencher.iter(|| {
                load_batch(&pictures, Split::Train, &indices, &prep, OnBadImage::Fail)
                    .expect("the pictures were just written")
            });
        });
    }
    group.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    decode(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
