//! Our side of `gpu.py`: `peer_gpu serve cpu|cuda:N` reads lines from standard input and answers
//! each with one.
//!
//! - `train PRESET N PRECISION kept|recomputed COUNT` makes that many training steps of N pictures,
//!   `extract PRESET N PRECISION - COUNT` reads the posterior means of all layers that often. The
//!   answer is the milliseconds of one, with nothing waited for in between.
//! - `memory`: the most memory of the GPU that was in use since it was asked before, in MiB; 0 on a
//!   CPU.
//!
//! Without arguments it does nothing, so that `cargo bench` passes over it.

use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use vdvae::model::{LatentMode, Precision, Preset, Vdvae, Weights};
use vdvae::train::{TrainConfig, Trainer};

// What the command-line programs do, see `vdvae_cli::settle`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One case, ready to run a number of times.
type Run = Box<dyn FnMut(usize) -> Result<()>>;

fn main() -> Result<()> {
    vdvae_cli::set_up_process();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", place] => serve(&device(place)?),
        _ => Ok(()),
    }
}

fn device(place: &str) -> Result<Device> {
    match place.strip_prefix("cuda:") {
        None => Ok(Device::Cpu),
        #[cfg(feature = "cuda")]
        Some(number) => vdvae_ops::cuda::device(parse(number)?),
        #[cfg(not(feature = "cuda"))]
        Some(_) => candle_core::bail!("built without the feature cuda"),
    }
}

fn serve(device: &Device) -> Result<()> {
    let mut current: Option<(String, Run)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.rsplit_once(' ') {
            None => memory(device)?,
            Some((case, count)) => {
                if current.as_ref().is_none_or(|(name, _)| name != case) {
                    // The memory of one case is free before the next takes any.
                    drop(current.take());
                    current = Some((case.to_owned(), prepare(case, device)?));
                }
                let Some((_, run)) = &mut current else { continue };
                let count = parse(count)?;
                device.synchronize()?;
                let start = Instant::now();
                run(count)?;
                device.synchronize()?;
                start.elapsed().as_secs_f64() * 1e3 / count as f64
            }
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn parse<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    text: &str,
) -> Result<T> {
    text.parse().map_err(candle_core::Error::wrap)
}

fn prepare(case: &str, device: &Device) -> Result<Run> {
    let [kind, preset, n, precision, hidden] = case.split(' ').collect::<Vec<_>>()[..] else {
        candle_core::bail!("unknown case `{case}`");
    };
    let (preset, n): (Preset, usize) = (parse(preset)?, parse(n)?);
    let precision: Precision = parse(precision)?;
    let size = preset.config().image_size;
    let pixels: Vec<u8> = (0..n * size * size * 3).map(|i| (i * i / 7 % 256) as u8).collect();
    let pictures = Tensor::from_vec(pixels, (n, size, size, 3), device)?;
    match kind {
        "train" => train(preset, pictures, precision, hidden == "recomputed"),
        _ => extract(preset, pictures, precision),
    }
}

fn train(preset: Preset, pictures: Tensor, precision: Precision, recompute: bool) -> Result<Run> {
    let batch_size = pictures.dim(0)?;
    let config = TrainConfig { batch_size, precision, recompute, ..TrainConfig::preset(preset) };
    let trainer = Trainer::new(&preset.config(), &config, pictures.device());
    let mut trainer = trainer.map_err(candle_core::Error::wrap)?;
    Ok(Box::new(move |count| {
        let mut steps = || {
            for _ in 0..count {
                trainer.enqueue(&pictures)?;
            }
            trainer.collect().map(drop)
        };
        steps().map_err(candle_core::Error::wrap)
    }))
}

fn extract(preset: Preset, pictures: Tensor, precision: Precision) -> Result<Run> {
    let config = preset.config();
    let model = Vdvae::new(&config, &Weights::initialise(&config, 0), pictures.device())
        .and_then(|model| model.with_precision(precision))
        .map_err(candle_core::Error::wrap)?;
    Ok(Box::new(move |count| {
        for _ in 0..count {
            let mut means = Vec::new();
            let activations = model.encode(&pictures).map_err(candle_core::Error::wrap)?;
            let visited = model.visit_layers(&activations, LatentMode::PosteriorMean, |layer| {
                means.push(layer.mean()?);
                Ok(ControlFlow::Continue(()))
            });
            visited.map_err(candle_core::Error::wrap)?;
        }
        Ok(())
    }))
}

/// In MiB.
fn memory(device: &Device) -> Result<f64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => Ok(vdvae_ops::cuda::peak_memory(device)? as f64 / f64::from(1 << 20)),
        _ => Ok(0.0),
    }
}
