//! The fused operators against candle's stock ones, in float64, values and gradients.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::*;
use crate::conv::conv;
use crate::project::project_add;
use crate::shape::ConvShape;
use crate::tape::Tape;

/// Reproducible numbers that are not symmetric in any index.
fn wave(n: usize, scale: f64, phase: f64) -> Vec<f64> {
    (0..n).map(|i| scale * (phase + 1.7 * i as f64 + 0.013 * (i * i % 101) as f64).sin()).collect()
}

fn narrow(v: &Var) -> Var {
    Var::from_tensor(&v.to_dtype(DType::F32).unwrap()).unwrap()
}

fn var(shape: &[usize], scale: f64, phase: f64) -> Var {
    let data = wave(shape.iter().product(), scale, phase);
    Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Stock NCHW convolution of an NHWC tensor with one convolution's flat parameters.
fn stock_conv(x: &Tensor, flat: &Tensor, shape: &ConvShape) -> Result<Tensor> {
    let ConvShape { input, output, kernel } = *shape;
    let weights = flat.narrow(0, 0, shape.weights())?.reshape((output, kernel, kernel, input))?;
    let weights = weights.permute((0, 3, 1, 2))?.contiguous()?;
    let bias = flat.narrow(0, shape.weights(), output)?.reshape((1, output, 1, 1))?;
    let x = x.permute((0, 3, 1, 2))?.contiguous()?;
    x.conv2d(&weights, kernel / 2, 1, 1, 1)?
        .broadcast_add(&bias)?
        .permute((0, 2, 3, 1))?
        .contiguous()
}

/// GELU from its parts: the gradient of candle's own `gelu_erf` rounds a constant to six digits.
fn stock_gelu(x: &Tensor) -> Result<Tensor> {
    let cdf = (((x / 2f64.sqrt())?.erf()? + 1.0)? * 0.5)?;
    x * cdf
}

fn stock_block(x: &Tensor, flat: &Tensor, shape: &BlockShape) -> Result<Tensor> {
    let (mut h, mut offset) = (x.clone(), 0);
    for conv in shape.convolutions() {
        h = stock_conv(&stock_gelu(&h)?, &flat.narrow(0, offset, conv.parameters())?, &conv)?;
        offset += conv.parameters();
    }
    if shape.residual {
        let zeros = shape.output - shape.input;
        h = (h + x.pad_with_zeros(3, zeros, 0)?)?;
    }
    Ok(h)
}

const BF16: Arithmetic = Arithmetic { bf16: true, exact: false, tf32: false };

/// Largest difference, relative to the largest value.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    let max = |t: &Tensor| {
        t.to_dtype(DType::F64).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap()
    };
    let (a64, b64) = (a.to_dtype(DType::F64).unwrap(), b.to_dtype(DType::F64).unwrap());
    let scale = max(&b64).to_scalar::<f64>().unwrap();
    max(&(a64 - b64).unwrap()).to_scalar::<f64>().unwrap() / scale.max(1e-300)
}

/// Values and gradients of two functions of the same variables agree.
fn agree(
    variables: &[&Var],
    ours: impl Fn() -> Result<Tensor>,
    stock: impl Fn() -> Result<Tensor>,
    tolerance: f64,
) {
    let (ours, stock) = (ours().unwrap(), stock().unwrap());
    assert!(difference(&ours, &stock) < tolerance, "value: {}", difference(&ours, &stock));
    let weight = wave(ours.elem_count(), 1.0, 0.3);
    let weight = Tensor::from_vec(weight, ours.shape(), &Device::Cpu).unwrap();
    let weight = weight.to_dtype(ours.dtype()).unwrap();
    let gradients = |y: &Tensor| (y * &weight).unwrap().sum_all().unwrap().backward().unwrap();
    let (g, expected) = (gradients(&ours), gradients(&stock));
    for (i, v) in variables.iter().enumerate() {
        let d = difference(g.get(v).unwrap(), expected.get(v).unwrap());
        assert!(d < tolerance, "gradient of variable {i}: {d}");
    }
}

/// Block shapes at resolutions that are odd, larger than a task's block of pixels, and 1×1.
fn cases() -> Vec<(BlockShape, [usize; 3])> {
    let shape = |input, middle, output, kernel, residual| BlockShape {
        input,
        middle,
        output,
        kernel,
        residual,
    };
    vec![
        (shape(12, 5, 12, 3, true), [2, 5, 7]),
        (shape(6, 3, 10, 3, true), [3, 16, 16]),
        (shape(8, 4, 6, 3, false), [1, 4, 4]),
        (shape(16, 4, 16, 1, true), [4, 1, 1]),
        (shape(7, 2, 9, 1, false), [2, 2, 2]),
    ]
}

#[test]
fn block_agrees_with_stock_operators() {
    for (shape, [n, h, w]) in cases() {
        let x = var(&[n, h, w, shape.input], 1.5, 0.1);
        let p = var(&[shape.parameters()], 0.3, 2.0);
        agree(&[&x, &p], || block(&x, &p, shape), || stock_block(&x, &p, &shape), 1e-10);
    }
}

#[test]
fn joined_block_agrees_with_a_concatenation() {
    for (mut shape, [n, h, w]) in cases() {
        shape.residual = false;
        let x = var(&[n, h, w, 4], 1.5, 0.1);
        let y = var(&[n, h, w, shape.input - 4], 1.2, 0.7);
        let p = var(&[shape.parameters()], 0.3, 2.0);
        let stock = || stock_block(&Tensor::cat(&[x.as_tensor(), y.as_tensor()], 3)?, &p, &shape);
        agree(&[&x, &y, &p], || joined_block(&x, &y, &p, shape), stock, 1e-10);
    }
}

#[test]
fn a_second_gradient_recomputes_the_hidden_states() {
    let (shape, [n, h, w]) = cases()[0];
    let x = var(&[n, h, w, shape.input], 1.5, 0.1);
    let p = var(&[shape.parameters()], 0.3, 2.0);
    let y = block(&x, &p, shape).unwrap();
    let first = y.backward().unwrap();
    let second = y.backward().unwrap();
    assert_eq!(difference(first.get(&p).unwrap(), second.get(&p).unwrap()), 0.0);
}

#[test]
fn recomputed_hidden_states_give_the_same_gradient() {
    let (shape, [n, h, w]) = cases()[0];
    for arithmetic in [Arithmetic::default(), BF16] {
        let x = narrow(&var(&[n, h, w, shape.input], 1.5, 0.1));
        let p = narrow(&var(&[shape.parameters()], 0.3, 2.0));
        let gradient = |recompute| {
            let weights = BlockWeights::new(shape, p.as_tensor().clone()).recomputed(recompute);
            weights.with_arithmetic(arithmetic).apply(&x).unwrap().backward().unwrap()
        };
        let (kept, recomputed) = (gradient(false), gradient(true));
        for variable in [&x, &p] {
            let (a, b) = (kept.get(variable).unwrap(), recomputed.get(variable).unwrap());
            assert_eq!(difference(a, b), 0.0);
        }
    }
}

#[test]
fn convolutions_agree_with_stock_operators() {
    for kernel in [1, 3] {
        let shape = ConvShape { input: 5, output: 11, kernel };
        let x = var(&[2, 9, 6, 5], 1.0, 0.4);
        let p = var(&[shape.parameters()], 0.4, 1.0);
        agree(
            &[&x, &p],
            || conv(&x, &p, shape, Arithmetic::default()),
            || stock_conv(&x, &p, &shape),
            1e-10,
        );
    }
}

#[test]
fn projection_agrees_with_stock_operators() {
    let shape = ConvShape { input: 3, output: 8, kernel: 1 };
    let base = var(&[2, 4, 4, 14], 1.0, 0.4);
    let latent = var(&[2, 4, 4, 6], 1.0, 0.9);
    let p = var(&[shape.parameters()], 0.4, 1.0);
    let stock = || {
        let z = latent.narrow(3, 0, 3)?.contiguous()?;
        base.narrow(3, 6, 8)? + stock_conv(&z, &p, &shape)?
    };
    let ours = || project_add(&base, &latent, &p, shape, Arithmetic::default());
    agree(&[&base, &latent, &p], ours, stock, 1e-10);
}

#[test]
fn float32_agrees_with_float64() {
    for (shape, [n, h, w]) in cases() {
        let x = var(&[n, h, w, shape.input], 1.5, 0.1);
        let p = var(&[shape.parameters()], 0.3, 2.0);
        let (x32, p32) = (narrow(&x), narrow(&p));
        let (y, y32) = (block(&x, &p, shape).unwrap(), block(&x32, &p32, shape).unwrap());
        assert!(difference(&y32, &y) < 2e-6);
        let (g, g32) = (y.backward().unwrap(), y32.backward().unwrap());
        assert!(difference(g32.get(&x32).unwrap(), g.get(&x).unwrap()) < 5e-6);
        assert!(difference(g32.get(&p32).unwrap(), g.get(&p).unwrap()) < 5e-6);
    }
}

/// Every value rounded to eight bits, and sums of up to hundreds of them: differences of three in a
/// hundred of the largest value, in gradients too.
#[test]
fn bfloat16_is_close_to_float64() {
    let wide =
        |input, middle, output, residual| BlockShape { input, middle, output, kernel: 3, residual };
    let more = [
        (wide(48, 16, 56, true), [3, 11, 9]),
        (wide(32, 40, 33, false), [2, 16, 16]),
        (wide(20, 12, 20, true), [40, 3, 3]),
    ];
    for (shape, [n, h, w]) in cases().into_iter().chain(more) {
        // Numbers that are random enough for errors to cancel, as they do in a network: sums of
        // twelve uniform ones of a congruential generator are nearly normal.
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut random = |shape: &[usize], scale: f64| {
            let count = shape.iter().product();
            let mut normal = || scale * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0);
            let numbers: Vec<f64> = (0..count).map(|_| normal()).collect();
            Var::from_tensor(&Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()).unwrap()
        };
        let x = random(&[n, h, w, shape.input], 1.0);
        let p = random(&[shape.parameters()], 0.7 / ((shape.middle * 3) as f64).sqrt());
        let weight = random(&[n, h, w, shape.output], 1.0);
        let run = |x: &Var, p: &Var, weight: &Var, arithmetic| {
            let weights =
                BlockWeights::new(shape, p.as_tensor().clone()).with_arithmetic(arithmetic);
            let split = shape.input / 3;
            let y = match shape.residual {
                true => weights.apply(x),
                false => {
                    let part = |first, count| x.narrow(3, first, count)?.contiguous();
                    weights.apply_joined(&part(0, split)?, &part(split, shape.input - split)?)
                }
            };
            let y = y?;
            let g = (&y * weight.as_tensor())?.sum_all()?.backward()?;
            let of = |v: &Var| g.get(v).unwrap().clone();
            Result::Ok([y, of(x), of(p)])
        };
        let expected = run(&x, &p, &weight, Arithmetic::default()).unwrap();
        let found = run(&narrow(&x), &narrow(&p), &narrow(&weight), BF16).unwrap();
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let d = difference(found, expected);
            assert!(d < 0.03, "{shape:?} at {h}x{w}, tensor {i}: differs by {d:.1e}");
            assert!(d > 1e-5, "{shape:?}: tensor {i} is not in bfloat16");
        }
    }
}

/// Gradients are added to what an input has from other uses, wherever it is used.
#[test]
fn gradients_in_bfloat16_are_added_to_what_an_input_has() {
    let shape = BlockShape { input: 16, middle: 8, output: 16, kernel: 3, residual: true };
    let x = narrow(&var(&[2, 6, 6, 16], 1.0, 0.1));
    let p = narrow(&var(&[shape.parameters()], 0.2, 2.0));
    let weights = BlockWeights::new(shape, p.as_tensor().clone()).with_arithmetic(BF16);
    let gradient = |uses: usize| {
        let record = || -> Result<_> {
            let results: Vec<_> = (0..uses).map(|_| weights.apply(&x)).collect::<Result<_>>()?;
            Ok(results)
        };
        let (results, tape) = Tape::record(record).unwrap();
        let seeds: Vec<_> = results.iter().map(|y| (y, y.ones_like().unwrap())).collect();
        tape.backward(&seeds).unwrap().remove(&x).unwrap()
    };
    let (once, twice) = (gradient(1), gradient(2));
    assert!(difference(&twice, &(once * 2.0).unwrap()) < 1e-6);
}

/// Also where the calls differ in what is kept: sizes that go through Winograd's transforms and
/// sizes that do not, one input and two.
#[test]
fn frozen_weights_change_nothing() {
    let random = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
    let shape = BlockShape { input: 48, middle: 16, output: 48, kernel: 3, residual: true };
    let joined = BlockShape { residual: false, ..shape };
    let parameters = (random(&[shape.parameters()]) * 0.1).unwrap();
    let bits = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for arithmetic in [Arithmetic::default(), BF16] {
        let of = |weights: BlockWeights| weights.with_arithmetic(arithmetic);
        let plain = of(BlockWeights::new(shape, parameters.clone()));
        let frozen = of(BlockWeights::frozen(shape, parameters.clone()));
        let plain_joined = of(BlockWeights::new(joined, parameters.clone()));
        let frozen_joined = of(BlockWeights::frozen(joined, parameters.clone()));
        for r in [4, 32, 4, 32] {
            let (x, y) = (random(&[1, r, r, 48]), random(&[1, r, r, 32]));
            assert_eq!(bits(frozen.apply(&x).unwrap()), bits(plain.apply(&x).unwrap()));
            let x = x.narrow(3, 0, 16).unwrap();
            let (a, b) = (frozen_joined.apply_joined(&x, &y), plain_joined.apply_joined(&x, &y));
            assert_eq!(bits(a.unwrap()), bits(b.unwrap()));
        }
    }
}

/// Sizes below and above Winograd's threshold; rows that no number of threads divides.
#[test]
fn the_number_of_threads_changes_rounding_only() {
    let shape = BlockShape { input: 48, middle: 16, output: 48, kernel: 3, residual: true };
    let cases = [[3, 5], [2, 32]].map(|size| [Arithmetic::default(), BF16].map(|how| (size, how)));
    for ([n, r], arithmetic) in cases.into_iter().flatten() {
        let x = var(&[n, r, r, 48], 1.0, 0.1);
        let p = var(&[shape.parameters()], 0.2, 2.0);
        let (x, p) = (narrow(&x), narrow(&p));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let weights = BlockWeights::new(shape, p.as_tensor().clone());
                let y = weights.with_arithmetic(arithmetic).apply(&x).unwrap();
                let g = y.backward().unwrap();
                [y, g.get(&x).unwrap().clone(), g.get(&p).unwrap().clone()]
            })
        };
        let one = run(1);
        for threads in [2, 3, 5] {
            let (found, again) = (run(threads), run(threads));
            for ((one, found), again) in one.iter().zip(&found).zip(&again) {
                let d = difference(found, one);
                assert!(d < 1e-5, "{threads} threads: differs by {d:.1e} of the largest value");
                assert_eq!(difference(found, again), 0.0, "{threads} threads, twice");
            }
        }
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let (shape, [n, h, w]) = cases()[0];
    let x = var(&[n, h, w, shape.input], 1.0, 0.0);
    let p = var(&[shape.parameters() - 1], 1.0, 0.0);
    let message = block(&x, &p, shape).unwrap_err().to_string();
    assert!(message.contains(&format!("expected {} parameters", shape.parameters())), "{message}");
    let wide = var(&[n, h, w, shape.input + 1], 1.0, 0.0);
    let p = var(&[shape.parameters()], 1.0, 0.0);
    let message = block(&wide, &p, shape).unwrap_err().to_string();
    assert!(message.contains("expected 12 input channels, found 13"), "{message}");
}
