//! One pass of the network over a data set fills every table that is asked for.

mod batch;

use ndarray::Array2;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use vdvae_datasets::{
    AHEAD_OF_GPU, Batch, Batches, Dataset, OnBadImage, Preparation, Split, read_ahead,
};
use vdvae_model::{Vdvae, VdvaeConfig};

pub use batch::{extract_batch, extract_pictures};

use crate::hog;
use crate::pool::columns;
use crate::spec::{FeatureSpec, LayerSelection, Pooling, Statistic};
use crate::{Error, FeatureColumn, FeatureTable, Part, Result, Targets};

/// Where the numbers of one table come from.
#[derive(Debug, Clone, Copy)]
pub enum FeatureSource<'a> {
    /// The latents (or activations) of a network.
    Latents {
        /// The network.
        model: &'a Vdvae,
        /// What is read from it.
        spec: FeatureSpec,
        /// Layers kept; [`Statistic::Activation`] keeps the activations of the layers' resolutions,
        /// and of every resolution with [`LayerSelection::All`]; [`Statistic::State`] the states that
        /// [`FeatureSpec::layers`] names.
        layers: LayerSelection,
    },
    /// The pixels the network would see, in 0 to 1, rows then columns then colours.
    Pixels,
    /// Histograms of oriented gradients of those pixels, in grey.
    Hog,
}

impl FeatureSource<'_> {
    fn is_on_gpu(&self) -> bool {
        matches!(self, Self::Latents { model, .. } if !model.device().is_cpu())
    }

    /// Adds the rows of prepared pictures to `data`.
    fn append(&self, batch: &Batch, batch_size: usize, data: &mut Vec<f32>) -> Result<()> {
        // All of its pictures may have been left out.
        if batch.is_empty() {
            return Ok(());
        }
        match self {
            Self::Pixels => data.extend(batch.pixels.iter().map(|&p| f32::from(p) / 255.0)),
            Self::Hog => {
                let pictures: Vec<&[u8]> =
                    batch.pixels.chunks_exact(batch.pixels.len() / batch.len()).collect();
                let rows = pictures.into_par_iter().map(hog::descriptor);
                data.extend(rows.collect::<Result<Vec<_>>>()?.into_iter().flatten());
            }
            Self::Latents { model, spec, layers } => {
                let Batch { pixels, indices, .. } = batch;
                let parts = extract_pictures(model, pixels, indices, spec, *layers, batch_size)?;
                append_rows(&parts, batch.len(), data);
            }
        }
        Ok(())
    }
}

/// The features of `n` pictures as one matrix, (N, all columns): the parts side by side.
pub fn side_by_side(parts: &[LayerFeatures], n: usize) -> Array2<f32> {
    let columns = parts.iter().map(|part| part.columns).sum();
    let mut data = Vec::with_capacity(n * columns);
    append_rows(parts, n, &mut data);
    Array2::from_shape_vec((n, columns), data).expect("as many numbers as pictures and columns")
}

fn append_rows(parts: &[LayerFeatures], n: usize, data: &mut Vec<f32>) {
    for picture in 0..n {
        let rows = parts.iter().map(|part| &part.values[picture * part.columns..][..part.columns]);
        rows.for_each(|row| data.extend_from_slice(row));
    }
}

/// One part of a layer's features: which layer, and (N, columns) row after row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerFeatures {
    /// Layer, or `None` for an encoder activation.
    pub layer: Option<usize>,
    /// Side of its grid before pooling.
    pub resolution: usize,
    /// Numbers an image.
    pub columns: usize,
    /// `(N, columns)`.
    pub values: Vec<f32>,
}

/// The columns a source will give, known before any image is read.
///
/// # Errors
/// [`Error::Unknown`] for layers that the network lacks.
pub fn source_columns(source: &FeatureSource<'_>, size: usize) -> Result<Vec<FeatureColumn>> {
    match source {
        FeatureSource::Pixels => Ok((0..size * size * 3)
            .map(|i| FeatureColumn { layer: None, resolution: None, channel: i % 3, cell: i / 3 })
            .collect()),
        FeatureSource::Hog => {
            let column = |i| FeatureColumn {
                layer: None,
                resolution: None,
                channel: i % hog::ORIENTATIONS,
                cell: i / hog::ORIENTATIONS,
            };
            Ok((0..hog::length(size)?).map(column).collect())
        }
        FeatureSource::Latents { model, spec, layers } => {
            let parts = parts(model.config(), spec, *layers)?;
            Ok(parts
                .into_iter()
                .flat_map(|(layer, r, c)| columns(layer, r, c, spec.pooling))
                .collect())
        }
    }
}

/// The arrays a selection gives, in order, named as feature files name them.
///
/// # Errors
/// [`Error::Unknown`] for layers that the network lacks.
pub fn selection_parts(
    config: &VdvaeConfig,
    spec: &FeatureSpec,
    selection: LayerSelection,
) -> Result<Vec<Part>> {
    let part = |(layer, r, channels): (Option<usize>, usize, usize)| Part {
        name: layer.map_or_else(|| format!("activation.{r}"), |index| format!("layer.{index:03}")),
        shape: match spec.pooling {
            Pooling::None => vec![channels, r, r],
            Pooling::Grid(_) => vec![channels * spec.pooling.side(r).pow(2)],
        },
    };
    Ok(parts(config, spec, selection)?.into_iter().map(part).collect())
}

/// (layer, resolution, channels) of what a selection gives, in order.
fn parts(
    config: &VdvaeConfig,
    spec: &FeatureSpec,
    selection: LayerSelection,
) -> Result<Vec<(Option<usize>, usize, usize)>> {
    let layers = spec.layers(config, selection)?;
    Ok(match spec.statistic {
        Statistic::Activation => {
            let mut resolutions: Vec<_> = layers.iter().map(|l| l.resolution).collect();
            if selection == LayerSelection::All {
                // The decoder may skip resolutions that the encoder passes through.
                let blocks = config.encoder_blocks();
                resolutions
                    .extend(blocks.iter().flat_map(|b| [b.resolution, b.output_resolution()]));
            }
            resolutions.sort_unstable();
            resolutions.dedup();
            resolutions.into_iter().map(|r| (None, r, config.width_at(r))).collect()
        }
        Statistic::State => layers
            .iter()
            .map(|l| (Some(l.index), l.resolution, config.width_at(l.resolution)))
            .collect(),
        Statistic::Mean
        | Statistic::Z
        | Statistic::PriorMean
        | Statistic::LogStd
        | Statistic::PriorLogStd => {
            layers.iter().map(|l| (Some(l.index), l.resolution, l.channels)).collect()
        }
    })
}

/// One split of a data set, prepared for a network.
pub struct Extraction<'a> {
    /// The data.
    pub dataset: &'a dyn Dataset,
    /// The split.
    pub split: Split,
    /// How pictures are cut and resized.
    pub preparation: Preparation,
    /// What happens to a picture that cannot be read.
    pub on_bad_image: OnBadImage,
    /// Pictures that pass through the network at once.
    pub batch_size: usize,
}

/// Tables of one split, one a source, all with the same rows.
#[derive(Debug, Clone)]
pub struct Extracted {
    /// One table a source.
    pub tables: Vec<FeatureTable>,
    /// Number in the split of every picture kept: one a row.
    pub indices: Vec<usize>,
    /// A hash of the pixels of each of them as the network saw them: equal pictures have equal
    /// ones, and others, as far as 64 bits can tell, other ones.
    pub contents: Vec<u64>,
    /// Key and reason of every picture that was left out.
    pub skipped: Vec<(String, String)>,
}

/// The hash of one picture's pixels; the cache keeps it, so it is the same for good.
fn content(pixels: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(pixels).into();
    let (first, _) = hash.split_first_chunk().expect("a hash of 32 bytes");
    u64::from_le_bytes(*first)
}

/// The features of every picture of a split, from all layers of a network: pictures are cut to their
/// central square and resized to the network's size. For pixels, a few layers, or other pictures, see
/// [`Extraction`].
///
/// # Errors
/// As [`Extraction::run`].
///
/// ```
/// use vdvae_datasets::{Split, ToyFaces};
/// use vdvae_features::{FeatureSpec, features};
/// use vdvae_model::Vdvae;
///
/// let model = Vdvae::builtin(&candle_core::Device::Cpu)?;
/// let faces = ToyFaces::with_people(0, [1, 1, 1]);
/// let table = features(&model, &faces, Split::Train, &FeatureSpec::default())?;
/// assert_eq!((table.rows(), table.columns.len()), (20, 2320));
/// # Ok::<(), vdvae_features::Error>(())
/// ```
pub fn features(
    model: &Vdvae,
    dataset: &dyn Dataset,
    split: Split,
    spec: &FeatureSpec,
) -> Result<FeatureTable> {
    let source = FeatureSource::Latents { model, spec: *spec, layers: LayerSelection::All };
    let preparation = Preparation::new(model.config().image_size);
    Extraction::new(dataset, split, preparation).table(source)
}

impl<'a> Extraction<'a> {
    /// Every picture of a split, 32 at once; one that cannot be read is an error.
    pub fn new(dataset: &'a dyn Dataset, split: Split, preparation: Preparation) -> Self {
        let on_bad_image = OnBadImage::Fail;
        Self { dataset, split, preparation, on_bad_image, batch_size: 32 }
    }

    /// The features of one source.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn table(&self, source: FeatureSource<'_>) -> Result<FeatureTable> {
        let mut tables = self.run(&[source], |_| ())?.tables;
        Ok(tables.pop().expect("one table a source"))
    }

    /// Reads every picture once and fills one table a source. `progress` is told how many pictures
    /// were added.
    ///
    /// # Errors
    /// [`Error::Unknown`] for layers that a network lacks, those of [`FeatureSpec::validate`],
    /// [`Error::Data`] for pictures that cannot be read, [`Error::Model`] and [`Error::NotFinite`].
    pub fn run(
        &self,
        sources: &[FeatureSource<'_>],
        mut progress: impl FnMut(usize),
    ) -> Result<Extracted> {
        let size = self.preparation.size;
        let columns = sources
            .iter()
            .map(|source| source_columns(source, size))
            .collect::<Result<Vec<_>>>()?;
        let mut data: Vec<Vec<f32>> = columns.iter().map(|_| Vec::new()).collect();
        let (mut rows, mut skipped) = (Vec::new(), Vec::new());
        let mut contents = Vec::new();
        let on_gpu = sources.iter().any(FeatureSource::is_on_gpu);
        self.each_batch(on_gpu, |batch| {
            for (source, data) in sources.iter().zip(&mut data) {
                source.append(&batch, self.batch_size, data)?;
            }
            let asked = batch.asked();
            contents.par_extend(batch.pixels.par_chunks_exact(3 * size * size).map(content));
            rows.extend(batch.indices);
            skipped.extend(batch.skipped);
            progress(asked);
            Ok(())
        })?;
        let tables = columns
            .into_iter()
            .zip(data)
            .map(|(columns, data)| self.assemble(&rows, columns, data))
            .collect::<Result<_>>()?;
        Ok(Extracted { tables, indices: rows, contents, skipped })
    }

    /// The pictures of the split. A GPU takes one batch after another, and the next are decoded
    /// meanwhile; on the CPU each thread takes its own: small networks have too little work in one.
    fn each_batch(&self, on_gpu: bool, mut consume: impl FnMut(Batch) -> Result<()>) -> Result<()> {
        let (times, ahead) =
            if on_gpu { (1, AHEAD_OF_GPU) } else { (rayon::current_num_threads(), 0) };
        let batches = Batches::new(self.dataset, self.split, self.preparation)
            .on_bad_image(self.on_bad_image)
            .size(self.batch_size * times);
        read_ahead(ahead, batches, |batches| {
            for batch in batches {
                consume(batch?)?;
            }
            Ok(())
        })
    }

    /// The table of one source, from its numbers row by row.
    pub(crate) fn assemble(
        &self,
        rows: &[usize],
        columns: Vec<FeatureColumn>,
        data: Vec<f32>,
    ) -> Result<FeatureTable> {
        let found = data.len();
        let features = Array2::from_shape_vec((rows.len(), columns.len()), data).map_err(|_| {
            Error::TableShape { part: "values", expected: rows.len() * columns.len(), found }
        })?;
        let groups = self.dataset.groups(self.split);
        let table = FeatureTable {
            features,
            targets: Targets::from(&self.dataset.labels(self.split)).select(rows),
            keys: rows.iter().map(|&i| self.dataset.key(self.split, i)).collect(),
            groups: groups.map(|g| rows.iter().map(|&i| g[i]).collect()),
            columns,
        };
        table.validate()?;
        Ok(table)
    }
}

#[cfg(test)]
mod tests;
