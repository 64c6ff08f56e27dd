//! What is trained.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use serde::Serialize;
use vdvae_model::{
    Checkpoint, ElboTerms, Evaluation, Noise, Parameters, Vdvae, VdvaeConfig, Weights,
    write_safetensors,
};

use crate::{Result, TrainConfig};

/// A network that gives pictures a likelihood, or a bound on it, and learns from its gradient.
///
/// [`crate::Trainer`] and [`crate::Run`] train any: [`Vdvae`], or the autoregressive models that it is
/// compared with. Parameters are flat tensors in an order of the network's own; in files they have names.
pub trait Network: Debug + Sized + Send + Sync {
    /// What it is built from. As JSON it is part of `config.json`, and of what a resumed run has to
    /// agree with.
    type Config: Debug + Clone + Serialize + Sync;

    /// Fails for a configuration that makes no sense.
    ///
    /// # Errors
    /// What is wrong with it.
    fn validate(config: &Self::Config) -> Result<()>;

    /// Pixels on a side of its pictures.
    fn image_size(config: &Self::Config) -> usize;

    /// Numbers in all parameters.
    fn num_parameters(config: &Self::Config) -> usize;

    /// Random weights that follow from the seed. `pictures` gives the first batch, u8 (N, H, W, 3) on
    /// the CPU, to networks whose first weights depend on pictures.
    ///
    /// # Errors
    /// Those of `pictures`.
    fn initialise(
        config: &Self::Config,
        seed: u64,
        pictures: &mut dyn FnMut() -> Result<Tensor>,
    ) -> Result<Weights>;

    /// Fails for the weights of another network.
    ///
    /// # Errors
    /// What they lack, or have too many.
    fn check(config: &Self::Config, checkpoint: &Checkpoint) -> Result<()>;

    /// The network with given weights as it is trained, and its parameters to update: it changes with
    /// them.
    ///
    /// # Errors
    /// For weights of another network, and where the device cannot do what `train` asks for.
    fn trainable(
        config: &Self::Config,
        weights: &Weights,
        train: &TrainConfig,
        device: &Device,
    ) -> Result<(Self, Vec<Var>)>;

    /// The same network with other parameters, such as their average.
    ///
    /// # Errors
    /// Where number or sizes differ.
    fn with_tensors(&self, tensors: Vec<Tensor>) -> Result<Self>;

    /// What it was built from.
    fn config(&self) -> &Self::Config;

    /// Where its parameters live.
    fn device(&self) -> &Device;

    /// Its parameters, flat.
    fn tensors(&self) -> &[Tensor];

    /// Numbers in the order of its parameters under the names that files have for them.
    ///
    /// # Errors
    /// Where number or sizes differ.
    fn named(&self, tensors: Vec<Tensor>) -> Result<Weights>;

    /// The way back from [`Self::named`], on the CPU.
    ///
    /// # Errors
    /// For the numbers of another network.
    fn flat(&self, weights: &Weights) -> Result<Vec<Tensor>>;

    /// The loss of every picture of a batch, and the gradient of the sum of both terms, each times its
    /// weight, handed over with the number of its parameter as soon as it is finished.
    ///
    /// # Shapes
    /// - `images`: u8 (N, H, W, 3)
    /// - result: two of (N), nats per dimension
    ///
    /// # Errors
    /// For pictures that are none of the network's, and those of `gradient`.
    fn loss_and_gradients(
        &self,
        images: &Tensor,
        noise: Noise,
        weights: [f64; 2],
        gradient: &mut dyn FnMut(usize, Tensor) -> candle_core::Result<()>,
    ) -> Result<ElboTerms>;

    /// Means over all pictures of `batches`, u8 (N, H, W, 3) each.
    ///
    /// # Errors
    /// The first error of `batches`, or of the network.
    fn evaluate(
        &self,
        batches: &mut dyn Iterator<Item = Result<Tensor>>,
        noise: Noise,
    ) -> Result<Evaluation>;

    /// Pictures that it draws, u8 (n, H, W, 3) on the CPU.
    ///
    /// # Errors
    /// Where the device's memory does not suffice.
    fn sample(&self, n: usize, seed: u64) -> Result<Tensor>;

    /// Writes a safetensors file, whole or not at all, and returns its SHA-256.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn write(
        config: &Self::Config,
        weights: &Weights,
        metadata: &BTreeMap<String, String>,
        path: &Path,
    ) -> Result<String>;
}

impl Network for Vdvae {
    type Config = VdvaeConfig;

    fn validate(config: &VdvaeConfig) -> Result<()> {
        Ok(config.validate()?)
    }

    fn image_size(config: &VdvaeConfig) -> usize {
        config.image_size
    }

    fn num_parameters(config: &VdvaeConfig) -> usize {
        config.num_parameters()
    }

    fn initialise(
        config: &VdvaeConfig,
        seed: u64,
        _: &mut dyn FnMut() -> Result<Tensor>,
    ) -> Result<Weights> {
        Ok(Weights::initialise(config, seed))
    }

    fn check(config: &VdvaeConfig, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.check(config)?;
        Ok(checkpoint.check_finite()?)
    }

    fn trainable(
        config: &VdvaeConfig,
        weights: &Weights,
        train: &TrainConfig,
        device: &Device,
    ) -> Result<(Self, Vec<Var>)> {
        let (model, variables) = Self::new(config, weights, device)?.with_variables()?;
        let model = model
            .with_precision(train.precision)?
            .with_recompute(train.recompute)
            .with_exact(train.exact);
        Ok((model, variables))
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> Result<Self> {
        let parameters = self.parameters().with_tensors(tensors)?;
        let model = Self::from_parameters(self.config(), parameters, self.device())?;
        Ok(model.with_precision(self.precision())?.with_exact(self.exact()))
    }

    fn config(&self) -> &VdvaeConfig {
        self.config()
    }

    fn device(&self) -> &Device {
        self.device()
    }

    fn tensors(&self) -> &[Tensor] {
        self.parameters().tensors()
    }

    fn named(&self, tensors: Vec<Tensor>) -> Result<Weights> {
        Ok(self.parameters().with_tensors(tensors)?.to_weights()?)
    }

    fn flat(&self, weights: &Weights) -> Result<Vec<Tensor>> {
        let parameters = Parameters::from_weights(self.config(), weights, &Device::Cpu)?;
        Ok(parameters.tensors().to_vec())
    }

    fn loss_and_gradients(
        &self,
        images: &Tensor,
        noise: Noise,
        weights: [f64; 2],
        gradient: &mut dyn FnMut(usize, Tensor) -> candle_core::Result<()>,
    ) -> Result<ElboTerms> {
        Ok(self.weighted_loss_and_gradients(images, noise, weights, gradient)?)
    }

    fn evaluate(
        &self,
        batches: &mut dyn Iterator<Item = Result<Tensor>>,
        noise: Noise,
    ) -> Result<Evaluation> {
        self.evaluate(batches, noise)
    }

    fn sample(&self, n: usize, seed: u64) -> Result<Tensor> {
        Ok(self.sample(n, 1.0, seed)?)
    }

    fn write(
        config: &VdvaeConfig,
        weights: &Weights,
        metadata: &BTreeMap<String, String>,
        path: &Path,
    ) -> Result<String> {
        Ok(write_safetensors(path, weights, config, metadata)?)
    }
}
