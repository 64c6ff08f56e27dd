//! Flags that several verbs have.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::{Device, Tensor};
use vdvae_datasets::{AHEAD_OF_GPU, Batches, Dataset, Exif, OnBadImage, Preparation, Split};
use vdvae_model::Vdvae;

use crate::data::{DataArgs, ExifArg, PictureFiles, data_help, not_found};

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
        self.open_split(None, self.split)
    }

    /// A split, which is not empty, of the data set or of another one.
    pub(super) fn open_split(&self, other: Option<&str>, split: Split) -> Result<Box<dyn Dataset>> {
        let dataset = self.source.open(other.unwrap_or(&self.data), &[split])?;
        dataset.require(&[split]).map_err(not_found)?;
        Ok(dataset)
    }

    /// The split's pictures at the size of the network.
    pub(super) fn batches<'a>(&self, dataset: &'a dyn Dataset, image_size: usize) -> Batches<'a> {
        self.batches_of(dataset, self.split, image_size)
    }

    /// The pictures of a split of a data set at the size of the network.
    pub(super) fn batches_of<'a>(
        &self,
        dataset: &'a dyn Dataset,
        split: Split,
        image_size: usize,
    ) -> Batches<'a> {
        Batches::new(dataset, split, self.preparation(image_size))
            .on_bad_image(self.on_bad_image())
            .size(self.batch_size())
    }

    /// All splits of another data set, none of them empty.
    pub(super) fn open_whole(&self, other: &str) -> Result<Box<dyn Dataset>> {
        let dataset = self.source.open(other, &Split::ALL)?;
        dataset.require(&Split::ALL).map_err(not_found)?;
        Ok(dataset)
    }

    /// How pictures are cut and resized for a network of this size.
    pub(super) fn preparation(&self, image_size: usize) -> Preparation {
        self.source.orientation.preparation(image_size)
    }

    pub(super) fn on_bad_image(&self) -> OnBadImage {
        self.source.on_bad_image
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size as usize
    }

    pub(super) fn exif(&self) -> Exif {
        self.source.orientation.exif
    }

    /// What to say where nothing could be read.
    pub(super) fn none_read(&self, dataset: &dyn Dataset, split: Split) -> anyhow::Error {
        let name = dataset.name();
        anyhow::anyhow!("{name}: no picture of split `{split}` could be read")
    }
}

/// Batches to decode before they are asked for.
pub(super) fn ahead(device: &Device) -> usize {
    if device.is_cpu() { 0 } else { AHEAD_OF_GPU }
}

/// Files of pictures at the size of a network, u8 (N, H, W, 3).
pub(super) fn read_pictures(paths: &[PathBuf], exif: &ExifArg, model: &Vdvae) -> Result<Tensor> {
    let (files, n) = (PictureFiles { paths: paths.to_vec() }, paths.len());
    let preparation = exif.preparation(model.config().image_size);
    let mut batches = Batches::new(&files, Split::Test, preparation).size(n);
    let batch = batches.next().expect("clap asks for a picture")?;
    Ok(model.pixels(batch.pixels)?)
}

/// A picture of pictures.
#[derive(Debug, clap::Args)]
pub(super) struct ZoomArg {
    /// Side of a pixel in the PNG [example: --zoom 2]
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) zoom: u32,
}
