//! The network against numbers computed by the published architecture in PyTorch.
//!
//! `fixtures/parity/*` hold random weights as PyTorch stores them, and what they give: activations,
//! every layer's statistics, the likelihood's terms, decoding with no and with half of the latents
//! given, and gradients. `tiny` is whole; `deep` (79 layers) keeps a part of its numbers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/case.rs"]
mod case;

use candle_core::{Device, Tensor};
use vdvae_model::{Array, LatentMode, Noise, Precision, Vdvae, Weights};

use case::{Case, assert_close, largest};

#[test]
fn activations_and_every_layers_statistics() {
    Case::all().iter().for_each(|case| case.check_statistics(&Device::Cpu));
}

#[test]
fn likelihood_terms() {
    Case::all().iter().for_each(|case| case.check_terms(&Device::Cpu));
}

#[test]
fn decoding_without_and_with_given_latents() {
    Case::all().iter().for_each(|case| case.check_decoding(&Device::Cpu));
}

#[test]
fn gradients_of_every_parameter() {
    Case::all().iter().for_each(|case| case.check_gradients(&Device::Cpu));
}

#[test]
fn the_graph_of_candle_gives_the_same_gradients() {
    Case::all().iter().for_each(Case::check_graph);
}

/// Likelihoods to half a percent; gradients in the same direction, as long.
#[test]
fn bfloat16_is_close_on_a_cpu() {
    for case in Case::all() {
        let single = case.model(&Device::Cpu);
        let half = case.model(&Device::Cpu).with_precision(Precision::Bf16).unwrap();
        let terms = |model: &Vdvae| {
            let (terms, _) = model.loss_with(&case.images(), Noise::Zero, |_, _| Ok(())).unwrap();
            (terms.distortion + terms.rate).unwrap().to_vec1::<f32>().unwrap()
        };
        let (expected, found) = (terms(&single), terms(&half));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 0.005, "{}: {found} {expected}", case.name);
        }
        assert_ne!(found, expected, "{}: nothing was rounded", case.name);

        let gradients = |precision| {
            let change = |model: Vdvae| model.with_precision(precision).unwrap();
            let (_, gradients) = case.gradients(&Device::Cpu, change);
            let flat = gradients.iter().map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            flat.flatten().map(f64::from).collect::<Vec<_>>()
        };
        let (a, b) = (gradients(Precision::F32), gradients(Precision::Bf16));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (aa, bb, ab) = (dot(&a, &a).sqrt(), dot(&b, &b).sqrt(), dot(&a, &b));
        assert!((bb / aa - 1.0).abs() < 0.02, "{}: lengths {aa} and {bb}", case.name);
        let cosine = ab / (aa * bb);
        assert!(cosine > 0.999, "{}: cosine {cosine}", case.name);
    }
}

#[test]
fn parameters_round_trip_through_their_layout() {
    for case in Case::all() {
        let back = case.model(&Device::Cpu).parameters().to_weights().unwrap();
        let sorted = |weights: &Weights| {
            let mut all: Vec<(String, Array)> =
                weights.iter().map(|(name, array)| (name.to_string(), array.clone())).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        assert!(sorted(&back) == sorted(&case.weights), "{}", case.name);
    }
}

#[test]
fn samples_do_not_depend_on_the_batch() {
    let case = Case::tiny();
    let (model, images) = (case.model(&Device::Cpu), case.images());
    let draw = |images: &Tensor, first| {
        let mode = LatentMode::PosteriorSample { seed: 5, first };
        let latents = model.extract_latents_with(images, mode).unwrap();
        latents.layers().last().unwrap().z.clone()
    };
    let together = draw(&images, 0);
    let second = draw(&images.narrow(0, 1, 1).unwrap().contiguous().unwrap(), 1);
    assert_close("second image", &second, &together.narrow(0, 1, 1).unwrap(), 1e-5);
    let other = draw(&images.narrow(0, 1, 1).unwrap().contiguous().unwrap(), 2);
    let difference = largest(&(other - second).unwrap());
    assert!(difference > 1e-2, "another image number gives another sample");
}

/// Runs the tests above in a process for each narrower instruction set that this machine has.
#[test]
fn every_instruction_set_matches() {
    const VARIABLE: &str = "VDVAE_INSTRUCTION_SET";
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    for set in ["avx512bf16", "avx512", "avx2", "baseline"] {
        let test = |filter| {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let run = child.env(VARIABLE, set).args([filter, "--exact"]).output().unwrap();
            let text = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
            (run.status.success(), text.into_owned())
        };
        for name in [
            "activations_and_every_layers_statistics",
            "gradients_of_every_parameter",
            "bfloat16_is_close_on_a_cpu",
        ] {
            let (passed, text) = test(name);
            let missing = set != "baseline" && text.contains("VDVAE_INSTRUCTION_SET: expected ");
            assert!((passed && text.contains("1 passed")) || missing, "{set} {name}: {text}");
        }
    }
}
