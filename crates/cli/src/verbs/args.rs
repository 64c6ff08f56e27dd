//! Flags that several verbs have.

use anyhow::Result;
use candle_core::Device;
use vdvae_datasets::{AHEAD_OF_GPU, Batches, Dataset, Exif, Split};

use crate::data::{DataArgs, data_help, not_found};

/// The pictures of a split.
#[derive(Debug, clap::Args)]
pub(super) struct SplitArgs {
    #[arg(long, default_value = "toy-faces", value_name = "NAME[:PATH]", help = data_help())]
    data: String,
    #[command(flatten)]
    source: DataArgs,
    /// Split to read [example: --split train]
    #[arg(long, default_value = "test", value_name = "train|valid|test")]
    pub(super) split: Split,
    /// Pictures at once; on the CPU, on each thread [example: --batch-size 16]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
}

impl SplitArgs {
    /// The data set, whose split is not empty.
    pub(super) fn open(&self) -> Result<Box<dyn Dataset>> {
        let dataset = self.source.open(&self.data, &[self.split])?;
        dataset.require(&[self.split]).map_err(not_found)?;
        Ok(dataset)
    }

    /// The split's pictures at the size of the network.
    pub(super) fn batches<'a>(&self, dataset: &'a dyn Dataset, image_size: usize) -> Batches<'a> {
        Batches::new(dataset, self.split, self.source.orientation.preparation(image_size))
            .on_bad_image(self.source.on_bad_image)
            .size(self.batch_size())
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size as usize
    }

    pub(super) fn exif(&self) -> Exif {
        self.source.orientation.exif
    }

    /// What to say where nothing could be read.
    pub(super) fn none_read(&self, dataset: &dyn Dataset) -> anyhow::Error {
        let (name, split) = (dataset.name(), self.split);
        anyhow::anyhow!("{name}: no picture of split `{split}` could be read")
    }
}

/// Batches to decode before they are asked for.
pub(super) fn ahead(device: &Device) -> usize {
    if device.is_cpu() { 0 } else { AHEAD_OF_GPU }
}

/// A picture of pictures.
#[derive(Debug, clap::Args)]
pub(super) struct ZoomArg {
    /// Side of a pixel in the PNG [example: --zoom 2]
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) zoom: u32,
}

/// A factor on the prior's standard deviation.
pub(super) fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if f64::is_finite(factor) && factor >= 0.0 => Ok(factor),
        _ => Err(format!("expected 0 or more, found {text}")),
    }
}
