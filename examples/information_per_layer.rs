//! Where do the bits of a picture go, and what do they buy? Low resolutions hold its global structure,
//! says the paper, and high ones its texture.
//!
//! ```text
//! cargo run --release --example information_per_layer
//! cargo run --release --example information_per_layer -- --checkpoint faces32 --data celeba:DIR
//! ```
//!
//! Pictures of the test split are described by their posterior means in the first layers, from 1×1 on;
//! the layers below take the means of their priors, and the picture is drawn from the output
//! distribution. For every number of layers: what they cost (KL from posterior to prior, nats a
//! picture) and how near the picture comes (PSNR, SSIM). Beside each resolution stands the picture itself
//! reduced to as many pixels and enlarged again.
//!
//! Prints a line a resolution, and writes it with a figure and every layer's numbers to `--out`.

mod claim;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::Tensor;
use clap::Parser;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::Serialize;
use vdvae::datasets::{self, Batches, OpenOptions, Preparation, Split};
use vdvae::model::checkpoint_file;
use vdvae::report::{Chart, ChartAxis, ChartLine, ChartPoint};
use vdvae::{Device, Noise, Vdvae};
use vdvae_io::{psnr, ssim};

use claim::{Findings, Mean, Outcome};

/// Pictures computed at once.
const BATCH: usize = 32;

#[derive(Debug, Parser)]
struct Args {
    /// Network: a file, or a name of weights; the built-in one without it [example: --checkpoint faces32]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Data set, as `vdvae eval` takes it [example: --data cifar10:data/cifar10]
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]")]
    data: String,
    /// CelebA: a file of splits in place of list_eval_partition.txt [example: --partition split.txt]
    #[arg(long, value_name = "FILE")]
    partition: Option<PathBuf>,
    /// How many test pictures of it, evenly spaced [example: --num 1000]
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    num: u32,
    /// Seed of everything that is drawn [example: --seed 1]
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Folder for everything that is written [example: --out claims/information]
    #[arg(long, default_value = "claims/information", value_name = "DIR")]
    out: PathBuf,
}

/// Every number.
#[derive(Debug, Serialize)]
struct Results {
    network: String,
    data: String,
    pictures: usize,
    seed: u64,
    /// Of the pictures given their latents, and of the latents.
    distortion_bits_per_dim: f64,
    rate_bits_per_dim: f64,
    /// Without any layer, then with each one more.
    depths: Vec<Depth>,
    /// Of each resolution.
    reduced: Vec<Reduced>,
}

/// Pictures that are described by so many layers.
#[derive(Debug, Serialize)]
struct Depth {
    layers: usize,
    /// Of the last of them.
    resolution: Option<usize>,
    /// KL of the last of them, a picture.
    kl_nats: f64,
    /// KL of all of them, a picture.
    given_nats: f64,
    likeness: Likeness,
}

/// Pictures that are reduced to so many pixels a side.
#[derive(Debug, Serialize)]
struct Reduced {
    resolution: usize,
    likeness: Likeness,
}

/// How near pictures come to the originals.
#[derive(Debug, Clone, Copy, Serialize)]
struct Likeness {
    /// In decibels.
    psnr: Mean,
    ssim: Mean,
}

fn main() -> ExitCode {
    let args = Args::parse();
    claim::run(&args.out, || run(&args))
}

fn run(args: &Args) -> Outcome<Findings<Results>> {
    let (model, network) = match &args.checkpoint {
        None => (Vdvae::builtin(&Device::Cpu)?, "built-in".to_owned()),
        Some(name) => {
            let path = checkpoint_file(name)?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (Vdvae::load(&path, &Device::Cpu)?, stem)
        }
    };
    let options = OpenOptions { partition: args.partition.clone(), ..OpenOptions::from_env() };
    let data = datasets::open(&args.data, &options)?;
    data.require(&[Split::Test])?;
    let size = model.config().image_size;
    let batches = Batches::new(&*data, Split::Test, Preparation::new(size));
    let batches = batches.evenly_spaced(args.num as usize).size(BATCH);
    let batches = batches.map(|batch| Ok(model.pixels(batch?.pixels)?));
    let batches = batches.collect::<Outcome<Vec<Tensor>>>()?;
    let noise = Noise::Seeded { seed: args.seed, first: 0 };
    let means = model.evaluate(batches.iter().cloned().map(Ok::<_, vdvae::model::Error>), noise)?;

    let layers = model.config().latent_layers();
    let mut depths = vec![Vec::new(); layers.len() + 1];
    let mut resolutions: Vec<usize> = layers.iter().map(|layer| layer.resolution).collect();
    resolutions.dedup();
    let mut reduced = vec![Vec::new(); resolutions.len()];
    for batch in &batches {
        let n = batch.dim(0)?;
        let latents = model.extract_latents(batch)?;
        let given: Vec<Tensor> = latents.into_iter().map(|layer| layer.mean).collect();
        let originals = pictures(batch)?;
        for (layers, depth) in depths.iter_mut().enumerate() {
            let decoded = model.decode(n, &given[..layers], 0.0, args.seed)?;
            depth.extend(compare(&originals, &pictures(&decoded)?, size));
        }
        for (&resolution, of) in resolutions.iter().zip(&mut reduced) {
            let enlarged: Vec<_> =
                originals.iter().map(|one| reduce(one, size, resolution)).collect();
            of.extend(compare(&originals, &enlarged, size));
        }
    }
    let mut given_nats = 0.0;
    let depths = depths.iter().enumerate().map(|(layers_given, of)| {
        let last = layers_given.checked_sub(1);
        let kl_nats = last.map_or(0.0, |last| means.kl_nats[last]);
        given_nats += kl_nats;
        let resolution = last.map(|last| layers[last].resolution);
        Depth { layers: layers_given, resolution, kl_nats, given_nats, likeness: likeness(of) }
    });
    let to_bits = std::f64::consts::LN_2.recip();
    let results = Results {
        network,
        data: data.name().to_owned(),
        pictures: means.images,
        seed: args.seed,
        distortion_bits_per_dim: means.distortion * to_bits,
        rate_bits_per_dim: means.rate * to_bits,
        depths: depths.collect(),
        reduced: resolutions
            .iter()
            .zip(&reduced)
            .map(|(&resolution, of)| Reduced { resolution, likeness: likeness(of) })
            .collect(),
    };
    Ok(Findings { table: table(&results), figure: figure(&results), results })
}

/// Each as its bytes.
fn pictures(batch: &Tensor) -> Outcome<Vec<Vec<u8>>> {
    let all = batch.flatten_from(1)?.to_vec2()?;
    Ok(all)
}

/// PSNR and SSIM of each.
fn compare(originals: &[Vec<u8>], others: &[Vec<u8>], size: usize) -> Vec<[f64; 2]> {
    let both = |(a, b): (&Vec<u8>, &Vec<u8>)| [psnr(a, b), ssim(a, b, [size; 2])];
    originals.iter().zip(others).map(both).collect()
}

fn likeness(of: &[[f64; 2]]) -> Likeness {
    let mean = |which: usize| Mean::of(&of.iter().map(|both| both[which]).collect::<Vec<_>>());
    Likeness { psnr: mean(0), ssim: mean(1) }
}

/// Reduced to so many pixels a side and enlarged again, both by Lanczos' filter, which loses least of
/// those that are usual.
fn reduce(picture: &[u8], size: usize, resolution: usize) -> Vec<u8> {
    let [size, resolution] = [size, resolution].map(|side| side as u32);
    let picture = RgbImage::from_raw(size, size, picture.to_vec()).expect("a whole picture");
    let reduced = resize(&picture, resolution, resolution, FilterType::Lanczos3);
    resize(&reduced, size, size, FilterType::Lanczos3).into_raw()
}

fn table(results: &Results) -> String {
    let Results { network, data, pictures, .. } = results;
    let mut text = format!(
        "{network}, {pictures} test pictures of {data}: {:.3} bits per dimension, of which latents {:.3}\n\n\
         | latents down to | layers | nats a picture | share | PSNR, dB | SSIM | reduced to as many pixels: PSNR | SSIM |\n\
         |---|---|---|---|---|---|---|---|\n",
        results.distortion_bits_per_dim + results.rate_bits_per_dim,
        results.rate_bits_per_dim
    );
    let total = results.depths.last().map_or(0.0, |depth| depth.given_nats);
    let nothing = &results.depths[0].likeness;
    let _ = writeln!(
        text,
        "| nothing | 0 | 0 | 0% | {:.2} | {:.3} | | |",
        nothing.psnr.value, nothing.ssim.value
    );
    for Reduced { resolution, likeness: reduced } in &results.reduced {
        let of = || results.depths.iter().filter(|depth| depth.resolution == Some(*resolution));
        let Some(last) = of().next_back() else { continue };
        let nats: f64 = of().map(|depth| depth.kl_nats).sum();
        // A picture of all its pixels is itself.
        let psnr = reduced.psnr.value;
        let psnr = if psnr.is_finite() { format!("{psnr:.2}") } else { "–".to_owned() };
        let _ = writeln!(
            text,
            "| {resolution}×{resolution} | {} | {nats:.1} | {:.0}% | {} | {} | {psnr} | {:.3} |",
            of().count(),
            100.0 * nats / total,
            with_interval(last.likeness.psnr, 2),
            with_interval(last.likeness.ssim, 3),
            reduced.ssim.value
        );
    }
    text
}

fn with_interval(mean: Mean, digits: usize) -> String {
    let Mean { value, ci95: [low, high] } = mean;
    format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
}

/// PSNR over what the layers cost.
fn figure(results: &Results) -> Option<String> {
    let point = |depth: &Depth| {
        let Mean { value, ci95 } = depth.likeness.psnr;
        ChartPoint { x: depth.given_nats, y: value, ci95: Some(ci95) }
    };
    let first = results.reduced.first().map(|of| of.resolution);
    let line = |resolution: usize| {
        // The first line begins where nothing is given.
        let of = |depth: &&Depth| depth.resolution.or(first) == Some(resolution);
        let points = results.depths.iter().filter(of).map(point).collect();
        ChartLine { name: format!("{resolution}×{resolution}"), points }
    };
    let axis = |label: &str| ChartAxis { label: label.to_owned(), logarithmic: false };
    let chart = Chart {
        title: format!("{}: what layers cost, and how near the picture comes", results.network),
        x: axis("KL of the layers given, nats a picture"),
        y: axis("PSNR, dB"),
        lines: results.reduced.iter().map(|of| line(of.resolution)).collect(),
        ..Chart::default()
    };
    chart.svg()
}
