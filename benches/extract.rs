//! Pooled posterior means of every layer of the `toy-faces` network, for one picture and for a
//! batch. Throughput counts pictures.

use std::error::Error;

use criterion::{BenchmarkId, Criterion, Throughput};
use vdvae::features::{FeatureSpec, LayerSelection, extract_batch};
use vdvae::{Device, Preset, Tensor, Vdvae, Weights};

fn extract(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let config = Preset::ToyFaces.config();
    let model = Vdvae::new(&config, &Weights::initialise(&config, 0), &Device::Cpu)?;
    let spec = FeatureSpec::default();
    let mut group = criterion.benchmark_group("extract");
    group.sample_size(10);
    for n in [1, 32] {
        let size = config.image_size;
        let bytes = (0..n * size * size * 3).map(|i| (i * 37) as u8).collect();
        let pixels = Tensor::from_vec(bytes, (n, size, size, 3), &Device::Cpu)?;
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new(Preset::ToyFaces.name(), n), |bencher| {
            bencher.iter(|| {
                extract_batch(&model, &pixels, &spec, LayerSelection::All, 0)
                    .expect("the pictures have the network's size")
            });
        });
    }
    group.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    extract(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
