//! One training step: forward, backward, skip or clip, AdamW, moving average.

use candle_core::{Device, Tensor};
use vdvae_model::{ElboTerms, Noise, Vdvae, VdvaeConfig, Weights};
use vdvae_ops::OptimizerMemory;

use crate::optimizer::{Optimizer, optimizer};
use crate::shards::Shards;
use crate::{Error, Network, Result, StepStats, TrainConfig};

/// A network in training.
///
/// [`Self::step`] makes a step and says what it did. On a GPU that means waiting for it; a loop
/// that wants the GPU busy [enqueues](Self::enqueue) steps and [collects](Self::collect) what they
/// did now and then. On the CPU it is all one.
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
///
/// trainer.enqueue(&images)?;
/// trainer.enqueue(&images)?;
/// let steps: Vec<u64> = trainer.collect()?.iter().map(|stats| stats.step).collect();
/// assert_eq!(steps, [2, 3]);
/// # Ok::<(), vdvae_train::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer<N: Network = Vdvae> {
    config: TrainConfig,
    /// Reads the variables, so that it changes with them.
    model: N,
    optimizer: Box<dyn Optimizer>,
    /// Steps that were waited for and not yet collected.
    made: Vec<StepStats>,
    host_noise: bool,
    /// `None` for a device that takes a batch whole.
    shards: Option<Shards>,
}

impl Trainer {
    /// A VDVAE with random weights, which follow from [`TrainConfig::seed`].
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Model`] for configurations that make no sense and for a precision
    /// that the device lacks, [`Error::Device`] for a device other than the CPU and CUDA's.
    pub fn new(network: &VdvaeConfig, config: &TrainConfig, device: &Device) -> Result<Self> {
        network.validate()?;
        let weights = Weights::initialise(network, config.seed);
        Self::from_weights(network, config, &weights, device)
    }
}

impl<N: Network> Trainer<N> {
    /// A network with given weights, to be trained further.
    ///
    /// # Errors
    /// As [`Self::new`]; also where the weights are not those of `network`.
    pub fn from_weights(
        network: &N::Config,
        config: &TrainConfig,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        check_device(config, device)?;
        let (model, variables) = N::trainable(network, weights, config, device)?;
        Ok(Self {
            config: config.clone(),
            model,
            optimizer: optimizer(config, &variables)?,
            made: Vec::new(),
            host_noise: false,
            shards: device.is_cpu().then(Shards::new).transpose()?,
        })
    }

    /// A run as it was, from its parts.
    pub(crate) fn restore(mut self, memory: OptimizerMemory) -> Result<Self> {
        self.optimizer.restore(memory)?;
        Ok(self)
    }

    /// Draws the latents' noise as a CPU would, whatever the device: to compare one with another.
    /// On a GPU it is slow.
    pub fn with_host_noise(self) -> Self {
        Self { host_noise: true, ..self }
    }

    /// Steps made or queued so far, skipped ones included.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Updates made so far: steps that were not skipped, of those that were
    /// [collected](Self::collect).
    pub fn updates(&self) -> u64 {
        self.optimizer.updates()
    }

    /// The values the run is trained with.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The network as the last update left it.
    pub fn model(&self) -> &N {
        &self.model
    }

    /// Everything that a checkpoint holds beside the weights; waits for the steps that are queued.
    pub(crate) fn memory(&self) -> Result<OptimizerMemory> {
        self.optimizer.memory()
    }

    /// A network with the moving average of the weights: the one to evaluate and to share.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    pub fn ema_model(&self) -> Result<N> {
        self.model.with_tensors(self.optimizer.ema()?)
    }

    /// Trains on one batch and waits for it. It makes no update where the loss or gradient is not
    /// finite, or where [`TrainConfig::skip`] says so; the step counts for the warm-up all the same.
    ///
    /// # Shapes
    /// - `images`: (N, H, W, 3) u8
    ///
    /// # Errors
    /// [`Error::Model`] for pictures that are none of the network's, [`Error::Candle`] where the device's
    /// memory does not suffice.
    pub fn step(&mut self, images: &Tensor) -> Result<StepStats> {
        self.enqueue(images)?;
        self.wait()?;
        Ok(self.made.pop().expect("the step was waited for"))
    }

    /// As [`Self::step`], without waiting on a GPU; [`Self::collect`] says what the step did.
    ///
    /// # Shapes
    /// - `images`: (N, H, W, 3) u8
    ///
    /// # Errors
    /// As [`Self::step`]; a GPU may tell of its own later.
    pub fn enqueue(&mut self, images: &Tensor) -> Result<()> {
        let (config, n) = (&self.config, images.dim(0)?);
        // The noise of a picture follows from its place in the row of all pictures seen.
        let (seed, first) = (config.seed, self.steps() * config.batch_size as u64);
        let (model, host_noise) = (&self.model, self.host_noise);
        let noise = |first| match host_noise {
            true => Noise::SeededOnHost { seed, first },
            false => Noise::Seeded { seed, first },
        };
        // Of the mean over the whole batch, whatever part of it is looked at.
        let weight = 1.0 / n as f64;
        let weights = [weight, weight * config.kl_weight_at(self.steps())];
        let terms = match &self.shards {
            None => {
                let optimizer = &mut self.optimizer;
                let put = &mut |i, gradient| optimizer.put(i, gradient);
                vec![model.loss_and_gradients(images, noise(first), weights, put)?]
            }
            Some(shards) => {
                let parts = shards.run(n, |rows| {
                    let shard = images.narrow(0, rows.start, rows.len())?.contiguous()?;
                    let mut gradients = vec![None; model.tensors().len()];
                    let put = &mut |i: usize, gradient| {
                        gradients[i] = Some(gradient);
                        Ok(())
                    };
                    let noise = noise(first + rows.start as u64);
                    let terms = model.loss_and_gradients(&shard, noise, weights, put)?;
                    Ok::<_, Error>((terms, gradients))
                })?;
                let (terms, gradients): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
                for (i, gradient) in sum(gradients)?.into_iter().enumerate() {
                    gradient.map_or(Ok(()), |gradient| self.optimizer.put(i, gradient))?;
                }
                terms
            }
        };
        self.update(&terms)
    }

    /// What the steps since the last call did, in order; waits for those that are queued.
    ///
    /// # Errors
    /// Those of the GPU, late ones of the steps themselves among them.
    pub fn collect(&mut self) -> Result<Vec<StepStats>> {
        self.wait()?;
        Ok(std::mem::take(&mut self.made))
    }

    /// The second half of a step, from a gradient to an update.
    fn update(&mut self, terms: &[ElboTerms]) -> Result<()> {
        self.optimizer.step(terms, self.config.learning_rate_at(self.steps()))
    }

    fn wait(&mut self) -> Result<()> {
        self.made.extend(self.optimizer.collect()?);
        Ok(())
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

/// Fails where networks cannot be trained on a device, or not in the numbers asked for.
pub(crate) fn check_device(config: &TrainConfig, device: &Device) -> Result<()> {
    if !device.is_cpu() && !device.is_cuda() {
        return Err(Error::Device { found: format!("{:?}", device.location()) });
    }
    config.precision.check(device)?;
    Ok(config.precision.check_exact(config.exact, device)?)
}

#[cfg(test)]
mod tests;
