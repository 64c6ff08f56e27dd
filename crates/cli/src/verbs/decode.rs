//! `vdvae decode`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use ndarray::Array2;
use vdvae_features::{ArrayFile, LayerSelection, read_layers};
use vdvae_io::write_png;
use vdvae_model::{Temperature, Vdvae, VdvaeConfig};
use vdvae_probes::Standardiser;

use super::like::Like;
use crate::common::Common;
use crate::exit::usage;
use crate::model::ModelArgs;
use crate::output::{cannot_write, check_writable, print, progress};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Latents of the first layers, as `extract --pool none` writes them: `layer.000` on in an .npz,
    /// .safetensors or .parquet file, or one matrix with the layers side by side, in an .npy file, alone
    /// in another, named after a colon, or all columns of floats of a .parquet file; the other layers
    /// come from the prior [example: --latents latents.npz]
    #[arg(long, value_name = "FILE[:ARRAY]")]
    latents: ArrayFile,
    /// How many layers of the file are given, from the top; without it all that it has
    /// [example: --layers first:31]
    #[arg(long, alias = "layer", value_name = "first:N|all")]
    layers: Option<LayerSelection>,
    /// Name pictures and take layers as others do. brain-diffuser: --layers first:31 --size 512, where
    /// these are not given, and pictures are named 0.png, 1.png, … [example: --like brain-diffuser]
    #[arg(long, value_name = "LAYOUT")]
    like: Option<Like>,
    #[command(flatten)]
    standardise: StandardiseArgs,
    /// Folder for the pictures, 000000.png on [example: --out decoded]
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Side of the pictures in pixels, which Keys' bicubic filter makes larger or smaller
    /// [default: the network's, or as --like has it] [example: --size 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8192))]
    size: Option<u32>,
    /// Factor on the prior's standard deviation in layers that are not given, and others at some
    /// resolutions [example: --temperature 0]
    #[arg(long, default_value = "1", value_name = "T[,RxR=T]")]
    temperature: Temperature,
    /// Pictures at once; it changes none of them [example: --batch-size 16]
    #[arg(long, default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
}

/// Predictions of a regression have less spread than what they predict; these give it back.
#[derive(Debug, clap::Args)]
struct StandardiseArgs {
    /// Give every column the mean and deviation that it has in this file, the latents of the training
    /// pictures [example: --standardize-to features.npz:train_latents]
    #[arg(long, value_name = "FILE[:ARRAY]", requires = "source")]
    standardize_to: Option<ArrayFile>,
    /// The mean and deviation that columns have now are taken from this file: what the same regression
    /// predicts of training pictures, best of such as it was not fitted to
    /// [example: --standardize-from train-predictions.npy]
    #[arg(long, value_name = "FILE[:ARRAY]", group = "source", requires = "standardize_to")]
    standardize_from: Option<ArrayFile>,
    /// They are taken from --latents itself, as published code for brain decoding does: every picture
    /// then depends on the others that are decoded with it
    /// [example: --standardize-from-latents]
    #[arg(long, group = "source", requires = "standardize_to")]
    standardize_from_latents: bool,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    let loaded = args.model.load(common)?;
    args.temperature.check(loaded.model.config()).map_err(|e| usage(format!("--{e}")))?;
    let config = loaded.model.config();
    let wanted = args.layers.or_else(|| args.like.map(Like::layers));
    let wanted = wanted.map(|layers| count(layers, config, "--layers")).transpose()?;
    let latents = read_at_least(&args.latents, wanted, config)?;
    let n = latents[0].dims()[0];
    if n == 0 {
        return Err(usage(format!("{}: expected latents, found no row", args.latents)));
    }
    let latents = args.standardise.apply(latents, config)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot create", args.out.display()))?;
    check_writable(&args.path(0))?;
    let bar = progress(n as u64, "decoding");
    for start in (0..n).step_by(args.batch_size as usize) {
        let count = (n - start).min(args.batch_size as usize);
        let given = latents
            .iter()
            .map(|layer| Ok(layer.narrow(0, start, count)?.contiguous()?))
            .collect::<Result<Vec<_>>>()?;
        let temperature = args.temperature.clone();
        let pictures =
            loaded.model.decode_from(start as u64, count, &given, temperature, common.seed)?;
        save(&pictures, start, &args, &loaded.model)?;
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    print(&format!("{}: {n} pictures, {} layers given", args.out.display(), latents.len()))
}

/// How many layers from the top a selection is.
pub(super) fn count(layers: LayerSelection, config: &VdvaeConfig, flag: &str) -> Result<usize> {
    let all = config.latent_layers().len();
    match layers {
        LayerSelection::All => Ok(all),
        LayerSelection::First(n) if (1..=all).contains(&n) => Ok(n),
        found => {
            Err(usage(format!("{flag}: expected first:1 to first:{all}, or all, found {found}")))
        }
    }
}

/// The first layers of a file: so many of them, or all there are.
fn read_at_least(
    file: &ArrayFile,
    wanted: Option<usize>,
    config: &VdvaeConfig,
) -> Result<Vec<Tensor>> {
    let mut layers = read_layers(file, config)?;
    if let Some(wanted) = wanted {
        if layers.len() < wanted {
            bail!("{file}: expected latents of {wanted} layers, found {}", layers.len());
        }
        layers.truncate(wanted);
    }
    Ok(layers)
}

impl StandardiseArgs {
    /// The latents with means and deviations as asked for.
    fn apply(&self, latents: Vec<Tensor>, config: &VdvaeConfig) -> Result<Vec<Tensor>> {
        let Some(to) = &self.standardize_to else { return Ok(latents) };
        let read = |file| read_at_least(file, Some(latents.len()), config);
        let from = self.standardize_from.as_ref().map(read).transpose()?;
        if from.is_none() {
            eprintln!(
                "warning: --standardize-from-latents: each picture depends on the others that are \
                 decoded with it; --standardize-from takes training predictions"
            );
        }
        let to = read(to)?;
        let pairs = latents.iter().zip(from.as_ref().unwrap_or(&latents)).zip(&to);
        let moved = pairs.map(|((latents, from), to)| {
            let (from, to) = (Standardiser::of(rows(from)?.view()), rows(to)?);
            let standard = from?.apply(rows(latents)?.view())?;
            let moved = Standardiser::of(to.view())?.restore(standard.view())?;
            let values = moved.into_raw_vec_and_offset().0;
            Ok(Tensor::from_vec(values, latents.shape(), &Device::Cpu)?)
        });
        moved.collect()
    }
}

/// (N, r · r · Z) of (N, r, r, Z).
fn rows(layer: &Tensor) -> Result<Array2<f32>> {
    let rows = layer.flatten_from(1)?;
    Ok(Array2::from_shape_vec(rows.dims2()?, rows.flatten_all()?.to_vec1()?)?)
}

impl Args {
    /// Where a picture goes.
    fn path(&self, number: usize) -> PathBuf {
        self.out.join(match self.like {
            Some(Like::BrainDiffuser) => format!("{number}.png"),
            None => format!("{number:06}.png"),
        })
    }
}

fn save(pictures: &Tensor, first: usize, args: &Args, model: &Vdvae) -> Result<()> {
    let size = model.config().image_size as u32;
    let asked = args.size.or(args.like.map(Like::size)).unwrap_or(size);
    let bytes = pictures.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<u8>()?;
    for (i, bytes) in bytes.chunks_exact((size * size * 3) as usize).enumerate() {
        let path = args.path(first + i);
        let picture = RgbImage::from_raw(size, size, bytes.to_vec()).expect("a whole picture");
        let picture = match asked == size {
            true => picture,
            false => resize(&picture, asked, asked, FilterType::CatmullRom),
        };
        write_png(&path, &picture).with_context(|| cannot_write(&path))?;
    }
    Ok(())
}
