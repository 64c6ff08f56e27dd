//! Features of pictures that pass through the network together.

use std::ops::{ControlFlow, Range};

use candle_core::Tensor;
use rayon::prelude::*;
use vdvae_model::{Activations, LatentMode, LayerShape, LayerView, Vdvae};

use super::{LayerFeatures, parts};
use crate::Result;
use crate::pool::{Pooled, pool};
use crate::spec::{FeatureSpec, LayerSelection, Pooling, Statistic};

/// Features of a batch of prepared pictures, u8 (N, H, W, 3), one part a layer, top first.
///
/// `first` is the number of the batch's first picture, the others follow; sampled latents depend
/// on it, and on nothing else of the batch. The decoder stops after the last layer that is
/// selected.
///
/// # Errors
/// Those of [`FeatureSpec::validate`], and of the network.
pub fn extract_batch(
    model: &Vdvae,
    pixels: &Tensor,
    spec: &FeatureSpec,
    selection: LayerSelection,
    first: u64,
) -> Result<Vec<LayerFeatures>> {
    spec.validate()?;
    let activations = model.encode(pixels)?;
    if spec.statistic == Statistic::Activation {
        let mut pending = Pending::default();
        for (_, r, _) in parts(model.config(), spec, selection)? {
            pending.add(None, r, &activations[&r], spec.pooling)?;
        }
        return pending.finish();
    }
    if spec.statistic != Statistic::Z {
        return walk(model, &activations, spec, selection, LatentMode::PosteriorMean);
    }
    let sample = |sample| {
        let mode = LatentMode::PosteriorSample { seed: spec.sample_seed(sample), first };
        walk(model, &activations, spec, selection, mode)
    };
    let mut sum = sample(0)?;
    // The mean of pooled samples is the pooled mean.
    for s in 1..spec.samples {
        for (sum, part) in sum.iter_mut().zip(sample(s)?) {
            sum.values.iter_mut().zip(part.values).for_each(|(sum, value)| *sum += value);
        }
    }
    let values = sum.iter_mut().flat_map(|part| &mut part.values);
    values.for_each(|value| *value /= spec.samples as f32);
    Ok(sum)
}

/// One way down the decoder, as far as the last layer selected.
fn walk(
    model: &Vdvae,
    activations: &Activations,
    spec: &FeatureSpec,
    selection: LayerSelection,
    mode: LatentMode,
) -> Result<Vec<LayerFeatures>> {
    let selected = spec.layers(model.config(), selection)?;
    let last = selected.last().map_or(0, |l| l.index);
    let (mut pending, mut failure) = (Pending::default(), None);
    model.visit_layers(activations, mode, |layer| {
        if is_selected(&selected, layer.index()) {
            let grid = statistic(layer, spec)?;
            let added = pending.add(Some(layer.index()), layer.resolution(), &grid, spec.pooling);
            failure = added.err();
        }
        let done = layer.index() == last || failure.is_some();
        Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    failure.map_or_else(|| pending.finish(), Err)
}

/// Parts on their way to the host. On the CPU they are there at once; a GPU is given all layers to
/// compute and pool before the first is waited for.
#[derive(Default)]
struct Pending {
    parts: Vec<LayerFeatures>,
    /// What belongs into the parts, where it is still on a GPU.
    pooled: Vec<Pooled>,
}

impl Pending {
    fn add(
        &mut self,
        layer: Option<usize>,
        resolution: usize,
        grid: &Tensor,
        pooling: Pooling,
    ) -> Result<()> {
        let mut part = LayerFeatures { layer, resolution, ..LayerFeatures::default() };
        if grid.device().is_cpu() {
            part.values = pool(grid, pooling)?;
        } else {
            self.pooled.push(Pooled::new(grid, pooling)?);
        }
        let (_, r, _, channels) = grid.dims4()?;
        part.columns = channels * pooling.side(r).pow(2);
        self.parts.push(part);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<LayerFeatures>> {
        for (part, pooled) in self.parts.iter_mut().zip(self.pooled) {
            part.values = pooled.into_rows()?;
        }
        Ok(self.parts)
    }
}

/// Features of prepared pictures that need not follow one another: `indices` are their numbers in
/// the split, which sampled latents depend on. One part a layer, top first, also of no pictures.
///
/// At most `batch_size` pass through the network together. On the CPU each thread takes a batch of
/// its own: small networks have too little work in one.
///
/// # Errors
/// Those of [`extract_batch`].
///
/// # Panics
/// Where `pixels` are not those of `indices.len()` pictures of the network's size.
pub fn extract_pictures(
    model: &Vdvae,
    pixels: &[u8],
    indices: &[usize],
    spec: &FeatureSpec,
    selection: LayerSelection,
    batch_size: usize,
) -> Result<Vec<LayerFeatures>> {
    let image = model.dimensions();
    assert_eq!(pixels.len(), indices.len() * image, "bytes of {} pictures", indices.len());
    let extract = |run: Range<usize>| {
        let first = indices[run.start] as u64;
        let batch = model.pixels(pixels[run.start * image..run.end * image].to_vec())?;
        extract_batch(model, &batch, spec, selection, first)
    };
    let runs = runs(indices, batch_size);
    let done: Vec<Vec<LayerFeatures>> = match model.device().is_cpu() {
        true => runs.into_par_iter().map(extract).collect::<Result<_>>()?,
        false => runs.into_iter().map(extract).collect::<Result<_>>()?,
    };
    let part = |(layer, resolution, channels): (Option<usize>, usize, usize)| {
        let columns = channels * spec.pooling.side(resolution).pow(2);
        LayerFeatures { layer, resolution, columns, values: Vec::new() }
    };
    let mut whole: Vec<LayerFeatures> =
        parts(model.config(), spec, selection)?.into_iter().map(part).collect();
    for parts in done {
        whole.iter_mut().zip(parts).for_each(|(whole, part)| whole.values.extend(part.values));
    }
    Ok(whole)
}

/// Positions in pieces of at most `longest`, within which each index follows the one before.
pub(super) fn runs(indices: &[usize], longest: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, &index) in indices.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.len() < longest && indices[at - 1] + 1 == index => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

fn is_selected(selected: &[LayerShape], index: usize) -> bool {
    selected.binary_search_by_key(&index, |l| l.index).is_ok()
}

fn statistic(layer: &LayerView<'_>, spec: &FeatureSpec) -> vdvae_model::Result<Tensor> {
    match spec.statistic {
        Statistic::Mean => layer.mean(),
        Statistic::Z => layer.z(),
        Statistic::PriorMean => layer.prior_mean(),
        Statistic::LogStd => layer.log_std(),
        Statistic::PriorLogStd => layer.prior_log_std(),
        Statistic::State | Statistic::Activation => layer.state(),
    }
}
