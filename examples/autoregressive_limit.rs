//! Are autoregressive models VAEs? Proposition 1 of the paper, computed.
//!
//! ```text
//! cargo run --release --example autoregressive_limit
//! ```
//!
//! An autoregressive model gives a picture's pixels one after the other, each from those before it. The
//! paper says that a VAE with as many layers as pixels can be the same model: layer `i` copies pixel `i`
//! (posterior), expects it as the autoregressive model does, from the layers above (prior), and the
//! picture is the latents (likelihood). Its evidence lower bound is then the autoregressive
//! log-likelihood, and not a bound any more. Three parts show it, and what it takes:
//!
//! 1. **Bits.** Eight binary pixels, every conditional drawn at random. The bound is summed over all 256
//!    latents of each of the 256 pictures. Posterior and likelihood that are wrong about a bit with
//!    probability ε loosen it; with ε = 0 it is exact.
//! 2. **Gaussians**, as in our networks: `sample_and_kl` is the operator of a decoder block, in float64.
//!    Pixel `i` has a mean that depends on those before it, and a deviation. A posterior of width w
//!    loosens the bound by about w², so that the limit is reached as far as one likes.
//! 3. **Copying** under the likelihood of the published networks, a mixture of logistics whose scale
//!    cannot fall below e⁻⁷ of half the range: what a pixel costs that the latents know exactly.
//!
//! Prints a table, and writes it with a figure and every number to `--out`.

mod claim;

use std::f64::consts::{LN_2, TAU};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::{DType, Tensor};
use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::Serialize;
use vdvae::Device;
use vdvae::report::{Chart, ChartAxis, ChartLine, ChartPoint};
use vdvae_ops::{mixture_nll, sample_and_kl};

use claim::{Findings, Outcome};

/// Pixels of the pictures of the first two parts, and layers of their VAEs.
const PIXELS: usize = 8;
/// Probabilities of a wrong bit.
const ERRORS: [f64; 5] = [0.1, 0.01, 1e-3, 1e-4, 0.0];
/// Widths of posterior and likelihood, in units of the pixels.
const WIDTHS: [f64; 7] = [0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5];
/// Deviation of a Gaussian pixel, given those before it.
const DEVIATION: f64 = 0.5;
/// Pictures that the Gaussian part averages over.
const PICTURES: usize = 64;
/// Logarithm of the smallest scale of the published likelihood.
const LOG_SCALE: f32 = -7.0;

#[derive(Debug, Parser)]
struct Args {
    /// Models of each kind, with conditionals of their own [example: --models 20]
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    models: u64,
    /// Folder for everything that is written [example: --out claims/autoregressive]
    #[arg(long, default_value = "claims/autoregressive", value_name = "DIR")]
    out: PathBuf,
}

/// Every number.
#[derive(Debug, Serialize)]
struct Results {
    models: u64,
    bits: Vec<Gap>,
    gaussians: Vec<Gap>,
    copying: Vec<Copying>,
}

/// How far the bound is below the autoregressive log-likelihood.
#[derive(Debug, Serialize)]
struct Gap {
    /// Probability of a wrong bit, or width of the posterior.
    at: f64,
    /// Nats per pixel, for each model: the mean over pictures.
    mean: Vec<f64>,
    /// The largest of any picture and model, nats per pixel, without its sign.
    largest: f64,
}

/// What a pixel costs that is known exactly.
#[derive(Debug, Serialize)]
struct Copying {
    levels: u32,
    bits_per_dim: f64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    claim::run(&args.out, || run(args.models))
}

fn run(models: u64) -> Outcome<Findings<Results>> {
    let seeds = 0..models;
    let results = Results {
        models,
        bits: gaps(&ERRORS, seeds.clone(), |seed, error| Ok(Bits::new(seed).gaps(error)))?,
        gaussians: gaps(&WIDTHS, seeds, |seed, width| Gaussians::new(seed).gaps(width))?,
        copying: vec![copying(false)?, copying(true)?],
    };
    Ok(Findings { table: table(&results), figure: figure(&results), results })
}

/// Means over the pictures of each model, and the largest.
fn gaps(
    at: &[f64],
    seeds: std::ops::Range<u64>,
    of: impl Fn(u64, f64) -> Outcome<Weighted>,
) -> Outcome<Vec<Gap>> {
    let gap = |&at: &f64| {
        let models = seeds.clone().map(|seed| of(seed, at)).collect::<Outcome<Vec<_>>>()?;
        let all = models.iter().flatten().map(|(_, gap)| gap.abs() / PIXELS as f64);
        let mean = |model: &Weighted| model.iter().map(|(share, gap)| share * gap).sum::<f64>();
        Ok(Gap {
            at,
            largest: all.fold(0.0, f64::max),
            mean: models.iter().map(|model| mean(model) / PIXELS as f64).collect(),
        })
    };
    at.iter().map(gap).collect()
}

/// For each picture its share among all, and its gap in nats.
type Weighted = Vec<(f64, f64)>;

/// An autoregressive model of binary pixels: for each pixel and each way those before it may be, the
/// probability that it is 1.
struct Bits(Vec<f64>);

impl Bits {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self((0..1 << PIXELS).map(|_| random.random_range(0.02..0.98)).collect())
    }

    /// log p(x_i | x_<i). Bit `i` of a picture is its pixel `i`.
    fn log_conditional(&self, picture: usize, i: usize) -> f64 {
        // Those before it under a leading 1: every pixel and past has a place of its own.
        let past = (1 << i) | (picture & ((1 << i) - 1));
        let one = self.0[past];
        if picture >> i & 1 == 1 { one.ln() } else { (1.0 - one).ln() }
    }

    fn log_likelihood(&self, picture: usize) -> f64 {
        (0..PIXELS).map(|i| self.log_conditional(picture, i)).sum()
    }

    /// The bound of a VAE whose posterior and likelihood copy a pixel but for an error:
    /// Σ_z q(z|x) (log p(x|z) + log p(z) - log q(z|x)).
    fn bound(&self, picture: usize, error: f64) -> f64 {
        let copies = |a: usize, b: usize| {
            let wrong = (a ^ b).count_ones() as f64;
            // 0 log 0 is 0: nothing is wrong where there is no error.
            let part = |count: f64, of: f64| if count == 0.0 { 0.0 } else { count * of.ln() };
            part(wrong, error) + part(PIXELS as f64 - wrong, 1.0 - error)
        };
        let of = |latents: usize| {
            let posterior = copies(latents, picture);
            if posterior == f64::NEG_INFINITY {
                return 0.0;
            }
            let prior = self.log_likelihood(latents);
            posterior.exp() * (copies(picture, latents) + prior - posterior)
        };
        (0..1 << PIXELS).map(of).sum()
    }

    fn gaps(&self, error: f64) -> Weighted {
        let gap = |picture| {
            let exact = self.log_likelihood(picture);
            (exact.exp(), exact - self.bound(picture, error))
        };
        (0..1 << PIXELS).map(gap).collect()
    }
}

/// An autoregressive model of real pixels: x_i is Gaussian around tanh(Σ_{j<i} a_ij x_j).
struct Gaussians {
    weights: [[f64; PIXELS]; PIXELS],
    /// Drawn from the model.
    pictures: Vec<[f64; PIXELS]>,
}

impl Gaussians {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || random.sample::<f64, _>(StandardNormal);
        let weights = [(); PIXELS].map(|()| [(); PIXELS].map(|()| normal()));
        let mut model = Self { weights, pictures: Vec::new() };
        for _ in 0..PICTURES {
            let mut picture = [0.0; PIXELS];
            for i in 0..PIXELS {
                picture[i] = model.mean(&picture, i) + DEVIATION * normal();
            }
            model.pictures.push(picture);
        }
        model
    }

    /// Of pixel `i`, given those before it.
    fn mean(&self, picture: &[f64; PIXELS], i: usize) -> f64 {
        (0..i).map(|j| self.weights[i][j] * picture[j]).sum::<f64>().tanh()
    }

    fn log_likelihood(&self, picture: &[f64; PIXELS]) -> f64 {
        (0..PIXELS).map(|i| log_normal(picture[i], self.mean(picture, i), DEVIATION)).sum()
    }

    /// Down the layers as a decoder goes, all pictures at once: posterior around the pixel, prior around
    /// what the latents above make the autoregressive model expect. The expectation over the posterior
    /// is the mean over all ways to draw one deviation up or down in each layer, which is exact for
    /// polynomials up to the third degree.
    fn gaps(&self, width: f64) -> Outcome<Weighted> {
        let signs = 1 << PIXELS;
        let n = self.pictures.len() * signs;
        let mut latents = vec![[0.0; PIXELS]; n];
        let mut bounds = vec![0.0; n];
        for i in 0..PIXELS {
            let of = |at: usize| &self.pictures[at / signs];
            let noise: Vec<f64> =
                (0..n).map(|at| if at >> i & 1 == 1 { 1.0 } else { -1.0 }).collect();
            let pairs = |pair: &dyn Fn(usize) -> [f64; 2]| {
                let numbers: Vec<f64> = (0..n).flat_map(pair).collect();
                Tensor::from_vec(numbers, (n, 1, 1, 2), &Device::Cpu)
            };
            let posterior = pairs(&|at| [of(at)[i], width.ln()])?;
            let prior = pairs(&|at| [self.mean(&latents[at], i), DEVIATION.ln()])?;
            let noise = Tensor::from_vec(noise, (n, 1, 1, 1), &Device::Cpu)?;
            let latent = sample_and_kl(&posterior, &prior, Some(noise))?;
            for (at, drawn) in latent.flatten_all()?.to_vec1::<f64>()?.chunks_exact(2).enumerate() {
                latents[at][i] = drawn[0];
                bounds[at] += log_normal(of(at)[i], drawn[0], width) - drawn[1];
            }
        }
        let bounds = bounds.chunks_exact(signs).map(|bounds| bounds.iter().sum::<f64>());
        let gap = |(picture, bound): (&_, f64)| {
            (1.0 / PICTURES as f64, self.log_likelihood(picture) - bound / signs as f64)
        };
        Ok(self.pictures.iter().zip(bounds).map(gap).collect())
    }
}

fn log_normal(x: f64, mean: f64, deviation: f64) -> f64 {
    let distance = (x - mean) / deviation;
    -0.5 * (distance * distance + TAU.ln()) - deviation.ln()
}

/// The mean over all values of a pixel, at the smallest scale, its mean in the right place.
fn copying(low_bit: bool) -> Outcome<Copying> {
    let step = if low_bit { 8 } else { 1 };
    let values: Vec<u8> = (0..=255).step_by(step).collect();
    let n = values.len();
    let place = |value: u8| f32::from(value) / 127.5 - 1.0;
    // A mixture of one: its weight; then mean, log scale and coefficient of each colour.
    let logits = values.iter().flat_map(|&value| {
        let colour = [place(value), LOG_SCALE, 0.0];
        [0.0].into_iter().chain([colour; 3].into_iter().flatten())
    });
    let logits = Tensor::from_vec(logits.collect::<Vec<f32>>(), (n, 1, 1, 10), &Device::Cpu)?;
    let pixels: Vec<u8> = values.iter().flat_map(|&value| [value; 3]).collect();
    let pixels = Tensor::from_vec(pixels, (n, 1, 1, 3), &Device::Cpu)?;
    let nats = mixture_nll(&logits, &pixels, low_bit)?.to_dtype(DType::F64)?;
    let bits_per_dim = nats.mean_all()?.to_scalar::<f64>()? / LN_2;
    Ok(Copying { levels: n as u32, bits_per_dim })
}

fn table(results: &Results) -> String {
    let mut text = String::new();
    let mean = |gap: &Gap| gap.mean.iter().sum::<f64>() / gap.mean.len() as f64;
    for (title, unit, gaps) in [
        ("Binary pixels", "probability of a wrong bit", &results.bits),
        ("Gaussian pixels", "posterior width", &results.gaussians),
    ] {
        let _ = writeln!(
            text,
            "{title}, {PIXELS} layers, {} models: autoregressive log-likelihood less bound, nats per pixel\n\n\
             | {unit} | mean | largest |\n|---|---|---|",
            results.models
        );
        for gap in gaps {
            let _ =
                writeln!(text, "| {} | {} | {} |", gap.at, short(mean(gap)), short(gap.largest));
        }
        text += "\n";
    }
    text += "A pixel that latents know exactly, under the published likelihood\n\n\
             | levels | bits per dimension |\n|---|---|\n";
    for copying in &results.copying {
        let _ = writeln!(text, "| {} | {:.4} |", copying.levels, copying.bits_per_dim);
    }
    text
}

/// Two digits behind the first.
fn short(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.2e}") }
}

fn figure(results: &Results) -> Option<String> {
    let line = |name: &str, gaps: &[Gap]| ChartLine {
        name: name.to_owned(),
        points: gaps
            .iter()
            .map(|gap| {
                let y = gap.mean.iter().sum::<f64>() / gap.mean.len() as f64;
                ChartPoint { x: gap.at, y, ci95: None }
            })
            .collect(),
    };
    let axis = |label: &str| ChartAxis { label: label.to_owned(), logarithmic: true };
    let chart = Chart {
        title: "How far a VAE of 8 layers is below an autoregressive model of 8 pixels".to_owned(),
        x: axis("probability of a wrong bit, or width of the posterior"),
        y: axis("nats per pixel"),
        lines: vec![line("binary", &results.bits), line("Gaussian", &results.gaussians)],
        ..Chart::default()
    };
    chart.svg()
}
