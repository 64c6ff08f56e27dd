//! From a gradient to an update: norm, skip decision, clipping, AdamW and moving average.
//!
//! On the CPU a step is made while it is asked for. On a GPU it is queued, and what it did is
//! collected later, so that the GPU never waits for the host.

#[cfg(feature = "cuda")]
mod device;
mod host;

use candle_core::{Tensor, Var};
use vdvae_model::ElboTerms;
use vdvae_ops::OptimizerMemory;

#[cfg(feature = "cuda")]
use device::GpuOptimizer;
use host::HostOptimizer;
#[cfg(test)]
pub(crate) use host::{Moments, Update, apply, clip_factor};

use crate::{Result, StepStats, TrainConfig};

/// Added to the root of the second moment; PyTorch's default, as published.
const EPSILON: f64 = 1e-8;

/// The optimizer, where the network is.
#[derive(Debug)]
pub(crate) enum Optimizer {
    /// On the CPU.
    Host(Box<HostOptimizer>),
    /// On a GPU.
    #[cfg(feature = "cuda")]
    Device(Box<GpuOptimizer>),
}

impl Optimizer {
    /// For variables as they are, with zero moments and an average that starts at the weights.
    pub(crate) fn new(config: &TrainConfig, variables: &[Var]) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if variables.iter().any(|variable| variable.device().is_cuda()) {
            return Ok(Self::Device(Box::new(GpuOptimizer::new(config, variables)?)));
        }
        Ok(Self::Host(Box::new(HostOptimizer::new(config, variables)?)))
    }

    /// Puts back what [`Self::memory`] gave.
    pub(crate) fn restore(&mut self, memory: OptimizerMemory) -> Result<()> {
        match self {
            Self::Host(host) => host.restore(memory),
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.restore(memory)?,
        }
        Ok(())
    }

    /// Everything remembered; waits for the steps that are queued.
    pub(crate) fn memory(&self) -> Result<OptimizerMemory> {
        match self {
            Self::Host(host) => Ok(host.memory()),
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.memory(),
        }
    }

    /// The moving average of the weights, a tensor a variable, beside them.
    pub(crate) fn ema(&self) -> Result<Vec<Tensor>> {
        match self {
            Self::Host(host) => host.ema(),
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.ema(),
        }
    }

    /// Takes the gradient of variable number `i` for the next step. Variables without one keep their
    /// value.
    pub(crate) fn put(&mut self, i: usize, gradient: Tensor) -> candle_core::Result<()> {
        match self {
            Self::Host(host) => host.put(i, gradient),
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.put(i, &gradient),
        }
    }

    /// Makes or queues a step.
    ///
    /// # Shapes
    /// - `terms`: of each part of the batch, (N of the part)
    pub(crate) fn step(&mut self, terms: &[ElboTerms], learning_rate: f64) -> Result<()> {
        match self {
            Self::Host(host) => host.step(terms, learning_rate),
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.step(terms, learning_rate),
        }
    }

    /// What the steps since the last call did, in order; waits for those that are queued.
    pub(crate) fn collect(&mut self) -> Result<Vec<StepStats>> {
        match self {
            Self::Host(host) => Ok(host.collect()),
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.collect(),
        }
    }

    /// Steps made or queued, skipped ones included.
    pub(crate) fn steps(&self) -> u64 {
        match self {
            Self::Host(host) => host.steps,
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.steps(),
        }
    }

    /// Updates made, as far as steps were collected.
    pub(crate) fn updates(&self) -> u64 {
        match self {
            Self::Host(host) => host.updates,
            #[cfg(feature = "cuda")]
            Self::Device(device) => device.updates(),
        }
    }

    #[cfg(test)]
    pub(crate) fn host(&self) -> &HostOptimizer {
        match self {
            Self::Host(host) => host,
            #[cfg(feature = "cuda")]
            Self::Device(_) => panic!("the network is on a GPU"),
        }
    }
}
