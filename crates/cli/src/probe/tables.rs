//! One pass of the network over the pictures fills the tables of every source.

use anyhow::Result;
use vdvae_datasets::Split;
use vdvae_features::{Extraction, FeatureTable, LayerSelection, Source as Features, Statistic};
use vdvae_model::{LayerShape, VdvaeConfig};
use vdvae_probes::{Reduction, ReductionKind, Source};

use super::cache::FeatureReader;
use super::plan::Plan;
use crate::common::{progress, report_skipped};

/// Train, validation and test tables of one source.
pub(super) type Splits = [FeatureTable; 3];

/// The layers of a selection.
pub(super) fn selected(config: &VdvaeConfig, selection: LayerSelection) -> Vec<LayerShape> {
    config.latent_layers().into_iter().filter(|layer| selection.contains(layer)).collect()
}

/// The smallest selection that holds every column a line needs.
fn union(plan: &Plan) -> LayerSelection {
    match plan.selections[..] {
        [only] => only,
        _ if plan.spec.statistic == Statistic::Activation => LayerSelection::All,
        _ => {
            let config = plan.loaded.model.config();
            let last = plan.selections.iter().flat_map(|&s| selected(config, s)).map(|l| l.index);
            LayerSelection::First(last.max().map_or(0, |last| last + 1))
        }
    }
}

/// Latents first, then the controls that have features of their own.
pub(super) fn extract(plan: &Plan, batch_size: usize) -> Result<Vec<(Source, Splits)>> {
    let (spec, layers) = (plan.spec, union(plan));
    let mut sources =
        vec![(Source::Latents, Features::Latents { model: &plan.loaded.model, spec, layers })];
    if let Some(random) = &plan.random {
        sources.push((Source::RandomInit, Features::Latents { model: random, spec, layers }));
    }
    let wants = |source| plan.controls.contains(&source);
    if wants(Source::Pixels) || wants(Source::Pca) {
        sources.push((Source::Pixels, Features::Pixels));
    }
    let name = |source: &Source| match source {
        Source::Latents => plan.loaded.name.as_str(),
        control => control.name(),
    };
    let named: Vec<_> = sources.iter().map(|(source, read)| (name(source), *read)).collect();
    let mut reader = FeatureReader::new(plan.cache.as_ref(), &named, plan.exact)?;
    let needed = Split::ALL.into_iter().filter(|&split| plan.question.needs(split));
    let total: usize = needed.map(|split| plan.dataset(split).len(split)).sum();
    let bar = progress(total as u64, "reading latents");
    let mut splits = Vec::new();
    for split in Split::ALL {
        if !plan.question.needs(split) {
            splits.push(None);
            continue;
        }
        let extraction = Extraction {
            dataset: plan.dataset(split),
            split,
            preparation: plan.preparation,
            on_bad_image: plan.on_bad_image,
            batch_size,
        };
        let extracted = reader.read(&extraction, &bar)?;
        bar.suspend(|| report_skipped(&extracted.skipped));
        if extracted.tables[0].rows() == 0 {
            let name = extraction.dataset.name();
            anyhow::bail!("{name}: no picture of split `{split}` could be read");
        }
        splits.push(Some(extracted.tables));
    }
    reader.finish(&bar);
    let splits = without_rows(splits);
    let mut tables = by_source(sources.into_iter().map(|(source, _)| source), splits);
    add_components(plan, &mut tables)?;
    Ok(tables)
}

/// Tables without rows where a split was not read.
fn without_rows(splits: Vec<Option<Vec<FeatureTable>>>) -> Vec<Vec<FeatureTable>> {
    let read = splits.iter().flatten().next().expect("the test split is always read");
    let empty: Vec<FeatureTable> = read.iter().map(|table| table.select_rows(&[])).collect();
    splits.into_iter().map(|tables| tables.unwrap_or_else(|| empty.clone())).collect()
}

/// Turns the tables of each split around: those of each source.
fn by_source(
    sources: impl Iterator<Item = Source>,
    splits: Vec<Vec<FeatureTable>>,
) -> Vec<(Source, Splits)> {
    let mut splits: Vec<_> = splits.into_iter().map(Vec::into_iter).collect();
    let mut tables = || -> Splits {
        let tables: Vec<_> = splits.iter_mut().filter_map(Iterator::next).collect();
        tables.try_into().expect("one table a split and source")
    };
    sources.map(|source| (source, tables())).collect()
}

/// Adds the principal components of the pixels where they are asked for, and drops the pixels
/// where they are not.
fn add_components(plan: &Plan, tables: &mut Vec<(Source, Splits)>) -> Result<()> {
    if plan.controls.contains(&Source::Pca)
        && let Some((_, pixels)) = tables.iter().find(|(source, _)| *source == Source::Pixels)
    {
        let components = reduce(pixels, ReductionKind::Pca, plan.pca_columns, plan.bootstrap.seed)?;
        tables.push((Source::Pca, components));
    }
    tables.retain(|(source, _)| *source != Source::Pixels || plan.controls.contains(source));
    Ok(())
}

/// The same rows with fewer columns, by what the training rows teach.
pub(super) fn reduce(
    splits: &Splits,
    kind: ReductionKind,
    columns: usize,
    seed: u64,
) -> Result<Splits> {
    let reduction = Reduction::fit(&splits[0], kind, columns, seed)?;
    let [train, valid, test] = splits;
    Ok([reduction.apply(train)?, reduction.apply(valid)?, reduction.apply(test)?])
}
