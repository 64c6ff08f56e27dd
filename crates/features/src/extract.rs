//! One pass of the network over a data set fills every table that is asked for.

mod batch;

use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

use ndarray::Array2;
use rayon::prelude::*;
use vdvae_datasets::{Batch, Dataset, OnBadImage, Preparation, Split, load_batch};
use vdvae_model::{Vdvae, VdvaeConfig};

use batch::runs;
pub use batch::{extract_batch, extract_pictures};

use crate::pool::columns;
use crate::spec::{FeatureSpec, LayerSelection, Pooling, Statistic};
use crate::{Error, FeatureColumn, FeatureTable, Part, Result, Targets};

/// Where the numbers of one table come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The latents (or activations) of a network.
    Latents {
        /// The network.
        model: &'a Vdvae,
        /// What is read from it.
        spec: FeatureSpec,
        /// Layers kept; [`Statistic::Activation`] keeps the activations of the layers' resolutions,
        /// and of every resolution with [`LayerSelection::All`].
        layers: LayerSelection,
    },
    /// The pixels the network would see, in 0 to 1, rows then columns then colours.
    Pixels,
}

impl Source<'_> {
    fn is_on_gpu(&self) -> bool {
        matches!(self, Self::Latents { model, .. } if !model.device().is_cpu())
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
pub fn source_columns(source: &Source<'_>, size: usize) -> Result<Vec<FeatureColumn>> {
    match source {
        Source::Pixels => Ok((0..size * size * 3)
            .map(|i| FeatureColumn { layer: None, resolution: None, channel: i % 3, cell: i / 3 })
            .collect()),
        Source::Latents { model, spec, layers } => {
            let parts = parts(model.config(), spec, *layers)?;
            Ok(parts
                .into_iter()
                .flat_map(|(layer, r, c)| columns(layer, r, c, spec.pooling))
                .collect())
        }
    }
}

/// The arrays a selection gives, in order, named as feature files name them.
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
    let layers = selection.layers(config)?;
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
        Statistic::Mean | Statistic::Z | Statistic::LogStd => {
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
    /// Key and reason of every picture that was left out.
    pub skipped: Vec<(String, String)>,
}

impl Extraction<'_> {
    /// Reads every picture once and fills one table a source. `progress` is told how many pictures
    /// were added.
    pub fn run(
        &self,
        sources: &[Source<'_>],
        mut progress: impl FnMut(usize),
    ) -> Result<Extracted> {
        let size = self.preparation.size;
        let columns = sources
            .iter()
            .map(|source| source_columns(source, size))
            .collect::<Result<Vec<_>>>()?;
        let mut data: Vec<Vec<f32>> = columns.iter().map(|_| Vec::new()).collect();
        let (mut rows, mut skipped) = (Vec::new(), Vec::new());
        let on_gpu = sources.iter().any(Source::is_on_gpu);
        self.each_batch(on_gpu, |asked, batch| {
            for (source, data) in sources.iter().zip(&mut data) {
                data.extend(self.batch_features(source, &batch.pixels, &batch.indices)?);
            }
            rows.extend(batch.indices);
            skipped.extend(batch.skipped);
            progress(asked);
            Ok(())
        })?;
        let tables = columns
            .into_iter()
            .zip(data)
            .map(|(columns, data)| self.table(&rows, columns, data))
            .collect::<Result<_>>()?;
        Ok(Extracted { tables, indices: rows, skipped })
    }

    /// Hands the pictures of the split to `consume`, in order and with the number of those asked for.
    ///
    /// On the CPU each thread takes its own batch: small networks have too little work in one. A
    /// GPU takes one after another, and the next are decoded meanwhile.
    fn each_batch(
        &self,
        on_gpu: bool,
        mut consume: impl FnMut(usize, Batch) -> Result<()>,
    ) -> Result<()> {
        /// Batches that are decoded before the GPU asks for them.
        const AHEAD: usize = 2;
        let total = self.dataset.len(self.split);
        let step = self.batch_size * if on_gpu { 1 } else { rayon::current_num_threads() };
        let load = |start: usize| {
            let indices: Vec<usize> = (start..total.min(start + step)).collect();
            let Self { dataset, split, preparation, on_bad_image, .. } = self;
            let batch = load_batch(*dataset, *split, &indices, preparation, *on_bad_image)?;
            Ok::<_, Error>((indices.len(), batch))
        };
        let mut loaded = (0..total).step_by(step).map(load);
        if !on_gpu {
            return loaded.try_for_each(|loaded| loaded.and_then(|(n, batch)| consume(n, batch)));
        }
        thread::scope(|scope| {
            let (sender, batches) = sync_channel(AHEAD);
            // Ends after the last batch, or when nobody wants another.
            scope.spawn(move || loaded.try_for_each(|loaded| sender.send(loaded)));
            batches.into_iter().try_for_each(|loaded| {
                let (asked, batch) = loaded?;
                consume(asked, batch)
            })
        })
    }

    /// Rows of one source for prepared pictures, one after another.
    fn batch_features(
        &self,
        source: &Source<'_>,
        pixels: &[u8],
        indices: &[usize],
    ) -> Result<Vec<f32>> {
        match source {
            Source::Pixels => Ok(pixels.iter().map(|&p| f32::from(p) / 255.0).collect()),
            Source::Latents { model, spec, layers } => {
                let image = self.preparation.size.pow(2) * 3;
                let rows = |run: Range<usize>| {
                    let pixels = &pixels[run.start * image..run.end * image];
                    let indices = &indices[run.clone()];
                    let parts = extract_pictures(model, pixels, indices, spec, *layers)?;
                    Ok(side_by_side(&parts, run.len()))
                };
                let runs = runs(indices, self.batch_size);
                let parts: Vec<Vec<f32>> = match source.is_on_gpu() {
                    true => runs.into_iter().map(rows).collect::<Result<_>>()?,
                    false => runs.into_par_iter().map(rows).collect::<Result<_>>()?,
                };
                Ok(parts.concat())
            }
        }
    }

    /// The table of one source, from its numbers row by row.
    pub(crate) fn table(
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

/// The columns of all parts, image by image.
fn side_by_side(parts: &[LayerFeatures], n: usize) -> Vec<f32> {
    let mut rows = Vec::with_capacity(parts.iter().map(|p| p.values.len()).sum());
    for i in 0..n {
        for part in parts {
            rows.extend_from_slice(&part.values[i * part.columns..][..part.columns]);
        }
    }
    rows
}

#[cfg(test)]
mod tests;
