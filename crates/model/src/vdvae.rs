//! The Very Deep VAE: one network for training, likelihood, latents, sampling and decoding.
//!
//! Child, "Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on Images",
//! arXiv 2011.10650; the network is that of the published code.

mod decode;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vdvae_ops::{Arithmetic, ConvShape, Tape, add, bind, kl_sum, mixture_nll, scale};

use crate::checkpoint::{Checkpoint, Weights};
use crate::config::VdvaeConfig;
use crate::decoder::{Decoder, LatentSource};
use crate::encoder::{Activations, Encoder};
use crate::images::Images;
use crate::latents::{LatentLayer, LatentMode, Latents, LayerView};
use crate::noise::Noise;
use crate::params::Parameters;
use crate::published::checkpoint_file;
// What links in the documentation are to.
#[cfg(doc)]
use crate::Error;
use crate::{Precision, Result};

/// The two halves of the negative evidence lower bound, in nats per dimension, (N) each.
#[derive(Debug, Clone)]
pub struct ElboTerms {
    /// Negative log-likelihood of the picture given its latents.
    pub distortion: Tensor,
    /// KL from posterior to prior, summed over all layers.
    pub rate: Tensor,
}

impl ElboTerms {
    /// Mean over the batch of distortion + rate: what training minimises. A scalar.
    ///
    /// # Errors
    /// Where the two are not of one length.
    pub fn mean(&self) -> Result<Tensor> {
        Ok((&self.distortion + &self.rate)?.mean_all()?)
    }
}

/// A Very Deep VAE.
///
/// ```
/// use vdvae_model::{Preset, Vdvae, Weights};
/// let config = Preset::Tiny.config();
/// let weights = Weights::initialise(&config, 0);
/// let model = Vdvae::new(&config, &weights, &candle_core::Device::Cpu)?;
///
/// let picture = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8, y as u8, 128]));
/// let latents = model.extract_latents(&picture)?;
/// assert_eq!(latents.layers().len(), config.latent_layers().len());
/// for layer in latents.layers() {
///     let r = layer.resolution;
///     assert_eq!(layer.mean.dims(), [1, r, r, config.zdim]);
/// }
/// # Ok::<(), vdvae_model::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Vdvae {
    config: VdvaeConfig,
    parameters: Parameters,
    encoder: Encoder,
    decoder: Decoder,
    output: (ConvShape, Tensor),
    device: Device,
    precision: Precision,
    arithmetic: Arithmetic,
    recompute: bool,
}

impl Vdvae {
    /// A network with published weights, which must be exactly those that `config` asks for.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] where names or shapes differ, [`Error::NotFinite`], whatever [`VdvaeConfig::validate`] finds
    /// wrong, and [`Error::Candle`] where they do not fit the device's memory.
    pub fn new(config: &VdvaeConfig, weights: &Weights, device: &Device) -> Result<Self> {
        config.validate()?;
        weights.check_finite("the weights")?;
        let parameters = Parameters::from_weights(config, weights, device)?;
        Self::from_parameters(config, parameters, device)
    }

    /// A network whose parameters are already laid out; the tensors may be variables.
    ///
    /// # Errors
    /// Where the device refuses what the network keeps on it.
    pub fn from_parameters(
        config: &VdvaeConfig,
        parameters: Parameters,
        device: &Device,
    ) -> Result<Self> {
        let logits = 10 * config.num_mixtures;
        let output = ConvShape { input: config.width, output: logits, kernel: 1 };
        Ok(Self {
            encoder: Encoder::new(config, &parameters),
            decoder: Decoder::new(config, &parameters, device),
            output: (output, parameters.unit("decoder.out_net.out_conv")),
            config: config.clone(),
            parameters,
            device: device.clone(),
            precision: Precision::F32,
            arithmetic: Arithmetic::default(),
            recompute: false,
        })
    }

    /// The same network, computed in other numbers.
    ///
    /// # Errors
    /// [`Error::Precision`] where its device has no such numbers.
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        precision.check(&self.device)?;
        let decoder = self.decoder.with_dtype(precision.activations(&self.device));
        let (tf32, bf16) = (precision != Precision::F32, precision == Precision::Bf16);
        let arithmetic = Arithmetic { tf32, bf16, ..self.arithmetic };
        Ok(Self { precision, decoder, ..self }.with_arithmetic(arithmetic))
    }

    /// The same network, with every convolution summed directly on a CPU, without Winograd's
    /// transforms: slower, and closer to the exact result in the sixth digit. A GPU has no such
    /// transforms to leave out.
    pub fn with_exact(self, exact: bool) -> Self {
        let arithmetic = Arithmetic { exact, ..self.arithmetic };
        self.with_arithmetic(arithmetic)
    }

    fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        let (encoder, decoder) =
            (self.encoder.with_arithmetic(arithmetic), self.decoder.with_arithmetic(arithmetic));
        Self { encoder, decoder, arithmetic, ..self }
    }

    /// The same network, with gradients that take less memory and more time:
    /// [`Self::loss_and_gradients`] keeps the input of every block and computes the rest again. The
    /// numbers are the same.
    pub fn with_recompute(self, recompute: bool) -> Self {
        let (encoder, decoder) =
            (self.encoder.recomputed(recompute), self.decoder.recomputed(recompute));
        Self { encoder, decoder, recompute, ..self }
    }

    /// Loads a checkpoint: one of ours, which carries its configuration, or a published file, which is
    /// known by the names and shapes of its parameters. Where there is no such file, a name such as
    /// `faces32` or `imagenet64` means the weights of that name, see [`checkpoint_file`].
    ///
    /// # Errors
    /// Those of [`checkpoint_file`], [`Checkpoint::read`] and [`Checkpoint::resolve_config`], and as
    /// [`Self::new`].
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::read(checkpoint_file(path.as_ref())?)?;
        let config = checkpoint.resolve_config(None)?;
        checkpoint.check(&config)?;
        checkpoint.check_finite()?;
        Self::new(&config, &checkpoint.weights, device)
    }

    /// The built-in model: a small network trained on the built-in faces, for a first run.
    ///
    /// # Errors
    /// [`Error::Candle`] where it does not fit the device's memory.
    pub fn builtin(device: &Device) -> Result<Self> {
        let checkpoint = crate::builtin_checkpoint()?;
        Self::new(&checkpoint.resolve_config(None)?, &checkpoint.weights, device)
    }

    /// Loads a checkpoint of any kind as the given network: for a file that carries no configuration
    /// and is none of the published ones.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`], and as [`Self::new`].
    pub fn load_published(
        path: impl AsRef<Path>,
        config: &VdvaeConfig,
        device: &Device,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::read(path)?;
        checkpoint.check(config)?;
        checkpoint.check_finite()?;
        Self::new(config, &checkpoint.weights, device)
    }

    /// The configuration.
    pub fn config(&self) -> &VdvaeConfig {
        &self.config
    }

    /// The parameters, laid out for the operators.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where the parameters live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The numbers it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether it sums every convolution directly, see [`Self::with_exact`].
    pub fn exact(&self) -> bool {
        self.arithmetic.exact
    }

    /// Whether gradients compute the inside of blocks again, see [`Self::with_recompute`].
    pub(crate) fn recompute(&self) -> bool {
        self.recompute
    }

    /// Numbers of one picture: height × width × 3, what "per dimension" divides by.
    pub fn dimensions(&self) -> usize {
        3 * self.config.image_size * self.config.image_size
    }

    /// Pictures of the network's size, as data sets prepare them, made into the tensor it reads.
    ///
    /// # Shapes
    /// - `bytes`: of N pictures (N, H, W, 3), row-major
    /// - result: u8 (N, H, W, 3)
    ///
    /// # Errors
    /// Where the bytes are not those of whole pictures, or do not fit the device.
    pub fn pixels(&self, bytes: Vec<u8>) -> Result<Tensor> {
        let (size, n) = (self.config.image_size, bytes.len() / self.dimensions());
        Ok(Tensor::from_vec(bytes, (n, size, size, 3), &self.device)?)
    }

    /// The bottom-up path: the last activation at each resolution, r → (N, r, r, width at r).
    ///
    /// # Errors
    /// [`Error::EmptyPicture`] and [`Error::PixelTensor`] for pictures that are none of the network's,
    /// [`Error::Candle`] where the device's memory does not suffice.
    pub fn encode(&self, images: &(impl Images + ?Sized)) -> Result<Activations> {
        self.encode_pixels(&images.to_pixels(self.config.image_size, &self.device)?)
    }

    fn encode_pixels(&self, pixels: &Tensor) -> Result<Activations> {
        bind(&self.device)?;
        let x = pixels.to_dtype(DType::F32)?;
        let x = ((x + self.config.shift)? * self.config.scale)?;
        self.encoder.forward(&x.to_dtype(self.precision.activations(&self.device))?)
    }

    /// The evidence lower bound of a batch.
    ///
    /// # Shapes
    /// - `images`: N pictures, or u8 (N, H, W, 3)
    /// - result: two tensors (N), nats per dimension
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn loss(&self, images: &(impl Images + ?Sized), noise: Noise) -> Result<ElboTerms> {
        let (terms, _) = self.loss_with(images, noise, |_, _| Ok(()))?;
        Ok(terms)
    }

    /// The evidence lower bound of a batch and the gradient of `weight · Σ (distortion + rate)`: with
    /// a weight of `1 / N`, that of the mean. Takes less memory and time than candle's backward pass
    /// from [`Self::loss`].
    ///
    /// Hands over one gradient for each of [`Parameters::tensors`] that is a variable, with its
    /// number: as soon as it is finished, the last layers' first.
    ///
    /// # Shapes
    /// - `images`: N pictures, or u8 (N, H, W, 3)
    /// - gradients: as the parameters, float32
    /// - result: as of [`Self::loss`]
    ///
    /// # Errors
    /// As [`Self::encode`], and those of `gradient`.
    pub fn loss_and_gradients(
        &self,
        images: &(impl Images + ?Sized),
        noise: Noise,
        weight: f64,
        gradient: impl FnMut(usize, Tensor) -> candle_core::Result<()>,
    ) -> Result<ElboTerms> {
        self.weighted_loss_and_gradients(images, noise, [weight; 2], gradient)
    }

    /// As [`Self::loss_and_gradients`], of `Σ weights[0] · distortion + weights[1] · rate`: a rate that
    /// weighs less lets the latents be used before they pay. The terms are as they are.
    ///
    /// # Errors
    /// As [`Self::loss_and_gradients`].
    pub fn weighted_loss_and_gradients(
        &self,
        images: &(impl Images + ?Sized),
        noise: Noise,
        weights: [f64; 2],
        mut gradient: impl FnMut(usize, Tensor) -> candle_core::Result<()>,
    ) -> Result<ElboTerms> {
        let (terms, tape) = Tape::record(|| self.loss(images, noise))?;
        let seed = |weight| Tensor::full(weight as f32, terms.rate.shape(), &self.device);
        let [of_distortion, of_rate] = weights;
        let seeds = [(&terms.distortion, seed(of_distortion)?), (&terms.rate, seed(of_rate)?)];
        let tensors = self.parameters.tensors().iter().enumerate();
        let numbers: HashMap<_, _> = tensors.map(|(i, tensor)| (tensor.id(), i)).collect();
        tape.backward_with(&seeds, |variable, of| gradient(numbers[&variable], of))?;
        Ok(terms)
    }

    /// As [`Self::loss`], handing each layer's KL to `layer(index, kl)` as it is computed:
    /// (N) nats, summed over the layer. Returns the decoder's output beside the terms.
    ///
    /// # Errors
    /// As [`Self::encode`], and those of `layer`.
    pub fn loss_with(
        &self,
        images: &(impl Images + ?Sized),
        noise: Noise,
        mut layer: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<(ElboTerms, Tensor)> {
        let pixels = images.to_pixels(self.config.image_size, &self.device)?;
        let activations = self.encode_pixels(&pixels)?;
        let source = LatentSource::Posterior { activations: &activations, noise };
        let mut rate: Option<Tensor> = None;
        let px = self.decoder.walk(pixels.dim(0)?, source, |output| {
            let kl = kl_sum(&output.latent)?;
            layer(output.index, &kl)?;
            rate = Some(match rate.take() {
                Some(sum) => add(&sum, &kl)?,
                None => kl,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        let px = px.expect("the visitor never stops the walk");
        let rate = rate.expect("a valid configuration has a layer");
        let logits = self.logits(&px)?;
        let distortion = mixture_nll(&logits, &pixels, self.config.low_bit)?;
        let rate = scale(&rate, 1.0 / self.dimensions() as f64)?;
        Ok((ElboTerms { distortion, rate }, px))
    }

    /// The latents of every layer: posterior means along the path of posterior means, for one
    /// picture or a batch. Deterministic.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn extract_latents(&self, images: &(impl Images + ?Sized)) -> Result<Latents> {
        self.extract_latents_with(images, LatentMode::PosteriorMean)
    }

    /// The latents of every layer, means or samples.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn extract_latents_with(
        &self,
        images: &(impl Images + ?Sized),
        mode: LatentMode,
    ) -> Result<Latents> {
        let mut layers = Vec::with_capacity(self.config.latent_layers().len());
        let activations = self.encode(images)?;
        self.visit_latents(&activations, mode, |layer| {
            layers.push(layer);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Latents::new(layers))
    }

    /// Hands each layer to `visit` as it is computed, top first, so that a caller can pool it and
    /// let it go, and stop early.
    ///
    /// # Errors
    /// Those of `visit`, and [`Error::Candle`] where the device's memory does not suffice.
    pub fn visit_latents(
        &self,
        activations: &Activations,
        mode: LatentMode,
        mut visit: impl FnMut(LatentLayer) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.visit_layers(activations, mode, |layer| visit(LatentLayer::new(layer)?))
    }

    /// As [`Self::visit_latents`], for callers that do not need every tensor of a layer.
    ///
    /// # Errors
    /// Those of `visit`, and [`Error::Candle`] where the device's memory does not suffice.
    pub fn visit_layers(
        &self,
        activations: &Activations,
        mode: LatentMode,
        mut visit: impl FnMut(&LayerView<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        bind(&self.device)?;
        let n = activations[&self.config.image_size].dim(0)?;
        let source = LatentSource::Posterior { activations, noise: mode.noise() };
        self.decoder.walk(n, source, |output| visit(&LayerView::new(&output)))?;
        Ok(())
    }
}
