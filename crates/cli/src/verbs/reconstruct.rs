//! `vdvae reconstruct`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::Tensor;
use vdvae_datasets::{Batches, Dataset, Split};
use vdvae_features::LayerSelection;
use vdvae_io::Grid;
use vdvae_model::{Temperature, Vdvae};

use super::args::ZoomArg;
use crate::common::Common;
use crate::data::{DataArgs, PictureFiles, data_help};
use crate::exit::usage;
use crate::model::ModelArgs;
use crate::output::{cannot_write, check_writable, print, report_skipped};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Pictures to reconstruct [example: --images A.png B.png]
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with_all = ["data", "num"])]
    images: Vec<PathBuf>,
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]", help = data_help())]
    data: String,
    #[command(flatten)]
    source: DataArgs,
    /// How many test pictures of it, evenly spaced [example: --num 8]
    #[arg(long, default_value_t = 8, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    num: u32,
    /// Factor on the prior's standard deviation in the layers that are not given, and others at some
    /// resolutions [example: --temperature 0.8]
    #[arg(long, default_value = "0", value_name = "T[,RxR=T]")]
    temperature: Temperature,
    /// PNG to write: a row a picture; the original, then one column for "latents down to r×r"
    /// [example: --out grid.png]
    #[arg(long, default_value = "reconstructions.png", value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    zoom: ZoomArg,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    if let Some(flag) = args.source.given().filter(|_| !args.images.is_empty()) {
        return Err(usage(format!("{flag}: expected --data, found --images")));
    }
    check_writable(&args.out)?;
    let loaded = args.model.load(common)?;
    args.temperature.check(loaded.model.config()).map_err(|e| usage(format!("--{e}")))?;
    let model = &loaded.model;
    let pixels = pictures(&args, model)?;
    let n = pixels.dim(0)?;

    let latents = model.extract_latents(&pixels)?;
    let means: Vec<Tensor> = latents.layers().iter().map(|l| l.mean.clone()).collect();
    let mut resolutions: Vec<usize> = latents.layers().iter().map(|l| l.resolution).collect();
    resolutions.dedup();
    let size = model.config().image_size;
    let mut grid = Grid::new([1 + resolutions.len(), n], [size; 2], 1, 1);
    place_column(&mut grid, &pixels, 0, resolutions.len() + 1)?;
    for (column, &r) in resolutions.iter().enumerate() {
        let down_to = latents.layers().iter().filter(|l| l.resolution <= r).count();
        let decoded = model.decode(n, &means[..down_to], args.temperature.clone(), common.seed)?;
        place_column(&mut grid, &decoded, column + 1, resolutions.len() + 1)?;
    }
    grid.save(&args.out, args.zoom.zoom).with_context(|| cannot_write(&args.out))?;
    let columns: Vec<String> =
        resolutions.iter().map(|&r| LayerSelection::Resolution(r).to_string()).collect();
    print(&format!("{}: original, {}", args.out.display(), columns.join(", ")))
}

pub(super) fn place_column(
    grid: &mut Grid,
    pictures: &Tensor,
    column: usize,
    columns: usize,
) -> Result<()> {
    for i in 0..pictures.dim(0)? {
        grid.place(i * columns + column, &pictures.get(i)?.flatten_all()?.to_vec1()?);
    }
    Ok(())
}

fn pictures(args: &Args, model: &Vdvae) -> Result<Tensor> {
    let size = model.config().image_size;
    let (dataset, num): (Box<dyn Dataset>, _) = if args.images.is_empty() {
        let dataset = args.source.open(&args.data, &[Split::Test])?;
        dataset.require(&[Split::Test])?;
        (dataset, args.num as usize)
    } else {
        (Box::new(PictureFiles { paths: args.images.clone() }), args.images.len())
    };
    let preparation = args.source.orientation.preparation(size);
    let batches = Batches::new(&*dataset, Split::Test, preparation);
    let batches = batches.on_bad_image(args.source.on_bad_image);
    let mut batches = batches.evenly_spaced(num).size(num);
    let batch = batches.next().expect("the split was checked to hold a picture")?;
    report_skipped(&batch.skipped);
    if batch.is_empty() {
        anyhow::bail!("{}: no picture could be read", dataset.name());
    }
    Ok(model.pixels(batch.pixels)?)
}
