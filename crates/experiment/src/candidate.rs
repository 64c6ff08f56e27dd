//! What a task scores: the features of one line of the table.

use vdvae_features::FeatureTable;
use vdvae_probes::{FeatureInfo, Origin, nested_order};

/// Train, validation and test tables of one source; a split that the task does not need has no
/// rows.
pub type Splits = [FeatureTable; 3];

/// Features to score, and where they came from.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Latents or a control, which layers, and how many columns.
    pub origin: Origin,
    /// The features of every split.
    pub tables: Splits,
    /// What it takes to read the same features from other pictures; none for controls.
    pub features: Option<FeatureInfo>,
}

impl Candidate {
    /// The same features with a share of the training and validation rows, drawn by `seed`, and
    /// all test rows. Smaller shares are parts of larger ones.
    #[must_use]
    pub fn subset(&self, fraction: f64, seed: u64) -> Self {
        let part = |table: &FeatureTable| {
            let order = nested_order(&table.targets, table.rows(), seed);
            let size = (fraction * table.rows() as f64).round().max(1.0) as usize;
            table.select_rows(&order[..size])
        };
        let [train, valid, test] = &self.tables;
        Self {
            origin: Origin { train_fraction: fraction, label_seed: Some(seed), ..self.origin },
            tables: [part(train), part(valid), test.clone()],
            features: self.features.clone(),
        }
    }
}
