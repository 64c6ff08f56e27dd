//! Probes that measure what a representation knows: linear classifiers, metrics, intervals and
//! controls.
//!
//! A probe reads [`FeatureTable`](vdvae_features::FeatureTable)s only. [`LinearProbe`] is the
//! protocol: it standardises with training statistics, chooses the strength of the L2 penalty on
//! validation, refits on train and validation, and reads the test rows once.
//!
//! ```
//! use ndarray::Array2;
//! use vdvae_features::{FeatureColumn, FeatureTable, Targets};
//! use vdvae_probes::LinearProbe;
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
//! let outcome = LinearProbe::default().evaluate(&table(0), &table(60), &table(120))?;
//! assert!(outcome.value.expect("both classes are present") > 0.99);
//! # Ok::<(), vdvae_probes::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bootstrap;
mod controls;
mod error;
mod linear;
pub mod logistic;
pub mod metrics;
mod result;

pub use bootstrap::{
    MeanAccuracy, MeanAuroc, PairedDifference, Resamples, Statistic, interval, paired_difference,
};
pub use controls::shuffle_targets;
pub use error::{Error, Result};
pub use linear::{LinearOutcome, LinearProbe, TestScores};
pub use logistic::Solver;
pub use result::{DataInfo, ModelInfo, ProbeReport, ProbeResult, Source, TargetResult};
