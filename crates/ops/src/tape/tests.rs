use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Var};

use super::stock::{add, cast, scale, stock};
use super::*;
use crate::sample_and_kl;
use crate::testing::{check_gradients, check_slopes, message, values, waves};
use crate::{Arithmetic, BlockShape, ConvShape, block, conv, gain_bias, joined_block, project_add};

const SHAPE: BlockShape = BlockShape { input: 3, middle: 2, output: 3, kernel: 3, residual: true };

fn variable(shape: &[usize]) -> Var {
    Var::from_tensor(&waves(shape, 0.5, 0.2)).unwrap()
}

#[test]
fn small_operators_have_their_gradients() {
    let (x, y) = ([waves(&[2, 3], 1.0, 0.1)], waves(&[2, 3], 1.0, 0.9));
    check_gradients(&x, 1e-8, |x| add(&x[0], &scale(&add(&y, &x[0])?, 0.3)?));
    // A tensor that is added to itself, whose gradient is passed on twice.
    check_gradients(&x, 1e-8, |x| add(&add(&x[0], &x[0])?, &x[0]));
}

#[test]
fn a_cast_carries_the_gradient_back_in_the_first_type() {
    let x = Var::from_tensor(&waves(&[4], 1.0, 0.0)).unwrap();
    let (y, tape) = Tape::record(|| cast(&scale(&x, 2.0)?, DType::F32)).unwrap();
    assert_eq!(y.dtype(), DType::F32);
    let mut gradients = tape.backward(&[(&y, y.ones_like().unwrap())]).unwrap();
    let gradient = gradients.remove(&x).unwrap();
    assert_eq!((gradient.dtype(), values(&gradient)), (DType::F64, vec![2.0; 4]));
}

#[test]
fn what_is_not_contiguous_is_copied_and_differentiated() {
    let x = waves(&[1, 2, 3, 3], 1.0, 0.0);
    let p = waves(&[6], 1.0, 0.5);
    let strided = |x: &Tensor| x.transpose(1, 2).unwrap();
    let expected = values(&gain_bias(&strided(&x), &p).unwrap());
    let constant = Tape::record(|| gain_bias(&strided(&x), &p)).unwrap().0;
    assert_eq!(values(&constant), expected);
    let of_variable = Var::from_tensor(&x).unwrap();
    let error = message(Tape::record(|| gain_bias(&strided(&of_variable), &p)));
    assert!(error.contains("what one of candle's own operators made of a variable"), "{error}");
}

/// A decoder block, every tensor of which is used more than once.
fn decoder(x: &[Tensor]) -> Result<Tensor> {
    let [state, activation, prior, posterior, project, resnet] = x else { unreachable!() };
    let shape =
        |input, output, residual| BlockShape { input, middle: 2, output, kernel: 1, residual };
    let p = block(state, prior, shape(3, 7, true))?;
    let q = joined_block(state, activation, posterior, shape(6, 4, false))?;
    let latent = sample_and_kl(&q, &p, None)?;
    let conv = ConvShape { input: 2, output: 3, kernel: 1 };
    let how = Arithmetic::default();
    let x = project_add(&p, &latent, project, conv, how)?;
    let x = block(&x, resnet, shape(3, 3, true))?;
    let again = joined_block(&x, activation, posterior, shape(6, 4, false))?;
    let again = sample_and_kl(&again, &latent, None)?;
    add(&x, &project_add(&x, &again, project, conv, how)?)
}

#[test]
fn a_decoder_block_has_its_gradients() {
    let of = |input: usize, output: usize| {
        BlockShape { input, middle: 2, output, kernel: 1, residual: false }.parameters()
    };
    let inputs = [
        waves(&[1, 2, 2, 3], 0.8, 0.1),
        waves(&[1, 2, 2, 3], 0.8, 0.6),
        waves(&[of(3, 7)], 0.4, 0.2),
        waves(&[of(6, 4)], 0.4, 0.7),
        waves(&[9], 0.5, 0.3),
        waves(&[of(3, 3)], 0.4, 0.9),
    ];
    check_gradients(&inputs, 1e-6, decoder);
}

#[test]
fn a_recording_ends_with_its_closure() {
    let (x, p) = (variable(&[1, 2, 2, 3]), variable(&[SHAPE.parameters()]));
    let fails = Tape::record(|| {
        block(&x, &p, SHAPE)?;
        candle_core::bail!("no more")
    });
    let _: Result<((), Tape)> = fails;
    let panics =
        std::panic::catch_unwind(|| Tape::record(|| -> Result<()> { panic!("no more") }).map(drop));
    assert!(panics.is_err());
    // Candle's graph again.
    let gradients = block(&x, &p, SHAPE).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&x).is_some());
}

#[test]
fn gradients_are_handed_over_when_they_are_finished() {
    let (x, p, q) =
        (variable(&[1, 2, 2, 3]), variable(&[SHAPE.parameters()]), variable(&[SHAPE.parameters()]));
    // p is used twice, first and last; q in between; x first alone.
    let run =
        || Tape::record(|| block(&block(&block(&x, &p, SHAPE)?, &q, SHAPE)?, &p, SHAPE)).unwrap();
    let (y, tape) = run();
    let seeds = [(&y, y.ones_like().unwrap())];
    let mut expected = tape.backward(&seeds).unwrap();
    let (y, tape) = run();
    let seeds = [(&y, y.ones_like().unwrap())];
    let mut order = vec![];
    tape.backward_with(&seeds, |variable, gradient| {
        order.push((variable, values(&gradient)));
        Ok(())
    })
    .unwrap();
    assert_eq!(order.len(), 3);
    assert_eq!(order[0].0, q.id());
    for variable in [&x, &p, &q] {
        let found = order.iter().find(|(id, _)| *id == variable.id()).unwrap();
        assert_eq!(found.1, values(&expected.remove(variable).unwrap()));
    }
}

#[test]
fn recordings_nest() {
    let (x, p) = (variable(&[1, 2, 2, 3]), variable(&[SHAPE.parameters()]));
    let ((y, inner), outer) = Tape::record(|| {
        let inner = Tape::record(|| block(&x, &p, SHAPE))?.1;
        Ok::<_, candle_core::Error>((block(&x, &p, SHAPE)?, inner))
    })
    .unwrap();
    let seed = y.ones_like().unwrap();
    assert!(inner.backward(&[(&y, seed.clone())]).unwrap().remove(&x).is_none());
    assert!(outer.backward(&[(&y, seed)]).unwrap().remove(&x).is_some());
}

#[test]
fn seeds_have_the_shape_of_their_results_and_stay_as_they_are() {
    let (x, p) = (variable(&[1, 2, 2, 3]), variable(&[SHAPE.parameters()]));
    let run = || Tape::record(|| block(&x, &p, SHAPE)).unwrap();
    let (y, tape) = run();
    let wrong = Tensor::ones(12, DType::F64, &Device::Cpu).unwrap();
    let error = message(tape.backward(&[(&y, wrong)]));
    assert!(error.contains("expected a seed of [1, 2, 2, 3], found [12]"), "{error}");
}

/// A prior that is a result itself, whose gradient the latents write to in place.
#[test]
fn seeds_are_not_written_to() {
    let p = variable(&[SHAPE.parameters()]);
    let x = waves(&[1, 3, 2, 3], 0.5, 0.2);
    let posterior = waves(&[1, 3, 2, 2], 0.5, 0.7);
    let gradient = |seed: Tensor| {
        let ((latent, prior), tape) = Tape::record(|| {
            let prior = block(&x, &p, SHAPE)?;
            Ok::<_, candle_core::Error>((sample_and_kl(&posterior, &prior, None)?, prior))
        })
        .unwrap();
        let seeds = [(&latent, latent.ones_like().unwrap()), (&prior, seed)];
        values(&tape.backward(&seeds).unwrap().remove(&p).unwrap())
    };
    let seed = waves(&[1, 3, 2, 3], 1.0, 0.4);
    let before = values(&seed);
    let expected = gradient(seed.clone());
    assert_eq!(values(&seed), before);
    // The same numbers, columns first.
    let strided = seed.transpose(1, 2).unwrap().contiguous().unwrap().transpose(1, 2).unwrap();
    assert!(!strided.is_contiguous());
    assert_eq!(gradient(strided), expected);
}

#[test]
fn a_convolution_that_nothing_depends_on_has_no_gradient() {
    let shape = ConvShape { input: 3, output: 2, kernel: 1 };
    let (x, used, unused) = (waves(&[1, 1, 1, 3], 1.0, 0.0), variable(&[8]), variable(&[8]));
    let (y, tape) = Tape::record(|| {
        conv(&x, &unused, shape, Arithmetic::default())?;
        conv(&x, &used, shape, Arithmetic::default())
    })
    .unwrap();
    let mut gradients = tape.backward(&[(&y, y.ones_like().unwrap())]).unwrap();
    assert!(gradients.remove(&unused).is_none());
    assert!(gradients.remove(&used).is_some());
}

#[test]
fn what_is_recomputed_has_the_same_gradients() {
    let calls = Arc::new(AtomicUsize::new(0));
    let inputs = [waves(&[1, 2, 2, 3], 1.0, 0.1), waves(&[SHAPE.parameters()], 0.4, 0.2)];
    let twice = |x: &Tensor, p: &Tensor| block(&block(x, p, SHAPE)?, p, SHAPE);
    // The input is used once more outside, before and after.
    check_gradients(&inputs, 1e-6, |x| {
        let before = block(&x[0], &x[1], SHAPE)?;
        let (again, calls) = ([x[0].clone(), before.clone(), x[1].clone()], calls.clone());
        let [y, z] = recomputed(&[&x[0], &before, &x[1]], move || {
            calls.fetch_add(1, Ordering::Relaxed);
            let [x, before, p] = &again;
            let y = twice(x, p)?;
            Ok([block(&y, p, SHAPE)?, add(&y, before)?])
        })?;
        add(&add(&y, &z)?, &block(&before, &x[1], SHAPE)?)
    });
    assert!(calls.load(Ordering::Relaxed) > 2);
}

#[test]
fn what_is_recomputed_may_have_results_that_nothing_uses() {
    let (x, p) = (variable(&[1, 2, 2, 3]), variable(&[SHAPE.parameters()]));
    let run = |used: usize| {
        let again = [x.as_tensor().clone(), p.as_tensor().clone()];
        let (results, tape) = Tape::record(|| {
            recomputed(&[&x, &p], move || {
                let y = block(&again[0], &again[1], SHAPE)?;
                Ok([block(&y, &again[1], SHAPE)?, y])
            })
        })
        .unwrap();
        let y = &results[used];
        let mut gradients = tape.backward(&[(y, y.ones_like().unwrap())]).unwrap();
        values(&gradients.remove(&x).unwrap())
    };
    let (y, tape) = Tape::record(|| block(&x, &p, SHAPE)).unwrap();
    let expected = tape.backward(&[(&y, y.ones_like().unwrap())]).unwrap().remove(&x).unwrap();
    assert_eq!(run(1), values(&expected));
    assert_ne!(run(0), values(&expected));
}

#[test]
fn what_is_recomputed_names_its_variables() {
    let (x, p) = (variable(&[1, 2, 2, 3]), variable(&[SHAPE.parameters()]));
    let again = [x.as_tensor().clone(), p.as_tensor().clone()];
    let (y, tape) =
        Tape::record(|| recomputed(&[&x], move || Ok([block(&again[0], &again[1], SHAPE)?])))
            .unwrap();
    let error = message(tape.backward(&[(&y[0], y[0].ones_like().unwrap())]));
    assert!(error.contains("a variable that is not an input"), "{error}");
}

/// Candle's own operators between recorded ones: as an input, as what is asked for a gradient, inside
/// and at the end of what is recomputed.
#[test]
fn an_operator_of_candles_own_is_refused_wherever_it_comes_back() {
    let (x, p) = (variable(&[1, 2, 2, 3]), variable(&[SHAPE.parameters()]));
    let refused = |error: String, op: &str| {
        // What follows the first line is a backtrace.
        let error = error.lines().next().unwrap();
        let expected = format!("tape: {op}: tensor 1 of ");
        assert!(error.contains(&expected) && error.contains("[1, 2, 2, 3]"), "{error}");
        assert!(error.contains("inside vdvae_ops::stock"), "{error}");
    };
    let between = Tape::record(|| block(&block(&x, &p, SHAPE)?.sqr()?, &p, SHAPE));
    refused(message(between), "residual block");
    let between = Tape::record(|| scale(&add(&x, &x)?.sqr()?, 2.0));
    refused(message(between), "scale");
    let (y, tape) = Tape::record(|| block(&x, &p, SHAPE)?.sqr()).unwrap();
    refused(message(tape.backward(&[(&y, y.ones_like().unwrap())])), "backward");
    let again = [x.as_tensor().clone(), p.as_tensor().clone()];
    let f = move || Ok([block(&again[0].sqr()?, &again[1], SHAPE)?]);
    refused(message(Tape::record(|| recomputed(&[&x, &p], f))), "residual block");
    let again = [x.as_tensor().clone(), p.as_tensor().clone()];
    let f = move || Ok([block(&again[0], &again[1], SHAPE)?.sqr()?]);
    refused(message(Tape::record(|| recomputed(&[&x, &p], f))), "recomputed");
    // What is a constant may be computed in any way.
    let constant = x.detach();
    Tape::record(|| block(&constant.sqr()?, &p, SHAPE)).unwrap();
}

/// A layer of candle's, as baselines have.
fn softmax_layer([x, w]: [&Tensor; 2]) -> Result<Tensor> {
    let flat = x.reshape((4, 3))?.matmul(w)?.exp()?;
    flat.broadcast_div(&flat.sum_keepdim(1)?)?.reshape((1, 2, 2, 3))
}

#[test]
fn stock_operators_have_the_gradients_of_candles_graph_and_of_finite_differences() {
    let inputs = [
        waves(&[1, 2, 2, 3], 0.8, 0.1),
        waves(&[SHAPE.parameters()], 0.4, 0.2),
        waves(&[3, 3], 0.7, 0.5),
    ];
    // Between recorded operators, on its own result, and on a tensor that has other uses.
    check_slopes(&inputs, 1e-6, |x| {
        let y = block(&x[0], &x[1], SHAPE)?;
        let z = stock([&y, &x[2]], softmax_layer)?;
        let z = stock([&z, &x[2]], softmax_layer)?;
        let z = block(&z, &x[1], SHAPE)?;
        add(&add(&z, &y)?, &stock([&x[0]], |[x]| x.sqr())?)
    });
    // The same inside what is recomputed; an operator of ours inside candle's graph.
    check_slopes(&inputs, 1e-6, |x| {
        let again = x.to_vec();
        let [y] = recomputed(&[&x[0], &x[1], &x[2]], move || {
            let y = block(&again[0], &again[1], SHAPE)?;
            Ok([stock([&y, &again[2]], softmax_layer)?])
        })?;
        stock([&y, &x[1]], |[y, p]| block(&y.sqr()?, p, SHAPE)?.sqr())
    });
}

#[test]
fn stock_operators_name_their_variables() {
    let (x, w) = (variable(&[1, 2, 2, 3]), variable(&[3, 3]));
    let error = message(Tape::record(|| stock([&x], |[x]| softmax_layer([x, &w]))));
    assert!(
        error.contains("tape: stock: the result, of shape [1, 2, 2, 3], depends on"),
        "{error}"
    );
    let made = |f: &dyn Fn() -> Result<Tensor>| Tape::record(f).unwrap().0;
    let constant = made(&|| stock([&x.detach()], |[x]| x.sqr()));
    assert!(!constant.track_op());
    let (y, tape) = Tape::record(|| stock([&x.detach(), &w], softmax_layer)).unwrap();
    let mut gradients = tape.backward(&[(&y, y.ones_like().unwrap())]).unwrap();
    assert!(gradients.remove(&w).is_some() && gradients.remove(&x).is_none());
    let error = message(Tape::record(|| stock([&x.sqr()?], |[x]| x.sqr())));
    assert!(error.contains("tape: stock: tensor 1 of 1"), "{error}");
}

/// Two inputs whose gradients are one tensor, which an operator before adds to in place.
#[test]
fn what_recomputed_passes_on_is_nobodys_to_write_to() {
    let inputs = [
        waves(&[1, 1, 1, 2], 0.8, 0.1),
        waves(&[1, 1, 1, 2], 0.4, 0.2),
        waves(&[1, 1, 1, 2], 0.6, 0.7),
    ];
    check_gradients(&inputs, 1e-6, |x| {
        let (prior, other) = (scale(&x[0], 0.5)?, scale(&x[1], 0.5)?);
        let latent = sample_and_kl(&x[2], &prior, None)?;
        let again = [prior.clone(), other.clone()];
        let [sum] = recomputed(&[&prior, &other], move || Ok([add(&again[0], &again[1])?]))?;
        add(&add(&latent, &sum)?, &add(&prior, &other)?)
    });
}
