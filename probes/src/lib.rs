//! Probes that measure what a representation knows: classifiers, regressions, metrics, intervals
//! and controls.
//!
//! A probe reads [`FeatureTable`](vdvae_features::FeatureTable)s only. Every [`Probe`] follows one
//! protocol: it standardises with training statistics, chooses on validation, refits on train and
//! validation, and [`evaluate`] reads the test rows once.
//!
//! | probe | predicts | chooses |
//! |---|---|---|
//! | [`LinearProbe`] | binary, classes | strength of the penalty |
//! | [`RidgeProbe`] | binary, classes, real | strength of the penalty |
//! | [`KnnProbe`] | binary, classes, real | number of neighbours |
//! | [`CentroidProbe`] | binary, classes | nothing |
//!
//! Beside them stand two protocols of their own: few-shot episodes ([`few_shot`]) and face
//! verification ([`verify_table`]).
//!
//! ```
//! use ndarray::Array2;
//! use vdvae_features::{FeatureColumn, FeatureTable, Targets};
//! use vdvae_probes::{Bootstrap, LinearProbe, evaluate};
//!
//! // Sixty rows of two columns; the target is the sign of the first column.
//! let table = |offset: usize| {
//!     let features = Array2::from_shape_fn((60, 2), |(i, j)| {
//!         ((i + offset) as f32 * [0.7, 1.3][j]).sin()
//!     });
//!     let values = Array2::from_shape_fn((60, 1), |(i, _)| i8::from(features[[i, 0]] > 0.0));
//!     FeatureTable {
//!         features,
//!         targets: Targets::Binary { names: vec!["sign".into()], values },
//!         keys: (0..60).map(|i| format!("{}", i + offset)).collect(),
//!         groups: None,
//!         columns: (0..2)
//!             .map(|channel| FeatureColumn { layer: None, resolution: None, channel, cell: 0 })
//!             .collect(),
//!     }
//! };
//! let [train, valid, test] = [0, 60, 120].map(table);
//! let probe = LinearProbe::default();
//! let evaluated = evaluate(&probe, &train, &valid, &test, Bootstrap::default())?;
//! assert!(evaluated.result.value.expect("both classes are present") > 0.99);
//! # Ok::<(), vdvae_probes::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bootstrap;
mod centroid;
mod check;
mod compare;
mod controls;
mod error;
mod evaluate;
mod fewshot;
mod linear;
pub mod logistic;
mod matrix;
mod means;
pub mod metrics;
mod moments;
mod named;
mod neighbours;
mod networks;
mod probe;
mod reduce;
mod result;
mod ridge;
mod saved;
mod select;
mod simd;
mod standardise;
mod strengths;
mod subset;
mod units;
mod verification;
mod who;

pub use bootstrap::{
    Bootstrap, Counts, Estimator, LANES, MeanAccuracy, MeanAuroc, MeanR2, PairedDifference,
    Replicated, Resamples, headline,
};
pub use centroid::CentroidProbe;
pub use compare::{compare, set_selectivity};
pub use controls::shuffle_targets;
pub use error::{Error, Result};
pub use evaluate::{Evaluated, evaluate};
pub use fewshot::{
    Classifier, Episode, EpisodeConfig, EpisodeSampler, EpisodeScores, EvaluatedEpisodes, FewShot,
    compare_episodes, few_shot, score_episodes,
};
pub use linear::LinearProbe;
pub use logistic::Solver;
pub use neighbours::{KnnProbe, nearest_rows};
pub use networks::{OfNetwork, average_networks};
pub use probe::{Choice, Fitted, Probe};
pub use reduce::{Reduction, ReductionKind};
pub use result::{
    Compared, Comparison, DataInfo, EpisodeInfo, Leak, Metric, ModelInfo, NetworkScore, Origin,
    ProbeReport, ProbeResult, Shared, Source, TarAtFar, TargetResult, VerificationInfo,
};
pub use ridge::RidgeProbe;
pub use saved::{FeatureInfo, Prediction, ProbeInfo, SavedProbe, TargetKind};
pub use standardise::{DEVIATION_FLOOR, Standardiser};
pub use strengths::{STRENGTHS, StrengthEdge};
pub use subset::nested_order;
pub use units::Units;
pub use verification::{
    Pair, Projection, Scorer, Training, Verification, VerificationScore, compare_verification,
    sample_pairs, verify, verify_each, verify_table,
};
pub use who::{class_of_rows, identity_of_rows};

#[cfg(test)]
mod fixture;
