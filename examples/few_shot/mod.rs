//! What the few-shot examples share: flags, one pass over the pictures, and a table.

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use vdvae::datasets::{Dataset, OnBadImage, Preparation, Split};
use vdvae::features::{
    Extraction, FeatureSource, FeatureSpec, FeatureTable, LayerSelection, Targets,
};
use vdvae::model::{VdvaeConfig, Weights};
use vdvae::probes::{Classifier, EpisodeConfig, EpisodeScores, FewShot, column_mean};
use vdvae::{Device, Vdvae};

/// Flags of every few-shot example.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The data set's own folder or archive [example: --data-root data/omniglot]
    #[arg(long, value_name = "PATH")]
    pub(crate) data_root: Option<PathBuf>,
    /// A network, in place of the built-in one [example: --checkpoint model.safetensors]
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Classes of an episode [example: --ways 20]
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) ways: usize,
    /// Labelled pictures of each class [example: --shots 5]
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) shots: usize,
    /// Pictures of each class to classify [example: --queries 15]
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub(crate) queries: usize,
    /// Episodes [example: --episodes 600]
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub(crate) episodes: u64,
    /// Seed of the episodes [example: --seed 1]
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// The features of both splits from one source.
struct Line {
    name: String,
    base: FeatureTable,
    test: FeatureTable,
}

/// Prints one line a source and resolution: the accuracy of nearest centroids (CL2N) over the same
/// episodes of test classes, with its 95% interval, and the paired difference from the pixels.
///
/// Features are centred on the mean of `base`, pictures of other classes.
pub(crate) fn run(dataset: &dyn Dataset, base: Split, args: &Args) -> Result<(), Box<dyn Error>> {
    dataset.require(&[base, Split::Test])?;
    let model = match &args.checkpoint {
        Some(path) => Vdvae::load(path, &Device::Cpu)?,
        None => Vdvae::builtin(&Device::Cpu)?,
    };
    let lines = lines(&model, dataset, base)?;
    let config = EpisodeConfig {
        ways: args.ways,
        shots: args.shots,
        queries: args.queries,
        seed: args.seed,
    };
    let few_shot = FewShot::new(&classes(&lines[0].test)?, config, args.episodes)?;
    println!(
        "{}: {} episodes of {} classes, {} labelled and {} more pictures of each; chance {:.1}%",
        dataset.name(),
        args.episodes,
        args.ways,
        args.shots,
        args.queries,
        100.0 / args.ways as f64
    );
    println!("features            columns  accuracy  less pixels");
    let accuracy = |line: &Line| -> Result<EpisodeScores, Box<dyn Error>> {
        let mean = column_mean(line.base.features.view())?;
        Ok(few_shot.evaluate(line.test.features.view(), &mean, Classifier::Cl2n)?)
    };
    let pixels = accuracy(lines.last().ok_or("no features")?)?;
    for line in &lines {
        let scores = accuracy(line)?;
        let (mean, half) = (100.0 * scores.mean(), 100.0 * scores.half_width().unwrap_or(0.0));
        let difference = scores.minus(&pixels);
        let columns = line.test.features.ncols();
        println!(
            "{:18} {columns:8}  {mean:4.1} ±{half:3.1}  {:+.1}",
            line.name,
            100.0 * difference.value
        );
    }
    Ok(())
}

/// Latents of every resolution and of all layers, of the network and of one with random weights;
/// pixels last. Each network sees every picture once.
fn lines(model: &Vdvae, dataset: &dyn Dataset, base: Split) -> Result<Vec<Line>, Box<dyn Error>> {
    let config = model.config();
    let random = Vdvae::new(config, &Weights::initialise(config, 0), &Device::Cpu)?;
    let (spec, layers) = (FeatureSpec::default(), LayerSelection::All);
    let sources = [
        FeatureSource::Latents { model, spec, layers },
        FeatureSource::Latents { model: &random, spec, layers },
        FeatureSource::Pixels,
    ];
    let read = |split| -> Result<Vec<FeatureTable>, Box<dyn Error>> {
        let preparation = Preparation::new(config.image_size);
        let on_bad_image = OnBadImage::Fail;
        let extraction = Extraction { dataset, split, preparation, on_bad_image, batch_size: 32 };
        let len = dataset.len(split);
        eprintln!("reading {len} pictures of split {split}");
        Ok(extraction.run(&sources, |_| ())?.tables)
    };
    let (base, test) = (read(base)?, read(Split::Test)?);
    let mut lines = Vec::new();
    for (place, source) in ["latents", "random-init"].into_iter().enumerate() {
        for (name, resolution) in selections(config) {
            let part = |table: &FeatureTable| match resolution {
                Some(r) => table.select_columns(|column| column.resolution == Some(r)),
                None => table.clone(),
            };
            let name = format!("{source} {name}");
            lines.push(Line { name, base: part(&base[place]), test: part(&test[place]) });
        }
    }
    let name = "pixels".to_owned();
    lines.push(Line { name, base: base[2].clone(), test: test[2].clone() });
    Ok(lines)
}

/// Every resolution, then all layers.
fn selections(config: &VdvaeConfig) -> Vec<(String, Option<usize>)> {
    let mut resolutions: Vec<usize> =
        config.latent_layers().iter().map(|layer| layer.resolution).collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    let named = resolutions.into_iter().map(|r| (format!("{r}x{r}"), Some(r)));
    named.chain([("all".to_owned(), None)]).collect()
}

/// The class of every row; the person where pictures have no class.
fn classes(table: &FeatureTable) -> Result<Vec<u32>, Box<dyn Error>> {
    match (&table.targets, &table.groups) {
        (Targets::Classes { labels, .. }, _) => Ok(labels.clone()),
        (_, Some(groups)) => Ok(groups.iter().map(|&group| group as u32).collect()),
        _ => Err("expected classes or people".into()),
    }
}
