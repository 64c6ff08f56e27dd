//! What keeps the training of a Very Deep VAE stable: leaving out updates with large gradients?
//!
//! ```text
//! cargo run --release --example skipped_updates
//! cargo run --release --example skipped_updates -- --preset cifar10 --data cifar10:DIR --steps 20000
//! ```
//!
//! The paper leaves an update out where the norm of its gradient is above a fixed threshold, and says
//! that few are, and that training diverges without. A small network is trained from several seeds at a
//! step size that is large and one that is too large, by each of five rules: every update as it is;
//! gradients clipped to a norm; updates left out from a fixed norm on; from a multiple of the median
//! of the last hundred norms on (ours); and clipped and left out, as published. An update that is not
//! finite is never made. A run has diverged where its loss was not finite for a hundred steps, or is
//! above that of bytes at random (8 bits per dimension) in the end.
//!
//! Prints a line a step size and rule, and writes it with a figure and every number to `--out`. A run
//! that was stopped goes on where it was.

mod claim;

use std::f64::consts::LN_2;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use vdvae::datasets::{self, Dataset, OpenOptions, Split};
use vdvae::report::{Chart, ChartAxis, ChartLine, ChartPoint};
use vdvae::train::{self, Skip, TrainConfig};
use vdvae::{Preset, Vdvae};

use claim::{Findings, Mean, Outcome, metrics};

// As the programs have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A norm that no gradient reaches.
const NO_LIMIT: f64 = 1e30;
/// Bits per dimension of bytes at random.
const RANDOM: f64 = 8.0;
/// Steps that a point of the figure is the median of.
const STEPS_OF_POINT: usize = 25;

#[derive(Debug, Parser)]
struct Args {
    /// Network, by the name of its preset [example: --preset toy-faces]
    #[arg(long, default_value = "tiny", value_name = "NAME")]
    preset: Preset,
    /// Data set, as `vdvae train` takes it [example: --data folder:photos]
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]")]
    data: String,
    /// Steps of each run [example: --steps 2000]
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Runs of each rule and step size, with seeds from 0 on [example: --seeds 3]
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1000))]
    seeds: u64,
    /// Step sizes [example: --learning-rates 1e-3,1e-2]
    #[arg(long, value_delimiter = ',', default_value = "2e-2,5e-2", value_name = "RATE,…")]
    learning_rates: Vec<f64>,
    /// Norm that gradients are clipped to, where they are [example: --grad-clip 200]
    #[arg(long, default_value_t = 5.0, value_name = "NORM")]
    grad_clip: f64,
    /// Norm that updates are left out from, where it is fixed [example: --threshold 400]
    #[arg(long, default_value_t = 10.0, value_name = "NORM")]
    threshold: f64,
    /// Multiple of the median that updates are left out from, where it is not [example: --factor 10]
    #[arg(long, default_value_t = 10.0, value_name = "FACTOR")]
    factor: f64,
    /// Pictures of a step [example: --batch-size 32]
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch_size: u32,
    /// Validation pictures that a run is scored on, evenly spaced [example: --num 1000]
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    num: u32,
    /// Folder for the runs and everything that is written [example: --out claims/skipping]
    #[arg(long, default_value = "claims/skipping", value_name = "DIR")]
    out: PathBuf,
}

/// Which updates are made, and how.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Rule {
    name: &'static str,
    skip: Skip,
    grad_clip: f64,
}

impl Rule {
    fn all(args: &Args) -> [Self; 5] {
        let (fixed, clip) = (Skip::Fixed(args.threshold), args.grad_clip);
        let rule = |name, skip, grad_clip| Self { name, skip, grad_clip };
        [
            rule("every update", Skip::None, NO_LIMIT),
            rule("clipped", Skip::None, clip),
            rule("fixed", fixed, NO_LIMIT),
            rule("adaptive", Skip::Adaptive(args.factor), NO_LIMIT),
            rule("clipped-fixed", fixed, clip),
        ]
    }
}

/// Every number.
#[derive(Debug, Serialize)]
struct Results {
    preset: &'static str,
    data: String,
    steps: u64,
    seeds: u64,
    batch_size: u32,
    rules: Vec<OfRule>,
}

/// The runs of a rule at a step size.
#[derive(Debug, Serialize)]
struct OfRule {
    rule: Rule,
    learning_rate: f64,
    runs: Vec<OneRun>,
}

#[derive(Debug, Serialize)]
struct OneRun {
    seed: u64,
    diverged: bool,
    /// The average of the weights, on validation pictures; none of a run that ended early.
    valid_bits_per_dim: Option<f64>,
    skipped: usize,
    /// Of every step; none where it is not finite.
    bits_per_dim: Vec<Option<f64>>,
    grad_norms: Vec<Option<f64>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    claim::run(&args.out, || run(&args))
}

fn run(args: &Args) -> Outcome<Findings<Results>> {
    let data = datasets::open(&args.data, &OpenOptions::from_env())?;
    data.require(&[Split::Train, Split::Valid])?;
    let mut rules = Vec::new();
    for &learning_rate in &args.learning_rates {
        for rule in Rule::all(args) {
            let runs =
                (0..args.seeds).map(|seed| train_one(args, &*data, rule, learning_rate, seed));
            rules.push(OfRule { rule, learning_rate, runs: runs.collect::<Outcome<_>>()? });
        }
    }
    let results = Results {
        preset: args.preset.name(),
        data: data.name().to_owned(),
        steps: args.steps,
        seeds: args.seeds,
        batch_size: args.batch_size,
        rules,
    };
    Ok(Findings { table: table(&results), figure: figure(&results), results })
}

fn train_one(
    args: &Args,
    data: &dyn Dataset,
    rule: Rule,
    learning_rate: f64,
    seed: u64,
) -> Outcome<OneRun> {
    let name = format!("{}-{learning_rate}-{seed}", rule.name.replace(' ', "-"));
    let out = args.out.join("runs").join(&name);
    let config = TrainConfig {
        steps: args.steps,
        batch_size: args.batch_size as usize,
        seed,
        learning_rate,
        skip: rule.skip,
        grad_clip: rule.grad_clip,
        ema_rate: 0.99,
        ema_warmup: true,
        save_every: 0,
        eval_every: args.steps,
        eval_images: args.num as usize,
        sample_every: 0,
        log_every: 0,
        ..TrainConfig::preset(args.preset)
    };
    let path = out.join("metrics.jsonl");
    let ended = claim::train::<Vdvae>(&args.preset.config(), &config, data, &out);
    let early = match ended {
        Ok(_) => false,
        Err(train::Error::Diverged { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    let one = read_run(&path, seed, early)?;
    let score = one.valid_bits_per_dim.map_or("–".to_owned(), |bits| format!("{bits:.3}"));
    eprintln!("{name}: {score} bits/dim, {} updates left out", one.skipped);
    Ok(one)
}

fn read_run(path: &Path, seed: u64, early: bool) -> Outcome<OneRun> {
    let lines = metrics(path)?;
    let column = |key: &str, factor: f64| -> Vec<Option<f64>> {
        lines.iter().map(|line| line[key].as_f64().map(|value| value * factor)).collect()
    };
    let valid = column("valid_nats_per_dim", LN_2.recip()).pop().flatten();
    Ok(OneRun {
        seed,
        diverged: early || valid.is_none_or(|bits| bits > RANDOM),
        valid_bits_per_dim: valid,
        skipped: lines.iter().filter(|line| line["skipped"] == true).count(),
        bits_per_dim: column("nats_per_dim", LN_2.recip()),
        grad_norms: column("grad_norm", 1.0),
    })
}

fn table(results: &Results) -> String {
    let Results { preset, data, steps, seeds, batch_size, rules } = results;
    let mut text = format!(
        "{preset} on {data}: {steps} steps of {batch_size}, {seeds} seeds\n\n\
         | step size | updates | diverged | not finite, % | left out, % | bits per dimension | worst seed |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for OfRule { rule, learning_rate, runs } in rules {
        let kept: Vec<f64> = runs
            .iter()
            .filter(|run| !run.diverged)
            .filter_map(|run| run.valid_bits_per_dim)
            .collect();
        let mean = match kept.len() {
            0 => "–".to_owned(),
            1 => format!("{:.3}", kept[0]),
            _ => {
                let Mean { value, ci95: [low, high] } = Mean::of_few(&kept);
                format!("{value:.3} [{low:.3}, {high:.3}]")
            }
        };
        let worst = kept.iter().copied().reduce(f64::max);
        let worst = worst.map_or("–".to_owned(), |bits| format!("{bits:.3}"));
        let steps: usize = runs.iter().map(|run| run.grad_norms.len()).sum();
        let skipped: usize = runs.iter().map(|run| run.skipped).sum();
        let unknown = |run: &OneRun| run.grad_norms.iter().filter(|norm| norm.is_none()).count();
        let unknown: usize = runs.iter().map(unknown).sum();
        let share = |part: usize| 100.0 * part as f64 / steps.max(1) as f64;
        let _ = writeln!(
            text,
            "| {learning_rate} | {} | {} of {} | {:.1} | {:.1} | {mean} | {worst} |",
            rule.name,
            runs.iter().filter(|run| run.diverged).count(),
            runs.len(),
            share(unknown),
            share(skipped),
        );
    }
    text
}

/// Bits per dimension over steps, the median over seeds and a few steps, at the largest step size.
fn figure(results: &Results) -> Option<String> {
    let largest = results.rules.iter().map(|of| of.learning_rate).fold(0.0, f64::max);
    let line = |of: &OfRule| {
        let point = |first: usize| {
            let last = first + STEPS_OF_POINT;
            let of_run = |run: &OneRun| {
                let steps = run.bits_per_dim.len();
                let part = &run.bits_per_dim[first.min(steps)..last.min(steps)];
                // What ended early, or is not finite, is as bad as it can be.
                let missing = last.min(results.steps as usize) - last.min(steps).max(first);
                let found = part.iter().map(|bits| bits.unwrap_or(f64::INFINITY));
                found.chain(vec![f64::INFINITY; missing]).collect::<Vec<_>>()
            };
            let mut bits: Vec<f64> = of.runs.iter().flat_map(of_run).collect();
            bits.sort_unstable_by(f64::total_cmp);
            let y = bits[bits.len() / 2];
            y.is_finite().then(|| ChartPoint { x: last as f64, y: y.min(RANDOM), ci95: None })
        };
        let points = (0..results.steps as usize).step_by(STEPS_OF_POINT).filter_map(point);
        ChartLine { name: of.rule.name.to_owned(), points: points.collect() }
    };
    let axis = |label: String| ChartAxis { label, logarithmic: false };
    let chart = Chart {
        title: format!("Step size {largest}: loss over training, by which updates are made"),
        x: axis("steps".to_owned()),
        y: axis(format!("bits per dimension, median; at most {RANDOM}, none where not finite")),
        lines: results
            .rules
            .iter()
            .filter(|of| of.learning_rate == largest)
            .map(line)
            .filter(|line| !line.points.is_empty())
            .collect(),
        ..Chart::default()
    };
    chart.svg()
}
