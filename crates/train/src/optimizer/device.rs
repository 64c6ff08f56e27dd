//! The optimizer of a network on a GPU: [`DeviceOptimizer`] with this crate's types.

use candle_core::{Tensor, Var};
use vdvae_model::ElboTerms;
use vdvae_ops::cuda::{DeviceAdamW, DeviceMemory, DeviceOptimizer, DeviceSkip, DeviceStep};

use super::{EPSILON, Memory, Outcome};
use crate::skip::{FEWEST, Norms};
use crate::{Result, Skip, TrainConfig, WINDOW};

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

    pub(crate) fn restore(&mut self, memory: Memory) -> Result<()> {
        let Memory { ema, first, second, updates, norms } = memory;
        self.updates = updates;
        let norms = norms.into_vec();
        Ok(self.inner.restore(&DeviceMemory { ema, first, second, updates, norms })?)
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let DeviceMemory { ema, first, second, updates, norms } = self.inner.memory()?;
        Ok(Memory { ema, first, second, updates, norms: Norms::from_vec(norms) })
    }

    pub(crate) fn ema(&self) -> Result<Vec<Tensor>> {
        Ok(self.inner.ema()?)
    }

    pub(crate) fn put(&mut self, i: usize, gradient: &Tensor) -> candle_core::Result<()> {
        self.inner.put(i, gradient)
    }

    pub(crate) fn step(&mut self, terms: &[ElboTerms], learning_rate: f64) -> Result<()> {
        let [ElboTerms { distortion, rate }] = terms else {
            unreachable!("a batch on a GPU is one part");
        };
        Ok(self.inner.step(distortion, rate, learning_rate)?)
    }

    pub(crate) fn collect(&mut self) -> Result<Vec<Outcome>> {
        let steps = self.inner.collect()?;
        self.updates += steps.iter().filter(|step| !step.skipped).count() as u64;
        Ok(steps.into_iter().map(outcome).collect())
    }

    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }
}

fn adamw(config: &TrainConfig) -> DeviceAdamW {
    DeviceAdamW {
        beta1: config.adam_beta1,
        beta2: config.adam_beta2,
        epsilon: EPSILON,
        weight_decay: config.weight_decay,
        grad_clip: config.grad_clip,
        ema_rate: config.ema_rate,
        skip: match config.skip {
            Skip::None => DeviceSkip::None,
            Skip::Fixed(norm) => DeviceSkip::Fixed(norm),
            Skip::Adaptive(factor) => DeviceSkip::Adaptive { factor, fewest: FEWEST },
        },
        window: WINDOW,
    }
}

fn outcome(step: DeviceStep) -> Outcome {
    let DeviceStep { distortion, rate, grad_norm, skip_threshold, skipped } = step;
    Outcome { distortion, rate, grad_norm, skip_threshold, skipped }
}
