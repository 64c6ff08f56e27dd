//! One training step: forward, backward, skip or clip, AdamW, moving average.

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use vdvae_model::{ElboTerms, Noise, Vdvae, VdvaeConfig, Weights};

use crate::optimizer::{self, Memory, Update};
use crate::shards::Shards;
use crate::skip::Norms;

use crate::{Error, Result, TrainConfig};

/// A network in training.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vdvae_model::Preset;
/// use vdvae_train::{TrainConfig, Trainer};
///
/// let config = TrainConfig::preset(Preset::Tiny);
/// let mut trainer = Trainer::new(&Preset::Tiny.config(), &config, &Device::Cpu)?;
/// let images = Tensor::zeros((2, 16, 16, 3), DType::U8, &Device::Cpu)?;
/// let step = trainer.step(&images)?;
/// assert!(step.nats_per_dim > 0.0 && step.grad_norm > 0.0 && !step.skipped);
/// # Ok::<(), vdvae_train::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    /// Reads the variables, so that it changes with them.
    model: Vdvae,
    variables: Vec<Var>,
    memory: Vec<Memory>,
    progress: Progress,
    shards: Shards,
}

/// What a run knows beside the numbers of its tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// Steps made, skipped ones included.
    pub(crate) step: u64,
    /// Updates made.
    pub(crate) updates: u64,
    /// Gradient norms seen last.
    pub(crate) norms: Norms,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepStats {
    /// Steps made, this one included.
    pub step: u64,
    /// Mean over the batch of distortion + rate.
    pub nats_per_dim: f64,
    /// Mean negative log-likelihood, nats per dimension.
    pub distortion: f64,
    /// Mean KL from posterior to prior, nats per dimension.
    pub rate: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// The norm from which on updates were skipped; infinite where there was no limit.
    pub skip_threshold: f64,
    /// Whether the update was left out.
    pub skipped: bool,
    /// Step size of AdamW.
    pub learning_rate: f64,
}

/// Mean of an evaluation, nats per dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// Distortion + rate.
    pub nats_per_dim: f64,
    /// Negative log-likelihood of the pictures given their latents.
    pub distortion: f64,
    /// KL from posterior to prior.
    pub rate: f64,
}

impl Trainer {
    /// A network with random weights, which follow from [`TrainConfig::seed`].
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Model`] for configurations that make no sense,
    /// [`Error::Device`] for a device other than the CPU.
    pub fn new(network: &VdvaeConfig, config: &TrainConfig, device: &Device) -> Result<Self> {
        network.validate()?;
        let weights = Weights::initialise(network, config.seed);
        Self::from_weights(network, config, &weights, device)
    }

    /// A network with given weights, to be trained further.
    ///
    /// # Errors
    /// As [`Self::new`]; also where the weights are not those of `network`.
    pub fn from_weights(
        network: &VdvaeConfig,
        config: &TrainConfig,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        check_device(device)?;
        let initial = Vdvae::new(network, weights, device)?;
        let tensors = initial.parameters().tensors();
        let variables = tensors.iter().map(Var::from_tensor).collect::<Result<Vec<_>, _>>()?;
        let memory = tensors
            .iter()
            .map(|tensor| Ok(Memory::new(tensor.to_vec1()?)))
            .collect::<Result<_>>()?;
        let shared = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let parameters = initial.parameters().with_tensors(shared)?;
        let model = Vdvae::from_parameters(network, parameters, device)?;
        let progress = Progress::default();
        let shards = Shards::new()?;
        Ok(Self { config: config.clone(), model, variables, memory, progress, shards })
    }

    /// A run as it was, from its parts.
    pub(crate) fn restore(mut self, memory: Vec<Memory>, progress: Progress) -> Self {
        self.memory = memory;
        self.progress = progress;
        self
    }

    /// Steps made so far, skipped ones included.
    pub fn steps(&self) -> u64 {
        self.progress.step
    }

    /// Updates made so far: steps that were not skipped.
    pub fn updates(&self) -> u64 {
        self.progress.updates
    }

    /// The values the run is trained with.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The network as the last update left it.
    pub fn model(&self) -> &Vdvae {
        &self.model
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// A network with the moving average of the weights: the one to evaluate and to share.
    pub fn ema_model(&self) -> Result<Vdvae> {
        self.with_memory(|memory| &memory.ema)
    }

    /// A network whose weights are one of the vectors that the optimizer remembers.
    pub(crate) fn with_memory(&self, vector: impl Fn(&Memory) -> &Vec<f32>) -> Result<Vdvae> {
        let device = self.model.device();
        let tensors = self
            .memory
            .iter()
            .map(|memory| Tensor::from_slice(vector(memory), vector(memory).len(), device))
            .collect::<Result<_, _>>()?;
        let parameters = self.model.parameters().with_tensors(tensors)?;
        Ok(Vdvae::from_parameters(self.model.config(), parameters, device)?)
    }

    /// Trains on one batch. It makes no update where the loss or gradient is not finite, or where
    /// [`TrainConfig::skip`] says so; the step counts for the warm-up all the same.
    ///
    /// # Shapes
    /// - `images`: (N, H, W, 3) u8
    pub fn step(&mut self, images: &Tensor) -> Result<StepStats> {
        let (config, n) = (&self.config, images.dim(0)?);
        // The noise of a picture follows from its place in the row of all pictures seen.
        let first = self.progress.step * config.batch_size as u64;
        let (model, variables) = (&self.model, &self.variables);
        let parts = self.shards.run(n, |rows| {
            let noise = Noise::Seeded { seed: config.seed, first: first + rows.start as u64 };
            let shard = images.narrow(0, rows.start, rows.len())?.contiguous()?;
            let terms = model.loss(&shard, noise)?;
            let share = rows.len() as f64 / n as f64;
            let mut store = (terms.mean()? * share)?.backward()?;
            let gradients = variables.iter().map(|variable| store.remove(variable)).collect();
            // Without the graph, which has to be dropped here.
            let terms =
                ElboTerms { distortion: terms.distortion.detach(), rate: terms.rate.detach() };
            Ok::<(_, Vec<_>), Error>((terms, gradients))
        })?;
        let (terms, gradients): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        self.update(Likelihood::of(&terms)?, &sum(gradients)?)
    }

    /// The second half of a step, from a gradient to an update.
    fn update(
        &mut self,
        likelihood: Likelihood,
        gradients: &[Option<Tensor>],
    ) -> Result<StepStats> {
        let config = &self.config;
        let Likelihood { nats_per_dim, distortion, rate } = likelihood;
        let grad_norm = optimizer::gradient_norm(gradients)?;
        let learning_rate = config.learning_rate_at(self.progress.step);
        let skip_threshold = self.progress.norms.threshold(config.skip);
        let finite = nats_per_dim.is_finite() && grad_norm.is_finite();
        let skipped = !(finite && grad_norm < skip_threshold);
        if !skipped {
            self.progress.updates += 1;
            let clip = optimizer::clip_factor(grad_norm, config.grad_clip);
            let update = Update { learning_rate, clip, number: self.progress.updates };
            for ((variable, gradient), memory) in
                self.variables.iter().zip(gradients).zip(&mut self.memory)
            {
                // A variable that the loss does not reach keeps its value, as in PyTorch.
                if let Some(gradient) = gradient {
                    optimizer::apply(config, update, variable, gradient, memory)?;
                }
            }
        }
        self.progress.norms.push(grad_norm);
        self.progress.step += 1;
        Ok(StepStats {
            step: self.progress.step,
            nats_per_dim,
            distortion,
            rate,
            grad_norm,
            skip_threshold,
            skipped,
            learning_rate,
        })
    }
}

/// The gradients of all shards together, added in order.
fn sum(shards: Vec<Vec<Option<Tensor>>>) -> Result<Vec<Option<Tensor>>> {
    let mut shards = shards.into_iter();
    let mut total = shards.next().unwrap_or_default();
    for shard in shards {
        for (total, gradient) in total.iter_mut().zip(shard) {
            *total = match (total.take(), gradient) {
                (Some(a), Some(b)) => Some((a + b)?),
                (a, b) => a.or(b),
            };
        }
    }
    Ok(total)
}

/// Fails where networks cannot be trained on a device.
pub(crate) fn check_device(device: &Device) -> Result<()> {
    if device.is_cpu() {
        return Ok(());
    }
    Err(Error::Device { found: format!("{:?}", device.location()) })
}

impl Likelihood {
    /// The mean over all pictures of one or more batches.
    pub(crate) fn of(batches: &[ElboTerms]) -> Result<Self> {
        let mean = |term: fn(&ElboTerms) -> &Tensor| {
            let (mut sum, mut count) = (0.0, 0);
            for terms in batches {
                let values = term(terms).to_vec1::<f32>()?;
                sum += values.iter().map(|&value| f64::from(value)).sum::<f64>();
                count += values.len();
            }
            Ok::<_, Error>(sum / count as f64)
        };
        let (distortion, rate) = (mean(|terms| &terms.distortion)?, mean(|terms| &terms.rate)?);
        Ok(Self { nats_per_dim: distortion + rate, distortion, rate })
    }
}

#[cfg(test)]
mod tests;
