//! `vdvae interpolate`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use vdvae_experiment::mixed;
use vdvae_features::LayerSelection;
use vdvae_io::Grid;

use super::args::{ZoomArg, read_pictures};
use super::reconstruct::place_column;
use crate::common::Common;
use crate::data::ExifArg;
use crate::exit::usage;
use crate::model::ModelArgs;
use crate::output::{cannot_write, check_writable, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Picture to start from
    #[arg(value_name = "A")]
    from: PathBuf,
    /// Picture to end at
    #[arg(value_name = "B")]
    to: PathBuf,
    /// Pictures between, with both ends [example: --columns 5]
    #[arg(long, default_value_t = 7, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..=100))]
    columns: u32,
    /// Layers whose means are mixed; the others stay those of A [example: --layers first:5]
    #[arg(long, alias = "layer", default_value = "all", value_name = "all|RxR|N|first:N")]
    layers: LayerSelection,
    /// PNG to write: A, the pictures between, and B [example: --out between.png]
    #[arg(long, default_value = "interpolated.png", value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    zoom: ZoomArg,
    #[command(flatten)]
    orientation: ExifArg,
}

pub(crate) fn run(args: &Args, common: &Common) -> Result<()> {
    check_writable(&args.out)?;
    let loaded = args.model.load(common)?;
    let model = &loaded.model;
    let shapes = model.config().latent_layers();
    let moving = shapes.iter().filter(|shape| args.layers.contains(shape)).count();
    if moving == 0 {
        let found = args.layers;
        return Err(usage(format!("--layers: expected layers of the network, found {found}")));
    }
    let files = [args.from.clone(), args.to.clone()];
    let pixels = read_pictures(&files, &args.orientation, model)?;
    let ends = [0, 1].map(|i| model.extract_latents(&pixels.narrow(0, i, 1)?));
    let [a, b] = ends;
    let (a, b) = (a?, b?);

    let (columns, size) = (args.columns as usize, model.config().image_size);
    let mut grid = Grid::new([columns + 2, 1], [size; 2], 1, 1);
    place_column(&mut grid, &pixels.narrow(0, 0, 1)?, 0, columns + 2)?;
    for column in 0..columns {
        let share = column as f64 / (columns - 1) as f64;
        let latents = mixed(model.config(), [a.layers(), b.layers()], share, args.layers)?;
        let picture = model.decode(1, &latents, 1.0, common.seed)?;
        place_column(&mut grid, &picture, column + 1, columns + 2)?;
    }
    place_column(&mut grid, &pixels.narrow(0, 1, 1)?, columns + 1, columns + 2)?;
    grid.save(&args.out, args.zoom.zoom).with_context(|| cannot_write(&args.out))?;
    let all = shapes.len();
    print(&format!("{}: {columns} pictures, {moving} of {all} layers mixed", args.out.display()))
}
