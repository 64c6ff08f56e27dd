//! `vdvae extract`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use serde_json::{Value, json};
use vdvae_datasets::{Batch, read_ahead};
use vdvae_features::{
    FeatureSpec, FeatureWriter, FileFormat, LayerSelection, Part, Pooling, Statistic,
    extract_pictures, selection_parts,
};
use vdvae_probes::DEVIATION_FLOOR;

use super::args::{Opened, SplitArgs, ahead};
use super::arrays::{NamedArray, write_arrays};
use super::like::Like;
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
    /// Layers: all, of one resolution, one, or the first from the top [default: all, or as --like has
    /// them] [example: --layers 32x32]
    #[arg(long, alias = "layer", value_name = "all|RxR|N|first:N")]
    layers: Option<LayerSelection>,
    /// What is read from each layer; the decoder's state of a resolution, and of all, where the resolution
    /// ends [default: mean, or as --like has it] [example: --statistic log-std]
    #[arg(long, value_name = "mean|z|prior-mean|log-std|prior-log-std|state|activation")]
    statistic: Option<Statistic>,
    #[command(flatten)]
    samples: SamplesArg,
    /// How a layer's grid becomes columns [example: --pool grid:4]
    #[arg(long, default_value = "none", value_name = "none|mean|grid:K")]
    pool: Pooling,
    /// File to write: .npz and .safetensors hold one array a layer, .npy one matrix, and OUT.json beside
    /// it says what they hold; .parquet holds that, too, a row a picture with key, labels and a list a
    /// layer. A run that was stopped continues
    /// [example: --out latents.npz]
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One of n equal parts of the split, for a batch scheduler; OUT becomes OUT.00-of-16.EXT
    /// [example: --shard 0/16]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Several matrices in one .npz, each with the layers side by side: of a split of --data, of all
    /// pictures of another data set, or of a split of it; `all` is a split, too
    /// [example: --arrays a=train,b=npy:b.npy,c=train@cifar10]
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME=SPLIT|NAME=[SPLIT@]DATA",
        conflicts_with_all = ["shard", "split"]
    )]
    arrays: Vec<NamedArray>,
    /// Lay the file out as others do. brain-diffuser: --statistic z --layers first:31 --arrays
    /// train_latents=train,test_latents=test, where these are not given
    /// [example: --like brain-diffuser]
    #[arg(long, value_name = "LAYOUT", conflicts_with_all = ["shard", "split"])]
    like: Option<Like>,
}

impl Args {
    /// The matrices of one file, if it is to hold several.
    fn named_arrays(&self) -> Vec<NamedArray> {
        match self.like {
            Some(like) if self.arrays.is_empty() => like.arrays(),
            _ => self.arrays.clone(),
        }
    }
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
    /// The pictures of a shard, or all, of so many.
    fn range(shard: Option<Self>, total: usize) -> std::ops::Range<usize> {
        let edge = |i: usize, count: usize| total * i / count;
        shard.map_or(0..total, |s| edge(s.index, s.count)..edge(s.index + 1, s.count))
    }

    fn path(self, out: &Path) -> PathBuf {
        let width = self.count.to_string().len();
        let label = format!("{:0width$}-of-{}", self.index, self.count);
        let extension = out.extension().unwrap_or_default().to_string_lossy();
        out.with_extension(format!("{label}.{extension}"))
    }
}

/// Everything that was asked for of one split, checked.
pub(super) struct Request<'a> {
    loaded: &'a LoadedModel,
    pictures: &'a SplitArgs,
    opened: &'a Opened,
    spec: FeatureSpec,
    layers: LayerSelection,
    parts: Vec<Part>,
    /// Pictures to read.
    range: std::ops::Range<usize>,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    let format = FileFormat::of(&args.out).map_err(usage)?;
    let arrays = args.named_arrays();
    if !arrays.is_empty() && format != FileFormat::Npz {
        let found = args.out.display();
        return Err(usage(format!("--arrays, --like: expected --out FILE.npz, found {found}")));
    }
    let unread = !arrays.is_empty() && !arrays.iter().any(NamedArray::reads_data);
    if let Some(data) = args.pictures.named().filter(|_| unread) {
        let expected = "expected --arrays NAME=SPLIT to read it";
        return Err(usage(format!("--data: {expected}, found {data}")));
    }
    let out = args.shard.map_or_else(|| args.out.clone(), |shard| shard.path(&args.out));
    check_writable(&out)?;
    let loaded = args.model.load(common)?;
    let spec = FeatureSpec {
        statistic: args.statistic.or(args.like.map(Like::statistic)).unwrap_or_default(),
        pooling: args.pool,
        seed: common.seed,
        samples: args.samples.samples as usize,
    };
    spec.validate().map_err(usage)?;
    let layers = args.layers.or(args.like.map(Like::layers)).unwrap_or(LayerSelection::All);
    let parts = selection_parts(loaded.model.config(), &spec, layers).map_err(usage)?;
    let request = |opened, shard: Option<Shard>| Request {
        loaded: &loaded,
        pictures: &args.pictures,
        opened,
        spec,
        layers,
        parts: parts.clone(),
        range: Shard::range(shard, Opened::len(opened)),
    };
    let columns: usize = parts.iter().map(|p| p.shape.iter().product::<usize>()).sum();
    if arrays.is_empty() {
        let rows = request(&args.pictures.open()?, args.shard).write(&out)?;
        return print(&format!("{}: {rows} images, {columns} columns", out.display()));
    }
    let opened = arrays.iter().map(|array| array.open(&args.pictures));
    let opened = opened.collect::<Result<Vec<_>>>()?;
    let sources = arrays.iter().zip(&opened);
    let sources: Vec<_> =
        sources.map(|(array, opened)| (&*array.name, request(opened, None))).collect();
    for (name, rows) in write_arrays(&out, &sources)? {
        print(&format!("{}: {name}: {rows} images, {columns} columns", out.display()))?;
    }
    Ok(())
}

impl Request<'_> {
    /// Writes one file, or goes on with it; returns its rows.
    pub(super) fn write(&self, out: &Path) -> Result<usize> {
        let identity = self.identity().to_string();
        let mut writer = FeatureWriter::open(out, self.parts.clone(), &identity)?;
        let bar = progress(self.range.len() as u64, "extracting");
        bar.set_position(writer.consumed() as u64);
        let left = self.range.start + writer.consumed()..self.range.end;
        let model = &self.loaded.model;
        let batch_size = self.pictures.batch_size();
        let at_once = if model.device().is_cpu() { rayon::current_num_threads() } else { 1 };
        let size = model.config().image_size;
        let batches = self.pictures.batches(self.opened, size).range(left);
        let batches = batches.size(batch_size * at_once);
        read_ahead(ahead(model.device()), batches, |batches| {
            for batch in batches {
                let batch = batch?;
                report_skipped(&batch.skipped);
                let Batch { pixels, indices, .. } = &batch;
                let features =
                    extract_pictures(model, pixels, indices, &self.spec, self.layers, batch_size)?;
                writer.append(batch.asked(), indices, &features)?;
                bar.inc(batch.asked() as u64);
            }
            Ok::<_, anyhow::Error>(())
        })?;
        bar.finish_and_clear();
        let rows = writer.rows();
        // A shard beyond the last picture is empty, and an empty file is what its job is to leave.
        if rows == 0 && !self.range.is_empty() {
            writer.discard()?;
            return Err(self.opened.none_read());
        }
        let Opened { dataset, split, .. } = self.opened;
        writer.finish(&identity, self.manifest(), &**dataset, *split)?;
        Ok(rows)
    }

    /// What makes two runs write the same file.
    pub(super) fn identity(&self) -> Value {
        let Opened { dataset, which, .. } = self.opened;
        json!({
            "model": {
                "name": self.loaded.name,
                "sha256": self.loaded.sha256,
                "config": self.loaded.model.config(),
            },
            "data": {
                "name": dataset.name(),
                "split": which.to_string(),
                "fingerprint": dataset.fingerprint(),
                "first": self.range.start,
                "end": self.range.end,
                "exif": self.pictures.exif().to_string(),
            },
            "statistic": self.spec.statistic.to_string(),
            "pool": self.spec.pooling.to_string(),
            "layers": self.layers.to_string(),
            "precision": self.loaded.model.precision(),
            "seed": self.spec.seed,
            "samples": self.spec.samples,
        })
    }

    /// What the file holds.
    fn manifest(&self) -> Value {
        let mut manifest = self.identity();
        manifest["format"] = json!("vdvae-features");
        // Who standardises the columns otherwise than probes do gets other scores.
        manifest["deviation_floor"] = json!(DEVIATION_FLOOR);
        manifest["arrays"] = json!(self.parts);
        manifest["remarks"] = json!(self.opened.dataset.remarks());
        manifest
    }
}
