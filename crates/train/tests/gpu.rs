//! Training on a GPU beside training on the CPU. Run by
//! `cargo test --release --workspace --features cuda,cudnn --test gpu`; `VDVAE_GPU` is the number of
//! the GPU, the first where it is not set.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../model/tests/support/gpu.rs"]
mod gpu;

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use vdvae_datasets::{OnBadImage, Preparation, Split, ToyFaces, load_batch};
use vdvae_model::{Precision, Preset, Weights};
use vdvae_ops::cuda::peak_memory;
use vdvae_train::{Event, Run, Skip, StepStats, Summary, TrainConfig, Trainer, train};

use gpu::gpu;

fn config() -> TrainConfig {
    TrainConfig { learning_rate: 3e-3, warmup_steps: 0, ..TrainConfig::preset(Preset::Tiny) }
}

fn faces(n: usize) -> Tensor {
    let indices: Vec<usize> = (0..n).collect();
    let prep = Preparation::new(16);
    let faces = ToyFaces::new(0);
    let batch = load_batch(&faces, Split::Train, &indices, &prep, OnBadImage::Fail).unwrap();
    Tensor::from_vec(batch.pixels, (n, 16, 16, 3), &Device::Cpu).unwrap()
}

fn trainer(config: &TrainConfig, device: &Device) -> Trainer {
    Trainer::new(&Preset::Tiny.config(), config, device).unwrap().with_host_noise()
}

fn weights(trainer: &Trainer) -> [Weights; 2] {
    [trainer.model(), &trainer.ema_model().unwrap()]
        .map(|model| model.parameters().to_weights().unwrap())
}

/// The norm of the difference over that of the second.
fn distance(found: &Weights, expected: &Weights) -> f64 {
    let (mut off, mut whole) = (0f64, 0f64);
    for (name, array) in expected.iter() {
        let found = found.iter().find(|(other, _)| *other == name).unwrap().1;
        for (a, b) in found.data().iter().zip(array.data()) {
            off += f64::from(a - b).powi(2);
            whole += f64::from(*b).powi(2);
        }
    }
    (off / whole).sqrt()
}

#[test]
fn gpu_training_follows_that_on_the_cpu() {
    let gpu = gpu();
    let images = faces(4);
    let run = |device: &Device| {
        let mut trainer = trainer(&config(), device);
        let steps: Vec<StepStats> = (0..12).map(|_| trainer.step(&images).unwrap()).collect();
        (steps, weights(&trainer))
    };
    let ((found, now), (expected, then)) = (run(&gpu.device), run(&Device::Cpu));
    for (a, b) in found.iter().zip(&expected) {
        assert_eq!((a.step, a.skipped, a.learning_rate), (b.step, b.skipped, b.learning_rate));
        // AdamW divides by the gradient's size, so rounding grows with the steps.
        let close = |a: f64, b: f64, most: f64| (a - b).abs() < most * b.abs();
        assert!(close(a.nats_per_dim, b.nats_per_dim, 2e-3), "{a:?} {b:?}");
        assert!(close(a.grad_norm, b.grad_norm, 3e-2), "{a:?} {b:?}");
    }
    for (found, expected) in now.iter().zip(&then) {
        let distance = distance(found, expected);
        println!("weights differ by {distance:.1e} of their norm");
        assert!(distance < 2e-2, "{distance:.1e}");
    }
}

/// Numbers that are rounded in other ways drift apart one by one, and their means must not. Takes
/// `VDVAE_GPU_STEPS` steps, 500 if unset.
#[test]
fn gpu_training_curves_overlap() {
    let gpu = gpu();
    let steps = std::env::var("VDVAE_GPU_STEPS").map_or(500, |text| text.parse().unwrap());
    let images = faces(64);
    let curve = |device: &Device, precision| {
        let config = TrainConfig { precision, batch_size: 8, warmup_steps: 20, ..config() };
        let mut trainer = trainer(&config, device);
        for step in 0..steps {
            trainer.enqueue(&images.narrow(0, step % 8 * 8, 8).unwrap()).unwrap();
        }
        let made = trainer.collect().unwrap();
        assert!(made.iter().all(|step| !step.skipped), "{precision}");
        let means = made
            .chunks(steps.div_ceil(10))
            .map(|part| part.iter().map(|step| step.nats_per_dim).sum::<f64>() / part.len() as f64);
        means.collect::<Vec<f64>>()
    };
    let expected = curve(&Device::Cpu, Precision::F32);
    println!("CPU, f32: {expected:.3?}");
    assert!(expected.last() < expected.first(), "nothing is learned");
    for precision in Precision::ALL {
        let found = curve(&gpu.device, precision);
        println!("GPU, {precision}: {found:.3?}");
        for (found, expected) in found.iter().zip(&expected) {
            let off = (found / expected - 1.0).abs();
            assert!(off < 0.02, "{precision}: {found} nats where the CPU has {expected}");
        }
    }
}

/// What a step takes beside the network, its gradient and the optimizer.
#[test]
fn gpu_recomputation_takes_less_memory() {
    let gpu = gpu();
    let images = faces(16);
    let memory = |recompute| {
        let config = TrainConfig { precision: Precision::Bf16, recompute, ..config() };
        let mut trainer = trainer(&config, &gpu.device);
        // Algorithms are tried in the first step.
        trainer.step(&images).unwrap();
        peak_memory(&gpu.device).unwrap();
        let before = peak_memory(&gpu.device).unwrap();
        trainer.step(&images).unwrap();
        (peak_memory(&gpu.device).unwrap() - before) as f64 / f64::from(1 << 20)
    };
    let (kept, recomputed) = (memory(false), memory(true));
    println!("a step of 16 pictures: {kept:.2} MiB, recomputed {recomputed:.2} MiB");
    assert!(recomputed < 0.7 * kept, "{recomputed} of {kept} MiB");
}

#[test]
fn gpu_queued_steps_are_the_steps() {
    let gpu = gpu();
    let images = faces(2);
    let (mut waited, mut queued) =
        (trainer(&config(), &gpu.device), trainer(&config(), &gpu.device));
    let steps: Vec<StepStats> = (0..6).map(|_| waited.step(&images).unwrap()).collect();
    for _ in 0..6 {
        queued.enqueue(&images).unwrap();
    }
    let collected = queued.collect().unwrap();
    assert_eq!(collected.len(), 6);
    for (a, b) in collected.iter().zip(&steps) {
        assert_eq!((a.step, a.skipped), (b.step, b.skipped));
        assert!((a.nats_per_dim / b.nats_per_dim - 1.0).abs() < 1e-4, "{a:?} {b:?}");
    }
    assert_eq!((queued.steps(), queued.updates()), (6, 6));
    assert!(distance(&weights(&queued)[0], &weights(&waited)[0]) < 1e-3);
}

#[test]
fn gpu_skipped_steps_change_nothing() {
    let gpu = gpu();
    let config = TrainConfig { skip: Skip::Fixed(1e-9), ..config() };
    let mut trainer = trainer(&config, &gpu.device);
    let before = weights(&trainer).map(|weights| weights.sha256());
    for _ in 0..3 {
        trainer.enqueue(&faces(2)).unwrap();
    }
    let steps = trainer.collect().unwrap();
    assert!(steps.iter().all(|step| step.skipped && step.grad_norm > 1e-9), "{steps:?}");
    assert!(steps.iter().all(|step| step.skip_threshold == 1e-9), "{steps:?}");
    assert_eq!(weights(&trainer).map(|weights| weights.sha256()), before);
    assert_eq!((trainer.steps(), trainer.updates()), (3, 0));
}

/// A learning rate without bounds, and no threshold: what is not finite is skipped all the same.
#[test]
fn gpu_steps_that_are_not_finite_are_skipped() {
    let gpu = gpu();
    let config = TrainConfig { skip: Skip::None, learning_rate: 1e30, ..config() };
    let mut trainer = trainer(&config, &gpu.device);
    let first = trainer.step(&faces(2)).unwrap();
    assert!(!first.skipped, "{first:?}");
    for _ in 0..2 {
        let step = trainer.step(&faces(2)).unwrap();
        let finite = step.nats_per_dim.is_finite() && step.grad_norm.is_finite();
        assert!(step.skipped && !finite, "{step:?}");
    }
    assert_eq!(trainer.updates(), 1);
}

#[test]
fn gpu_one_batch_is_learned_by_heart_in_every_precision() {
    let gpu = gpu();
    for precision in Precision::ALL {
        let recompute = precision == Precision::Bf16;
        let config = TrainConfig { learning_rate: 1e-2, precision, recompute, ..config() };
        let mut trainer = trainer(&config, &gpu.device);
        let first = trainer.step(&faces(2)).unwrap();
        let last = (1..12).map(|_| trainer.step(&faces(2)).unwrap()).last().unwrap();
        println!("{precision}: {:.3} to {:.3} nats", first.nats_per_dim, last.nats_per_dim);
        // On the CPU, with four pictures: from 6.31 to 4.13 in 60 steps.
        assert!(last.nats_per_dim < 0.95 * first.nats_per_dim, "{precision}: {last:?}");
    }
}

fn run_config(steps: u64) -> TrainConfig {
    TrainConfig {
        steps,
        batch_size: 3,
        warmup_steps: 2,
        save_every: 4,
        eval_every: 3,
        eval_images: 4,
        sample_every: 5,
        log_every: 2,
        flip: true,
        skip: Skip::Adaptive(10.0),
        ..TrainConfig::preset(Preset::Tiny)
    }
}

fn train_in(out: &Path, config: &TrainConfig, device: &Device, resume: bool) -> Summary {
    let run = Run {
        network: &Preset::Tiny.config(),
        config,
        dataset: &ToyFaces::new(0),
        preparation: Preparation::new(16),
        on_bad_image: OnBadImage::Fail,
        device,
        out,
        resume,
        init: None,
    };
    let mut told = vec![];
    let mut note = |event: &Event| {
        if let Event::Step(metrics) = event {
            told.push(metrics.stats.step);
        }
    };
    let summary = train(&run, &mut note).unwrap();
    assert_eq!(told, (summary.resumed_from + 1..=config.steps).collect::<Vec<_>>());
    summary
}

/// Steps of the lines in `metrics.jsonl`.
fn steps(out: &Path) -> Vec<u64> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let step = |line: &str| {
        let (_, rest) = line.split_once("\"step\":").unwrap();
        rest.split(',').next().unwrap().parse().unwrap()
    };
    text.lines().map(step).collect()
}

#[test]
fn gpu_runs_write_a_line_a_step_and_resume() {
    let gpu = gpu();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let summary = train_in(&out, &run_config(7), &gpu.device, false);
    assert_eq!((summary.steps, summary.updates), (7, 7));
    assert_eq!(steps(&out), (1..=7).collect::<Vec<_>>());
    for name in ["samples/step-5.png", "samples/step-7.png", "checkpoints/step-4.safetensors"] {
        assert!(out.join(name).exists(), "{name}");
    }
    let summary = train_in(&out, &run_config(9), &gpu.device, true);
    assert_eq!((summary.resumed_from, summary.updates), (7, 9));
    assert_eq!(steps(&out), (1..=9).collect::<Vec<_>>());
}

#[test]
fn gpu_checkpoints_are_those_of_the_cpu() {
    let gpu = gpu();
    let folder = tempfile::tempdir().unwrap();
    for (name, first, second) in
        [("up", &Device::Cpu, &gpu.device), ("down", &gpu.device, &Device::Cpu)]
    {
        let out = folder.path().join(name);
        train_in(&out, &run_config(5), first, false);
        let files = ["checkpoints/step-5.safetensors", "model.safetensors"];
        let read = || files.map(|name| fs::read(out.join(name)).unwrap());
        let before = read();
        // Nothing is left to do: what was read is written again.
        let summary = train_in(&out, &run_config(5), second, true);
        assert_eq!((summary.resumed_from, summary.updates), (5, 5));
        assert!(read() == before, "{name}: another checkpoint after a resume");
        let summary = train_in(&out, &run_config(8), second, true);
        assert_eq!((summary.resumed_from, summary.updates), (5, 8), "{name}");
        assert_eq!(steps(&out), (1..=8).collect::<Vec<_>>(), "{name}");
    }
}
