//! One training step: loss, gradients, AdamW and the moving average; and its gradient alone, by the
//! tape and by candle's graph. Throughput counts pictures.

use std::error::Error;

use candle_core::Var;
use criterion::{BenchmarkId, Criterion, Throughput};
use vdvae::datasets::{OnBadImage, Preparation, Split, ToyFaces, load_batch};
use vdvae::model::{Noise, Vdvae, Weights};
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

/// The gradient of a batch by the tape, which training takes, and by candle's graph.
fn gradients(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let mut group = criterion.benchmark_group("gradients");
    group.sample_size(10);
    for (preset, n) in [(Preset::ToyFaces, 8), (Preset::Cifar10, 2)] {
        let (config, device) = (preset.config(), Device::Cpu);
        let frozen = Vdvae::new(&config, &Weights::initialise(&config, 0), &device)?;
        let tensors = frozen.parameters().tensors().iter();
        let variables: Vec<Var> = tensors.map(Var::from_tensor).collect::<Result<_, _>>()?;
        let tensors = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let parameters = frozen.parameters().with_tensors(tensors)?;
        let model = Vdvae::from_parameters(&config, parameters, &device)?;
        let pictures = faces(config.image_size, n)?;
        let noise = Noise::Seeded { seed: 0, first: 0 };
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new(preset.name(), "tape"), |bencher| {
            bencher.iter(|| {
                let mut gradients = Vec::with_capacity(variables.len());
                let put = |_, gradient| {
                    gradients.push(gradient);
                    Ok(())
                };
                let terms = model.loss_and_gradients(&pictures, noise, 1.0 / n as f64, put);
                terms.map(|_| gradients).expect("the pictures have the network's size")
            });
        });
        group.bench_function(BenchmarkId::new(preset.name(), "graph"), |bencher| {
            bencher.iter(|| {
                let loss = model.loss(&pictures, noise).and_then(|terms| terms.mean());
                let loss = loss.expect("the pictures have the network's size");
                loss.backward().expect("every operator has a gradient")
            });
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
    gradients(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
