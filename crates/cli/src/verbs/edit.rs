//! `vdvae edit`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use ndarray::Array2;
use serde_json::json;
use vdvae_experiment::Direction;
use vdvae_features::{LayerSelection, extract_pictures, side_by_side};
use vdvae_io::Grid;
use vdvae_model::Vdvae;
use vdvae_probes::SavedProbe;
use vdvae_report::{Side, text_table};

use super::args::{ZoomArg, read_pictures};
use super::decode::count;
use super::reconstruct::place_column;
use crate::common::Common;
use crate::data::ExifArg;
use crate::exit::usage;
use crate::model::{LoadedModel, ModelArgs};
use crate::output::{cannot_write, check_writable, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Pictures to edit, a row each
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A probe of means of latents that `vdvae-probe --save-probe` wrote, for the same network
    /// [example: --probe hat.safetensors]
    #[arg(long, value_name = "FILE")]
    probe: PathBuf,
    /// Target or class of the probe [example: --target Hat]
    #[arg(long, value_name = "NAME")]
    target: String,
    /// How far, from and to, in standard deviations of the target's score over the probe's training
    /// pictures; or one number [example: --strength -2..2]
    #[arg(long, default_value = "-3..3", value_name = "A..B", allow_hyphen_values = true)]
    strength: Strengths,
    /// Pictures between, with both ends [default: 7, or 1 for one number] [example: --columns 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100))]
    columns: Option<u32>,
    /// Layers that move, of those that the probe reads; the others stay as the picture has them
    /// [example: --layers 8x8]
    #[arg(long, alias = "layer", default_value = "all", value_name = "all|RxR|N|first:N")]
    layers: LayerSelection,
    /// How many layers are given, from the top; those below follow by the means of their priors. Layers
    /// that are given as the picture has them hold on to what it shows [example: --given first:13]
    #[arg(long, default_value = "all", value_name = "first:N|all")]
    given: LayerSelection,
    /// PNG to write: a row a picture; the picture as it is, then weaker to stronger
    /// [example: --out hat.png]
    #[arg(long, default_value = "edited.png", value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    zoom: ZoomArg,
    #[command(flatten)]
    orientation: ExifArg,
}

/// How far latents move, from one end to the other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Strengths {
    from: f64,
    to: f64,
}

impl FromStr for Strengths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.trim().parse().ok().filter(|x: &f64| x.is_finite());
        match (number(from), number(to)) {
            (Some(from), Some(to)) => Ok(Self { from, to }),
            _ => Err(format!("expected A..B, or one number, found `{text}`")),
        }
    }
}

impl Args {
    /// The strength of each column.
    fn strengths(&self) -> Result<Vec<f64>> {
        let Strengths { from, to } = self.strength;
        let columns = match self.columns {
            Some(_) if from == to => {
                return Err(usage(format!("--columns: expected --strength A..B, found {from}")));
            }
            None if from == to => 1,
            columns => columns.unwrap_or(7),
        };
        let step = (to - from) / f64::from(columns.max(2) - 1);
        Ok((0..columns).map(|i| from + step * f64::from(i)).collect())
    }
}

pub(crate) fn run(args: &Args, common: &Common) -> Result<()> {
    let strengths = args.strengths()?;
    check_writable(&args.out)?;
    let probe = SavedProbe::load(&args.probe)?;
    let loaded = args.model.load(common)?;
    loaded.check_probe(&probe, &args.probe)?;
    let model = &loaded.model;
    let direction = Direction::new(model.config(), &probe, &args.target, args.layers);
    let given = count(args.given, model.config(), "--given")?;
    let direction = direction.map_err(|error| usage(format!("--probe: {error}")))?;
    let pixels = read_pictures(&args.images, &args.orientation, model)?;
    let (n, size) = (pixels.dim(0)?, model.config().image_size);
    let latents = model.extract_latents(&pixels)?;

    let mut grid = Grid::new([1 + strengths.len(), n], [size; 2], 1, 1);
    place_column(&mut grid, &pixels, 0, 1 + strengths.len())?;
    let mut scores = vec![score(args, &probe, &loaded, &pixels)?];
    for (column, &strength) in strengths.iter().enumerate() {
        let moved = direction.moved(latents.layers(), strength)?;
        let pictures = model.decode(n, &moved[..given], 0.0, common.seed)?;
        place_column(&mut grid, &pictures, 1 + column, 1 + strengths.len())?;
        scores.push(score(args, &probe, &loaded, &pictures)?);
    }
    grid.save(&args.out, args.zoom.zoom).with_context(|| cannot_write(&args.out))?;
    match common.json {
        true => print(&as_json(args, &strengths, &scores)?),
        false => print(&as_text(args, &strengths, &scores)),
    }
}

/// What the probe says of the target in each of some pictures: read anew, by the encoder.
fn score(
    args: &Args,
    probe: &SavedProbe,
    loaded: &LoadedModel,
    pictures: &Tensor,
) -> Result<Vec<Option<f64>>> {
    let rows = features(probe, &loaded.model, pictures)?;
    let at = probe.info.targets.iter().position(|target| *target == args.target);
    let Some(at) = at else { bail!("{}: no target {}", args.probe.display(), args.target) };
    Ok(probe.predict(rows.view())?.column(at).iter().map(|p| p.score).collect())
}

/// (N, D): what a probe reads of pictures.
fn features(probe: &SavedProbe, model: &Vdvae, pictures: &Tensor) -> Result<Array2<f32>> {
    let (info, n) = (&probe.info.features, pictures.dim(0)?);
    let numbers: Vec<usize> = (0..n).collect();
    let bytes: Vec<u8> = pictures.flatten_all()?.to_vec1()?;
    let parts = extract_pictures(model, &bytes, &numbers, &info.spec(), info.layers, n)?;
    Ok(side_by_side(&parts, n))
}

fn as_json(args: &Args, strengths: &[f64], scores: &[Vec<Option<f64>>]) -> Result<String> {
    let images = args.images.iter().enumerate().map(|(i, path)| {
        let edited: Vec<_> = scores[1..].iter().map(|column| column[i]).collect();
        json!({"image": path, "score": scores[0][i], "edited": edited})
    });
    Ok(serde_json::to_string_pretty(&json!({
        "target": args.target, "strengths": strengths, "out": args.out,
        "images": images.collect::<Vec<_>>(),
    }))?)
}

fn as_text(args: &Args, strengths: &[f64], scores: &[Vec<Option<f64>>]) -> String {
    let headers = ["strength", "as it is"].map(str::to_owned).into_iter();
    let headers = headers.chain(strengths.iter().map(|strength| format!("{strength:.2}")));
    let number = |score: Option<f64>| score.map_or_else(|| "-".to_owned(), |s| format!("{s:.2}"));
    let row = |(picture, path): (usize, &PathBuf)| {
        let scores = scores.iter().map(|column| number(column[picture]));
        std::iter::once(path.display().to_string()).chain(scores).collect()
    };
    let rows: Vec<Vec<String>> = args.images.iter().enumerate().map(row).collect();
    format!(
        "{}: {} moved by standard deviations of its score, and the score that the pictures then have\n\n{}",
        args.out.display(),
        vdvae_io::printable(&args.target),
        text_table(&headers.collect::<Vec<_>>(), &rows, Side::Right)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strengths_are_two_ends_or_one_number() {
        let parsed = |text: &str| text.parse::<Strengths>().map(|s| (s.from, s.to));
        assert_eq!(parsed("-3..3"), Ok((-3.0, 3.0)));
        assert_eq!(parsed("1.5"), Ok((1.5, 1.5)));
        for wrong in ["", "..", "1..", "a..b", "1..inf"] {
            assert!(parsed(wrong).unwrap_err().contains("A..B"), "{wrong}");
        }
    }
}
