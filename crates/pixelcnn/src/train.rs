//! How it is trained: as a VDVAE is.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use vdvae_model::{
    Checkpoint, ElboTerms, Evaluation, Noise, PictureTerms, Precision, Weights, write_weights,
};
use vdvae_train::{Network, TrainConfig};

use crate::layout::Layout;
use crate::network::{flat, named};
use crate::{PixelCnn, PixelCnnConfig};

/// Where a checkpoint has the configuration, as JSON.
const CONFIG: &str = "pixelcnn";

impl Network for PixelCnn {
    type Config = PixelCnnConfig;

    fn validate(config: &PixelCnnConfig) -> vdvae_train::Result<()> {
        Ok(config.validate()?)
    }

    fn image_size(config: &PixelCnnConfig) -> usize {
        config.image_size
    }

    fn num_parameters(config: &PixelCnnConfig) -> usize {
        config.num_parameters()
    }

    fn initialise(
        config: &PixelCnnConfig,
        seed: u64,
        pictures: &mut dyn FnMut() -> vdvae_train::Result<Tensor>,
    ) -> vdvae_train::Result<Weights> {
        Ok(Self::initialise(config, seed, &pictures()?)?)
    }

    fn check(config: &PixelCnnConfig, checkpoint: &Checkpoint) -> vdvae_train::Result<()> {
        flat(&Layout::new(config), &checkpoint.weights)?;
        Ok(())
    }

    fn trainable(
        config: &PixelCnnConfig,
        weights: &Weights,
        train: &TrainConfig,
        device: &Device,
    ) -> vdvae_train::Result<(Self, Vec<Var>)> {
        if !device.is_cpu() {
            return Err(vdvae_train::Error::Device { found: format!("{:?}", device.location()) });
        }
        let refuse = |field, expected: &str, found: String| {
            Err(vdvae_train::Error::Config { field, expected: expected.to_owned(), found })
        };
        if train.precision != Precision::F32 {
            return refuse("precision", "f32 for a PixelCNN++", train.precision.to_string());
        }
        if train.recompute {
            return refuse("recompute", "false for a PixelCNN++", "true".to_owned());
        }
        let tensors = flat(&Layout::new(config), weights)?;
        let variables = tensors.iter().map(Var::from_tensor).collect::<Result<Vec<_>, _>>()?;
        let shared = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        Ok((Self::from_tensors(config, shared)?, variables))
    }

    fn with_tensors(&self, tensors: Vec<Tensor>) -> vdvae_train::Result<Self> {
        Ok(Self::from_tensors(&self.config, tensors)?)
    }

    fn config(&self) -> &PixelCnnConfig {
        &self.config
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    fn named(&self, tensors: Vec<Tensor>) -> vdvae_train::Result<Weights> {
        Ok(named(&self.layout, &tensors)?)
    }

    fn flat(&self, weights: &Weights) -> vdvae_train::Result<Vec<Tensor>> {
        Ok(flat(&self.layout, weights)?)
    }

    fn loss_and_gradients(
        &self,
        images: &Tensor,
        noise: Noise,
        [weight, _]: [f64; 2],
        gradient: &mut dyn FnMut(usize, Tensor) -> candle_core::Result<()>,
    ) -> vdvae_train::Result<ElboTerms> {
        Ok(self.loss_and_gradients(images, noise, weight, gradient)?)
    }

    fn evaluate(
        &self,
        batches: &mut dyn Iterator<Item = vdvae_train::Result<Tensor>>,
        _: Noise,
    ) -> vdvae_train::Result<Evaluation> {
        let at_once = rayon::current_num_threads();
        Evaluation::over(batches, at_once, |batch, _| {
            let distortion = self.nll(batch)?.to_vec1()?;
            let rate = vec![0.0; distortion.len()];
            Ok::<_, vdvae_train::Error>(PictureTerms { distortion, rate, kl: Vec::new() })
        })
    }

    fn sample(&self, n: usize, seed: u64) -> vdvae_train::Result<Tensor> {
        Ok(self.sample(n, seed)?)
    }

    fn write(
        config: &PixelCnnConfig,
        weights: &Weights,
        metadata: &BTreeMap<String, String>,
        path: &Path,
    ) -> vdvae_train::Result<String> {
        let mut metadata = metadata.clone();
        let config = serde_json::to_string(config).expect("plain numbers");
        metadata.insert(CONFIG.to_owned(), config);
        Ok(write_weights(path, weights, &metadata)?)
    }
}
