//! `vdvae extract`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use serde_json::{Value, json};
use vdvae_datasets::{Dataset, Labels, Preparation, Split, load_batch};
use vdvae_features::{
    FeatureSpec, FeatureWriter, FileFormat, LayerSelection, Part, Pooling, Statistic,
    extract_pictures, selection_parts,
};

use crate::common::{Common, SamplesArg};
use crate::data::DataArgs;
use crate::exit::usage;
use crate::model::{LoadedModel, ModelArgs};
use crate::output::{check_writable, print, progress, report_skipped};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Data set, with its folder after a colon [example: --data folder:pictures]
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]")]
    data: String,
    #[command(flatten)]
    source: DataArgs,
    /// Split to read [example: --split train]
    #[arg(long, default_value = "test", value_name = "train|valid|test")]
    split: String,
    /// Layers: all, of one resolution, one, or the first from the top
    /// [example: --layers 32x32]
    #[arg(long, alias = "layer", default_value = "all", value_name = "all|RxR|N|first:N")]
    layers: String,
    /// What is read from each layer [example: --statistic log-std]
    #[arg(long, default_value = "mean", value_name = "mean|z|log-std|state|activation")]
    statistic: String,
    #[command(flatten)]
    samples: SamplesArg,
    /// How a layer's grid becomes columns [example: --pool grid:4]
    #[arg(long, default_value = "none", value_name = "none|mean|grid:K")]
    pool: String,
    /// File to write: .npz and .safetensors hold one array a layer, .npy one matrix; OUT.json
    /// beside it says what they hold. A run that was stopped continues
    /// [example: --out latents.npz]
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One of n equal parts of the split, for a batch scheduler; OUT becomes OUT.00-of-16.EXT
    /// [example: --shard 0/16]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Pictures at once [example: --batch-size 16]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
}

/// Part `index` of `count` equal parts.
#[derive(Debug, Clone, Copy)]
struct Shard {
    index: usize,
    count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            let shard = Self { index: index.parse().ok()?, count: count.parse().ok()? };
            (shard.index < shard.count).then_some(shard)
        };
        parse().ok_or_else(|| format!("expected I/N with I from 0 to N-1, found `{text}`"))
    }
}

impl Shard {
    fn path(self, out: &Path) -> PathBuf {
        let width = self.count.to_string().len();
        let label = format!("{:0width$}-of-{}", self.index, self.count);
        let extension = out.extension().unwrap_or_default().to_string_lossy();
        out.with_extension(format!("{label}.{extension}"))
    }
}

/// Everything that was asked for, checked.
struct Request<'a> {
    loaded: &'a LoadedModel,
    dataset: &'a dyn Dataset,
    split: Split,
    spec: FeatureSpec,
    layers: LayerSelection,
    parts: Vec<Part>,
    /// Pictures of the split to read.
    range: std::ops::Range<usize>,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    let split: Split = args.split.parse().map_err(usage)?;
    let statistic: Statistic = args.statistic.parse().map_err(usage)?;
    let pooling: Pooling = args.pool.parse().map_err(usage)?;
    let layers: LayerSelection = args.layers.parse().map_err(usage)?;
    let on_bad = args.source.on_bad_image;
    FileFormat::of(&args.out).map_err(usage)?;
    let out = args.shard.map_or_else(|| args.out.clone(), |shard| shard.path(&args.out));
    check_writable(&out)?;
    let loaded = args.model.load(common)?;
    let samples = args.samples.samples as usize;
    let spec = FeatureSpec { statistic, pooling, seed: common.seed, samples };
    spec.validate().map_err(usage)?;
    let parts = selection_parts(loaded.model.config(), &spec, layers).map_err(usage)?;
    let dataset = args.source.open(&args.data, &[split])?;
    dataset.require(&[split])?;
    let total = dataset.len(split);
    let edge = |i: usize, count: usize| total * i / count;
    let range = args.shard.map_or(0..total, |s| edge(s.index, s.count)..edge(s.index + 1, s.count));
    let request =
        Request { loaded: &loaded, dataset: dataset.as_ref(), split, spec, layers, parts, range };
    let identity = request.identity().to_string();

    let mut writer = FeatureWriter::open(&out, request.parts.clone(), &identity)?;
    let size = loaded.model.config().image_size;
    let preparation = Preparation::new(size);
    let bar = progress(request.range.len() as u64, "extracting");
    let first = request.range.start + writer.consumed();
    for start in (first..request.range.end).step_by(args.batch_size as usize) {
        let end = request.range.end.min(start + args.batch_size as usize);
        let indices: Vec<usize> = (start..end).collect();
        let batch = load_batch(request.dataset, split, &indices, &preparation, on_bad)?;
        report_skipped(&batch.skipped);
        let features = if batch.is_empty() {
            request.parts.iter().map(|_| vdvae_features::LayerFeatures::default()).collect()
        } else {
            extract_pictures(&loaded.model, &batch.pixels, &batch.indices, &spec, layers)?
        };
        writer.append(indices.len(), &batch.indices, &features)?;
        bar.set_position((end - request.range.start) as u64);
    }
    bar.finish_and_clear();
    let rows = writer.rows();
    // A shard beyond the last picture is empty, and an empty file is what its job is to leave.
    if rows == 0 && !request.range.is_empty() {
        writer.discard()?;
        anyhow::bail!("{}: no picture of split `{split}` could be read", dataset.name());
    }
    writer.finish(&identity, |kept| request.manifest(kept))?;
    let columns: usize = request.parts.iter().map(|p| p.shape.iter().product::<usize>()).sum();
    print(&format!("{}: {rows} images, {columns} columns", out.display()))
}

impl Request<'_> {
    /// What makes two runs write the same file.
    fn identity(&self) -> Value {
        json!({
            "model": {
                "name": self.loaded.name,
                "sha256": self.loaded.sha256,
                "config": self.loaded.model.config(),
            },
            "data": {
                "name": self.dataset.name(),
                "split": self.split.to_string(),
                "fingerprint": self.dataset.fingerprint(),
                "first": self.range.start,
                "end": self.range.end,
            },
            "statistic": self.spec.statistic.to_string(),
            "pool": self.spec.pooling.to_string(),
            "layers": self.layers.to_string(),
            "precision": self.loaded.model.precision(),
            "seed": self.spec.seed,
            "samples": self.spec.samples,
        })
    }

    /// What the file holds, and where each row came from.
    fn manifest(&self, kept: &[usize]) -> Value {
        let mut manifest = self.identity();
        manifest["format"] = json!("vdvae-features");
        manifest["arrays"] = json!(self.parts);
        manifest["keys"] =
            kept.iter().map(|&i| Value::from(self.dataset.key(self.split, i))).collect();
        if let Some(groups) = self.dataset.groups(self.split) {
            manifest["groups"] = kept.iter().map(|&i| Value::from(groups[i])).collect();
        }
        manifest["labels"] = match self.dataset.labels(self.split) {
            Labels::None => Value::Null,
            Labels::Classes { names, labels } => {
                let labels: Vec<u32> = kept.iter().map(|&i| labels[i]).collect();
                json!({"classes": names, "values": labels})
            }
            Labels::Binary { names, values } => {
                let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
                let values: Vec<_> = kept.iter().map(row).collect();
                json!({"attributes": names, "values": values})
            }
            // What is missing is null.
            Labels::Real { names, values } => {
                let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
                let values: Vec<_> = kept.iter().map(row).collect();
                json!({"numbers": names, "values": values})
            }
        };
        manifest
    }
}
