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
//! | to | see |
//! |---|---|
//! | load a checkpoint, read latents, sample, decode | [`Vdvae`] |
//! | train | [`train::train`], or [`train::Trainer::fit`] on given batches |
//! | open pictures | [`datasets::open`] |
//! | pool latents into a table | [`features::features`], or [`features::Extraction`] |
//! | score a table | [`probes::evaluate`] with [`probes::LinearProbe`] or another, [`probes::few_shot`], [`probes::verify_table`] |
//! | do all of it, beside controls | [`experiment::Experiment`] |

pub use vdvae_datasets as datasets;
pub use vdvae_experiment as experiment;
pub use vdvae_features as features;
pub use vdvae_model as model;
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
