//! Training of Very Deep VAEs: AdamW, warm-up, clipping, skipped updates, moving average, and runs
//! that can be stopped and resumed without a trace.
//!
//! [`train`] is a whole run from a data set to a folder of results; [`Trainer`] makes single
//! steps. The training is that of the published code (<https://github.com/openai/vdvae>,
//! `train.py`), with a data order and noise that are functions of (seed, step).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod checkpoint;
mod config;
mod error;
mod evaluate;
mod events;
mod folder;
mod loader;
mod metrics;
mod observer;
mod optimizer;
mod order;
mod run;
mod samples;
mod schedule;
mod shards;
mod skip;
mod trainer;
mod upload;

pub use config::TrainConfig;
pub use error::{Error, Result};
pub use folder::check_out;
pub use metrics::Metrics;
pub use observer::Event;
pub use run::{Run, Summary, train};
pub use schedule::Schedule;
pub use skip::{Skip, WINDOW};
pub use trainer::{Likelihood, StepStats, Trainer};
