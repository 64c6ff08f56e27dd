//! The operators beside the block at the shapes of the CIFAR-10 preset: forward, and for those with
//! a gradient of their own forward and backward. The id is channels@height×width×batch.

use candle_core::{Device, Result, Tensor, Var};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use vdvae_ops::{
    AdamW, AdamWState, Arithmetic, ConvShape, avg_pool, conv, gain_bias, kl_sum, mixture_nll,
    project_add, sample_and_kl, sum_of_squares, upsample_add,
};

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

/// Times an operator on its inputs, and again with the gradients of all of them.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: &str,
    inputs: &[Tensor],
    run: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    group.bench_function(format!("{id}/forward"), |bencher| {
        bencher.iter(|| run(inputs).expect("the shapes fit"));
    });
    let variables = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
    let variables: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    group.bench_function(format!("{id}/both"), |bencher| {
        bencher.iter(|| run(&variables).and_then(|y| y.backward()).expect("the shapes fit"));
    });
    Ok(())
}

fn operators(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("operators");
    let group = group.sample_size(20);

    let pictures = normal(&[BATCH, 32, 32, 3])?;
    let stem = ConvShape { input: 3, output: WIDTH, kernel: 3 };
    let inputs = [pictures, normal(&[stem.parameters()])?];
    bench(group, "conv_3x3/3to384@32x32x8", &inputs, |x| {
        conv(&x[0], &x[1], stem, Arithmetic::default())
    })?;

    let state = normal(&[BATCH, 32, 32, WIDTH])?;
    bench(group, "avg_pool/384@32x32x8", std::slice::from_ref(&state), |x| {
        avg_pool(&x[0], 2, WIDTH)
    })?;
    let inputs = [state, normal(&[2 * WIDTH])?];
    bench(group, "gain_bias/384@32x32x8", &inputs, |x| gain_bias(&x[0], &x[1]))?;
    let inputs = [normal(&[BATCH, 16, 16, WIDTH])?, normal(&[32, 32, WIDTH])?];
    bench(group, "upsample_add/384@16x16x8", &inputs, |x| {
        upsample_add(&x[0], Some(&x[1]), 2, WIDTH)
    })?;

    let prior = normal(&[BATCH, 32, 32, 2 * Z + WIDTH])?;
    let noise = normal(&[BATCH, 32, 32, Z])?;
    let inputs = [normal(&[BATCH, 32, 32, 2 * Z])?, prior.clone()];
    bench(group, "sample_and_kl/16@32x32x8", &inputs, |x| {
        sample_and_kl(&x[0], &x[1], Some(noise.clone()))
    })?;
    let latent = normal(&[BATCH, 32, 32, 2 * Z])?;
    bench(group, "kl_sum/16@32x32x8", std::slice::from_ref(&latent), |x| kl_sum(&x[0]))?;
    let shape = ConvShape { input: Z, output: WIDTH, kernel: 1 };
    let inputs = [prior, latent, normal(&[shape.parameters()])?];
    bench(group, "project_add/16to384@32x32x8", &inputs, |x| {
        project_add(&x[0], &x[1], &x[2], shape, Arithmetic::default())
    })?;

    let bytes = (0..BATCH * 32 * 32 * 3).map(|i| (i * 37) as u8).collect();
    let pixels = Tensor::from_vec(bytes, (BATCH, 32, 32, 3), &Device::Cpu)?;
    bench(group, "mixture_nll/10@32x32x8", &[normal(&[BATCH, 32, 32, 10 * MIXTURES])?], |x| {
        mixture_nll(&x[0], &pixels, false)
    })
}

/// One pass of AdamW and the moving average over as many numbers as the CIFAR-10 preset has, and
/// the gradient's norm before it.
fn optimizer(criterion: &mut Criterion) {
    const PARAMETERS: usize = 39_145_700;
    let mut group = criterion.benchmark_group("optimizer");
    group.sample_size(10).throughput(Throughput::Elements(PARAMETERS as u64));
    let gradient: Vec<f32> = (0..PARAMETERS).map(|i| (i % 13) as f32 * 1e-3 - 6e-3).collect();
    group.bench_function("sum_of_squares/39145700", |bencher| {
        bencher.iter(|| sum_of_squares(&gradient));
    });
    let [mut parameters, mut ema, mut first, mut second] =
        [(); 4].map(|()| vec![0.0f32; PARAMETERS]);
    let adamw = AdamW {
        step: 10,
        learning_rate: 2e-4,
        beta1: 0.9,
        beta2: 0.9,
        epsilon: 1e-8,
        weight_decay: 0.01,
        gradient_scale: 1.0,
        ema_rate: 0.9999,
    };
    group.bench_function("adamw_and_average/39145700", |bencher| {
        bencher.iter(|| {
            let state = AdamWState {
                parameters: &mut parameters,
                ema: &mut ema,
                first: &mut first,
                second: &mut second,
            };
            adamw.apply(state, &gradient);
        });
    });
    group.finish();
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    operators(&mut criterion)?;
    optimizer(&mut criterion);
    criterion.final_summary();
    Ok(())
}
