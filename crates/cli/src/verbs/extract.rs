//! `vdvae extract`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use serde_json::{Value, json};
use vdvae_datasets::{Batch, Dataset, Exif, Labels, Split, read_ahead};
use vdvae_features::{
    FeatureSpec, FeatureWriter, FileFormat, LayerSelection, Part, Pooling, Statistic,
    extract_pictures, selection_parts,
};
use vdvae_probes::DEVIATION_FLOOR;

use super::args::{SplitArgs, ahead};
use crate::common::{Common, SamplesArg};
use crate::exit::usage;
use crate::model::{LoadedModel, ModelArgs};
use crate::output::{check_writable, print, progress, report_skipped};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pictures: SplitArgs,
    /// Layers: all, of one resolution, one, or the first from the top
    /// [example: --layers 32x32]
    #[arg(long, alias = "layer", default_value = "all", value_name = "all|RxR|N|first:N")]
    layers: LayerSelection,
    /// What is read from each layer; the decoder's state of a resolution, and of all, where the resolution
    /// ends [example: --statistic log-std]
    #[arg(long, default_value = "mean", value_name = "mean|z|prior-mean|log-std|state|activation")]
    statistic: Statistic,
    #[command(flatten)]
    samples: SamplesArg,
    /// How a layer's grid becomes columns [example: --pool grid:4]
    #[arg(long, default_value = "none", value_name = "none|mean|grid:K")]
    pool: Pooling,
    /// File to write: .npz and .safetensors hold one array a layer, .npy one matrix; OUT.json
    /// beside it says what they hold. A run that was stopped continues
    /// [example: --out latents.npz]
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One of n equal parts of the split, for a batch scheduler; OUT becomes OUT.00-of-16.EXT
    /// [example: --shard 0/16]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
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
    exif: Exif,
    spec: FeatureSpec,
    layers: LayerSelection,
    parts: Vec<Part>,
    /// Pictures of the split to read.
    range: std::ops::Range<usize>,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    FileFormat::of(&args.out).map_err(usage)?;
    let out = args.shard.map_or_else(|| args.out.clone(), |shard| shard.path(&args.out));
    check_writable(&out)?;
    let loaded = args.model.load(common)?;
    let (layers, split) = (args.layers, args.pictures.split);
    let spec = FeatureSpec {
        statistic: args.statistic,
        pooling: args.pool,
        seed: common.seed,
        samples: args.samples.samples as usize,
    };
    spec.validate().map_err(usage)?;
    let config = loaded.model.config();
    let parts = selection_parts(config, &spec, layers).map_err(usage)?;
    let dataset = args.pictures.open()?;
    let total = dataset.len(split);
    let edge = |i: usize, count: usize| total * i / count;
    let range = args.shard.map_or(0..total, |s| edge(s.index, s.count)..edge(s.index + 1, s.count));
    let exif = args.pictures.exif();
    let dataset = dataset.as_ref();
    let request = Request { loaded: &loaded, dataset, split, exif, spec, layers, parts, range };
    let identity = request.identity().to_string();

    let mut writer = FeatureWriter::open(&out, request.parts.clone(), &identity)?;
    let bar = progress(request.range.len() as u64, "extracting");
    bar.set_position(writer.consumed() as u64);
    let left = request.range.start + writer.consumed()..request.range.end;
    let device = loaded.model.device();
    let batch_size = args.pictures.batch_size();
    let at_once = if device.is_cpu() { rayon::current_num_threads() } else { 1 };
    let batches = args.pictures.batches(dataset, config.image_size).range(left);
    let batches = batches.size(batch_size * at_once);
    read_ahead(ahead(device), batches, |batches| {
        for batch in batches {
            let batch = batch?;
            report_skipped(&batch.skipped);
            let Batch { pixels, indices, .. } = &batch;
            let features =
                extract_pictures(&loaded.model, pixels, indices, &spec, layers, batch_size)?;
            writer.append(batch.asked(), indices, &features)?;
            bar.inc(batch.asked() as u64);
        }
        Ok::<_, anyhow::Error>(())
    })?;
    bar.finish_and_clear();
    let rows = writer.rows();
    // A shard beyond the last picture is empty, and an empty file is what its job is to leave.
    if rows == 0 && !request.range.is_empty() {
        writer.discard()?;
        return Err(args.pictures.none_read(dataset));
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
                "exif": self.exif.to_string(),
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
        // Who standardises the columns otherwise than probes do gets other scores.
        manifest["deviation_floor"] = json!(DEVIATION_FLOOR);
        manifest["arrays"] = json!(self.parts);
        manifest["remarks"] = json!(self.dataset.remarks());
        manifest["keys"] =
            kept.iter().map(|&i| Value::from(self.dataset.key(self.split, i))).collect();
        if let Some(groups) = self.dataset.groups(self.split) {
            manifest["groups"] = kept.iter().map(|&i| Value::from(groups[i])).collect();
        }
        manifest["labels"] = labels_of(&self.dataset.labels(self.split), kept);
        manifest
    }
}

/// The labels of some pictures. A number or a class that is missing is null.
fn labels_of(labels: &Labels, kept: &[usize]) -> Value {
    match labels {
        Labels::None => Value::Null,
        Labels::Classes { names, labels } => {
            let known = |&i: &usize| Some(labels[i]).filter(|l| *l != Labels::UNKNOWN_CLASS);
            json!({"classes": names, "values": kept.iter().map(known).collect::<Vec<_>>()})
        }
        Labels::Binary { names, values } => {
            let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
            json!({"attributes": names, "values": kept.iter().map(row).collect::<Vec<_>>()})
        }
        Labels::Real { names, values } => {
            let row = |&i: &usize| &values[i * names.len()..(i + 1) * names.len()];
            json!({"numbers": names, "values": kept.iter().map(row).collect::<Vec<_>>()})
        }
        Labels::Several(parts) => {
            let part = |(name, part): &(String, Labels)| (name.clone(), labels_of(part, kept));
            json!({"several": parts.iter().map(part).collect::<serde_json::Map<_, _>>()})
        }
    }
}
