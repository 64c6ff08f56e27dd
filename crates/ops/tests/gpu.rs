//! Every operator on the GPU beside the CPU: values and gradients, in float32, TensorFloat-32 and
//! bfloat16. Needs a GPU (`VDVAE_GPU` is its number, 0 if unset) and fails without one.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Tensor, Var};
use vdvae_ops::cuda::{self, DeviceAdamW, DeviceOptimizer};
use vdvae_ops::{
    AdamW, AdamWState, Arithmetic, BlockShape, BlockWeights, ConvShape, Tape, add, avg_pool, block,
    conv, gain_bias, joined_block, kl_sum, mixture_nll, project_add, sample_and_kl, sample_prior,
    scale, upsample_add,
};

/// One test at a time: what a GPU finds wrong with a kernel shows in whatever is called next.
static TURN: Mutex<()> = Mutex::new(());

fn gpu() -> (MutexGuard<'static, ()>, Device) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let number = std::env::var("VDVAE_GPU").map_or(0, |text| text.parse().unwrap());
    (turn, cuda::device(number).expect("these tests need a GPU"))
}

/// Reproducible numbers that are not symmetric in any index.
fn wave(shape: &[usize], scale: f64, phase: f64) -> Tensor {
    let n = shape.iter().product::<usize>();
    let number = |i: usize| scale * (phase + 1.7 * i as f64 + 0.013 * (i * i % 101) as f64).sin();
    let data: Vec<f32> = (0..n).map(|i| number(i) as f32).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Largest difference, relative to the largest value.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    let host = |t: &Tensor| {
        let t = t.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        t.flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (host(found), host(expected));
    let scale = expected.iter().fold(1e-30f64, |a, b| a.max(b.abs()));
    let pairs = found.iter().zip(&expected);
    pairs.fold(0.0, |worst: f64, (f, e)| {
        // NaN must not look like agreement.
        if f.is_nan() { f64::INFINITY } else { worst.max((f - e).abs() / scale) }
    })
}

/// An input: its numbers, and whether it stays float32 when activations are bfloat16.
struct Input(Tensor, bool);

fn activation(shape: &[usize], scale: f64, phase: f64) -> Input {
    Input(wave(shape, scale, phase), false)
}

fn parameters(n: usize, scale: f64, phase: f64) -> Input {
    Input(wave(&[n], scale, phase), true)
}

/// Value and gradients on one device, weighted so that no two results count alike: on the CPU by
/// candle's backward pass, on a GPU by the tape, which has to agree with it.
fn run(
    inputs: &[Input],
    device: &Device,
    dtype: DType,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Vec<Tensor> {
    let variables: Vec<Var> = inputs
        .iter()
        .map(|Input(tensor, fixed)| {
            let dtype = if *fixed { DType::F32 } else { dtype };
            let tensor = tensor.to_device(device).unwrap().to_dtype(dtype).unwrap();
            Var::from_tensor(&tensor).unwrap()
        })
        .collect();
    let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let weight = wave(y.dims(), 1.0, 0.3).to_device(device).unwrap();
    let sum = (y.to_dtype(DType::F32).unwrap() * &weight).unwrap().sum_all().unwrap();
    let store = sum.backward().unwrap();
    let of_graph = variables.iter().map(|v| store.get(v).expect("every input has one").clone());
    let of_graph: Vec<Tensor> = of_graph.collect();
    if device.is_cpu() {
        return std::iter::once(y).chain(of_graph).collect();
    }
    let (y, tape) = Tape::record(|| f(&tensors)).unwrap();
    let mut store = tape.backward(&[(&y, weight.to_dtype(y.dtype()).unwrap())]).unwrap();
    let of_tape: Vec<Tensor> = variables.iter().map(|v| store.remove(v).unwrap()).collect();
    // Sums of bfloat16 are rounded at other places.
    let tolerance = if dtype == DType::BF16 { 4e-2 } else { 2e-5 };
    for (tape, graph) in of_tape.iter().zip(&of_graph) {
        let d = difference(tape, graph);
        assert!(d < tolerance, "the tape's gradient and candle's differ by {d:.2e}");
    }
    std::iter::once(y).chain(of_tape).collect()
}

/// Inputs as bfloat16 holds them.
fn rounded(inputs: &[Input]) -> Vec<Input> {
    let round = |t: &Tensor| t.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
    inputs.iter().map(|Input(t, fixed)| Input(round(t), *fixed)).collect()
}

/// Compares a function on the GPU with itself on the CPU, in all three precisions; returns how far
/// TensorFloat-32 is off.
fn compare(
    name: &str,
    device: &Device,
    inputs: &[Input],
    f: &dyn Fn(&[Tensor], Arithmetic) -> Result<Tensor>,
) -> f64 {
    let check = |precision: &str, inputs: &[Input], dtype, tolerance: f64| {
        let how = Arithmetic { tf32: precision == "tf32", ..Arithmetic::default() };
        let expected = run(inputs, &Device::Cpu, DType::F32, &|x| f(x, how));
        let found = run(inputs, device, dtype, &|x| f(x, how));
        let mut worst = 0.0f64;
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let what = if i == 0 { "value".to_owned() } else { format!("gradient {}", i - 1) };
            let d = difference(found, expected);
            println!("{name:28} {precision:5} {what:12} {d:.1e}");
            assert!(d < tolerance, "{name}, {precision}, {what}: {d:.2e} of the largest value");
            worst = worst.max(d);
        }
        worst
    };
    check("f32", inputs, DType::F32, 2e-5);
    check("bf16", &rounded(inputs), DType::BF16, 4e-2);
    check("tf32", inputs, DType::F32, 1e-2)
}

fn shape(input: usize, middle: usize, output: usize, kernel: usize, residual: bool) -> BlockShape {
    BlockShape { input, middle, output, kernel, residual }
}

#[test]
fn gpu_blocks() {
    let (_turn, device) = gpu();
    let cases = [
        // Odd widths; whole packs; a prior block, whose residual is the tail; 1×1 kernels.
        ("odd", shape(12, 5, 12, 3, true), [2, 5, 7]),
        ("packs", shape(32, 8, 32, 3, true), [2, 8, 8]),
        ("prior", shape(32, 16, 48, 3, true), [2, 4, 4]),
        ("odd prior", shape(6, 3, 10, 3, true), [3, 16, 16]),
        ("no residual", shape(8, 4, 6, 3, false), [1, 4, 4]),
        ("1×1", shape(16, 8, 16, 1, true), [4, 1, 1]),
        ("odd 1×1", shape(7, 2, 9, 1, false), [2, 2, 2]),
        ("many channels", shape(1200, 8, 1200, 1, true), [1, 2, 2]),
        ("one of everything", shape(1, 1, 1, 3, true), [1, 1, 1]),
        ("one pixel", shape(16, 8, 16, 1, true), [1, 1, 1]),
        // More channels than the threads of a block that sums columns.
        ("a wide middle", shape(3, 515, 3, 1, true), [1, 2, 1]),
    ];
    for (name, shape, [n, h, w]) in cases {
        let inputs = [
            activation(&[n, h, w, shape.input], 1.5, 0.1),
            parameters(shape.parameters(), f64::min(0.3, 2.0 / (shape.middle as f64).sqrt()), 2.0),
        ];
        compare(&format!("block, {name}"), &device, &inputs, &|x, how| {
            BlockWeights::new(shape, x[1].clone()).with_arithmetic(how).apply(&x[0])
        });
    }
    for (name, shape, widths, [n, h, w]) in [
        ("packs", shape(32, 8, 16, 3, false), [16, 16], [2, 4, 4]),
        ("odd", shape(9, 4, 6, 3, false), [5, 4], [1, 3, 5]),
        ("1×1", shape(32, 8, 32, 1, false), [16, 16], [3, 1, 1]),
    ] {
        let inputs = [
            activation(&[n, h, w, widths[0]], 1.5, 0.1),
            activation(&[n, h, w, widths[1]], 1.2, 0.7),
            parameters(shape.parameters(), 0.3, 2.0),
        ];
        let f = |x: &[Tensor], how| {
            let weights = BlockWeights::new(shape, x[2].clone()).with_arithmetic(how);
            weights.apply_joined(&x[0], &x[1])
        };
        compare(&format!("joined block, {name}"), &device, &inputs, &f);
    }
}

/// Tensors that are used several times, whose gradients are added where they are computed.
#[test]
fn gpu_decoder_blocks() {
    let (_turn, device) = gpu();
    for (name, width, z, side) in [("packs", 32, 8, 4), ("odd", 6, 3, 3)] {
        let prior = shape(width, 4, 2 * z + width, 3, true);
        let posterior = shape(2 * width, 4, 2 * z, 3, false);
        let resnet = shape(width, 4, width, 3, true);
        let project = ConvShape { input: z, output: width, kernel: 1 };
        let inputs = [
            activation(&[2, side, side, width], 1.0, 0.1),
            activation(&[2, side, side, width], 1.0, 0.8),
            parameters(prior.parameters(), 0.2, 2.0),
            parameters(posterior.parameters(), 0.2, 1.0),
            parameters(project.parameters(), 0.2, 0.5),
            parameters(resnet.parameters(), 0.2, 1.5),
        ];
        let f = |x: &[Tensor], how| {
            let (mut state, activation) = (x[0].clone(), &x[1]);
            let mut rate = None;
            for _ in 0..2 {
                let p = block(&state, &x[2], prior)?;
                let q = joined_block(&state, activation, &x[3], posterior)?;
                let latent = sample_and_kl(&q, &p, None)?;
                state = block(&project_add(&p, &latent, &x[4], project, how)?, &x[5], resnet)?;
                let kl = scale(&kl_sum(&latent)?, 0.1)?;
                rate = Some(match rate {
                    Some(sum) => add(&sum, &kl)?,
                    None => kl,
                });
            }
            // Half of the state's channels, summed.
            add(&kl_sum(&state)?, &rate.expect("two blocks"))
        };
        compare(&format!("decoder blocks, {name}"), &device, &inputs, &f);
    }
}

#[test]
fn gpu_recomputed_blocks_give_the_same_bits() {
    let (_turn, device) = gpu();
    let shape = shape(32, 8, 32, 3, true);
    let inputs = [activation(&[2, 4, 4, 32], 1.5, 0.1), parameters(shape.parameters(), 0.3, 2.0)];
    let with = |recompute| {
        run(&inputs, &device, DType::BF16, &|x| {
            BlockWeights::new(shape, x[1].clone()).recomputed(recompute).apply(&x[0])
        })
    };
    for (kept, recomputed) in with(false).iter().zip(&with(true)) {
        assert_eq!(difference(recomputed, kept), 0.0);
    }
}

#[test]
fn gpu_convolutions_and_projections() {
    let (_turn, device) = gpu();
    let cases = [
        (5, 11, 1),
        (5, 11, 3),
        (16, 24, 1),
        (16, 24, 3),
        (3, 16, 3),
        (1, 1, 1),
        (1, 1, 3),
        (2, 515, 1),
    ];
    for (input, output, kernel) in cases {
        let shape = ConvShape { input, output, kernel };
        let inputs =
            [activation(&[2, 6, 4, input], 1.0, 0.4), parameters(shape.parameters(), 0.4, 1.0)];
        let name = format!("conv {kernel}×{kernel}, {input} to {output}");
        let tf32 = compare(&name, &device, &inputs, &|x, how| conv(&x[0], &x[1], shape, how));
        // Float32 must not be rounded unasked, and TensorFloat-32 has to be where it is asked for.
        assert!(input != 16 || tf32 > 2e-5, "{name}: TensorFloat-32 differs by {tf32:.1e} only");
    }
    for (p, l, input, output) in [(14, 6, 3, 8), (48, 16, 8, 32), (1, 1, 1, 1)] {
        let shape = ConvShape { input, output, kernel: 1 };
        let inputs = [
            activation(&[2, 4, 4, p], 1.0, 0.4),
            activation(&[2, 4, 4, l], 1.0, 0.9),
            parameters(shape.parameters(), 0.4, 1.0),
        ];
        let f = |x: &[Tensor], how| project_add(&x[0], &x[1], &x[2], shape, how);
        compare(&format!("project_add {output}"), &device, &inputs, &f);
    }
}

/// Two settings in turns, on the same shapes: neither leaves anything behind.
#[test]
fn gpu_settings_belong_to_the_call() {
    let (_turn, device) = gpu();
    let shape = shape(32, 16, 32, 3, true);
    let inputs = [activation(&[2, 8, 8, 32], 1.5, 0.1), parameters(shape.parameters(), 0.3, 2.0)];
    let with = |tf32| {
        let how = Arithmetic { tf32, ..Arithmetic::default() };
        run(&inputs, &device, DType::F32, &|x| {
            BlockWeights::new(shape, x[1].clone()).with_arithmetic(how).apply(&x[0])
        })
    };
    let (full, rounded) = (with(false), with(true));
    assert!(difference(&rounded[0], &full[0]) > 2e-5, "TensorFloat-32 rounds nothing");
    for (again, first) in with(false).iter().chain(&with(true)).zip(full.iter().chain(&rounded)) {
        // Sums may be taken in another order.
        assert!(difference(again, first) < 1e-6);
    }
}

#[test]
fn gpu_shapes() {
    let (_turn, device) = gpu();
    for (dims, rate, out) in [([1, 4, 4, 3], 2, 3), ([3, 4, 8, 2], 4, 5), ([2, 3, 3, 2], 3, 2)] {
        let inputs = [activation(&dims, 1.0, 0.3)];
        compare("avg_pool", &device, &inputs, &|x, _| avg_pool(&x[0], rate, out));
    }
    let cases = [([1, 2, 2, 4], 2, 3), ([3, 1, 1, 3], 4, 3), ([2, 2, 3, 2], 3, 4)];
    for (dims, rate, c) in cases {
        let bias = Input(wave(&[dims[1] * rate, dims[2] * rate, c], 1.0, 0.8), true);
        let inputs = [activation(&dims, 1.0, 0.3), bias];
        let f = |x: &[Tensor], _| upsample_add(&x[0], Some(&x[1]), rate, c);
        compare("upsample_add, bias", &device, &inputs, &f);
        compare("upsample_add", &device, &inputs[..1], &|x, _| upsample_add(&x[0], None, rate, c));
    }
    for dims in [[2, 3, 2, 5], [1, 33, 32, 1], [3, 2, 2, 40]] {
        let inputs = [activation(&dims, 1.0, 0.1), parameters(2 * dims[3], 1.0, 0.7)];
        compare("gain_bias", &device, &inputs, &|x, _| gain_bias(&x[0], &x[1]));
    }
}

#[test]
fn gpu_latents() {
    let (_turn, device) = gpu();
    for z in [1, 3, 16] {
        let inputs =
            [activation(&[2, 4, 4, 2 * z], 0.7, 0.4), activation(&[2, 4, 4, 2 * z + 5], 0.7, 1.9)];
        let noise = wave(&[2, 4, 4, z], 1.0, 0.2);
        let noise =
            |like: &Tensor| noise.to_device(like.device()).unwrap().to_dtype(like.dtype()).unwrap();
        let f = |x: &[Tensor], _| sample_and_kl(&x[0], &x[1], Some(noise(&x[0])));
        compare("sample_and_kl", &device, &inputs, &f);
        compare("posterior mean", &device, &inputs, &|x, _| sample_and_kl(&x[0], &x[1], None));
        compare("kl_sum", &device, &inputs[..1], &|x, _| kl_sum(&x[0]));
        let prior = &inputs[1].0;
        let expected = sample_prior(prior, z, Some(noise(prior)), 0.8).unwrap();
        let prior = prior.to_device(&device).unwrap();
        let found = sample_prior(&prior, z, Some(noise(&prior)), 0.8).unwrap();
        assert!(difference(&found, &expected) < 1e-6);
    }
}

#[test]
fn gpu_mixture() {
    let (_turn, device) = gpu();
    // Bytes from end to end, so that edge bins occur; components that do and do not fill a bank.
    for (m, low_bit) in [(3, false), (10, false), (4, true)] {
        let bytes: Vec<u8> = (0..2 * 7 * 6 * 3).map(|i: usize| (i * 37 % 256) as u8).collect();
        let pixels = Tensor::from_vec(bytes, (2, 7, 6, 3), &Device::Cpu).unwrap();
        // Always float32, whatever the activations are.
        let inputs = [Input(wave(&[2, 7, 6, 10 * m], 2.0, 0.1), true)];
        let f = |x: &[Tensor], _| mixture_nll(&x[0], &pixels, low_bit);
        compare(&format!("mixture_nll {m}"), &device, &inputs, &f);
    }
}

#[test]
fn gpu_noise_is_standard_normal_and_belongs_to_its_image() {
    let (_turn, device) = gpu();
    let draw = |first, layer, n, z| {
        let noise = cuda::normal(7, first, layer, (n, 8, z), DType::F32, &device).unwrap();
        noise.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (each, all) = (8 * 8 * 5, draw(3, 2, 4, 5));
    assert_eq!(all[each..2 * each], draw(4, 2, 1, 5), "whatever batch an image is in");
    assert_ne!(draw(3, 1, 1, 5), draw(3, 2, 1, 5));
    let x = draw(0, 0, 64, 16);
    let n = x.len() as f64;
    let moment = |k: i32| x.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n;
    // Five standard errors of a normal sample's first four moments.
    for (k, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let error = (moment(k) - expected).abs();
        assert!(error < 5.0 * f64::sqrt(variance / n), "moment {k}: off by {error}");
    }
}

/// The optimizer beside the CPU's, with an update that is skipped and a parameter that never has
/// a gradient.
#[test]
fn gpu_optimizer() {
    let (_turn, device) = gpu();
    let (lengths, learning_rate) = ([5, 20_000, 3], 0.05);
    let weights: Vec<Tensor> = lengths.iter().map(|&n| wave(&[n], 1.0, 0.2)).collect();
    let settings = DeviceAdamW {
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.01,
        grad_clip: 30.0,
        ema_rate: 0.25,
        ema_warmup: true,
        skip_norm: None,
        skip_factor: Some(3.0),
        skip_fewest: 2,
        window: 4,
    };
    let variables: Vec<Var> =
        weights.iter().map(|t| Var::from_tensor(&t.to_device(&device).unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let mut optimizer = DeviceOptimizer::new(&tensors, settings).unwrap();
    let host = |t: &Tensor| t.to_device(&Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
    let mut p: Vec<Vec<f32>> = weights.iter().map(host).collect();
    let mut ema = p.clone();
    let zeros: Vec<Vec<f32>> = lengths.iter().map(|&n| vec![0.0; n]).collect();
    let (mut m, mut v) = (zeros.clone(), zeros);
    let (mut updates, mut norms) = (0, vec![]);
    let terms = Tensor::new(&[1.5f32, 2.5], &device).unwrap();
    for (step, scale) in [1.0, 0.5, 2.0, 50.0, 0.1, 0.4].into_iter().enumerate() {
        let gradients: Vec<Option<Tensor>> = lengths
            .iter()
            .enumerate()
            .map(|(i, &n)| (i != 2).then(|| wave(&[n], scale, step as f64)))
            .collect();
        for (i, gradient) in gradients.iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            optimizer.put(i, &gradient.to_device(&device).unwrap()).unwrap();
        }
        optimizer.step(&terms, &terms, learning_rate).unwrap();

        let squares = |g: &Tensor| host(g).iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        let norm = gradients.iter().flatten().map(squares).sum::<f64>().sqrt();
        let newest = &norms[norms.len().saturating_sub(4)..];
        let mut sorted: Vec<f64> = newest.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (k, len) = (sorted.len() / 2, sorted.len());
        let threshold = match len {
            0 | 1 => f64::INFINITY,
            _ if len % 2 == 1 => 3.0 * sorted[k],
            _ => 3.0 * (sorted[k - 1] + sorted[k]) / 2.0,
        };
        let skipped = norm >= threshold;
        norms.push(norm);
        let entries = optimizer.collect().unwrap();
        assert_eq!(entries.len(), 1);
        let entry = entries[0];
        assert_eq!((entry.skipped, entry.distortion, entry.rate), (skipped, 2.0, 2.0));
        assert_eq!((entry.step, entry.images), (step as u64 + 1, 2));
        assert!((entry.grad_norm / norm - 1.0).abs() < 1e-9);
        assert!(
            entry.skip_threshold == threshold
                || (entry.skip_threshold / threshold - 1.0).abs() < 1e-9
        );
        if skipped {
            continue;
        }
        updates += 1;
        for (i, gradient) in gradients.iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let adamw = AdamW {
                learning_rate: learning_rate as f32,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                weight_decay: 0.01,
                step: updates,
                gradient_scale: (30.0 / (norm + 1e-6)).min(1.0) as f32,
                // 2/11, 3/12, and 0.25 from the third update on.
                ema_rate: f64::min(0.25, (1.0 + updates as f64) / (10.0 + updates as f64)) as f32,
            };
            let state = AdamWState {
                parameters: &mut p[i],
                ema: &mut ema[i],
                first: &mut m[i],
                second: &mut v[i],
            };
            adamw.apply(state, &host(gradient));
        }
    }
    assert_eq!(updates, 5, "one step was to be skipped");
    let memory = optimizer.memory().unwrap();
    assert_eq!(memory.updates, updates);
    let expected = &norms[2..];
    assert!(memory.norms.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-9));
    assert_eq!(memory.norms.len(), 4);
    let close = |found: &[f32], expected: &[f32]| {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 2e-6)
    };
    for i in 0..lengths.len() {
        assert!(close(&host(&tensors[i]), &p[i]), "parameter {i}");
        assert!(close(&host(&optimizer.ema().unwrap()[i]), &ema[i]), "average {i}");
        assert!(close(&memory.ema[i], &ema[i]) && close(&memory.first[i], &m[i]), "moments {i}");
        assert!(close(&memory.second[i], &v[i]), "second moment {i}");
    }
    let mut other = DeviceOptimizer::new(&tensors, settings).unwrap();
    other.restore(&memory).unwrap();
    assert_eq!(other.memory().unwrap(), memory);
}

#[test]
fn gpu_steps_that_are_not_finite_change_nothing() {
    let (_turn, device) = gpu();
    let settings = DeviceAdamW {
        beta1: 0.9,
        beta2: 0.9,
        epsilon: 1e-8,
        weight_decay: 0.0,
        grad_clip: 1.0,
        ema_rate: 0.5,
        ema_warmup: false,
        skip_norm: None,
        skip_factor: None,
        skip_fewest: 0,
        window: 4,
    };
    let p = Var::new(&[1f32, 2.0], &device).unwrap();
    let mut optimizer = DeviceOptimizer::new(&[p.as_tensor().clone()], settings).unwrap();
    let (good, bad) = (Tensor::new(&[1f32], &device).unwrap(), f32::NAN);
    let bad_loss = Tensor::new(&[bad], &device).unwrap();
    for (first, distortion) in [(bad, &good), (1.0, &bad_loss)] {
        optimizer.put(0, &Tensor::new(&[first, 1.0], &device).unwrap()).unwrap();
        optimizer.step(distortion, &good, 0.1).unwrap();
    }
    let steps = optimizer.collect().unwrap();
    assert!(steps.iter().all(|step| step.skipped) && steps.len() == 2);
    assert_eq!(p.as_tensor().to_vec1::<f32>().unwrap(), [1.0, 2.0]);
    let memory = optimizer.memory().unwrap();
    assert_eq!(
        (memory.updates, memory.norms.len()),
        (0, 1),
        "a norm that is not finite is dropped"
    );
}

#[test]
fn gpu_uploads_keep_their_bytes() {
    let (_turn, device) = gpu();
    let mut uploader = cuda::Uploader::new(&device).unwrap();
    let bytes = |seed: usize| -> Vec<u8> { (0..96).map(|i| (i * seed % 251) as u8).collect() };
    let tensors: Vec<Tensor> =
        (1..=8).map(|seed| uploader.upload(&bytes(seed), (2, 4, 4, 3)).unwrap()).collect();
    for (seed, tensor) in (1..=8).zip(tensors) {
        assert_eq!(tensor.flatten_all().unwrap().to_vec1::<u8>().unwrap(), bytes(seed));
    }
    assert!(uploader.upload(&bytes(1), (2, 4, 4, 4)).is_err());
}
