//! Our side of `cpu.py` and `decode.py`: answers each case it reads with the milliseconds of one run.
//!
//! `peers serve` reads cases from standard input, `peers serve bf16` runs them in bfloat16; `peers
//! peak CASE` runs one case three times and prints the process's memory before it and at its
//! highest, in MiB. Without arguments it does nothing, so that `cargo bench` passes over it.

use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use vdvae::datasets::{Dataset, Folder, OnBadImage, Preparation, Split, load_batch};
use vdvae::model::{LatentMode, Precision, Preset, Vdvae, Weights};
use vdvae::pixelcnn::{PixelCnn, PixelCnnConfig};
use vdvae::train::{TrainConfig, Trainer};
use vdvae_ops::{Arithmetic, BlockShape, BlockWeights, Tape};

// What the command-line programs do, see `vdvae_cli::settle`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One case, ready to run.
type Run = Box<dyn FnMut() -> Result<()>>;

fn main() -> Result<()> {
    vdvae_cli::set_up_process();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().map_err(candle_core::Error::wrap)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(Precision::F32),
        ["serve", "bf16"] => serve(Precision::Bf16),
        ["peak", case] => peak(case),
        _ => Ok(()),
    }
}

fn serve(precision: Precision) -> Result<()> {
    let mut current: Option<(String, Run)> = None;
    for case in std::io::stdin().lock().lines() {
        let case = case?;
        if current.as_ref().is_none_or(|(name, _)| *name != case) {
            drop(current.take());
            current = Some((case.clone(), prepare(&case, precision)?));
        }
        let Some((_, run)) = &mut current else { continue };
        let start = Instant::now();
        run()?;
        println!("{}", start.elapsed().as_secs_f64() * 1e3);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn peak(case: &str) -> Result<()> {
    let before = memory("VmRSS:")?;
    let mut run = prepare(case, Precision::F32)?;
    for _ in 0..3 {
        run()?;
    }
    println!("{before} {}", memory("VmHWM:")?);
    Ok(())
}

/// A figure of this process, in MiB, as Linux keeps it.
fn memory(name: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib = line.trim().trim_end_matches(" kB").parse::<f64>();
    kib.map(|kib| kib / 1024.0).map_err(candle_core::Error::wrap)
}

fn number(text: &str) -> Result<usize> {
    text.parse().map_err(candle_core::Error::wrap)
}

fn prepare(case: &str, precision: Precision) -> Result<Run> {
    match case.split(' ').collect::<Vec<_>>()[..] {
        ["block", width, resolution, n, what] => {
            let sizes = [number(width)?, number(resolution)?, number(n)?];
            block_case(sizes, what == "forward", precision)
        }
        ["extract", preset, n, layers] => {
            extract_case(preset, number(n)?, number(layers).ok(), precision)
        }
        ["train", what, n, "step"] => match what.split(':').collect::<Vec<_>>()[..] {
            ["pixelcnn", ..] if precision != Precision::F32 => {
                candle_core::bail!("{case}: expected f32, found {precision}")
            }
            ["pixelcnn", filters, blocks] => {
                pixelcnn_case(number(filters)?, number(blocks)?, number(n)?)
            }
            _ => train_case(what, number(n)?, precision),
        },
        ["decode", folder] => decode_case(Path::new(folder)),
        _ => candle_core::bail!("unknown case `{case}`"),
    }
}

fn block_case(
    [width, resolution, n]: [usize; 3],
    forward: bool,
    precision: Precision,
) -> Result<Run> {
    let shape = BlockShape {
        input: width,
        middle: width / 4,
        output: width,
        kernel: if resolution > 2 { 3 } else { 1 },
        residual: true,
    };
    let x = Var::randn(0f32, 1f32, (n, resolution, resolution, width), &Device::Cpu)?;
    let parameters = Var::randn(0f32, 0.05f32, shape.parameters(), &Device::Cpu)?;
    let bf16 = precision == Precision::Bf16;
    let arithmetic = Arithmetic { bf16, ..Arithmetic::default() };
    let of = move |parameters: &Tensor| {
        BlockWeights::new(shape, parameters.clone()).with_arithmetic(arithmetic)
    };
    if forward {
        let (x, parameters) = (x.as_detached_tensor(), parameters.as_detached_tensor());
        return Ok(Box::new(move || of(&parameters).apply(&x).map(drop)));
    }
    // By the tape, as training does.
    Ok(Box::new(move || {
        let (y, tape) = Tape::record(|| of(&parameters).apply(&x))?;
        let seed = y.ones_like()?;
        tape.backward(&[(&y, seed)]).map(drop)
    }))
}

fn preset(name: &str) -> Result<Preset> {
    name.parse().map_err(candle_core::Error::wrap)
}

fn pictures(n: usize, size: usize) -> Result<Tensor> {
    let pixels: Vec<u8> = (0..n * size * size * 3).map(|i| (i * i / 7 % 256) as u8).collect();
    Tensor::from_vec(pixels, (n, size, size, 3), &Device::Cpu)?.to_dtype(DType::U8)
}

fn extract_case(name: &str, n: usize, layers: Option<usize>, precision: Precision) -> Result<Run> {
    let config = preset(name)?.config();
    let pictures = pictures(n, config.image_size)?;
    let weights = Weights::initialise(&config, 0);
    let model = Vdvae::new(&config, &weights, &Device::Cpu)
        .and_then(|model| model.with_precision(precision))
        .map_err(candle_core::Error::wrap)?;
    let last = layers.unwrap_or(config.latent_layers().len()) - 1;
    let run = move || {
        let activations = model.encode(&pictures)?;
        model.visit_latents(&activations, LatentMode::PosteriorMean, |layer| {
            let done = layer.index == last;
            Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    };
    Ok(Box::new(move || run().map_err(candle_core::Error::wrap)))
}

fn train_case(name: &str, n: usize, precision: Precision) -> Result<Run> {
    let preset = preset(name)?;
    let config = TrainConfig { batch_size: n, precision, ..TrainConfig::preset(preset) };
    let pictures = pictures(n, preset.config().image_size)?;
    let mut trainer =
        Trainer::new(&preset.config(), &config, &Device::Cpu).map_err(candle_core::Error::wrap)?;
    Ok(Box::new(move || trainer.step(&pictures).map(drop).map_err(candle_core::Error::wrap)))
}

fn pixelcnn_case(filters: usize, blocks: usize, n: usize) -> Result<Run> {
    let sizes = PixelCnnConfig { filters, blocks, dropout: 0.0, ..PixelCnnConfig::cifar10() };
    let config = TrainConfig { batch_size: n, ..TrainConfig::preset(Preset::Cifar10) };
    let pictures = pictures(n, sizes.image_size)?;
    let weights = PixelCnn::initialise(&sizes, 0, &pictures).map_err(candle_core::Error::wrap)?;
    let mut trainer = Trainer::<PixelCnn>::from_weights(&sizes, &config, &weights, &Device::Cpu)
        .map_err(candle_core::Error::wrap)?;
    Ok(Box::new(move || trainer.step(&pictures).map(drop).map_err(candle_core::Error::wrap)))
}

/// Every picture of a flat folder, in batches of 256, as 32×32.
fn decode_case(folder: &Path) -> Result<Run> {
    const BATCH: usize = 256;
    let pictures = Folder::open(folder, 0).map_err(candle_core::Error::wrap)?;
    let run = move || -> vdvae::datasets::Result<()> {
        let prep = Preparation::new(32);
        for split in Split::ALL {
            let all: Vec<usize> = (0..pictures.len(split)).collect();
            for indices in all.chunks(BATCH) {
                load_batch(&pictures, split, indices, &prep, OnBadImage::Fail)?;
            }
        }
        Ok(())
    };
    Ok(Box::new(move || run().map_err(candle_core::Error::wrap)))
}
