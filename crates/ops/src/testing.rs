//! What the operators' tests share: gradients against finite differences, float32 against float64.

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::tape::Tape;

/// Reproducible numbers that are not symmetric in any index.
pub(crate) fn wave(n: usize, scale: f64, phase: f64) -> Vec<f64> {
    (0..n).map(|i| scale * (phase + 1.7 * i as f64 + 0.013 * (i * i % 101) as f64).sin()).collect()
}

/// A float64 tensor of [`wave`]s.
pub(crate) fn waves(shape: &[usize], scale: f64, phase: f64) -> Tensor {
    let data = wave(shape.iter().product(), scale, phase);
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Every element, as float64.
pub(crate) fn values(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Different weights for every element of `y`.
fn weights(y: &Tensor) -> Result<Tensor> {
    waves(&[y.elem_count()], 1.0, 0.4).to_dtype(y.dtype())?.reshape(y.shape())
}

/// A scalar that weighs every element of `y` differently.
fn weigh(y: &Tensor) -> Result<Tensor> {
    (y * weights(y)?)?.sum_all()
}

/// Gradients of the weighed `f` by the variables among `inputs`, by way of a tape.
fn on_tape(
    inputs: &[Tensor],
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Vec<Option<Vec<f64>>>> {
    let (y, tape) = Tape::record(|| f(inputs))?;
    let mut gradients = tape.backward(&[(&y, weights(&y)?)])?;
    Ok(inputs.iter().map(|x| gradients.remove(x).map(|gradient| values(&gradient))).collect())
}

/// Gradients of the weighed `f` with respect to every input.
fn gradients(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Vec<f64>> {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let store = weigh(&f(&tensors).unwrap()).unwrap().backward().unwrap();
    let gradients: Vec<Vec<f64>> =
        vars.iter().map(|v| values(store.get(v).expect("an input has no gradient"))).collect();
    let taped = on_tape(&tensors, f).unwrap();
    for (k, (taped, gradient)) in taped.iter().zip(&gradients).enumerate() {
        let taped = taped.as_ref().expect("an input has no gradient on the tape");
        close(taped, gradient, 1e-14, &format!("gradient of input {k} on the tape"));
    }
    gradients
}

/// Checks every gradient of `f` at float64 `inputs` against central differences, and that an input
/// that is not a variable gets none. `tolerance` is relative to the input's largest gradient.
pub(crate) fn check_gradients(
    inputs: &[Tensor],
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    for (k, gradient) in check_slopes(inputs, tolerance, &f).iter().enumerate() {
        only_variables_get_gradients(inputs, k, gradient, &f);
    }
}

/// Checks every gradient, on the tape and in candle's graph, against central differences. Candle's
/// own operators give constants gradients too.
pub(crate) fn check_slopes(
    inputs: &[Tensor],
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Vec<Vec<f64>> {
    const STEP: f64 = 1e-5;
    let analytic = gradients(inputs, &f);
    for (k, gradient) in analytic.iter().enumerate() {
        let at = |i: usize, step: f64| {
            let mut moved = inputs.to_vec();
            let mut data = values(&inputs[k]);
            data[i] += step;
            moved[k] = Tensor::from_vec(data, inputs[k].shape(), &Device::Cpu).unwrap();
            weigh(&f(&moved).unwrap()).unwrap().to_scalar::<f64>().unwrap()
        };
        let scale = gradient.iter().fold(1e-3, |m: f64, g| m.max(g.abs()));
        for (i, g) in gradient.iter().enumerate() {
            let numeric = (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP);
            assert!(
                (g - numeric).abs() <= tolerance * scale,
                "input {k}, element {i}: gradient {g}, central difference {numeric}"
            );
        }
    }
    analytic
}

/// With input `k` alone a variable, its gradient is the same and the others have none.
fn only_variables_get_gradients(
    inputs: &[Tensor],
    k: usize,
    expected: &[f64],
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) {
    let var = Var::from_tensor(&inputs[k]).unwrap();
    let mut mixed = inputs.to_vec();
    mixed[k] = var.as_tensor().clone();
    let store = weigh(&f(&mixed).unwrap()).unwrap().backward().unwrap();
    assert_eq!(values(store.get(&var).unwrap()), expected, "input {k} alone");
    for other in (0..inputs.len()).filter(|&other| other != k) {
        assert!(store.get(&mixed[other]).is_none(), "constant {other} has a gradient");
    }
    let taped = on_tape(&mixed, f).unwrap();
    let alone = taped[k].as_deref().expect("the variable has no gradient on the tape");
    close(alone, expected, 1e-14, &format!("input {k} alone on the tape"));
    assert_eq!(taped.iter().flatten().count(), 1, "a constant has a gradient on the tape");
}

/// Checks that the values and gradients of `f` in float32 are those in float64, relative to the
/// largest.
pub(crate) fn check_float32(
    inputs: &[Tensor],
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let single: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect();
    let double: Vec<Tensor> = single.iter().map(|t| t.to_dtype(DType::F64).unwrap()).collect();
    assert_eq!(f(&single).unwrap().dtype(), DType::F32);
    close(&values(&f(&single).unwrap()), &values(&f(&double).unwrap()), tolerance, "value");
    for (k, (g32, g64)) in gradients(&single, &f).iter().zip(gradients(&double, &f)).enumerate() {
        close(g32, &g64, tolerance, &format!("gradient of input {k}"));
    }
}

/// Fails where two lists differ by more than `tolerance` of the largest expected number.
pub(crate) fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= tolerance * scale, "{what} {i}: found {f}, expected {e}");
    }
}

/// The message of a failed call.
pub(crate) fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.expect_err("expected a failure").to_string()
}

/// Runs `f` on one thread and on three, and fails unless the results are the same.
pub(crate) fn same_on_any_threads<R: PartialEq + std::fmt::Debug + Send>(f: impl Fn() -> R + Sync) {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&f)
    };
    assert_eq!(on(1), on(3));
}
