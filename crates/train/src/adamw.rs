//! The optimizer of a training run for loops over candle's graph.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};
use vdvae_model::ElboTerms;

use crate::optimizer::{Optimizer, optimizer};
use crate::{Error, StepStats, TrainConfig};

/// AdamW as a [`Trainer`](crate::Trainer) uses it: with the clipping, the skip rule and the moving
/// average of a [`TrainConfig`]. A step takes candle's gradients.
///
/// The step size is [`TrainConfig::learning_rate`] until it is set to another; a warm-up or schedule
/// is the caller's.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::Optimizer;
/// use vdvae_model::{Noise, Preset, Vdvae, Weights};
/// use vdvae_train::{AdamW, TrainConfig};
///
/// let network = Preset::Tiny.config();
/// let model = Vdvae::new(&network, &Weights::initialise(&network, 0), &Device::Cpu)?;
/// let (model, variables) = model.with_variables()?;
/// let mut adamw = AdamW::new(variables, TrainConfig::preset(Preset::Tiny))?;
///
/// let images = Tensor::zeros((2, 16, 16, 3), DType::U8, &Device::Cpu)?;
/// adamw.backward_step(&model.loss(&images, Noise::Zero)?.mean()?)?;
/// assert!(!adamw.last_step()?.expect("one was made").skipped);
/// # Ok::<(), vdvae_train::Error>(())
/// ```
#[derive(Debug)]
pub struct AdamW {
    optimizer: Box<dyn Optimizer>,
    variables: Vec<Var>,
    device: Device,
    learning_rate: f64,
}

impl AdamW {
    /// What the last step since the last call did; waits for a GPU. `None` where none was made.
    /// Steps know nothing of the loss: distortion and rate are 0.
    ///
    /// # Errors
    /// Those of the GPU.
    pub fn last_step(&mut self) -> crate::Result<Option<StepStats>> {
        Ok(self.optimizer.collect()?.pop())
    }

    /// The moving average of the variables, in their order and shapes.
    ///
    /// # Errors
    /// Where it does not fit the device's memory.
    pub fn ema(&self) -> crate::Result<Vec<Tensor>> {
        self.optimizer.ema()
    }
}

impl candle_nn::Optimizer for AdamW {
    type Config = TrainConfig;

    fn new(variables: Vec<Var>, config: TrainConfig) -> Result<Self> {
        config.validate().map_err(for_candle)?;
        let device = variables.first().map_or(Device::Cpu, |first| first.device().clone());
        let optimizer = optimizer(&config, &variables).map_err(for_candle)?;
        Ok(Self { optimizer, variables, device, learning_rate: config.learning_rate })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        if self.device.is_cpu() {
            // Nobody asked what the step before this one did.
            self.optimizer.collect().map_err(for_candle)?;
        }
        for (i, variable) in self.variables.iter().enumerate() {
            if let Some(gradient) = gradients.get(variable) {
                self.optimizer.put(i, gradient.clone())?;
            }
        }
        let nothing = Tensor::new(&[0f32], &self.device)?;
        let terms = [ElboTerms { distortion: nothing.clone(), rate: nothing }];
        self.optimizer.step(&terms, self.learning_rate).map_err(for_candle)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }
}

fn for_candle(error: Error) -> candle_core::Error {
    match error {
        Error::Candle(error) => error,
        other => candle_core::Error::wrap(other),
    }
}

#[cfg(test)]
mod tests {
    use candle_nn::Optimizer as _;
    use vdvae_model::{Noise, Preset, Vdvae, Weights};

    use super::*;
    use crate::Trainer;

    /// With the same gradients: the tape's, which candle's graph gives but for rounding.
    #[test]
    fn a_step_is_the_trainers() {
        let network = Preset::Tiny.config();
        let preset = TrainConfig::preset(Preset::Tiny);
        let config = TrainConfig { warmup_steps: 0, batch_size: 1, ..preset };
        let bytes: Vec<u8> = (0..768).map(|i| (i * 29 % 251) as u8).collect();
        let images = Tensor::from_vec(bytes, (1, 16, 16, 3), &Device::Cpu).unwrap();

        let mut trainer = Trainer::new(&network, &config, &Device::Cpu).unwrap();
        let weights = Weights::initialise(&network, config.seed);
        let model = Vdvae::new(&network, &weights, &Device::Cpu).unwrap();
        let (model, variables) = model.with_variables().unwrap();
        let mut adamw = AdamW::new(variables.clone(), config.clone()).unwrap();
        assert_eq!(adamw.learning_rate(), config.learning_rate);
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for step in 0..3 {
            let expected = trainer.step(&images).unwrap();
            let noise = Noise::Seeded { seed: config.seed, first: step };
            let loss = model.loss(&images, noise).unwrap().mean().unwrap();
            let mut gradients = loss.backward().unwrap();
            let put = |i: usize, gradient: Tensor| {
                gradients.insert(&variables[i], gradient);
                Ok(())
            };
            // As the trainer computes its part of a batch: sums on other threads round differently.
            one_thread.install(|| model.loss_and_gradients(&images, noise, 1.0, put)).unwrap();
            adamw.step(&gradients).unwrap();
            let found = adamw.last_step().unwrap().unwrap();
            assert_eq!((found.step, found.grad_norm), (expected.step, expected.grad_norm));
        }
        let weights = |model: &Vdvae| model.parameters().to_weights().unwrap();
        assert_eq!(weights(&model), weights(trainer.model()));
        let average = model.parameters().with_tensors(adamw.ema().unwrap()).unwrap();
        assert_eq!(average.to_weights().unwrap(), weights(&trainer.ema_model().unwrap()));
        assert!(adamw.last_step().unwrap().is_none());
    }

    #[test]
    fn variables_may_have_any_shape() {
        let preset = TrainConfig::preset(Preset::Tiny);
        let variable = Var::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let mut adamw = AdamW::new(vec![variable.clone()], preset).unwrap();
        adamw.set_learning_rate(0.5);
        adamw.backward_step(&variable.as_tensor().sum_all().unwrap()).unwrap();
        // A first step moves by its size, after the decay of 0.5 · 0.01.
        let found = variable.to_vec2::<f32>().unwrap();
        assert!((found[0][1] - (2.0 * 0.995 - 0.5)).abs() < 1e-5, "{found:?}");
        assert_eq!(adamw.ema().unwrap()[0].dims(), [2, 2]);
    }
}
