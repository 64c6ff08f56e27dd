//! Flags that several verbs have.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use candle_core::{Device, Tensor};
use vdvae_datasets::{AHEAD_OF_GPU, Batches, Dataset, Exif, OnBadImage, Preparation, Split, Whole};
use vdvae_model::Vdvae;

use crate::data::{DataArgs, ExifArg, PictureFiles, data_help, not_found};

/// The pictures of a data set that a verb reads.
#[derive(Debug, clap::Args)]
pub(super) struct SplitArgs {
    #[arg(long, value_name = "NAME[:PATH]", help = format!("{} [default: {DATA}]", data_help()))]
    data: Option<String>,
    #[command(flatten)]
    source: DataArgs,
    /// Split to read, or all pictures whatever their split, in the order of their names: 2.png before
    /// 10.png [example: --split train]
    #[arg(long, default_value = "test", value_name = "train|valid|test|all")]
    split: Which,
    /// Pictures at once; on the CPU, on each thread [example: --batch-size 16]
    #[arg(long, default_value_t = 32, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
}

/// The data set that is read where none is asked for.
const DATA: &str = "toy-faces";

/// Which pictures of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those of a split.
    One(Split),
    /// Every one once.
    All,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(split) => split.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Which {
    type Err = vdvae_datasets::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::One).map_err(|_| vdvae_datasets::Error::UnknownName {
            what: "split",
            expected: "train, valid, test, all",
            found: text.to_owned(),
        })
    }
}

/// Pictures that were asked for: those of one split of a data set.
pub(super) struct Opened {
    pub(super) dataset: Box<dyn Dataset>,
    pub(super) split: Split,
    /// How they were asked for, which files and reports say.
    pub(super) which: Which,
}

impl Opened {
    pub(super) fn len(&self) -> usize {
        self.dataset.len(self.split)
    }

    /// What to say where nothing could be read.
    pub(super) fn none_read(&self) -> anyhow::Error {
        let (name, which) = (self.dataset.name(), self.which);
        anyhow::anyhow!("{name}: no picture of split `{which}` could be read")
    }
}

impl SplitArgs {
    /// The pictures that the flags ask for, at least one.
    pub(super) fn open(&self) -> Result<Opened> {
        self.open_as(None, self.split)
    }

    /// Some pictures, at least one, of the data set or of another one.
    pub(super) fn open_as(&self, other: Option<&str>, which: Which) -> Result<Opened> {
        let name = other.or(self.data.as_deref()).unwrap_or(DATA);
        let (dataset, split) = match which {
            Which::One(split) => (self.source.open(name, &[split])?, split),
            Which::All => {
                let whole = Whole::new(self.source.open(name, &Split::ALL)?);
                (Box::new(whole) as Box<dyn Dataset>, Split::Test)
            }
        };
        dataset.require(&[split]).map_err(not_found)?;
        Ok(Opened { dataset, split, which })
    }

    /// The test split of another data set, all of whose splits hold pictures.
    pub(super) fn open_task(&self, other: &str) -> Result<Opened> {
        let dataset = self.source.open(other, &Split::ALL)?;
        dataset.require(&Split::ALL).map_err(not_found)?;
        Ok(Opened { dataset, split: Split::Test, which: Which::One(Split::Test) })
    }

    /// The data set that was named.
    pub(super) fn named(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// The pictures at the size of the network.
    pub(super) fn batches<'a>(&self, opened: &'a Opened, image_size: usize) -> Batches<'a> {
        Batches::new(&*opened.dataset, opened.split, self.preparation(image_size))
            .on_bad_image(self.on_bad_image())
            .size(self.batch_size())
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
