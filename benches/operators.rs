//! The operators beside the block, forward, at the shapes of the CIFAR-10 preset. The id is
//! channels@height×width×batch.

use candle_core::{Device, Result, Tensor};
use criterion::Criterion;
use vdvae_ops::{ConvShape, avg_pool, conv, mixture_nll, sample_and_kl, upsample_add};

const BATCH: usize = 8;
/// Width of the CIFAR-10 preset.
const WIDTH: usize = 384;
/// Latent channels of the published presets.
const Z: usize = 16;
/// Logistic distributions of a pixel, ten logits each.
const MIXTURES: usize = 10;

fn normal(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu)
}

fn operators(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("operators");
    group.sample_size(20);
    let mut bench = |id: &str, run: &dyn Fn() -> Result<Tensor>| {
        group.bench_function(id, |bencher| bencher.iter(|| run().expect("the shapes fit")));
    };

    let pictures = normal(&[BATCH, 32, 32, 3])?;
    let stem = ConvShape { input: 3, output: WIDTH, kernel: 3 };
    let weights = normal(&[stem.parameters()])?;
    bench("conv_3x3/3to384@32x32x8", &|| conv(&pictures, &weights, stem));

    let wide = normal(&[BATCH, 32, 32, WIDTH])?;
    bench("avg_pool/384@32x32x8", &|| avg_pool(&wide, 2, WIDTH));
    let low = normal(&[BATCH, 16, 16, WIDTH])?;
    let bias = normal(&[32, 32, WIDTH])?;
    bench("upsample_add/384@16x16x8", &|| upsample_add(&low, Some(&bias), 2, WIDTH));

    let posterior = normal(&[BATCH, 32, 32, 2 * Z])?;
    let prior = normal(&[BATCH, 32, 32, 2 * Z + WIDTH])?;
    let noise = normal(&[BATCH, 32, 32, Z])?;
    bench("sample_and_kl/16@32x32x8", &|| sample_and_kl(&posterior, &prior, Some(noise.clone())));

    let logits = normal(&[BATCH, 32, 32, 10 * MIXTURES])?;
    let bytes = (0..BATCH * 32 * 32 * 3).map(|i| (i * 37) as u8).collect();
    let pixels = Tensor::from_vec(bytes, (BATCH, 32, 32, 3), &Device::Cpu)?;
    bench("mixture_nll/10@32x32x8", &|| mixture_nll(&logits, &pixels, false));
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    operators(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
