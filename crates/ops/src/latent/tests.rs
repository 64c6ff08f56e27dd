use candle_core::{DType, Device, Tensor};

use super::*;
use crate::testing::{check_float32, check_gradients, message, values, waves};

/// Posterior, prior (with `extra` more channels) and noise.
fn inputs(n: usize, r: usize, z: usize, extra: usize) -> (Vec<Tensor>, Tensor) {
    let posterior = waves(&[n, r, r, 2 * z], 0.9, 0.2);
    let prior = waves(&[n, r, r, 2 * z + extra], 0.8, 1.3);
    (vec![posterior, prior], waves(&[n, r, r, z], 1.5, 2.4))
}

#[test]
fn matches_the_formula() {
    let (x, noise) = inputs(2, 3, 4, 5);
    let part = |t: &Tensor, i: usize| values(&t.narrow(3, i * 4, 4).unwrap());
    let (m, s, p, t) = (part(&x[0], 0), part(&x[0], 1), part(&x[1], 0), part(&x[1], 1));
    let noisy = sample_and_kl(&x[0], &x[1], Some(noise.clone())).unwrap();
    let mean = sample_and_kl(&x[0], &x[1], None).unwrap();
    assert_eq!(part(&mean, 0), m);
    assert_eq!(part(&mean, 1), part(&noisy, 1));
    for (i, noise) in values(&noise).into_iter().enumerate() {
        let latent = m[i] + s[i].exp() * noise;
        let variance = (2.0 * t[i]).exp();
        let kl =
            t[i] - s[i] + ((2.0 * s[i]).exp() + (m[i] - p[i]).powi(2)) / (2.0 * variance) - 0.5;
        assert!((part(&noisy, 0)[i] - latent).abs() < 1e-12);
        assert!((part(&noisy, 1)[i] - kl).abs() < 1e-12);
        assert!(kl >= 0.0);
    }
}

#[test]
fn kl_of_equal_distributions_is_zero() {
    let (x, _) = inputs(1, 2, 3, 0);
    let single = x[0].to_dtype(DType::F32).unwrap();
    let kl = sample_and_kl(&single, &single, None).unwrap().narrow(3, 3, 3).unwrap();
    assert!(values(&kl).iter().all(|v| *v == 0.0));
}

#[test]
fn gradients_and_float32() {
    // The last has more pixels than one chunk.
    for (n, r, z, extra) in [(1, 2, 3, 0), (3, 1, 2, 4), (2, 6, 1, 1)] {
        let (x, noise) = inputs(n, r, z, extra);
        for noise in [None, Some(noise)] {
            let op = |x: &[Tensor]| {
                let noise = noise.as_ref().map(|n| n.to_dtype(x[0].dtype())).transpose()?;
                sample_and_kl(&x[0], &x[1], noise)
            };
            check_gradients(&x, 1e-8, op);
            check_float32(&x, 2e-6, op);
        }
    }
}

#[test]
fn overflow_is_infinite_and_nan_stays() {
    let statistics = |mean: f32, log_std: f32| {
        Tensor::from_vec(vec![mean, log_std], (1, 1, 1, 2), &Device::Cpu).unwrap()
    };
    let kl = |q: &Tensor, p: &Tensor| values(&sample_and_kl(q, p, None).unwrap())[1];
    assert_eq!(kl(&statistics(0.0, 60.0), &statistics(0.0, 0.0)), f64::INFINITY);
    assert_eq!(kl(&statistics(1.0, 0.0), &statistics(0.0, -60.0)), f64::INFINITY);
    assert!(kl(&statistics(0.0, f32::NAN), &statistics(0.0, 0.0)).is_nan());
}

#[test]
fn prior_samples_scale_with_temperature() {
    let (x, noise) = inputs(2, 3, 4, 5);
    let mean = values(&x[1].narrow(3, 0, 4).unwrap());
    let log_std = values(&x[1].narrow(3, 4, 4).unwrap());
    assert_eq!(values(&sample_prior(&x[1], 4, None, 0.7).unwrap()), mean);
    let z = values(&sample_prior(&x[1], 4, Some(noise.clone()), 0.7).unwrap());
    for (i, noise) in values(&noise).into_iter().enumerate() {
        assert!((z[i] - (mean[i] + log_std[i].exp() * 0.7 * noise)).abs() < 1e-12);
    }
}

#[test]
fn says_which_shape_does_not_fit() {
    let (x, noise) = inputs(1, 2, 3, 0);
    let narrow = x[1].narrow(3, 0, 5).unwrap();
    assert!(message(sample_and_kl(&x[0], &narrow, None)).contains("found 6 and 5"));
    let error = message(sample_and_kl(&x[0], &x[1], Some(x[0].clone())));
    assert!(error.contains("expected the noise of [1, 2, 2, 3], found [1, 2, 2, 6]"), "{error}");
    let noise = noise.to_dtype(DType::F32).unwrap();
    assert!(message(sample_and_kl(&x[0], &x[1], Some(noise))).contains("expected F64 throughout"));
    assert!(message(sample_prior(&x[1], 4, None, 1.0)).contains("at least 8 channels, found 6"));
}
