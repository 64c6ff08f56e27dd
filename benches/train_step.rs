//! One training step: loss, gradients, AdamW and the moving average. Throughput counts pictures.

use std::error::Error;

use criterion::{BenchmarkId, Criterion, Throughput};
use vdvae::datasets::{OnBadImage, Preparation, Split, ToyFaces, load_batch};
use vdvae::train::{TrainConfig, Trainer};
use vdvae::{Device, Preset, Tensor};

fn steps(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let mut group = criterion.benchmark_group("train_step");
    group.sample_size(10);
    for (preset, n) in [(Preset::Tiny, 16), (Preset::ToyFaces, 16)] {
        let network = preset.config();
        let config = TrainConfig { batch_size: n, ..TrainConfig::preset(preset) };
        let mut trainer = Trainer::new(&network, &config, &Device::Cpu)?;
        let pictures = faces(network.image_size, n)?;
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new(preset.name(), n), |bencher| {
            bencher.iter(|| trainer.step(&pictures).expect("the pictures have the network's size"));
        });
    }
    group.finish();
    Ok(())
}

/// One toy face each of `n` people, u8 (n, size, size, 3).
fn faces(size: usize, n: usize) -> Result<Tensor, Box<dyn Error>> {
    let indices: Vec<usize> = (0..n).map(|person| 20 * person).collect();
    let (faces, prep) = (ToyFaces::new(0), Preparation::new(size));
    let batch = load_batch(&faces, Split::Train, &indices, &prep, OnBadImage::Fail)?;
    Ok(Tensor::from_vec(batch.pixels, (n, size, size, 3), &Device::Cpu)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    steps(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
