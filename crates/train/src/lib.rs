//! Training of Very Deep VAEs: AdamW, warm-up, clipping, skipped updates, moving average, and runs
//! that can be stopped and resumed without a trace.
//!
//! [`train`] is a whole run from a data set to a folder of results; [`Trainer::fit`] trains on given
//! batches, and [`Trainer::step`] on one; [`AdamW`] is the optimizer alone, for loops of candle's. The
//! training is that of the published code (<https://github.com/openai/vdvae>, `train.py`), with a data
//! order and noise that are functions of (seed, step).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod adamw;
mod checkpoint;
mod config;
mod error;
mod evaluate;
mod event;
mod events;
mod fit;
mod folder;
mod loader;
mod metrics;
mod network;
mod optimizer;
mod order;
mod run;
mod samples;
mod schedule;
mod shards;
mod skip;
mod trainer;
mod upload;

pub use adamw::AdamW;
pub use config::TrainConfig;
pub use error::{Error, Result};
pub use event::Event;
pub use fit::Observer;
pub use folder::check_out;
pub use metrics::Metrics;
pub use network::Network;
pub use run::{Run, Summary, train};
pub use schedule::Schedule;
pub use skip::{Skip, WINDOW};
pub use trainer::Trainer;
pub use vdvae_ops::StepStats;
