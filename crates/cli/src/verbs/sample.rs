//! `vdvae sample`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use vdvae_io::Grid;
use vdvae_model::Temperature;

use super::args::ZoomArg;
use crate::common::Common;
use crate::exit::usage;
use crate::model::ModelArgs;
use crate::output::{cannot_write, check_writable, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Pictures to draw [example: --num 64]
    #[arg(long, default_value_t = 64, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    num: u32,
    /// Factor on the prior's standard deviation, and others at some resolutions
    /// [example: --temperature 0.9,1x1=1,32x32=0.5]
    #[arg(long, default_value = "1", value_name = "T[,RxR=T]")]
    temperature: Temperature,
    /// PNG to write, pictures in a square grid [example: --out grid.png]
    #[arg(long, default_value = "samples.png", value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    zoom: ZoomArg,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    check_writable(&args.out)?;
    let loaded = args.model.load(common)?;
    args.temperature.check(loaded.model.config()).map_err(|e| usage(format!("--{e}")))?;
    let n = args.num as usize;
    let pictures = loaded.model.sample(n, args.temperature, common.seed)?;
    let columns = (n as f64).sqrt().ceil() as usize;
    let size = loaded.model.config().image_size;
    let mut grid = Grid::new([columns, n.div_ceil(columns)], [size; 2], 1, 1);
    grid.place(0, &pictures.flatten_all()?.to_vec1()?);
    grid.save(&args.out, args.zoom.zoom).with_context(|| cannot_write(&args.out))?;
    print(&args.out.display().to_string())
}
