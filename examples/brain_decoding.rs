//! Pictures from measurements of a brain, step by step, with a measurement that is made up: how many
//! layers of latents are worth predicting?
//!
//! ```text
//! cargo run --release --example brain_decoding
//! ```
//!
//! Each "voxel" looks at a patch of a picture, with weights and noise of its own. A ridge regression
//! goes from voxels to the posterior means of the first k layers, its penalty chosen on validation for
//! each latent. What it predicts of test pictures is given back the spread it lost, and decoded, the
//! other layers by the means of their priors. For every k: whether a picture is told from another by
//! its predicted latents (two-way identification: chance is 50%), and how near the decoded picture comes
//! (SSIM). Beside it stand pictures decoded from the true latents of the same layers.
//!
//! Prints a line for every k, and writes it to `--out` with a figure, every number, and `pictures.png`:
//! a row a picture; the picture, then decoded from each k.

mod claim;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::Tensor;
use clap::Parser;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;
use vdvae::datasets::{self, Batches, Dataset, OpenOptions, Preparation, Split};
use vdvae::features::{FeatureColumn, FeatureTable, Targets};
use vdvae::model::{LayerShape, checkpoint_file};
use vdvae::probes::{Probe, RidgeProbe, Standardiser};
use vdvae::report::{Chart, ChartAxis, ChartLine, ChartPoint};
use vdvae::{Device, Vdvae};
use vdvae_io::{Grid, ssim};

use claim::{Findings, Outcome};

/// Pictures computed at once.
const BATCH: usize = 32;
/// Pictures of the grid.
const SHOWN: usize = 8;
/// Two-sided quantile of the normal interval.
const QUANTILE: f64 = 1.96;

#[derive(Debug, Parser)]
struct Args {
    /// Network: a file, or a name of weights; the built-in one without it [example: --checkpoint faces32]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Data set, as `vdvae eval` takes it [example: --data folder:photos]
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]")]
    data: String,
    /// Training pictures, of which a tenth chooses penalties, and test pictures, evenly spaced
    /// [example: --num 2000,200]
    #[arg(long, value_delimiter = ',', default_value = "2000,200", value_name = "TRAIN,TEST")]
    num: Vec<usize>,
    /// Numbers that are measured of each picture [example: --voxels 2000]
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    voxels: u32,
    /// Deviation of the noise on each, over that of what it measures [example: --noise 2]
    #[arg(long, default_value_t = 1.0, value_name = "RATIO")]
    noise: f64,
    /// Numbers of layers that are predicted; those beyond the network's are left out
    /// [example: --prefixes 2,6,14,31]
    #[arg(long, value_delimiter = ',', default_value = "2,6,14,31,75", value_name = "LIST")]
    prefixes: Vec<usize>,
    /// Seed of everything that is drawn [example: --seed 1]
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Folder for everything that is written [example: --out decoded]
    #[arg(long, default_value = "brain-decoding", value_name = "DIR")]
    out: PathBuf,
}

/// Every number.
#[derive(Debug, Serialize)]
struct Results {
    network: String,
    data: String,
    train: usize,
    test: usize,
    voxels: usize,
    noise: f64,
    seed: u64,
    prefixes: Vec<Prefix>,
}

/// Pictures by their first layers.
#[derive(Debug, Serialize)]
struct Prefix {
    layers: usize,
    /// Of the last of them.
    resolution: usize,
    latents: usize,
    /// Two-way, by predicted latents.
    identification: Mean,
    /// Of pictures decoded from them, and of those decoded from the true ones.
    ssim: Mean,
    ssim_of_true_latents: Mean,
}

/// A mean over test pictures.
#[derive(Debug, Clone, Copy, Serialize)]
struct Mean {
    value: f64,
    ci95: [f64; 2],
}

impl Mean {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|one| (one - value).powi(2)).sum::<f64>() / (n - 1.0);
        let half = QUANTILE * (variance / n).sqrt();
        Self { value, ci95: [value - half, value + half] }
    }
}

/// Pictures of the network's size, and their latents: the layers side by side, each (r, r, Z).
struct Seen {
    pixels: Array2<u8>,
    latents: Array2<f32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    claim::run(&args.out, || run(&args))
}

fn run(args: &Args) -> Outcome<Findings<Results>> {
    let &[train, test] = &args.num[..] else { return Err("--num: expected TRAIN,TEST".into()) };
    if train < 20 || test < 2 || !(args.noise >= 0.0 && args.noise.is_finite()) {
        return Err(
            "expected 20 training and 2 test pictures or more, and noise of 0 or more".into()
        );
    }
    let (model, network) = match &args.checkpoint {
        None => (Vdvae::builtin(&Device::Cpu)?, "built-in".to_owned()),
        Some(name) => {
            let path = checkpoint_file(name)?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (Vdvae::load(&path, &Device::Cpu)?, stem)
        }
    };
    let shapes = model.config().latent_layers();
    let mut prefixes: Vec<usize> = args.prefixes.iter().map(|&k| k.min(shapes.len())).collect();
    prefixes.retain(|&k| k > 0);
    prefixes.sort_unstable();
    prefixes.dedup();
    let Some(&most) = prefixes.last() else {
        return Err("--prefixes: expected numbers of layers".into());
    };
    let data = datasets::open(&args.data, &OpenOptions::from_env())?;
    let read = |split, count| see(&model, &*data, split, count, most);
    let (train, test) = (read(Split::Train, train)?, read(Split::Test, test)?);

    // Measure.
    let scanner = Scanner::new(args, model.config().image_size, &train.pixels);
    let [of_train, of_test] =
        [(&train, 1), (&test, 2)].map(|(seen, run)| scanner.measure(&seen.pixels, run));

    // Predict.
    let valid = of_train.nrows() / 10;
    let first = of_train.nrows() - valid;
    let table = |measured: ArrayView2<'_, f32>, latents: ArrayView2<'_, f32>| {
        table(measured.to_owned(), latents.mapv(f64::from))
    };
    let fitted = RidgeProbe::default().fit(
        &table(of_train.slice(s![..first, ..]), train.latents.slice(s![..first, ..])),
        &table(of_train.slice(s![first.., ..]), train.latents.slice(s![first.., ..])),
    )?;
    let predict = |measured: &Array2<f32>| -> Outcome<Array2<f32>> {
        // A latent that is the same in all training pictures has no regression, and stays what it is.
        let mean = train.latents.mean_axis(Axis(0)).ok_or("no training picture")?;
        let mut predicted = fitted.predict(measured.view())?.mapv(|value| value as f32);
        for mut row in predicted.rows_mut() {
            row.zip_mut_with(&mean, |value, &mean| {
                if value.is_nan() {
                    *value = mean;
                }
            });
        }
        Ok(predicted)
    };
    let predicted = predict(&of_test)?;

    // Give back the spread: from that of training predictions to that of training latents.
    let (from, to) =
        (Standardiser::of(predict(&of_train)?.view())?, Standardiser::of(train.latents.view())?);
    let calibrated = to.restore(from.apply(predicted.view())?.view())?;

    // Decode and identify.
    let mut columns = vec![test.pixels.clone()];
    let mut found = Vec::new();
    for &layers in &prefixes {
        let width: usize = shapes[..layers].iter().map(dimensions).sum();
        let first = |rows: &Array2<f32>| rows.slice(s![.., ..width]).to_owned();
        let decoded = decode(&model, &first(&calibrated), &shapes[..layers], args.seed)?;
        let of_true = decode(&model, &first(&test.latents), &shapes[..layers], args.seed)?;
        let likeness = |pictures: &Array2<u8>| {
            let size = [model.config().image_size; 2];
            let pairs = test.pixels.rows().into_iter().zip(pictures.rows());
            let one = pairs.map(|(a, b)| ssim(&a.to_vec(), &b.to_vec(), size));
            Mean::of(&one.collect::<Vec<f64>>())
        };
        // Every latent in units of its own spread: those of large variance would be all that counts.
        let standard = |rows: &Array2<f32>| -> Outcome<Array2<f64>> {
            Ok(to.apply(rows.view())?.slice(s![.., ..width]).to_owned())
        };
        found.push(Prefix {
            layers,
            resolution: shapes[layers - 1].resolution,
            latents: width,
            identification: identification(&standard(&predicted)?, &standard(&test.latents)?),
            ssim: likeness(&decoded),
            ssim_of_true_latents: likeness(&of_true),
        });
        columns.push(decoded);
    }
    draw(args, &columns, model.config().image_size)?;
    let results = Results {
        network,
        data: data.name().to_owned(),
        train: train.pixels.nrows(),
        test: test.pixels.nrows(),
        voxels: args.voxels as usize,
        noise: args.noise,
        seed: args.seed,
        prefixes: found,
    };
    Ok(Findings { table: table_of(&results), figure: figure(&results), results })
}

fn dimensions(shape: &LayerShape) -> usize {
    shape.resolution.pow(2) * shape.channels
}

/// Pictures of a split, evenly spaced, and the means of their first layers.
fn see(
    model: &Vdvae,
    data: &dyn Dataset,
    split: Split,
    count: usize,
    layers: usize,
) -> Outcome<Seen> {
    data.require(&[split])?;
    let size = model.config().image_size;
    let batches = Batches::new(data, split, Preparation::new(size)).evenly_spaced(count);
    let (mut pixels, mut latents, mut rows) = (Vec::new(), Vec::new(), 0);
    for batch in batches.size(BATCH) {
        let batch = batch?;
        let read = model.extract_latents(&model.pixels(batch.pixels.clone())?)?;
        let of_layers = read.layers()[..layers].iter();
        let of_layers = of_layers.map(|layer| layer.mean.flatten_from(1)?.to_vec2::<f32>());
        let of_layers = of_layers.collect::<Result<Vec<_>, _>>()?;
        for i in 0..batch.len() {
            of_layers.iter().for_each(|layer| latents.extend_from_slice(&layer[i]));
        }
        rows += batch.len();
        pixels.extend(batch.pixels);
    }
    Ok(Seen {
        pixels: Array2::from_shape_vec((rows, size * size * 3), pixels)?,
        latents: Array2::from_shape_vec((rows, latents.len() / rows.max(1)), latents)?,
    })
}

/// What is measured of a picture: voxels that look at patches of it.
struct Scanner {
    /// `(voxels, pixels)`: what each adds up.
    weights: Array2<f32>,
    /// Mean and deviation of each sum over training pictures.
    scale: Standardiser,
    noise: f64,
    seed: u64,
}

impl Scanner {
    fn new(args: &Args, size: usize, pixels: &Array2<u8>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
        let side = (size / 4).max(1);
        let mut weights = Array2::zeros((args.voxels as usize, size * size * 3));
        for mut row in weights.rows_mut() {
            let (top, left) =
                (rng.random_range(0..=size - side), rng.random_range(0..=size - side));
            for (y, x) in (0..side * side).map(|i| (top + i / side, left + i % side)) {
                for colour in 0..3 {
                    row[(y * size + x) * 3 + colour] = StandardNormal.sample(&mut rng);
                }
            }
        }
        let sums = pixels.mapv(f32::from).dot(&weights.t());
        let scale = Standardiser::of(sums.view()).expect("there are training pictures");
        Self { weights, scale, noise: args.noise, seed: args.seed }
    }

    /// `(N, voxels)`: deviation 1 over training pictures, and the noise.
    fn measure(&self, pixels: &Array2<u8>, run: u64) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(run);
        let sums = pixels.mapv(f32::from).dot(&self.weights.t());
        let sums = self.scale.apply(sums.view()).expect("as many voxels");
        sums.mapv(|sum| {
            let noise: f64 = StandardNormal.sample(&mut rng);
            (sum + self.noise * noise) as f32
        })
    }
}

/// Measurements as features, latents as what is to be predicted.
fn table(features: Array2<f32>, values: Array2<f64>) -> FeatureTable {
    let column = |cell| FeatureColumn { layer: None, resolution: None, channel: 0, cell };
    FeatureTable {
        keys: (0..features.nrows()).map(|row| row.to_string()).collect(),
        columns: (0..features.ncols()).map(column).collect(),
        groups: None,
        targets: Targets::Real {
            names: (0..values.ncols()).map(|latent| latent.to_string()).collect(),
            values,
        },
        features,
    }
}

/// Pictures from the latents of the first layers, the others by the means of their priors.
fn decode(
    model: &Vdvae,
    latents: &Array2<f32>,
    shapes: &[LayerShape],
    seed: u64,
) -> Outcome<Array2<u8>> {
    let mut pixels = Vec::new();
    for start in (0..latents.nrows()).step_by(BATCH) {
        let n = BATCH.min(latents.nrows() - start);
        let (mut given, mut from) = (Vec::new(), 0);
        for shape in shapes {
            let columns = from..from + dimensions(shape);
            from = columns.end;
            let values: Vec<f32> =
                latents.slice(s![start..start + n, columns]).iter().copied().collect();
            let (r, z) = (shape.resolution, shape.channels);
            given.push(Tensor::from_vec(values, (n, r, r, z), &Device::Cpu)?);
        }
        let pictures = model.decode_from(start as u64, n, &given, 0.0, seed)?;
        pixels.extend(pictures.flatten_all()?.to_vec1::<u8>()?);
    }
    Ok(Array2::from_shape_vec((latents.nrows(), pixels.len() / latents.nrows()), pixels)?)
}

/// How often the prediction of a picture is more like it than like another: the mean over others, for
/// each picture.
fn identification(predicted: &Array2<f64>, latents: &Array2<f64>) -> Mean {
    let unit = |rows: &Array2<f64>| {
        let mut rows = rows.clone();
        for mut row in rows.rows_mut() {
            let mean = row.mean().unwrap_or_default();
            row -= mean;
            let length = row.dot(&row).sqrt();
            row /= if length > 0.0 { length } else { 1.0 };
        }
        rows
    };
    let correlations = unit(predicted).dot(&unit(latents).t());
    let wins = |(picture, row): (usize, ArrayView1<'_, f64>)| {
        let own = row[picture];
        let others = row.iter().enumerate().filter(|(other, _)| *other != picture);
        let points = others.map(|(_, &other)| match own.total_cmp(&other) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        });
        points.sum::<f64>() / (row.len() - 1) as f64
    };
    let wins: Vec<f64> = correlations.rows().into_iter().enumerate().map(wins).collect();
    Mean::of(&wins)
}

/// A row a picture, a column each kind.
fn draw(args: &Args, columns: &[Array2<u8>], size: usize) -> Outcome<()> {
    let rows = SHOWN.min(columns[0].nrows());
    let mut grid = Grid::new([columns.len(), rows], [size; 2], 1, 1);
    for (place, pictures) in columns.iter().enumerate() {
        for row in 0..rows {
            grid.place(row * columns.len() + place, &pictures.row(row).to_vec());
        }
    }
    let path = args.out.join("pictures.png");
    grid.save(&path, 3).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn table_of(results: &Results) -> String {
    let Results { network, data, train, test, voxels, noise, .. } = results;
    let mut text = format!(
        "{voxels} voxels with noise of {noise} times their deviation, {network} on {data}: {train} \
         training and {test} test pictures\n\n\
         | layers | down to | latents | identification | SSIM | SSIM of true latents |\n\
         |---|---|---|---|---|---|\n"
    );
    for prefix in &results.prefixes {
        let Prefix { layers, resolution, latents, identification, ssim, ssim_of_true_latents } =
            prefix;
        let percent = |mean: &Mean| {
            let [low, high] = mean.ci95.map(|end| 100.0 * end);
            format!("{:.1}% [{low:.1}, {high:.1}]", 100.0 * mean.value)
        };
        let likeness = |mean: &Mean| {
            let [low, high] = mean.ci95;
            format!("{:.3} [{low:.3}, {high:.3}]", mean.value)
        };
        let (identified, [of, of_true]) =
            (percent(identification), [ssim, ssim_of_true_latents].map(likeness));
        writeln!(
            text,
            "| {layers} | {resolution}×{resolution} | {latents} | {identified} | {of} | {of_true} |"
        )
        .expect("a string takes any text");
    }
    text
}

fn figure(results: &Results) -> Option<String> {
    let line = |name: &str, value: &dyn Fn(&Prefix) -> Mean| {
        let point = |prefix: &Prefix| {
            let Mean { value, ci95 } = value(prefix);
            ChartPoint { x: prefix.layers as f64, y: value, ci95: Some(ci95) }
        };
        ChartLine { name: name.to_owned(), points: results.prefixes.iter().map(point).collect() }
    };
    let axis = |label: &str| ChartAxis { label: label.to_owned(), logarithmic: false };
    let chart = Chart {
        title: "Pictures from measurements, over layers of latents".to_owned(),
        x: axis("layers that are predicted, from the top"),
        y: axis("share identified, SSIM"),
        lines: vec![
            line("identification", &|prefix| prefix.identification),
            line("SSIM", &|prefix| prefix.ssim),
            line("of true latents", &|prefix| prefix.ssim_of_true_latents),
        ],
        ..Chart::default()
    };
    chart.svg()
}
