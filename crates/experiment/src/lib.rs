//! Experiments: what the latents of a network know, beside controls.
//!
//! An [`Experiment`] is a network, a data set, a [`Task`], the layers to read and the controls to
//! run beside them. Every picture passes through the network once; each selection of layers and
//! each control then becomes a line of results, with intervals and paired differences. What is
//! left is a [`Report`], which writes `results.json`, `results.csv` and `report.html`. The program
//! `vdvae-probe` runs one.
//!
//! | task | asks | results |
//! |---|---|---|
//! | [`TargetsTask`] | Which labels of a picture can a probe predict? | AUROC, accuracy or R² |
//! | [`FewShotTask`] | Which of a few new classes is it, from a few pictures of each? | accuracy |
//! | [`VerificationTask`] | Do two pictures show one person? | accuracy, ROC |
//!
//! ```
//! use vdvae_datasets::ToyFaces;
//! use vdvae_experiment::{Experiment, FewShotTask};
//! use vdvae_features::LayerSelection;
//! use vdvae_model::Vdvae;
//!
//! let model = Vdvae::builtin(&candle_core::Device::Cpu)?;
//! let (faces, task) = (ToyFaces::with_people(0, [2, 1, 5]), FewShotTask::new(5, 1));
//! let experiment = Experiment {
//!     selections: vec![LayerSelection::Resolution(4)],
//!     ..Experiment::new(&model, &faces, &task)
//! };
//! let report = experiment.run(&mut |_| ())?;
//! assert_eq!(report.results.results.len(), 3, "latents, random weights and pixels");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod analyze;
mod candidate;
mod edit;
mod error;
mod event;
mod experiment;
mod leaks;
mod line;
mod merge;
mod page;
mod pairing;
mod report;
mod run;
mod selections;
mod tables;
mod task;

pub use analyze::{Analysis, Depth, LayerFindings, LayerReport, LayerScores, Score, layer_scores};
pub use candidate::{Candidate, Splits};
pub use edit::{Direction, mixed};
pub use error::{Error, Result};
pub use event::Event;
pub use experiment::{Experiment, Matching};
pub use merge::{Difference, Merged, MergedRun, Run};
pub use pairing::Pairing;
pub use report::Report;
pub use selections::{cumulative, each_layer, each_resolution};
pub use task::{
    Episodes, FewShotTask, Pairs, Scores, TargetsTask, Task, TaskKind, TaskName, VerificationTask,
};
