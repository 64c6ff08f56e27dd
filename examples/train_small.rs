//! How is a network trained and sampled from Rust?
//!
//! ```text
//! cargo run --release --example train_small             # writes into a temporary folder
//! cargo run --release --example train_small -- OUT_DIR
//! ```
//!
//! Trains the `tiny` network (46,084 parameters) for 60 steps on 16×16 toy faces, prints the loss
//! every 10 steps in bits per dimension, and writes `samples.png`. The loss falls from about 9 to
//! below 8; 60 steps are far too few for faces, so the samples are still noise.
//! `vdvae train` adds what a real run needs: checkpoints, resuming, evaluation, metrics.

use std::error::Error;
use std::f64::consts::LN_2;
use std::path::PathBuf;

use image::{RgbImage, imageops};
use vdvae::datasets::{Dataset, OnBadImage, Preparation, Split, ToyFaces, load_batch};
use vdvae::train::{TrainConfig, Trainer};
use vdvae::{Device, Preset, Tensor, Vdvae};

const STEPS: usize = 60;
const BATCH: usize = 16;
/// Samples on a side of the picture.
const SIDE: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    std::fs::create_dir_all(&out)?;
    let network = Preset::Tiny.config();
    // A moving average of the last ten steps or so: the preset's is for long runs.
    let config = TrainConfig {
        steps: STEPS as u64,
        batch_size: BATCH,
        warmup_steps: 10,
        ema_rate: 0.9,
        ..TrainConfig::preset(Preset::Tiny)
    };
    let faces = ToyFaces::new(0);
    let mut trainer = Trainer::new(&network, &config, &Device::Cpu)?;
    for step in 0..STEPS {
        let stats = trainer.step(&batch(&faces, step, network.image_size)?)?;
        if step == 0 || stats.step % 10 == 0 {
            println!("step {:3}: {:.3} bits/dim", stats.step, stats.nats_per_dim / LN_2);
        }
    }
    let path = out.join("samples.png");
    grid(&trainer.ema_model()?)?.save(&path)?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Pictures of one step, u8 (N, H, W, 3). A stride spreads a batch over many people.
fn batch(faces: &ToyFaces, step: usize, size: usize) -> Result<Tensor, Box<dyn Error>> {
    let pictures = faces.len(Split::Train);
    let indices: Vec<usize> = (0..BATCH).map(|i| (step * BATCH + i) * 997 % pictures).collect();
    let prep = Preparation::new(size);
    let batch = load_batch(faces, Split::Train, &indices, &prep, OnBadImage::Fail)?;
    Ok(Tensor::from_vec(batch.pixels, (BATCH, size, size, 3), &Device::Cpu)?)
}

/// Samples from the prior, side by side.
fn grid(model: &Vdvae) -> Result<RgbImage, Box<dyn Error>> {
    let samples = model.sample(SIDE * SIDE, 1.0, 0)?;
    let size = model.config().image_size as u32;
    let mut canvas = RgbImage::new(SIDE as u32 * size, SIDE as u32 * size);
    for i in 0..SIDE * SIDE {
        let bytes = samples.get(i)?.flatten_all()?.to_vec1::<u8>()?;
        let picture = RgbImage::from_raw(size, size, bytes).ok_or("a sample of another size")?;
        let (x, y) = ((i % SIDE) as i64, (i / SIDE) as i64);
        imageops::replace(&mut canvas, &picture, x * i64::from(size), y * i64::from(size));
    }
    Ok(canvas)
}
