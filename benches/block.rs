//! The residual block, where nearly all the time of a network goes: forward, and forward with both
//! gradients. The id is width@height×width×batch; throughput counts pictures.

use candle_core::{Device, Result, Tensor, Var};
use criterion::{BenchmarkId, Criterion, Throughput};
use vdvae_ops::{BlockShape, block};

/// Width, middle width, resolution and batch: the CIFAR-10 and ImageNet presets where they spend
/// most, and the built-in model's.
const SHAPES: [(usize, usize, usize, usize); 4] =
    [(384, 96, 32, 8), (512, 128, 16, 8), (32, 16, 32, 8), (56, 28, 8, 8)];

fn blocks(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("block");
    group.sample_size(10);
    for (width, middle, r, n) in SHAPES {
        let shape = BlockShape { input: width, middle, output: width, kernel: 3, residual: true };
        let x = Var::randn(0f32, 1.0, (n, r, r, width), &Device::Cpu)?;
        let parameters = Var::randn(0f32, 0.02, shape.parameters(), &Device::Cpu)?;
        // Detached, so that the forward pass keeps nothing for a gradient.
        let (plain_x, plain) = (x.detach(), parameters.detach());
        let id = format!("{width}@{r}x{r}x{n}");
        group.throughput(Throughput::Elements(n as u64));
        // Inputs far out in GELU's tail, whose products would be denormal numbers, a hundred times
        // slower, if the tail were not cut: it should take no longer.
        let tails = ((&plain_x * 0.5)? - 9.0)?;
        group.bench_function(BenchmarkId::new("forward_tails", &id), |bencher| {
            bencher.iter(|| block(&tails, &plain, shape).expect("the shapes fit"));
        });
        group.bench_function(BenchmarkId::new("forward", &id), |bencher| {
            bencher.iter(|| block(&plain_x, &plain, shape).expect("the shapes fit"));
        });
        group.bench_function(BenchmarkId::new("forward_backward", &id), |bencher| {
            bencher.iter(|| gradients(&x, &parameters, shape).expect("the shapes fit"));
        });
    }
    group.finish();
    Ok(())
}

/// The gradient of the mean output with respect to input and parameters.
fn gradients(x: &Var, parameters: &Var, shape: BlockShape) -> Result<(Tensor, Tensor)> {
    let mut store = block(x, parameters, shape)?.mean_all()?.backward()?;
    let mut gradient = |of: &Var| store.remove(of).expect("the loss depends on both");
    Ok((gradient(x), gradient(parameters)))
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    blocks(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
