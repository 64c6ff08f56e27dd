//! How a network computes is its own affair: networks of different settings run side by side.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{Device, Tensor};
use vdvae_model::{Noise, Parameters, Preset, Vdvae, VdvaeConfig, Weights};

/// The last activation, the likelihood, and a gradient.
fn run(model: &Vdvae, images: &Tensor) -> Vec<f32> {
    let mut numbers = vec![];
    let mut put = |tensor: &Tensor| {
        numbers.extend(tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    };
    put(&model.encode(images).unwrap()[&16]);
    let mut first = None;
    let gradient = |i: usize, of: Tensor| {
        first = (i == 1).then_some(of).or(first.take());
        Ok(())
    };
    let terms = model.loss_and_gradients(images, Noise::Zero, 0.25, gradient).unwrap();
    put(&terms.distortion);
    put(&terms.rate);
    put(&first.unwrap());
    numbers
}

#[test]
fn exact_and_fast_networks_run_at_once() {
    // Enough pixels, and channels of the middle convolutions, for Winograd's transforms.
    let config = VdvaeConfig { width: 64, ..Preset::Tiny.config() };
    let bytes = (0..4 * 16 * 16 * 3).map(|i: usize| (i * 37 % 251) as u8).collect();
    let images = Tensor::from_vec(bytes, (4, 16, 16, 3), &Device::Cpu).unwrap();
    let weights = Weights::initialise(&config, 1);
    let parameters = Parameters::from_weights(&config, &weights, &Device::Cpu).unwrap();
    let variables = parameters.tensors().iter();
    let variables = variables.map(|t| candle_core::Var::from_tensor(t).unwrap().into_inner());
    let parameters = parameters.with_tensors(variables.collect()).unwrap();
    let fast = Vdvae::from_parameters(&config, parameters, &Device::Cpu).unwrap();
    let exact = fast.clone().with_exact(true);
    assert!(exact.exact() && !fast.exact());

    let models = [fast, exact];
    let alone = models.each_ref().map(|model| run(model, &images));
    assert_ne!(alone[0], alone[1], "the setting changes the last digits");
    // One activation after another is rounded differently; gradients follow.
    let largest = |numbers: &[f32]| numbers.iter().fold(0f32, |m, v| m.max(v.abs()));
    let off: Vec<f32> = alone[0].iter().zip(&alone[1]).map(|(a, b)| a - b).collect();
    assert!(largest(&off) < 1e-4 * largest(&alone[0]), "{}", largest(&off));
    std::thread::scope(|scope| {
        for (model, expected) in models.iter().zip(&alone) {
            let images = &images;
            scope.spawn(move || (0..5).for_each(|_| assert_eq!(&run(model, images), expected)));
        }
    });
    let back = models[1].clone().with_exact(false);
    assert_eq!(run(&back, &images), alone[0]);
}
