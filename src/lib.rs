//! Learn image representations with Very Deep VAEs (Child 2020, arXiv 2011.10650) and measure how
//! well they transfer.
//!
//! A VDVAE describes a picture by a stack of latents, from 1×1 to full resolution. This crate
//! trains such networks or loads published ones, reads the latents of every layer, and scores them
//! with linear probes. It has no logic of its own: each module is a crate of the workspace, and the
//! types of the network stand at the root.
//!
//! ```
//! use vdvae::{Device, Vdvae};
//!
//! let model = Vdvae::builtin(&Device::Cpu)?;
//! let img = image::RgbImage::from_fn(48, 40, |x, y| image::Rgb([x as u8, y as u8, 128]));
//!
//! let latents = model.extract_latents(&img)?;
//! for layer in latents.layers() {
//!     // (N, r, r, Z): one picture, the layer's grid, its latent channels.
//!     assert_eq!(layer.mean.dims(), [1, layer.resolution, layer.resolution, model.config().zdim]);
//! }
//! # Ok::<(), vdvae::model::Error>(())
//! ```
//!
//! A checkpoint is a file: one of ours, or a published one, which is known by its parameters. The
//! features of a split are one table:
//!
//! ```
//! use vdvae::datasets::{Split, ToyFaces};
//! use vdvae::features::{FeatureSpec, features};
//! use vdvae::{Device, Vdvae};
//! # let checkpoint = "crates/model/tests/fixtures/parity/tiny/model.th";
//!
//! let model = Vdvae::load(checkpoint, &Device::Cpu)?;
//! let faces = ToyFaces::with_people(0, [1, 1, 1]);
//! let table = features(&model, &faces, Split::Train, &FeatureSpec::default())?;
//! assert_eq!(table.rows(), 20);
//! # Ok::<(), vdvae::features::Error>(())
//! ```
//!
//! Training takes batches from anywhere:
//!
//! ```
//! use vdvae::datasets::{Batches, Preparation, Split, ToyFaces};
//! use vdvae::train::{StepStats, TrainConfig, Trainer};
//! use vdvae::{Device, Preset};
//!
//! let network = Preset::Tiny.config();
//! let mut trainer = Trainer::new(&network, &TrainConfig::preset(Preset::Tiny), &Device::Cpu)?;
//! let model = trainer.model().clone();
//!
//! let faces = ToyFaces::new(0);
//! let batches = Batches::new(&faces, Split::Train, Preparation::new(16)).range(0..8).size(4);
//! let batches = batches.map(|batch| Ok(model.pixels(batch?.pixels)?));
//! let mut observer = |step: &StepStats| println!("{}: {:.3} nats", step.step, step.nats_per_dim);
//! trainer.fit(batches, &mut observer)?;
//! assert_eq!(trainer.steps(), 2);
//! # Ok::<(), vdvae::train::Error>(())
//! ```
//!
//! An experiment is a network, pictures, a task, layers and controls. Its report becomes `results.json`,
//! `results.csv` and `report.html`, as those of `vdvae-probe`:
//!
//! ```
//! use vdvae::prelude::*;
//!
//! # let out = std::env::temp_dir().join(format!("vdvae-doctest-{}", std::process::id()));
//! let model = Vdvae::builtin(&Device::Cpu)?;
//! let (faces, task) = (ToyFaces::with_people(0, [4, 2, 2]), TargetsTask::default());
//! let selections = vec![LayerSelection::Resolution(4), LayerSelection::Resolution(8)];
//! let experiment = Experiment { selections, ..Experiment::new(&model, &faces, &task) };
//! let report = experiment.run(&mut |_| ())?;
//! report.write(&out)?;
//! # assert_eq!(std::fs::read_dir(&out)?.count(), 4);
//! # std::fs::remove_dir_all(&out)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Few-shot episodes and face verification of given tables are one call each; without training rows, each
//! fold of pairs has a scorer of its own, fitted on everyone who is not in it:
//!
//! ```
//! use vdvae::prelude::*;
//!
//! let (model, faces) = (Vdvae::builtin(&Device::Cpu)?, ToyFaces::with_people(0, [4, 1, 6]));
//! let read = |split| features(&model, &faces, split, &FeatureSpec::default());
//! let (train, test) = (read(Split::Train)?, read(Split::Test)?);
//!
//! let base = Standardiser::of(train.view())?;
//! let config = EpisodeConfig { ways: 5, shots: 1, queries: 15, seed: 0 };
//! let episodes = few_shot(&base, &test, config, 100, Classifier::Cl2n)?;
//!
//! let pairs = sample_pairs(test.groups.as_deref().unwrap_or_default(), 2, 40, 0)?;
//! let (score, projection) = (VerificationScore::Lda, Projection::default());
//! let trained = verify_table(score, projection, Some(&train), &test, &pairs)?;
//! let by_fold = verify_table(score, projection, None, &test, &pairs)?;
//! for result in [episodes.result, trained, by_fold] {
//!     println!("{}: accuracy {:.3?}, 95% {:.3?}", result.probe, result.value, result.ci95);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | load a checkpoint, read latents, sample, decode | [`Vdvae`] |
//! | train | [`train::train`], or [`train::Trainer::fit`] on given batches |
//! | compare with an autoregressive model | [`pixelcnn::PixelCnn`] |
//! | open pictures | [`datasets::open`] |
//! | pool latents into a table | [`features::features`], or [`features::Extraction`] |
//! | score a table | [`probes::evaluate`] with [`probes::LinearProbe`] or another, [`probes::few_shot`], [`probes::verify_table`] |
//! | do all of it, beside controls | [`experiment::Experiment`] |

pub use vdvae_datasets as datasets;
pub use vdvae_experiment as experiment;
pub use vdvae_features as features;
pub use vdvae_model as model;
pub use vdvae_pixelcnn as pixelcnn;
pub use vdvae_probes as probes;
pub use vdvae_report as report;
pub use vdvae_train as train;

pub use candle_core::{Device, Tensor};
pub use vdvae_model::{
    Checkpoint, ElboTerms, Images, LatentLayer, LatentMode, Latents, Noise, Precision, Preset,
    Vdvae, VdvaeConfig, Weights,
};

#[cfg(feature = "cuda")]
pub use vdvae_model::cuda_device;

/// What most programs need: `use vdvae::prelude::*;`.
pub mod prelude {
    pub use vdvae_datasets::{Dataset, Preparation, Split, ToyFaces};
    pub use vdvae_experiment::{Experiment, FewShotTask, Report, TargetsTask, VerificationTask};
    pub use vdvae_features::{
        FeatureSpec, FeatureTable, LayerSelection, Pooling, Statistic, features,
    };
    pub use vdvae_probes::{
        Bootstrap, Classifier, EpisodeConfig, KnnProbe, LinearProbe, Probe, Projection, RidgeProbe,
        Source, Standardiser, VerificationScore, evaluate, few_shot, sample_pairs, verify_table,
    };
    pub use vdvae_train::{TrainConfig, Trainer};

    pub use crate::{Device, LatentMode, Latents, Preset, Tensor, Vdvae, VdvaeConfig};
}

/// The snippet of the README, which has to compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
