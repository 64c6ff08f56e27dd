//! Does nearest-neighbour unpooling keep the latents of low resolutions in use, without KL warm-up?
//!
//! ```text
//! cargo run --release --example unpooling
//! cargo run --release --example unpooling -- --preset cifar10 --data cifar10:DIR --steps 50000
//! ```
//!
//! The paper's decoder repeats every pixel of a lower resolution's state. With transposed convolutions in
//! its place, it says, low resolutions were often ignored, and the weight of the KL had to be raised
//! slowly; with repeated pixels it need not be. A small network is trained from several seeds in all four
//! ways. A layer is in use where its KL, the nats that it tells of a picture, is not next to nothing.
//!
//! Prints a line a way, and writes it with a figure and every number to `--out`. A run that was stopped
//! goes on where it was.

mod claim;

use std::f64::consts::LN_2;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use vdvae::datasets::{self, Dataset, OpenOptions, Split};
use vdvae::model::Unpool;
use vdvae::report::{Chart, ChartAxis, ChartLine, ChartPoint};
use vdvae::train::{Skip, TrainConfig};
use vdvae::{Preset, Vdvae, VdvaeConfig};

use claim::{Findings, Mean, Outcome, metrics};

// As the programs have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Points of a curve.
const POINTS: u64 = 10;
/// Nats a picture below which a layer is not in use.
const UNUSED: f64 = 0.1;

#[derive(Debug, Parser)]
struct Args {
    /// Network, by the name of its preset [example: --preset toy-faces]
    #[arg(long, default_value = "tiny", value_name = "NAME")]
    preset: Preset,
    /// Data set, as `vdvae train` takes it [example: --data folder:photos]
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]")]
    data: String,
    /// Steps of each run [example: --steps 5000]
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = clap::value_parser!(u64).range(POINTS..))]
    steps: u64,
    /// Steps over which the weight of the KL rises, where it does [example: --kl-warmup-steps 1000]
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    kl_warmup_steps: u64,
    /// Runs of each way, with seeds from 0 on [example: --seeds 5]
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1000))]
    seeds: u64,
    /// Step size [example: --learning-rate 1e-3]
    #[arg(long, default_value_t = 3e-3, value_name = "RATE")]
    learning_rate: f64,
    /// Pictures of a step [example: --batch-size 32]
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch_size: u32,
    /// Validation pictures, evenly spaced [example: --num 1000]
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    num: u32,
    /// Folder for the runs and everything that is written [example: --out claims/unpooling]
    #[arg(long, default_value = "claims/unpooling", value_name = "DIR")]
    out: PathBuf,
}

/// How a decoder is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Way {
    unpool: Unpool,
    kl_warmup_steps: u64,
}

impl Way {
    fn name(self) -> String {
        let unpool = match self.unpool {
            Unpool::Nearest => "nearest",
            Unpool::Learned => "learned",
        };
        let warmup = if self.kl_warmup_steps > 0 { ", warm-up" } else { "" };
        format!("{unpool}{warmup}")
    }
}

/// Every number.
#[derive(Debug, Serialize)]
struct Results {
    preset: &'static str,
    data: String,
    steps: u64,
    batch_size: u32,
    learning_rate: f64,
    /// Of every layer.
    resolutions: Vec<usize>,
    ways: Vec<OfWay>,
}

/// The runs of one way.
#[derive(Debug, Serialize)]
struct OfWay {
    way: Way,
    /// A run a seed.
    curves: Vec<Vec<Point>>,
}

/// The average of the weights after so many steps, on validation pictures.
#[derive(Debug, Serialize)]
struct Point {
    step: u64,
    bits_per_dim: f64,
    /// Of every layer, a picture.
    kl_nats: Vec<f64>,
}

impl Point {
    /// Of the layers whose resolution is one of these.
    fn kl_of(&self, resolutions: &[usize], is: impl Fn(usize) -> bool) -> f64 {
        let layers = resolutions.iter().zip(&self.kl_nats);
        layers.filter(|(resolution, _)| is(**resolution)).map(|(_, nats)| nats).sum()
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    claim::run(&args.out, || run(&args))
}

fn run(args: &Args) -> Outcome<Findings<Results>> {
    let data = datasets::open(&args.data, &OpenOptions::from_env())?;
    data.require(&[Split::Train, Split::Valid])?;
    let ways = [Unpool::Nearest, Unpool::Learned].into_iter().flat_map(|unpool| {
        [0, args.kl_warmup_steps].map(|kl_warmup_steps| Way { unpool, kl_warmup_steps })
    });
    let of_way = |way: Way| {
        let curves = (0..args.seeds).map(|seed| train_one(args, &*data, way, seed));
        Ok(OfWay { way, curves: curves.collect::<Outcome<_>>()? })
    };
    let results = Results {
        preset: args.preset.name(),
        data: data.name().to_owned(),
        steps: args.steps,
        batch_size: args.batch_size,
        learning_rate: args.learning_rate,
        resolutions: args
            .preset
            .config()
            .latent_layers()
            .iter()
            .map(|layer| layer.resolution)
            .collect(),
        ways: ways.map(of_way).collect::<Outcome<_>>()?,
    };
    Ok(Findings { table: table(&results), figure: figure(&results), results })
}

fn train_one(args: &Args, data: &dyn Dataset, way: Way, seed: u64) -> Outcome<Vec<Point>> {
    let name = format!("{}-{seed}", way.name().replace(", warm-up", "-warmup"));
    let out = args.out.join("runs").join(&name);
    let network = VdvaeConfig { unpool: way.unpool, ..args.preset.config() };
    let config = TrainConfig {
        steps: args.steps,
        batch_size: args.batch_size as usize,
        seed,
        learning_rate: args.learning_rate,
        kl_warmup_steps: way.kl_warmup_steps,
        skip: Skip::None,
        grad_clip: 5.0,
        ema_rate: 0.99,
        ema_warmup: true,
        save_every: 0,
        eval_every: args.steps / POINTS,
        eval_images: args.num as usize,
        sample_every: 0,
        log_every: 0,
        ..TrainConfig::preset(args.preset)
    };
    claim::train::<Vdvae>(&network, &config, data, &out)?;
    let mut curve = Vec::new();
    for line in metrics(&out.join("metrics.jsonl"))? {
        let (step, nats) = (line["step"].as_u64(), line["valid_nats_per_dim"].as_f64());
        let kl_nats = line["valid_kl_nats"].as_array().into_iter().flatten();
        if let (Some(step), Some(nats)) = (step, nats) {
            let kl_nats = kl_nats.filter_map(serde_json::Value::as_f64).collect();
            curve.push(Point { step, bits_per_dim: nats / LN_2, kl_nats });
        }
    }
    if let Some(last) = curve.last() {
        eprintln!("{name}: {:.3} bits/dim, {:.1?} nats a layer", last.bits_per_dim, last.kl_nats);
    }
    Ok(curve)
}

/// Different resolutions, the lowest first.
fn distinct(resolutions: &[usize]) -> Vec<usize> {
    let mut distinct = resolutions.to_vec();
    distinct.dedup();
    distinct
}

fn table(results: &Results) -> String {
    let Results { preset, data, steps, batch_size, learning_rate, resolutions, ways } = results;
    let seeds = ways.first().map_or(0, |of| of.curves.len());
    let columns = distinct(resolutions);
    let heads: String = columns.iter().map(|r| format!(" nats at {r}×{r} |")).collect();
    let mut text = format!(
        "{preset} on {data}: {steps} steps of {batch_size} at {learning_rate}, {seeds} seeds\n\n\
         | unpooling | bits per dimension |{heads} layers in use |\n\
         |---|---|{}---|\n",
        "---|".repeat(columns.len())
    );
    for OfWay { way, curves } in ways {
        let last: Vec<&Point> = curves.iter().filter_map(|curve| curve.last()).collect();
        let mean = |of: &dyn Fn(&Point) -> f64, digits: usize| {
            let values: Vec<f64> = last.iter().map(|point| of(point)).collect();
            let Mean { value, ci95: [low, high] } = Mean::of_few(&values);
            format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
        };
        let nats: String = columns
            .iter()
            .map(|&r| format!(" {} |", mean(&|point| point.kl_of(resolutions, |of| of == r), 1)))
            .collect();
        let used = |point: &&Point| point.kl_nats.iter().filter(|&&nats| nats >= UNUSED).count();
        let used: Vec<String> = last.iter().map(|point| used(point).to_string()).collect();
        let _ = writeln!(
            text,
            "| {} | {} |{nats} {} of {} |",
            way.name(),
            mean(&|point| point.bits_per_dim, 3),
            used.join(", "),
            resolutions.len(),
        );
    }
    text
}

/// What the resolutions up to 4×4 tell of a picture, over steps, the mean over seeds.
fn figure(results: &Results) -> Option<String> {
    const LOW: usize = 4;
    let line = |of: &OfWay| {
        let points = of.curves.iter().map(Vec::len).min().unwrap_or(0);
        let point = |i: usize| {
            let nats: Vec<f64> = of
                .curves
                .iter()
                .map(|curve| curve[i].kl_of(&results.resolutions, |resolution| resolution <= LOW))
                .collect();
            let Mean { value, ci95 } = Mean::of_few(&nats);
            ChartPoint { x: of.curves[0][i].step as f64, y: value, ci95: Some(ci95) }
        };
        ChartLine { name: of.way.name(), points: (0..points).map(point).collect() }
    };
    let axis = |label: String| ChartAxis { label, logarithmic: false };
    let chart = Chart {
        title: format!("What layers up to {LOW}×{LOW} tell of a picture"),
        x: axis("steps".to_owned()),
        y: axis("KL, nats a picture".to_owned()),
        lines: results.ways.iter().map(line).collect(),
        ..Chart::default()
    };
    chart.svg()
}
