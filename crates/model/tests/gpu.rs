//! The network on a GPU against the numbers of the parity cases. Run by
//! `cargo test --release --workspace --features cuda,cudnn --test gpu`; `VDVAE_GPU` is the number of
//! the GPU, the first where it is not set.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/case.rs"]
mod case;
#[path = "support/gpu.rs"]
mod gpu;

use candle_core::{DType, Device, Tensor};
use vdvae_model::{ElboTerms, LatentMode, Noise, Precision, Vdvae};

use case::{Case, assert_close, difference, norm};
use gpu::gpu;

#[test]
fn gpu_tiny_network_in_float32() {
    let gpu = gpu();
    let case = Case::tiny();
    case.check_statistics(&gpu.device);
    case.check_terms(&gpu.device);
    case.check_decoding(&gpu.device);
    case.check_gradients(&gpu.device);
}

#[test]
fn gpu_deep_network_in_float32() {
    let gpu = gpu();
    let case = Case::deep();
    case.check_statistics(&gpu.device);
    case.check_terms(&gpu.device);
    case.check_decoding(&gpu.device);
    case.check_gradients(&gpu.device);
}

/// Mean over the pictures of distortion + rate.
fn elbo(terms: &ElboTerms) -> f64 {
    let mean = terms.mean().unwrap().to_dtype(DType::F64).unwrap();
    mean.to_scalar::<f64>().unwrap()
}

/// Prints what rounding costs, and bounds it.
fn rounding(precision: Precision, most: f64, most_of_elbo: f64) {
    let gpu = gpu();
    let case = Case::tiny();
    let settle = |model: Vdvae| model.with_precision(precision).unwrap();
    let model = settle(case.model(&gpu.device));
    let exact = elbo(&case.model(&Device::Cpu).loss(&case.images(), Noise::Zero).unwrap());
    let found = elbo(&model.loss(&case.images(), Noise::Zero).unwrap());
    let of_elbo = (found / exact - 1.0).abs();

    let mut of_latents = 0f64;
    for layer in model.extract_latents(&case.images()).unwrap() {
        assert_eq!((layer.mean.dtype(), layer.state.dtype()), (DType::F32, DType::F32));
        for (part, tensor) in [("mean", &layer.mean), ("log_std", &layer.log_std)] {
            let name = format!("layer.{}.{part}", layer.index);
            if let Some((found, expected)) = case.pair(&name, tensor) {
                of_latents = of_latents.max(difference(&name, &found, &expected));
            }
        }
    }

    let (_, exact) = case.gradients(&Device::Cpu, |model| model);
    let (_, found) = case.gradients(&gpu.device, settle);
    let off: Vec<Tensor> = exact.iter().zip(&found).map(|(a, b)| (a - b).unwrap()).collect();
    let of_gradient = norm(&off) / norm(&exact);
    println!(
        "{precision}: ELBO off by {of_elbo:.1e} of itself, latents by {of_latents:.1e} of a \
         layer's largest value, the gradient by {of_gradient:.1e} of its norm"
    );
    assert!(of_elbo < most_of_elbo, "{precision}: ELBO differs by {of_elbo:.1e}");
    assert!(of_latents < most, "{precision}: latents differ by {of_latents:.1e}");
    assert!(of_gradient < most, "{precision}: the gradient differs by {of_gradient:.1e}");
}

/// Ten bits of mantissa are 5e-4 an operand.
#[test]
fn gpu_rounding_of_tf32() {
    rounding(Precision::Tf32, 0.005, 1e-4);
}

/// Seven bits are 4e-3 an activation.
#[test]
fn gpu_rounding_of_bf16() {
    rounding(Precision::Bf16, 0.05, 0.005);
}

#[test]
fn gpu_recomputed_hidden_states_give_the_same_gradients() {
    let gpu = gpu();
    let case = Case::tiny();
    for precision in [Precision::F32, Precision::Bf16] {
        let gradients = |recompute| {
            let change =
                |model: Vdvae| model.with_precision(precision).unwrap().with_recompute(recompute);
            case.gradients(&gpu.device, change).1
        };
        for (kept, recomputed) in gradients(false).iter().zip(&gradients(true)) {
            // The same operations on the same numbers; sums may be taken in another order.
            assert_close(&precision.to_string(), recomputed, kept, 1e-5);
        }
    }
}

#[test]
fn gpu_samples_follow_the_noise_of_a_cpu() {
    let gpu = gpu();
    let case = Case::tiny();
    let noise = Noise::SeededOnHost { seed: 5, first: 2 };
    let on = |device: &Device| {
        let model = case.model(device);
        let terms = model.loss(&case.images(), noise).unwrap();
        let px = model.decode_output(2, &[], noise, 0.7).unwrap();
        [terms.distortion, terms.rate, px].map(|tensor| tensor.to_device(&Device::Cpu).unwrap())
    };
    for (found, expected) in on(&gpu.device).iter().zip(&on(&Device::Cpu)) {
        assert_close("with noise", found, expected, 1e-4);
    }
}

#[test]
fn gpu_samples_do_not_depend_on_the_batch() {
    let gpu = gpu();
    let case = Case::tiny();
    let (model, images) = (case.model(&gpu.device), case.images());
    let draw = |images: &Tensor, first| {
        let mode = LatentMode::PosteriorSample { seed: 5, first };
        let latents = model.extract_latents_with(images, mode).unwrap();
        latents.layers().last().unwrap().z.to_device(&Device::Cpu).unwrap()
    };
    let together = draw(&images, 0);
    let image = images.narrow(0, 1, 1).unwrap().contiguous().unwrap();
    let second = draw(&image, 1);
    assert_close("second image", &second, &together.narrow(0, 1, 1).unwrap(), 1e-5);
    let other = draw(&image, 2);
    let change = difference("another image", &other, &second);
    assert!(change > 1e-2, "another image number gives another sample");
}

#[test]
fn gpu_networks_run_on_every_thread() {
    let gpu = gpu();
    let case = Case::tiny();
    let (model, images) = (case.model(&gpu.device), case.images().to_device(&gpu.device).unwrap());
    let loss = || elbo(&model.loss(&images, Noise::Zero).unwrap());
    let here = loss();
    let there = std::thread::scope(|scope| scope.spawn(loss).join().unwrap());
    assert!((there / here - 1.0).abs() < 1e-6, "{there} {here}");
}

#[test]
fn gpu_pictures_come_back_to_the_host() {
    let gpu = gpu();
    let case = Case::tiny();
    for precision in Precision::ALL {
        let model = case.model(&gpu.device).with_precision(precision).unwrap();
        let pictures = model.sample(3, 1.0, 1).unwrap();
        assert_eq!((pictures.dims(), pictures.dtype()), (&[3, 16, 16, 3][..], DType::U8));
        assert!(pictures.device().is_cpu());
        model.extract_latents(&pictures).unwrap();
    }
}
