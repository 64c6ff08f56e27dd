//! `vdvae decode`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use image::RgbImage;
use vdvae_features::read_layers;
use vdvae_io::write_png;
use vdvae_model::Vdvae;

use super::args::temperature;
use crate::common::Common;
use crate::exit::usage;
use crate::model::ModelArgs;
use crate::output::{cannot_write, check_writable, print, progress};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Latents of the first layers, as `extract --pool none` writes them: `layer.000` on in an .npz or
    /// .safetensors file, or one matrix with the layers side by side, in an .npy file; the other
    /// layers come from the prior [example: --latents latents.npz]
    #[arg(long, value_name = "FILE")]
    latents: PathBuf,
    /// Folder for the pictures, 000000.png on [example: --out decoded]
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Factor on the prior's standard deviation in layers that are not given
    /// [example: --temperature 0]
    #[arg(long, default_value_t = 1.0, value_name = "T", value_parser = temperature)]
    temperature: f64,
    /// Pictures at once [example: --batch-size 16]
    #[arg(long, default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    let loaded = args.model.load(common)?;
    let layers = read_layers(&args.latents, loaded.model.config())?;
    let n = layers.first().map_or(0, |l| l.dims()[0]);
    if n == 0 {
        return Err(usage(format!("{}: expected layer.000, found none", args.latents.display())));
    }
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{}: cannot create", args.out.display()))?;
    check_writable(&args.out.join("000000.png"))?;
    let bar = progress(n as u64, "decoding");
    for start in (0..n).step_by(args.batch_size as usize) {
        let count = (n - start).min(args.batch_size as usize);
        let given = layers
            .iter()
            .map(|layer| Ok(layer.narrow(0, start, count)?.contiguous()?))
            .collect::<Result<Vec<_>>>()?;
        let seed = common.seed.wrapping_add(start as u64);
        let pictures = loaded.model.decode(count, &given, args.temperature, seed)?;
        save(&pictures, start, &args, &loaded.model)?;
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    print(&format!("{}: {n} pictures, {} layers given", args.out.display(), layers.len()))
}

fn save(pictures: &Tensor, first: usize, args: &Args, model: &Vdvae) -> Result<()> {
    let size = model.config().image_size;
    let bytes = pictures.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<u8>()?;
    for (i, bytes) in bytes.chunks_exact(size * size * 3).enumerate() {
        let path = args.out.join(format!("{:06}.png", first + i));
        let picture = RgbImage::from_raw(size as u32, size as u32, bytes.to_vec());
        write_png(&path, &picture.expect("a whole picture"))
            .with_context(|| cannot_write(&path))?;
    }
    Ok(())
}
