//! The optimizer of a network on a GPU: [`DeviceOptimizer`] with this crate's types.

use candle_core::{Tensor, Var};
use vdvae_model::ElboTerms;
use vdvae_ops::OptimizerMemory;
use vdvae_ops::cuda::{DeviceAdamW, DeviceOptimizer};

use super::{EPSILON, Optimizer};
use crate::skip::FEWEST;
use crate::{Result, Skip, StepStats, TrainConfig, WINDOW};

/// Decides, updates and averages on the GPU.
#[derive(Debug)]
pub(crate) struct GpuOptimizer {
    inner: DeviceOptimizer,
    /// Of the steps collected.
    updates: u64,
}

impl GpuOptimizer {
    pub(crate) fn new(config: &TrainConfig, variables: &[Var]) -> Result<Self> {
        let parameters: Vec<Tensor> =
            variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        Ok(Self { inner: DeviceOptimizer::new(&parameters, adamw(config))?, updates: 0 })
    }
}

impl Optimizer for GpuOptimizer {
    fn restore(&mut self, memory: OptimizerMemory) -> Result<()> {
        self.updates = memory.updates;
        Ok(self.inner.restore(&memory)?)
    }

    fn memory(&self) -> Result<OptimizerMemory> {
        Ok(self.inner.memory()?)
    }

    fn ema(&self) -> Result<Vec<Tensor>> {
        Ok(self.inner.ema()?)
    }

    fn put(&mut self, i: usize, gradient: Tensor) -> candle_core::Result<()> {
        self.inner.put(i, &gradient)
    }

    fn step(&mut self, terms: &[ElboTerms], learning_rate: f64) -> Result<()> {
        let [ElboTerms { distortion, rate }] = terms else {
            unreachable!("a batch on a GPU is one part");
        };
        Ok(self.inner.step(distortion, rate, learning_rate)?)
    }

    fn collect(&mut self) -> Result<Vec<StepStats>> {
        let steps = self.inner.collect()?;
        self.updates += steps.iter().filter(|step| !step.skipped).count() as u64;
        Ok(steps)
    }

    fn steps(&self) -> u64 {
        self.inner.steps()
    }

    fn updates(&self) -> u64 {
        self.updates
    }
}

fn adamw(config: &TrainConfig) -> DeviceAdamW {
    let (skip_norm, skip_factor) = match config.skip {
        Skip::None => (None, None),
        Skip::Fixed(norm) => (Some(norm), None),
        Skip::Adaptive(factor) => (None, Some(factor)),
    };
    DeviceAdamW {
        beta1: config.adam_beta1,
        beta2: config.adam_beta2,
        epsilon: EPSILON,
        weight_decay: config.weight_decay,
        grad_clip: config.grad_clip,
        ema_rate: config.ema_rate,
        ema_warmup: config.ema_warmup,
        skip_norm,
        skip_factor,
        skip_fewest: FEWEST,
        window: WINDOW,
    }
}
