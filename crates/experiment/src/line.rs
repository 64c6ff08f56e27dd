//! The lines of the table, one source and selection after the other.

use vdvae_features::{FeatureColumn, LayerSelection};
use vdvae_model::LayerShape;
use vdvae_probes::{FeatureInfo, Origin, Source, shuffle_targets};

use crate::candidate::{Candidate, Splits};
use crate::error::Result;
use crate::experiment::Experiment;
use crate::tables::reduce;

/// One source and selection.
pub(crate) struct Line<'a> {
    source: Source,
    /// None for pixels and their components.
    selection: Option<LayerSelection>,
    /// Of random weights, where several networks have them.
    network_seed: Option<u64>,
    /// Layers of the selection.
    layers: Vec<LayerShape>,
    tables: &'a Splits,
}

/// Latents first, then the controls, each with every selection.
pub(crate) fn lines<'a>(
    experiment: &Experiment<'_>,
    tables: &'a [(Source, Splits)],
) -> Vec<Line<'a>> {
    let of_layers = |source, network_seed, tables| {
        experiment.selections.iter().map(move |&selection| {
            let layers = experiment.spec.layers(experiment.model.config(), selection);
            let layers = layers.expect("the experiment was checked");
            Line { source, selection: Some(selection), network_seed, layers, tables }
        })
    };
    let mut lines = Vec::new();
    let mut seeds = experiment.random_seeds();
    for (source, tables) in tables {
        if !source.has_layers() {
            let (selection, network_seed, layers) = (None, None, Vec::new());
            lines.push(Line { source: *source, selection, network_seed, layers, tables });
        } else {
            let seed = if *source == Source::RandomInit { seeds.next() } else { None };
            let seed = seed.filter(|_| experiment.random_networks > 1);
            lines.extend(of_layers(*source, seed, tables));
        }
    }
    if experiment.controls.contains(&Source::ShuffledLabels) {
        lines.extend(of_layers(Source::ShuffledLabels, None, &tables[0].1));
    }
    lines
}

impl Line<'_> {
    /// The features as pooled, and where there are more columns than are to be matched, reduced.
    pub(crate) fn candidates(&self, experiment: &Experiment<'_>) -> Result<Vec<Candidate>> {
        let tables = self.tables.each_ref().map(|table| {
            let table = match self.selection {
                Some(_) => table.select_columns(|column| self.keeps(column)),
                None => table.clone(),
            };
            match self.source {
                Source::ShuffledLabels => shuffle_targets(&table, experiment.seed),
                _ => table,
            }
        });
        let columns = tables[0].features.ncols();
        let config = experiment.model.config();
        let origin = Origin {
            source: self.source,
            layers: self.selection,
            resolution: self.selection.and_then(|selection| selection.resolution(config)),
            columns,
            matched_columns: None,
            train_fraction: 1.0,
            label_seed: None,
            network_seed: self.network_seed,
        };
        let mut candidates = Vec::new();
        if let Some(most) = experiment.matching
            && columns > most.columns
        {
            let tables = reduce(&tables, most.kind, most.columns, experiment.seed)?;
            let matched_columns = Some(tables[0].features.ncols());
            let origin = Origin { matched_columns, ..origin };
            candidates.push(Candidate { origin, tables, features: None });
        }
        let features = self.features(experiment);
        candidates.insert(0, Candidate { origin, tables, features });
        Ok(candidates)
    }

    fn features(&self, experiment: &Experiment<'_>) -> Option<FeatureInfo> {
        let selection = self.selection.filter(|_| self.source == Source::Latents)?;
        let spec = experiment.spec;
        Some(FeatureInfo {
            network: experiment.model_name.clone(),
            sha256: experiment.model_sha256.clone()?,
            layers: selection,
            statistic: spec.statistic,
            pooling: spec.pooling,
            seed: spec.seed,
            samples: spec.samples,
        })
    }

    fn keeps(&self, column: &FeatureColumn) -> bool {
        // Activations of resolutions that the decoder skips belong to all layers, too.
        let all = self.selection == Some(LayerSelection::All);
        all && column.layer.is_none()
            || self.layers.iter().any(|layer| match column.layer {
                Some(index) => layer.index == index,
                None => column.resolution == Some(layer.resolution),
            })
    }
}
