//! Stock candle on the GPU, or on the emulator, beside the CPU: shows that the emulator stands for
//! the libraries before anything else is tested on it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{D, DType, Device, Result, Tensor, Var};

fn gpu() -> Device {
    Device::new_cuda(0).unwrap()
}

/// Reproducible numbers that are not symmetric in any index, exact in bfloat16 and thus in
/// TensorFloat-32, to which cuDNN rounds unless it is told not to.
fn wave(shape: &[usize], phase: f64) -> Result<Tensor> {
    let n = shape.iter().product::<usize>();
    let data: Vec<f32> = (0..n).map(|i| ((phase + 1.7 * i as f64).sin()) as f32).collect();
    Tensor::from_vec(data, shape, &Device::Cpu)?.to_dtype(DType::BF16)?.to_dtype(DType::F32)
}

/// The same computation on both devices, for inputs rounded to `dtype`.
fn compare(
    inputs: &[&Tensor],
    dtype: DType,
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    let gpu = gpu();
    let rounded: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(dtype)).collect::<Result<_>>()?;
    let wide: Vec<Tensor> =
        rounded.iter().map(|t| t.to_dtype(DType::F32)).collect::<Result<_>>()?;
    let there: Vec<Tensor> = rounded.iter().map(|t| t.to_device(&gpu)).collect::<Result<_>>()?;
    let expected = f(&wide)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let found = f(&there)?
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1::<f64>()?;
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-30f64, |a, b| a.max(b.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() <= tolerance * scale, "element {i}: {f}, expected {e}");
    }
    Ok(())
}

/// Sums of waves cancel, so that their errors are large beside them.
const TYPES: [(DType, f64); 2] = [(DType::F32, 1e-4), (DType::BF16, 1.5e-2)];

#[test]
fn elementwise() -> Result<()> {
    for (dtype, tolerance) in TYPES {
        let (x, y) = (wave(&[3, 5, 7], 0.1)?, wave(&[3, 5, 7], 0.7)?);
        compare(&[&x, &y], dtype, tolerance, |t| &t[0] + &t[1])?;
        compare(&[&x, &y], dtype, tolerance, |t| t[0].t()? * t[1].t()?)?;
        compare(&[&x, &y.narrow(1, 2, 1)?], dtype, tolerance, |t| t[0].broadcast_sub(&t[1]))?;
        compare(&[&x], dtype, tolerance, |t| t[0].affine(1.5, -0.25)?.exp()?.gelu_erf())?;
        compare(&[&x], dtype, 1e-2, |t| t[0].to_dtype(DType::F32)?.sqr()?.to_dtype(DType::BF16))?;
        compare(&[&x], dtype, tolerance, |t| t[0].permute((2, 0, 1))?.contiguous())?;
        compare(&[&x, &y], dtype, tolerance, |t| t[0].gt(&t[1])?.where_cond(&t[0], &t[1]))?;
    }
    Ok(())
}

#[test]
fn sums() -> Result<()> {
    for (dtype, tolerance) in TYPES {
        for shape in [vec![4, 3, 5], vec![2, 300, 3], vec![2, 2, 2000]] {
            let x = wave(&shape, 0.3)?;
            compare(&[&x], dtype, tolerance, |t| t[0].sum(D::Minus1))?;
            compare(&[&x], dtype, tolerance, |t| t[0].sum((0, 1)))?;
            compare(&[&x], dtype, tolerance, |t| t[0].abs()?.mean_all())?;
            compare(&[&x], dtype, tolerance, |t| t[0].max(1))?;
        }
    }
    Ok(())
}

#[test]
fn products() -> Result<()> {
    for (dtype, tolerance) in TYPES {
        let (a, b) = (wave(&[2, 17, 9], 0.2)?, wave(&[2, 9, 13], 0.5)?);
        compare(&[&a, &b], dtype, tolerance, |t| t[0].matmul(&t[1]))?;
        compare(&[&a.t()?.contiguous()?, &b], dtype, tolerance, |t| t[0].t()?.matmul(&t[1]))?;
        compare(&[&a, &a], dtype, tolerance, |t| t[0].matmul(&t[1].t()?))?;
    }
    Ok(())
}

#[test]
fn convolutions() -> Result<()> {
    for (dtype, tolerance) in TYPES {
        let (x, w) = (wave(&[2, 5, 9, 7], 0.2)?, wave(&[6, 5, 3, 3], 0.5)?);
        for (padding, stride) in [(1, 1), (0, 1), (1, 2)] {
            compare(&[&x, &w], dtype, tolerance, |t| t[0].conv2d(&t[1], padding, stride, 1, 1))?;
        }
    }
    Ok(())
}

#[test]
fn indices() -> Result<()> {
    let x = wave(&[6, 5], 0.2)?;
    compare(&[&x], DType::F32, 0.0, |t| {
        let ids = Tensor::from_vec(vec![4u32, 0, 5], 3, t[0].device())?;
        let picked = t[0].index_select(&ids, 0)?;
        Tensor::cat(&[&picked, &t[0].narrow(0, 1, 2)?], 0)
    })
}

#[test]
fn random_numbers() -> Result<()> {
    let x = Tensor::randn(1f32, 2f32, (100, 101), &gpu())?;
    let mean = x.mean_all()?.to_scalar::<f32>()?;
    let variance = (x - f64::from(mean))?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    assert!((mean - 1.0).abs() < 0.1 && (variance - 4.0).abs() < 0.2, "{mean} {variance}");
    let u = Tensor::rand(0f32, 1f32, 1001, &gpu())?.to_vec1::<f32>()?;
    assert!(u.iter().all(|v| (0.0..=1.0).contains(v)));
    Ok(())
}

#[test]
fn gradients() -> Result<()> {
    compare(&[&wave(&[4, 6], 0.4)?], DType::F32, 1e-5, |t| {
        let x = Var::from_tensor(&t[0])?;
        let gradients = x.matmul(&x.t()?)?.sqr()?.sum_all()?.backward()?;
        Ok(gradients.get(&x).unwrap().clone())
    })
}
