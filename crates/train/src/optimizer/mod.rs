//! From a gradient to an update: norm, skip decision, clipping, AdamW and moving average.
//!
//! On the CPU a step is made while it is asked for. On a GPU it is queued, and what it did is
//! collected later, so that the GPU never waits for the host.

#[cfg(feature = "cuda")]
mod device;
mod host;

use std::fmt::Debug;

use candle_core::{Tensor, Var};
use vdvae_model::ElboTerms;
use vdvae_ops::OptimizerMemory;

#[cfg(test)]
pub(crate) use host::{clip_factor, numbers, update};

use crate::{Result, StepStats, TrainConfig};

/// Added to the root of the second moment; PyTorch's default, as published.
const EPSILON: f64 = 1e-8;

/// The optimizer of a network, where the network is.
pub(crate) trait Optimizer: Debug + Send {
    /// Puts back what [`Self::memory`] gave.
    fn restore(&mut self, memory: OptimizerMemory) -> Result<()>;

    /// Everything remembered; waits for the steps that are queued.
    fn memory(&self) -> Result<OptimizerMemory>;

    /// The moving average of the weights, a tensor a variable, beside them.
    fn ema(&self) -> Result<Vec<Tensor>>;

    /// Takes the gradient of variable number `i` for the next step. Variables without one keep their
    /// value.
    fn put(&mut self, i: usize, gradient: Tensor) -> candle_core::Result<()>;

    /// Makes or queues a step.
    ///
    /// # Shapes
    /// - `terms`: of each part of the batch, (N of the part)
    fn step(&mut self, terms: &[ElboTerms], learning_rate: f64) -> Result<()>;

    /// What the steps since the last call did, in order; waits for those that are queued.
    fn collect(&mut self) -> Result<Vec<StepStats>>;

    /// Steps made or queued, skipped ones included.
    fn steps(&self) -> u64;

    /// Updates made, as far as steps were collected.
    fn updates(&self) -> u64;
}

/// For variables as they are, with zero moments and an average that starts at the weights.
pub(crate) fn optimizer(config: &TrainConfig, variables: &[Var]) -> Result<Box<dyn Optimizer>> {
    #[cfg(feature = "cuda")]
    if variables.iter().any(|variable| variable.device().is_cuda()) {
        return Ok(Box::new(device::GpuOptimizer::new(config, variables)?));
    }
    Ok(Box::new(host::HostOptimizer::new(config, variables)?))
}
