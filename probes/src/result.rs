//! What a run of probes leaves behind: the types of `results.json`.
//!
//! Undefined numbers are `None`, `null` in JSON; none of these fields ever holds NaN.

mod info;
mod leak;
mod names;

use serde::{Deserialize, Serialize};
use vdvae_features::{FeatureSpec, LayerSelection};

use crate::strengths::StrengthEdge;
pub use info::{DataInfo, EpisodeInfo, ModelInfo, TarAtFar, VerificationInfo};
pub use leak::{Leak, Shared};
pub use names::{Metric, Source};

/// Everything in `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Name of the task, such as `celeba-attrs`.
    pub task: String,
    /// The network the latents came from.
    pub model: ModelInfo,
    /// The data set and its splits.
    pub data: DataInfo,
    /// What was read from each layer, and how it became columns.
    #[serde(default)]
    pub features: FeatureSpec,
    /// Seed of the bootstrap, the controls and the data.
    pub seed: u64,
    /// One entry a set of features and probe.
    pub results: Vec<ProbeResult>,
    /// Paired differences between results of one probe.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// What splits share that should keep them apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<Leak>,
}

/// The difference of two results of one probe on the same test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was better, or asked about.
    pub a: Compared,
    /// What it is compared with.
    pub b: Compared,
    /// Value of `a` less that of `b`.
    pub difference: f64,
    /// 95% interval of the difference over replicates that both share.
    pub ci95: Option<[f64; 2]>,
    /// Two-sided p-value of no difference; not corrected for the number of comparisons.
    pub p_value: Option<f64>,
}

/// One side of a [`Comparison`]: a result, or the mean of those that differ in their label seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Where the features came from.
    pub source: Source,
    /// The layers; none for pixels and their components.
    pub layers: Option<LayerSelection>,
    /// Name of the probe.
    pub probe: String,
    /// Columns the features were projected to.
    pub matched_columns: Option<usize>,
    /// Share of the training rows that were used.
    pub train_fraction: f64,
    /// As [`ProbeResult::labels`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
}

/// Where the features of a result came from, and how many rows were used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Origin {
    /// Latents or a control.
    pub source: Source,
    /// The layers; none for pixels and their components.
    pub layers: Option<LayerSelection>,
    /// Resolution of the layers where they share one.
    pub resolution: Option<usize>,
    /// Columns before they were matched.
    pub columns: usize,
    /// Columns after it.
    pub matched_columns: Option<usize>,
    /// Share of the training and validation rows that were used.
    pub train_fraction: f64,
    /// Seed by which they were drawn.
    pub label_seed: Option<u64>,
    /// Seed of the random weights, where several networks of them are averaged.
    pub network_seed: Option<u64>,
}

/// The score of one of several networks with random weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NetworkScore {
    /// Seed of the weights.
    pub seed: u64,
    /// As [`ProbeResult::value`].
    pub value: Option<f64>,
}

/// How well one probe did on one set of features.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Where the features came from.
    pub source: Source,
    /// The layers; none for pixels and their components.
    pub layers: Option<LayerSelection>,
    /// Resolution of the layers where they share one.
    pub resolution: Option<usize>,
    /// Columns of the features.
    pub columns: usize,
    /// Columns they were projected to, where sizes were matched.
    pub matched_columns: Option<usize>,
    /// Share of the training and validation rows that were used.
    #[serde(default = "whole")]
    pub train_fraction: f64,
    /// Training rows that were used, without those of validation.
    #[serde(default)]
    pub n_train: usize,
    /// Seed by which they were drawn; none where all were used.
    #[serde(default)]
    pub label_seed: Option<u64>,
    /// Name of the probe, such as `logistic`.
    pub probe: String,
    /// Name of its solver, such as `batched`.
    pub solver: String,
    /// Which labels it is about, where there are several kinds: `binary`, `real` or `NAME:class`; and
    /// which test pictures, where only some were scored: `where NAME is VALUE`, of another target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// What `value` is.
    pub metric: Metric,
    /// Mean over the targets that are defined.
    pub value: Option<f64>,
    /// 95% bootstrap interval of `value` over the test rows, or over their groups.
    pub ci95: Option<[f64; 2]>,
    /// `value` less that of the same features with shuffled labels, where that control was run.
    #[serde(default)]
    pub selectivity: Option<f64>,
    /// Whether every fit behind the result converged.
    #[serde(default)]
    pub converged: bool,
    /// Of several networks with random weights, of whose results this is the mean, each alone; empty
    /// elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkScore>,
    /// One entry a target; for classes one a class, against all others; none for episodes, whose
    /// classes change.
    pub per_target: Vec<TargetResult>,
    /// The episodes behind a few-shot result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few_shot: Option<EpisodeInfo>,
    /// What a face verification measured beside its accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationInfo>,
}

/// The share of rows in a file from before there were shares.
fn whole() -> f64 {
    1.0
}

/// How well one target, or one class against all others, is predicted on test.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TargetResult {
    /// Name of the target.
    pub target: String,
    /// Area under the receiver operating characteristic.
    pub auroc: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// Mean recall of the two sides at probability 0.5 (for classes: at the likeliest class, of one
    /// class against all others; [`ProbeResult::balanced_accuracy`] is that of the task).
    pub balanced_accuracy: Option<f64>,
    /// Of a class: the share of its rows that are given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Share of right decisions, made likewise.
    pub accuracy: Option<f64>,
    /// Accuracy of always answering the more frequent side.
    pub base_rate: Option<f64>,
    /// Coefficient of determination of a real target.
    #[serde(default)]
    pub r2: Option<f64>,
    /// Pearson's correlation of a real target with its prediction.
    #[serde(default)]
    pub pearson: Option<f64>,
    /// Spearman's rank correlation of a real target with its prediction.
    #[serde(default)]
    pub spearman: Option<f64>,
    /// Strength of the penalty chosen on validation; none where there is none, or nothing could be
    /// fitted.
    pub strength: Option<f64>,
    /// Whether it is the smallest or largest of those to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength_edge: Option<StrengthEdge>,
    /// Neighbours chosen on validation, for probes that have some.
    #[serde(default)]
    pub neighbours: Option<usize>,
    /// Whether the refit and every fit of the sweep converged; none where nothing was fitted, or
    /// in closed form.
    pub converged: Option<bool>,
}

impl ProbeResult {
    /// Says where the features came from.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        let Origin { source, layers, resolution, columns, .. } = origin;
        let Origin { matched_columns, train_fraction, label_seed, network_seed, .. } = origin;
        let network = network_seed.map(|seed| NetworkScore { seed, value: self.value });
        Self {
            source,
            layers,
            resolution,
            columns,
            matched_columns,
            train_fraction,
            label_seed,
            networks: network.into_iter().collect(),
            ..self
        }
    }

    /// What a [`Comparison`] calls this result; results that differ in their label seed alone
    /// share it.
    pub fn side(&self) -> Compared {
        Compared {
            source: self.source,
            layers: self.layers,
            probe: self.probe.clone(),
            matched_columns: self.matched_columns,
            train_fraction: self.train_fraction,
            labels: self.labels.clone(),
        }
    }

    /// Accuracy as scikit-learn defines it: of classes the share of right answers, of binary targets
    /// the mean of theirs.
    pub fn accuracy(&self) -> Option<f64> {
        match self.metric {
            Metric::Accuracy => self.value,
            _ => self.mean(|target| target.accuracy),
        }
    }

    /// Balanced accuracy as scikit-learn defines it: of classes the mean of their recalls, of binary
    /// targets the mean of theirs.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        match self.metric {
            Metric::Accuracy => self.mean(|target| target.recall),
            _ => self.mean(|target| target.balanced_accuracy),
        }
    }

    /// The mean of one number over the targets that define it; of classes, a mean of each against all
    /// others.
    pub fn mean(&self, of: impl Fn(&TargetResult) -> Option<f64>) -> Option<f64> {
        let defined: Vec<f64> = self.per_target.iter().filter_map(of).collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    }

    /// The value of guessing, where it is known.
    pub fn chance(&self) -> Option<f64> {
        match (&self.few_shot, &self.verification) {
            (Some(episodes), _) => Some(1.0 / episodes.ways as f64),
            (_, Some(_)) => Some(0.5),
            _ => (self.metric == Metric::Auroc).then_some(0.5),
        }
    }

    /// Share of genuine pairs accepted where at most a share `far` of the impostors is.
    pub fn tar_at(&self, far: f64) -> Option<f64> {
        let mut at = self.verification.iter().flat_map(|info| &info.tar_at_far);
        at.find(|(share, _)| *share == far)?.1
    }

    /// The score of one target that `value` is the mean of; for classes, of one against all others.
    pub fn score_of(&self, target: &TargetResult) -> Option<f64> {
        if self.metric == Metric::R2 { target.r2 } else { target.auroc }
    }

    /// Targets without a score: one value only in train or in test.
    pub fn undefined(&self) -> impl Iterator<Item = &TargetResult> {
        self.per_target.iter().filter(|target| self.score_of(target).is_none())
    }

    /// Targets of which some fit did not converge.
    pub fn not_converged(&self) -> impl Iterator<Item = &TargetResult> {
        self.per_target.iter().filter(|target| target.converged == Some(false))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_json_has_the_documented_fields() {
        let report = ProbeReport {
            task: "toy-faces".into(),
            model: ModelInfo { name: "builtin".into(), sha256: None, config: json!({"width": 8}) },
            data: DataInfo {
                name: "toy-faces".into(),
                n_train: 3,
                n_valid: 2,
                n_test: 1,
                remarks: vec![],
            },
            features: FeatureSpec::default(),
            seed: 7,
            results: vec![ProbeResult {
                source: Source::RandomInit,
                layers: Some(LayerSelection::Resolution(32)),
                resolution: Some(32),
                columns: 512,
                matched_columns: None,
                train_fraction: 0.1,
                n_train: 3,
                label_seed: Some(2),
                probe: "logistic".into(),
                solver: "batched".into(),
                metric: Metric::Auroc,
                value: Some(0.75),
                ci95: Some([0.5, 1.0]),
                selectivity: None,
                converged: true,
                per_target: vec![TargetResult {
                    target: "Hat".into(),
                    accuracy: Some(1.0),
                    base_rate: Some(1.0),
                    strength: Some(100.0),
                    strength_edge: Some(StrengthEdge::Smallest),
                    converged: Some(true),
                    ..TargetResult::default()
                }],
                ..ProbeResult::default()
            }],
            comparisons: vec![Comparison {
                a: Compared {
                    source: Source::Latents,
                    layers: Some(LayerSelection::All),
                    probe: "logistic".into(),
                    matched_columns: None,
                    train_fraction: 0.1,
                    labels: None,
                },
                b: Compared {
                    source: Source::Pixels,
                    layers: None,
                    probe: "logistic".into(),
                    matched_columns: None,
                    train_fraction: 0.1,
                    labels: None,
                },
                difference: 0.25,
                ci95: None,
                p_value: Some(0.5),
            }],
            leaks: vec![],
        };
        let expected = json!({
            "task": "toy-faces",
            "model": {"name": "builtin", "sha256": null, "config": {"width": 8}},
            "data": {"name": "toy-faces", "n_train": 3, "n_valid": 2, "n_test": 1},
            "features": {"statistic": "mean", "pooling": "grid:4", "seed": 0, "samples": 1},
            "seed": 7,
            "results": [{
                "source": "random-init", "layers": "32x32", "resolution": 32, "columns": 512,
                "matched_columns": null, "train_fraction": 0.1, "n_train": 3, "label_seed": 2,
                "probe": "logistic", "solver": "batched",
                "metric": "auroc", "value": 0.75, "ci95": [0.5, 1.0],
                "selectivity": null, "converged": true,
                "per_target": [{
                    "target": "Hat", "auroc": null, "average_precision": null,
                    "balanced_accuracy": null, "accuracy": 1.0, "base_rate": 1.0,
                    "r2": null, "pearson": null, "spearman": null,
                    "strength": 100.0, "strength_edge": "smallest", "neighbours": null, "converged": true,
                }],
            }],
            "comparisons": [{
                "a": {"source": "latents", "layers": "all", "probe": "logistic",
                      "matched_columns": null, "train_fraction": 0.1},
                "b": {"source": "pixels", "layers": null, "probe": "logistic",
                      "matched_columns": null, "train_fraction": 0.1},
                "difference": 0.25, "ci95": null, "p_value": 0.5,
            }],
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
        assert_eq!(serde_json::from_value::<ProbeReport>(expected).unwrap(), report);
    }

    #[test]
    fn means_skip_what_is_undefined() {
        let target =
            |auroc| TargetResult { target: String::new(), auroc, ..TargetResult::default() };
        let per_target = [target(Some(0.5)), target(None), target(Some(1.0))].into();
        let result = ProbeResult { per_target, ..ProbeResult::default() };
        assert_eq!(result.mean(|target| target.auroc), Some(0.75));
        assert_eq!(result.mean(|target| target.accuracy), None);
    }
}
