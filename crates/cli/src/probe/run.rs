//! One pass over the pictures, then one probe a line of the table.

use anyhow::Result;
use vdvae_datasets::{Preparation, Split};
use vdvae_features::{
    Extraction, FeatureColumn, FeatureTable, LayerSelection, Source as Features, Statistic,
};
use vdvae_model::{LayerShape, VdvaeConfig};
use vdvae_probes::{DataInfo, ModelInfo, ProbeReport, ProbeResult, Source, shuffle_targets};
use vdvae_report::{write_csv, write_json};

use super::Args;
use super::cache::FeatureReader;
use super::plan::Plan;
use crate::common::{progress, report_skipped};

/// Train, validation and test tables of one source.
type Splits = [FeatureTable; 3];

/// The report, and the one result whose targets are worth a table of their own: there is one when
/// a single selection was asked for.
pub(super) fn run(plan: &Plan, args: &Args) -> Result<(ProbeReport, Option<ProbeResult>)> {
    let tables = extract(plan, args)?;
    let mut report = empty_report(plan, args, &tables[0].1)?;
    let lines = lines(plan, &tables);
    let bar = progress(lines.len() as u64, "probing");
    for line in &lines {
        let [train, valid, test] = line.tables();
        let outcome = plan.probe.evaluate(&train, &valid, &test)?;
        let layers = line.selection.map(|s| s.to_string());
        let resolution = line.selection.and_then(|s| s.resolution(plan.loaded.model.config()));
        report.results.push(outcome.result(line.source, layers, resolution));
        // After each line, so that a run that is stopped keeps what it has.
        write_json(&args.out.join("results.json"), &report)?;
        write_csv(&args.out.join("results.csv"), &report)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let details = match plan.selections[..] {
        [_] => report.results.iter().find(|r| r.source == Source::Latents).cloned(),
        _ => None,
    };
    Ok((report, details))
}

/// One row of the table.
struct Line<'a> {
    source: Source,
    selection: Option<LayerSelection>,
    /// Layers of the selection.
    layers: Vec<LayerShape>,
    tables: &'a Splits,
    seed: u64,
}

impl Line<'_> {
    fn tables(&self) -> Splits {
        self.tables.each_ref().map(|table| {
            let table = match self.selection {
                Some(_) => table.select_columns(|column| self.keeps(column)),
                None => table.clone(),
            };
            match self.source {
                Source::ShuffledLabels => shuffle_targets(&table, self.seed),
                _ => table,
            }
        })
    }

    fn keeps(&self, column: &FeatureColumn) -> bool {
        self.selection == Some(LayerSelection::All)
            || self.layers.iter().any(|layer| match column.layer {
                Some(index) => layer.index == index,
                None => column.resolution == Some(layer.resolution),
            })
    }
}

/// Latents first, then the controls, each with every selection.
fn lines<'a>(plan: &Plan, tables: &'a [(Source, Splits)]) -> Vec<Line<'a>> {
    let config = plan.loaded.model.config();
    let mut lines = Vec::new();
    for (source, tables) in tables {
        if *source == Source::Pixels {
            let (source, layers) = (*source, Vec::new());
            lines.push(Line { source, selection: None, layers, tables, seed: plan.probe.seed });
            continue;
        }
        for &selection in &plan.selections {
            let layers = selected(config, selection);
            let line = Line {
                source: *source,
                selection: Some(selection),
                layers,
                tables,
                seed: plan.probe.seed,
            };
            lines.push(line);
        }
    }
    if plan.controls.contains(&Source::ShuffledLabels) {
        let (_, tables) = &tables[0];
        for &selection in &plan.selections {
            lines.push(Line {
                source: Source::ShuffledLabels,
                selection: Some(selection),
                layers: selected(config, selection),
                tables,
                seed: plan.probe.seed,
            });
        }
    }
    lines
}

fn selected(config: &VdvaeConfig, selection: LayerSelection) -> Vec<LayerShape> {
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

fn extract(plan: &Plan, args: &Args) -> Result<Vec<(Source, Splits)>> {
    let (spec, layers) = (plan.spec, union(plan));
    let mut sources =
        vec![(Source::Latents, Features::Latents { model: &plan.loaded.model, spec, layers })];
    if let Some(random) = &plan.random {
        sources.push((Source::RandomInit, Features::Latents { model: random, spec, layers }));
    }
    if plan.controls.contains(&Source::Pixels) {
        sources.push((Source::Pixels, Features::Pixels));
    }
    let name = |source: &Source| match source {
        Source::Latents => plan.loaded.name.as_str(),
        control => control.name(),
    };
    let named: Vec<_> = sources.iter().map(|(source, read)| (name(source), *read)).collect();
    let mut reader = FeatureReader::new(plan.cache.as_ref(), &named, args.common.exact)?;
    let total: usize = Split::ALL.iter().map(|&split| plan.dataset.len(split)).sum();
    let bar = progress(total as u64, "reading latents");
    let mut splits = Vec::new();
    for split in Split::ALL {
        let extraction = Extraction {
            dataset: plan.dataset.as_ref(),
            split,
            preparation: Preparation::new(plan.loaded.model.config().image_size),
            on_bad_image: plan.on_bad_image,
            batch_size: args.batch_size as usize,
        };
        let extracted = reader.read(&extraction, &bar)?;
        bar.suspend(|| report_skipped(&extracted.skipped));
        if extracted.tables[0].rows() == 0 {
            anyhow::bail!("{}: no picture of split `{split}` could be read", plan.dataset.name());
        }
        splits.push(extracted.tables);
    }
    reader.finish(&bar);
    Ok(by_source(sources.into_iter().map(|(source, _)| source), splits))
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

fn empty_report(plan: &Plan, args: &Args, tables: &Splits) -> Result<ProbeReport> {
    let [train, valid, test] = tables;
    Ok(ProbeReport {
        task: plan.task.clone(),
        model: ModelInfo {
            name: plan.loaded.name.clone(),
            sha256: Some(plan.loaded.sha256.clone()),
            config: serde_json::to_value(plan.loaded.model.config())?,
        },
        data: DataInfo {
            name: plan.dataset.name().to_owned(),
            n_train: train.rows(),
            n_valid: valid.rows(),
            n_test: test.rows(),
        },
        seed: args.common.seed,
        results: Vec::new(),
    })
}
