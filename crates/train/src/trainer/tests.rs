use candle_core::{DType, Var};
use vdvae_datasets::{OnBadImage, Preparation, Split, ToyFaces, load_batch};
use vdvae_model::{Precision, Preset};

use super::*;
use crate::Skip;
use crate::optimizer;

fn config() -> TrainConfig {
    TrainConfig { learning_rate: 3e-3, warmup_steps: 0, ..TrainConfig::preset(Preset::Tiny) }
}

fn faces(n: usize) -> Tensor {
    let indices: Vec<usize> = (0..n).collect();
    let prep = Preparation::new(16);
    let split = Split::Train;
    let batch = load_batch(&ToyFaces::new(0), split, &indices, &prep, OnBadImage::Fail).unwrap();
    Tensor::from_vec(batch.pixels, (n, 16, 16, 3), &Device::Cpu).unwrap()
}

fn trainer(config: &TrainConfig) -> Trainer {
    Trainer::new(&Preset::Tiny.config(), config, &Device::Cpu).unwrap()
}

/// The second half of a step, with a batch of one picture.
/// A gradient of one number throughout.
fn constant(trainer: &Trainer, number: f64) -> Vec<Tensor> {
    let tensors = trainer.model.parameters().tensors().iter();
    tensors.map(|tensor| (tensor.ones_like().unwrap() * number).unwrap()).collect()
}

fn update(trainer: &mut Trainer, distortion: f32, gradients: &[Tensor]) -> StepStats {
    let term = |nats: f32| Tensor::new(&[nats], &Device::Cpu).unwrap();
    let terms = [ElboTerms { distortion: term(distortion), rate: term(1.0) }];
    for (i, gradient) in gradients.iter().enumerate() {
        trainer.optimizer.put(i, gradient.clone()).unwrap();
    }
    trainer.update(&terms).unwrap();
    trainer.collect().unwrap().pop().unwrap()
}

fn hashes(trainer: &Trainer) -> [String; 2] {
    [trainer.model(), &trainer.ema_model().unwrap()]
        .map(|model| model.parameters().to_weights().unwrap().sha256())
}

#[test]
fn one_batch_is_learned_by_heart() {
    let mut trainer = trainer(&TrainConfig { learning_rate: 1e-2, ..config() });
    let images = faces(4);
    let first = trainer.step(&images).unwrap();
    let last = (1..60).map(|_| trainer.step(&images).unwrap()).last().unwrap();
    // Uniform bytes cost ln 256 = 5.5 nats; measured: 6.31 at first and 4.13 at last.
    assert!(first.nats_per_dim > 5.5, "{first:?}");
    assert!(last.nats_per_dim < 0.75 * first.nats_per_dim, "{first:?} {last:?}");
    assert_eq!((last.step, trainer.updates()), (60, 60));
    let terms = last.distortion + last.rate;
    assert!((terms - last.nats_per_dim).abs() < 1e-12);
    // The shared model follows the variables, the average lags behind.
    let noise = Noise::Seeded { seed: 0, first: 0 };
    let of = |model: &Vdvae| {
        model.evaluate([Ok::<_, Error>(images.clone())], noise).unwrap().nats_per_dim()
    };
    let (now, average) = (of(trainer.model()), of(&trainer.ema_model().unwrap()));
    assert!(now < 0.75 * first.nats_per_dim && now < average, "{now} {average}");
    assert!(average < first.nats_per_dim, "{average} {first:?}");
}

#[test]
fn a_skipped_step_changes_nothing_but_counts_for_the_warm_up() {
    let config = TrainConfig { skip: Skip::Fixed(1e-9), warmup_steps: 4, ..config() };
    let mut trainer = trainer(&config);
    let before = hashes(&trainer);
    let images = faces(2);
    let rates: Vec<f64> = (0..5)
        .map(|_| {
            let stats = trainer.step(&images).unwrap();
            assert!(stats.skipped && stats.grad_norm > 1e-9);
            stats.learning_rate
        })
        .collect();
    assert_eq!(rates, [0.0, 3e-3 / 4.0, 3e-3 / 2.0, 3e-3 * 0.75, 3e-3]);
    assert_eq!(hashes(&trainer), before);
    let memory = trainer.memory().unwrap();
    assert!(memory.first.iter().flatten().all(|&m| m == 0.0));
    assert_eq!((trainer.steps(), trainer.updates()), (5, 0));
}

#[test]
fn what_is_not_finite_is_skipped_without_a_threshold() {
    let mut trainer = trainer(&TrainConfig { skip: Skip::None, ..config() });
    let before = hashes(&trainer);
    let mut gradients = constant(&trainer, 1.0);
    assert!(update(&mut trainer, f32::NAN, &gradients).skipped);
    let last = gradients.len() - 1;
    let poison = (&gradients[last] * f64::INFINITY).unwrap();
    let healthy = std::mem::replace(&mut gradients[last], poison);
    let stats = update(&mut trainer, 2.0, &gradients);
    assert!(stats.skipped && !stats.grad_norm.is_finite());
    assert_eq!((hashes(&trainer), trainer.steps()), (before.clone(), 2));
    gradients[last] = healthy;
    assert!(!update(&mut trainer, 2.0, &gradients).skipped);
    let after = hashes(&trainer);
    assert!(after[0] != before[0] && after[1] != before[1]);
}

#[test]
fn the_adaptive_rule_skips_a_jump() {
    let mut trainer = trainer(&TrainConfig { skip: Skip::Adaptive(4.0), ..config() });
    let mut step = |scale: f64| {
        let gradients = constant(&trainer, scale);
        update(&mut trainer, 2.0, &gradients).skipped
    };
    assert!((0..20).all(|_| !step(1.0)));
    assert!(step(4.1) && !step(3.9));
}

/// As published: a gradient is scaled by limit / (norm + 1e-6) where that is below 1.
#[test]
fn clipping_scales_the_gradient_to_the_limit() {
    let mut trainer = trainer(&TrainConfig { grad_clip: 0.5, ..config() });
    let gradients = constant(&trainer, 1.0);
    let count: usize = gradients.iter().map(Tensor::elem_count).sum();
    let stats = update(&mut trainer, 2.0, &gradients);
    assert_eq!((count, stats.grad_norm), (46_084, (46_084f64).sqrt()));
    // The first moment after one update is (1 − 0.9) times the clipped gradient.
    let expected = 0.1 * 0.5 / (46_084f64).sqrt();
    let found = f64::from(trainer.memory().unwrap().first[0][0]);
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    assert_eq!(optimizer::clip_factor(0.1, 0.5), 1.0);
}

/// torch.optim.AdamW([p], lr=0.1, betas=(0.9, 0.9), eps=1e-8, weight_decay=0.01), p =
/// [1, -2, 0.5], gradients [0.1, -0.2, 3], [0.3, 0.1, -1], [-0.2, 0.4, 0.05] (PyTorch 2.15).
#[test]
fn a_variable_is_updated_in_place_as_pytorch_does() {
    let config = TrainConfig { ema_rate: 0.5, weight_decay: 0.01, ..config() };
    let start = [1.0f32, -2.0, 0.5];
    let variable = Var::new(&start, &Device::Cpu).unwrap();
    let shared = variable.as_tensor().clone();
    let mut memory = OptimizerMemory::new(vec![start.to_vec()]);
    let mut average = start;
    for (i, gradient) in
        [[0.1f32, -0.2, 3.0], [0.3, 0.1, -1.0], [-0.2, 0.4, 0.05]].iter().enumerate()
    {
        // Every other element of a larger tensor: gradients need not be contiguous.
        let wide: Vec<f32> = gradient.iter().flat_map(|&g| [g, f32::NAN]).collect();
        let gradient = Tensor::from_vec(wide, (3, 2), &Device::Cpu).unwrap();
        let gradient = gradient.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
        let numbers = optimizer::numbers(&config, 0.1, 1.0, i as u64 + 1);
        optimizer::update(numbers, &variable, &gradient, 0, &mut memory).unwrap();
        let now = shared.to_vec1::<f32>().unwrap();
        average = std::array::from_fn(|i| 0.5 * average[i] + 0.5 * now[i]);
    }
    let expected = [0.781_841_2f32, -1.911_570_3, 0.324_326_1];
    let found = shared.to_vec1::<f32>().unwrap();
    for i in 0..3 {
        assert!((found[i] - expected[i]).abs() < 1e-6, "{found:?}");
        assert!((memory.ema[0][i] - average[i]).abs() < 1e-6, "{memory:?} {average:?}");
    }
}

#[test]
fn the_average_forgets_the_initial_weights_soon_if_asked() {
    let config = TrainConfig { ema_rate: 0.25, ema_warmup: true, ..config() };
    let rates: Vec<f64> = (1..5).map(|update| config.ema_rate_at(update)).collect();
    assert_eq!(rates, [2.0 / 11.0, 0.25, 0.25, 0.25]);
    assert_eq!(TrainConfig { ema_warmup: false, ..config.clone() }.ema_rate_at(1), 0.25);
    assert_eq!(optimizer::numbers(&config, 0.1, 1.0, 1).ema_rate, (2.0 / 11.0) as f32);
}

#[test]
fn other_devices_and_pictures_are_refused() {
    let images = Tensor::zeros((1, 8, 8, 3), DType::U8, &Device::Cpu).unwrap();
    let error = trainer(&config()).step(&images).unwrap_err().to_string();
    assert!(error.contains("(1, 8, 8, 3)"), "{error}");
    let bad = TrainConfig { batch_size: 0, ..config() };
    let error = Trainer::new(&Preset::Tiny.config(), &bad, &Device::Cpu).unwrap_err();
    assert_eq!(error.to_string(), "train: batch_size: expected 1 to 1048576, found 0");
    assert!(error.is_usage());
}

#[test]
fn queued_steps_are_the_steps() {
    let images = faces(2);
    let (mut one_by_one, mut queued) = (trainer(&config()), trainer(&config()));
    let mut steps: Vec<StepStats> = (0..3).map(|_| one_by_one.step(&images).unwrap()).collect();
    queued.enqueue(&images).unwrap();
    queued.enqueue(&images).unwrap();
    // Takes its own; what was queued before it stays to be collected.
    assert_eq!(queued.step(&images).unwrap(), steps.pop().unwrap());
    assert_eq!(queued.collect().unwrap(), steps);
    assert_eq!((queued.collect().unwrap(), queued.steps(), queued.updates()), (vec![], 3, 3));
    assert_eq!(hashes(&one_by_one), hashes(&queued));
}

#[test]
fn recomputed_hidden_states_change_nothing() {
    let images = faces(2);
    let run = |recompute| {
        let mut trainer = trainer(&TrainConfig { recompute, ..config() });
        let steps: Vec<StepStats> = (0..3).map(|_| trainer.step(&images).unwrap()).collect();
        (steps, hashes(&trainer))
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_precision_that_the_device_lacks_is_refused() {
    let config = TrainConfig { precision: Precision::Tf32, ..config() };
    let error = Trainer::new(&Preset::Tiny.config(), &config, &Device::Cpu).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("found tf32"), "{error}");
    let config = TrainConfig { precision: Precision::Bf16, exact: true, ..self::config() };
    let error = Trainer::new(&Preset::Tiny.config(), &config, &Device::Cpu).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("exact: expected"), "{error}");
}

/// Without any weight of the KL at first, the gradient of the first step is that of the distortion alone.
#[test]
fn the_kl_warms_up() {
    let warm = TrainConfig { kl_warmup_steps: 4, ..config() };
    assert_eq!([0, 1, 4, 9].map(|step| warm.kl_weight_at(step)), [0.0, 0.25, 1.0, 1.0]);
    assert_eq!(config().kl_weight_at(0), 1.0);
    let images = faces(2);
    let [mut warm, mut cold] = [warm, config()].map(|config| trainer(&config));
    let [first, usual] = [&mut warm, &mut cold].map(|trainer| trainer.step(&images).unwrap());
    // What is reported is the whole bound.
    assert_eq!((first.distortion, first.rate), (usual.distortion, usual.rate));
    assert_ne!(first.grad_norm, usual.grad_norm);
    let weights = Weights::initialise(&Preset::Tiny.config(), config().seed);
    let model = Vdvae::new(&Preset::Tiny.config(), &weights, &Device::Cpu).unwrap();
    let (model, _) = model.with_variables().unwrap();
    let mut square = 0.0;
    let gradient = |_, gradient: Tensor| {
        square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        Ok(())
    };
    let noise = Noise::Seeded { seed: config().seed, first: 0 };
    model.weighted_loss_and_gradients(&images, noise, [0.5, 0.0], gradient).unwrap();
    assert!(
        (square.sqrt() / first.grad_norm - 1.0).abs() < 1e-5,
        "{} {}",
        square.sqrt(),
        first.grad_norm
    );
}
