//! The sets of features that are scored, one after the other.

use anyhow::Result;
use vdvae_features::{FeatureColumn, LayerSelection};
use vdvae_model::LayerShape;
use vdvae_probes::{Origin, Source, nested_order, shuffle_targets};

use super::plan::Plan;
use super::tables::{Splits, reduce, selected};
use super::targets::Subset;

/// One source and selection.
pub(super) struct Line<'a> {
    source: Source,
    /// None for pixels and their components.
    selection: Option<LayerSelection>,
    /// Layers of the selection.
    layers: Vec<LayerShape>,
    tables: &'a Splits,
}

/// Features to score, and where they came from.
pub(super) struct Candidate {
    pub(super) origin: Origin,
    pub(super) tables: Splits,
}

/// Latents first, then the controls, each with every selection.
pub(super) fn lines<'a>(plan: &Plan, tables: &'a [(Source, Splits)]) -> Vec<Line<'a>> {
    let of_layers = |source, tables| {
        plan.selections.iter().map(move |&selection| {
            let layers = selected(plan.loaded.model.config(), selection);
            Line { source, selection: Some(selection), layers, tables }
        })
    };
    let mut lines = Vec::new();
    for (source, tables) in tables {
        if matches!(source, Source::Pixels | Source::Pca) {
            lines.push(Line { source: *source, selection: None, layers: Vec::new(), tables });
        } else {
            lines.extend(of_layers(*source, tables));
        }
    }
    if plan.controls.contains(&Source::ShuffledLabels) {
        lines.extend(of_layers(Source::ShuffledLabels, &tables[0].1));
    }
    lines
}

impl Line<'_> {
    /// The features as pooled, and where there are more columns than are to be matched, reduced.
    pub(super) fn candidates(&self, plan: &Plan) -> Result<Vec<Candidate>> {
        let tables = self.tables.each_ref().map(|table| {
            let table = match self.selection {
                Some(_) => table.select_columns(|column| self.keeps(column)),
                None => table.clone(),
            };
            match self.source {
                Source::ShuffledLabels => shuffle_targets(&table, plan.bootstrap.seed),
                _ => table,
            }
        });
        let columns = tables[0].features.ncols();
        let origin = Origin {
            source: self.source,
            layers: self.selection,
            resolution: self.selection.and_then(|s| s.resolution(plan.loaded.model.config())),
            columns,
            matched_columns: None,
            train_fraction: 1.0,
            label_seed: None,
        };
        let mut candidates = Vec::new();
        if let Some((most, kind)) = plan.matching
            && columns > most
        {
            let tables = reduce(&tables, kind, most, plan.bootstrap.seed)?;
            let matched_columns = Some(tables[0].features.ncols());
            candidates.push(Candidate { origin: Origin { matched_columns, ..origin }, tables });
        }
        candidates.insert(0, Candidate { origin, tables });
        Ok(candidates)
    }

    fn keeps(&self, column: &FeatureColumn) -> bool {
        self.selection == Some(LayerSelection::All)
            || self.layers.iter().any(|layer| match column.layer {
                Some(index) => layer.index == index,
                None => column.resolution == Some(layer.resolution),
            })
    }
}

impl Candidate {
    /// The same features with some of the training and validation rows, and all test rows.
    pub(super) fn subset(&self, subset: Subset) -> Self {
        let origin =
            Origin { train_fraction: subset.fraction, label_seed: subset.seed, ..self.origin };
        let [train, valid, test] = &self.tables;
        let part = |table: &vdvae_features::FeatureTable| match subset.seed {
            None => table.clone(),
            Some(seed) => {
                let order = nested_order(&table.targets, table.rows(), seed);
                let size = (subset.fraction * table.rows() as f64).round().max(1.0) as usize;
                table.select_rows(&order[..size])
            }
        };
        Self { origin, tables: [part(train), part(valid), test.clone()] }
    }
}
