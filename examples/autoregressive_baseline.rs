//! Do Very Deep VAEs do better than autoregressive models, with fewer parameters and in less time?
//!
//! ```text
//! cargo run --release --example autoregressive_baseline
//! cargo run --release --example autoregressive_baseline -- --data celeba:DIR --minutes 60
//! ```
//!
//! A VDVAE and a PixelCNN++ (`vdvae::pixelcnn`) of three sizes each are trained on the same pictures, in
//! the same order, by the same trainer, for the same time, on the same likelihood; only the networks
//! and what each is best trained with differ. Then each draws pictures: the VDVAE all pixels at once,
//! the PixelCNN++ one after the other, with everything kept that it computed before and, for
//! comparison, without.
//!
//! The likelihood of a PixelCNN++ is exact; that of a VDVAE is a bound, so that it may be better than
//! its number. Time is that of training steps alone, on this machine: evaluation is not counted. A
//! run that was stopped goes on where it was.
//!
//! Prints a line a network, and writes it with a figure, pictures that the largest networks draw, and
//! every number to `--out`.

mod claim;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use serde::Serialize;
use vdvae::datasets::{self, Batches, Dataset, OpenOptions, Preparation, Split};
use vdvae::pixelcnn::{PixelCnn, PixelCnnConfig};
use vdvae::report::{Chart, ChartAxis, ChartLine, ChartPoint};
use vdvae::train::{Network, Skip, TrainConfig};
use vdvae::{Checkpoint, Device, Noise, Preset, Tensor, Vdvae, VdvaeConfig, Weights};
use vdvae_io::Grid;

use claim::{Findings, Mean, Outcome, metrics};

// As the programs have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Passes over a whole batch that the time of drawing without anything kept is computed from.
const PASSES: usize = 3;
/// Pictures of each model in the picture of samples, in two rows.
const SHOWN: usize = 16;

#[derive(Debug, Parser)]
struct Args {
    /// Data set, as `vdvae train` takes it [example: --data folder:photos]
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]")]
    data: String,
    /// CelebA: a file of splits in place of list_eval_partition.txt [example: --partition split.txt]
    #[arg(long, value_name = "FILE")]
    partition: Option<PathBuf>,
    /// Minutes that each network is trained for [example: --minutes 60]
    #[arg(long, default_value_t = 4.0, value_name = "N", value_parser = minutes)]
    minutes: f64,
    /// Which sizes of both models [example: --sizes medium]
    #[arg(long, value_enum, value_delimiter = ',', default_value = "small,medium,large")]
    sizes: Vec<Size>,
    /// Pictures of a step [example: --batch-size 32]
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch_size: u32,
    /// Step size of the VDVAEs [example: --vdvae-learning-rate 1e-3]
    #[arg(long, default_value_t = 4e-3, value_name = "RATE")]
    vdvae_learning_rate: f64,
    /// Step size of the PixelCNN++s [example: --pixelcnn-learning-rate 1e-3]
    #[arg(long, default_value_t = 4e-3, value_name = "RATE")]
    pixelcnn_learning_rate: f64,
    /// Steps between points of the curves [example: --eval-every 50]
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    eval_every: u64,
    /// Validation pictures of a point, and test pictures of the table, evenly spaced [example: --num 1000]
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    num: u32,
    /// Pictures drawn at once where drawing is timed [example: --draw 256]
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    draw: u32,
    /// Seed of everything that is drawn [example: --seed 1]
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Folder for the runs and everything that is written [example: --out claims/baseline]
    #[arg(long, default_value = "claims/baseline", value_name = "DIR")]
    out: PathBuf,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if minutes > 0.0 && f64::is_finite(minutes) => Ok(minutes),
        _ => Err(format!("expected a number of minutes above 0, found `{text}`")),
    }
}

/// How large the networks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    /// Medium is the built-in model's network.
    fn vdvae(self) -> VdvaeConfig {
        let medium = Preset::ToyFaces.config();
        let widths = |width: usize, at_16: usize, below: usize| VdvaeConfig {
            width,
            custom_width: BTreeMap::from([(1, below), (4, below), (8, below), (16, at_16)]),
            ..medium.clone()
        };
        match self {
            Self::Small => widths(16, 24, 32),
            Self::Medium => medium,
            Self::Large => widths(48, 72, 96),
        }
    }

    fn pixelcnn(self) -> PixelCnnConfig {
        let (filters, blocks) = match self {
            Self::Small => (12, 1),
            Self::Medium => (24, 1),
            Self::Large => (32, 2),
        };
        // A run this short sees no picture often enough to learn it by heart.
        let mixtures = Self::Medium.vdvae().num_mixtures;
        let published = PixelCnnConfig::cifar10();
        PixelCnnConfig { filters, blocks, num_mixtures: mixtures, dropout: 0.0, ..published }
    }
}

/// Every number.
#[derive(Debug, Serialize)]
struct Results {
    data: String,
    minutes: f64,
    batch_size: u32,
    seed: u64,
    test_pictures: usize,
    threads: usize,
    networks: Vec<Trained>,
}

/// A network after its training.
#[derive(Debug, Serialize)]
struct Trained {
    model: &'static str,
    size: Size,
    parameters: usize,
    learning_rate: f64,
    steps: u64,
    curve: Vec<Point>,
    /// Of the test pictures; of a VDVAE an upper bound.
    bits_per_dim: Mean,
    /// Seconds a picture, of so many drawn at once.
    drawing: Drawing,
}

/// After so many seconds of training.
#[derive(Debug, Clone, Copy, Serialize)]
struct Point {
    step: u64,
    seconds: f64,
    valid_bits_per_dim: f64,
}

/// How long a picture takes.
#[derive(Debug, Clone, Copy, Serialize)]
struct Drawing {
    pictures: u32,
    seconds_a_picture: f64,
    /// Of one alone.
    seconds_alone: f64,
    /// Of a PixelCNN++ that keeps nothing, from the time of a pass over the pictures and the number of
    /// pixels.
    without_keeping: Option<f64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    claim::run(&args.out, || run(&args))
}

fn run(args: &Args) -> Outcome<Findings<Results>> {
    let options = OpenOptions { partition: args.partition.clone(), ..OpenOptions::from_env() };
    let data = datasets::open(&args.data, &options)?;
    data.require(&Split::ALL)?;
    let mut networks = Vec::new();
    for &size in &args.sizes {
        networks.push(contest::<Vdvae>(args, &*data, size)?);
        networks.push(contest::<PixelCnn>(args, &*data, size)?);
    }
    let results = Results {
        data: data.name().to_owned(),
        minutes: args.minutes,
        batch_size: args.batch_size,
        seed: args.seed,
        test_pictures: data.len(Split::Test).min(args.num as usize),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        networks,
    };
    Ok(Findings { table: table(&results), figure: figure(&results), results })
}

/// A kind of network, as it is best trained.
trait Contestant: Network {
    const NAME: &'static str;
    /// Whether a pixel is drawn after those before it.
    const ONE_BY_ONE: bool;

    fn network(size: Size) -> Self::Config;

    fn training(args: &Args) -> TrainConfig;

    fn of(network: &Self::Config, weights: &Weights) -> Outcome<Self>;

    /// Nats per dimension of each picture, or a bound on them.
    fn nats(&self, batch: &Tensor, noise: Noise) -> Outcome<Tensor>;
}

impl Contestant for Vdvae {
    const NAME: &'static str = "VDVAE";
    const ONE_BY_ONE: bool = false;

    fn network(size: Size) -> VdvaeConfig {
        size.vdvae()
    }

    fn training(args: &Args) -> TrainConfig {
        let learning_rate = args.vdvae_learning_rate;
        TrainConfig { learning_rate, warmup_steps: 50, grad_clip: 5.0, ..training(args) }
    }

    fn of(network: &VdvaeConfig, weights: &Weights) -> Outcome<Self> {
        Ok(Self::new(network, weights, &Device::Cpu)?)
    }

    fn nats(&self, batch: &Tensor, noise: Noise) -> Outcome<Tensor> {
        let terms = self.loss(batch, noise)?;
        Ok((&terms.distortion + &terms.rate)?)
    }
}

impl Contestant for PixelCnn {
    const NAME: &'static str = "PixelCNN++";
    const ONE_BY_ONE: bool = true;

    fn network(size: Size) -> PixelCnnConfig {
        size.pixelcnn()
    }

    /// The published moments; no decay, no clipping.
    fn training(args: &Args) -> TrainConfig {
        TrainConfig {
            learning_rate: args.pixelcnn_learning_rate,
            warmup_steps: 0,
            adam_beta1: 0.95,
            adam_beta2: 0.9995,
            weight_decay: 0.0,
            grad_clip: 1e6,
            ..training(args)
        }
    }

    fn of(network: &PixelCnnConfig, weights: &Weights) -> Outcome<Self> {
        Ok(Self::new(network, weights)?)
    }

    fn nats(&self, batch: &Tensor, _: Noise) -> Outcome<Tensor> {
        Ok(self.nll(batch)?)
    }
}

/// Trains a network, scores it, and writes pictures that it draws; those of a larger one later replace
/// them.
fn contest<N: Contestant>(args: &Args, data: &dyn Dataset, size: Size) -> Outcome<Trained> {
    let (network, config) = (N::network(size), N::training(args));
    let (curve, checkpoint) = train::<N>(args, data, size, &network, &config)?;
    let model = N::of(&network, &checkpoint.weights)?;
    let bits_per_dim = score(args, data, &model)?;
    let draw = |n: u32| Ok(model.sample(n as usize, args.seed)?);
    // Memory is found at the first.
    draw(1)?;
    let (_, seconds_alone) = timed(|| draw(1))?;
    let (samples, seconds) = timed(|| draw(args.draw))?;
    show(&samples, &args.out.join(file_name::<N>() + ".png"))?;
    let seconds_of_pass = || {
        let pass = || model.nats(&samples, Noise::Zero).map(drop);
        timed(|| (0..PASSES).try_for_each(|_| pass())).map(|((), seconds)| seconds / PASSES as f64)
    };
    let seconds_of_pass = N::ONE_BY_ONE.then(seconds_of_pass).transpose()?;
    let pixels = N::image_size(&network).pow(2) as f64;
    let pictures = f64::from(args.draw);
    Ok(Trained {
        model: N::NAME,
        size,
        parameters: N::num_parameters(&network),
        learning_rate: config.learning_rate,
        steps: curve.last().map_or(0, |point| point.step),
        curve,
        bits_per_dim,
        drawing: Drawing {
            pictures: args.draw,
            seconds_a_picture: seconds / pictures,
            seconds_alone,
            without_keeping: seconds_of_pass.map(|seconds| seconds * pixels / pictures),
        },
    })
}

fn file_name<N: Contestant>() -> String {
    N::NAME.to_lowercase().replace('+', "")
}

/// What both models are trained with.
fn training(args: &Args) -> TrainConfig {
    TrainConfig {
        batch_size: args.batch_size as usize,
        seed: args.seed,
        skip: Skip::None,
        ema_rate: 0.999,
        ema_warmup: true,
        flip: true,
        save_every: 0,
        keep_checkpoints: 1,
        eval_every: args.eval_every,
        eval_images: args.num as usize,
        sample_every: 0,
        log_every: 0,
        ..TrainConfig::preset(Preset::ToyFaces)
    }
}

/// Trains until the time is over, and returns the curve and the average of the weights.
fn train<N: Contestant>(
    args: &Args,
    data: &dyn Dataset,
    size: Size,
    network: &N::Config,
    config: &TrainConfig,
) -> Outcome<(Vec<Point>, Checkpoint)> {
    let name = format!("{}-{size:?}", file_name::<N>()).to_lowercase();
    let out = args.out.join("runs").join(&name);
    let path = out.join("metrics.jsonl");
    let made = |curve: &[Point]| curve.last().map_or(0, |point| point.step);
    let mut steps = made(&read_curve(&path, config.batch_size)?.0).max(args.eval_every);
    loop {
        // Also where it is over: the folder may have a run of other values.
        let config = TrainConfig { steps, ..config.clone() };
        let last = claim::train::<N>(network, &config, data, &out)?.last;
        if let Some(valid) = last.and_then(|last| last.valid) {
            eprintln!("{name}: step {steps}, {:.3} bits/dim", valid.bits_per_dim());
        }
        let (curve, seconds) = read_curve(&path, config.batch_size)?;
        if seconds >= 60.0 * args.minutes {
            return Ok((curve, Checkpoint::read(out.join("model.safetensors"))?));
        }
        steps = made(&curve) + args.eval_every;
    }
}

/// The points of a run so far, and the seconds that its steps took.
fn read_curve(path: &Path, batch_size: usize) -> Outcome<(Vec<Point>, f64)> {
    let (mut curve, mut seconds) = (Vec::new(), 0.0);
    for line in metrics(path)? {
        let number = |key: &str| line[key].as_f64();
        seconds += batch_size as f64 / number("images_per_second").unwrap_or(f64::INFINITY);
        if let (Some(step), Some(nats)) = (line["step"].as_u64(), number("valid_nats_per_dim")) {
            let valid_bits_per_dim = nats / std::f64::consts::LN_2;
            curve.push(Point { step, seconds, valid_bits_per_dim });
        }
    }
    Ok((curve, seconds))
}

/// Bits per dimension of test pictures, and the interval of their mean.
fn score<N: Contestant>(args: &Args, data: &dyn Dataset, model: &N) -> Outcome<Mean> {
    let size = N::image_size(model.config());
    let batches = Batches::new(data, Split::Test, Preparation::new(size));
    let mut bits = Vec::new();
    for batch in batches.evenly_spaced(args.num as usize).size(args.batch_size as usize) {
        let pixels = batch?.pixels;
        let shape = (pixels.len() / (3 * size * size), size, size, 3);
        let batch = Tensor::from_vec(pixels, shape, &Device::Cpu)?;
        let noise = Noise::Seeded { seed: args.seed, first: bits.len() as u64 };
        let nats: Vec<f32> = model.nats(&batch, noise)?.to_vec1()?;
        bits.extend(nats.into_iter().map(|nats| f64::from(nats) / std::f64::consts::LN_2));
    }
    Ok(Mean::of(&bits))
}

fn timed<R>(work: impl FnOnce() -> Outcome<R>) -> Outcome<(R, f64)> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed().as_secs_f64()))
}

/// Writes the first pictures side by side, enlarged.
fn show(samples: &Tensor, path: &Path) -> Outcome<()> {
    let (n, height, width, _) = samples.dims4()?;
    let shown = n.min(SHOWN);
    let columns = shown.div_ceil(2);
    let mut grid = Grid::new([columns, shown.div_ceil(columns)], [width, height], 2, 0);
    grid.place(0, &samples.narrow(0, 0, shown)?.flatten_all()?.to_vec1()?);
    grid.save(path, 2).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn table(results: &Results) -> String {
    let Results { data, minutes, batch_size, test_pictures, threads, networks, .. } = results;
    let draw = networks.first().map_or(0, |of| of.drawing.pictures);
    let mut text = format!(
        "{data}: {minutes} minutes of training each at least, batches of {batch_size}, {threads} threads; \
         {test_pictures} test pictures\n\n\
         | model | size | parameters | steps | bits per dimension | ms to draw a picture of {draw} | alone | keeping nothing |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for of in networks {
        let Drawing { seconds_a_picture, seconds_alone, without_keeping, .. } = of.drawing;
        let bound = if of.model == "VDVAE" { "≤ " } else { "" };
        let naive = without_keeping.map_or(String::new(), |naive| format!("{:.0}", 1e3 * naive));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {bound}{:.3} [{:.3}, {:.3}] | {:.2} | {:.1} | {naive} |",
            of.model,
            format!("{:?}", of.size).to_lowercase(),
            of.parameters,
            of.steps,
            of.bits_per_dim.value,
            of.bits_per_dim.ci95[0],
            of.bits_per_dim.ci95[1],
            1e3 * seconds_a_picture,
            1e3 * seconds_alone,
        );
    }
    text
}

/// Bits per dimension of validation pictures over minutes of training.
fn figure(results: &Results) -> Option<String> {
    let line = |of: &Trained| {
        let point = |point: &Point| ChartPoint {
            x: point.seconds / 60.0,
            y: point.valid_bits_per_dim,
            ci95: None,
        };
        let model = of.model.trim_end_matches('+');
        let name = format!("{model} {}", format!("{:?}", of.size).to_lowercase());
        // The first point is that of hardly trained weights.
        ChartLine { name, points: of.curve.iter().skip(1).map(point).collect() }
    };
    let axis = |label: &str| ChartAxis { label: label.to_owned(), logarithmic: false };
    let chart = Chart {
        title: format!("{}: likelihood over training time", results.data),
        x: axis("minutes of training"),
        y: axis("bits per dimension, validation"),
        lines: results.networks.iter().map(line).collect(),
        ..Chart::default()
    };
    chart.svg()
}
