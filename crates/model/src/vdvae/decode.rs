//! From latents to pictures.

use std::ops::ControlFlow;

use candle_core::{DType, Tensor};
use rand::Rng;
use vdvae_ops::{Arithmetic, bind, cast, conv, mixture_nll, mixture_sample};

use super::Vdvae;
use crate::decoder::{BlockOutput, LatentSource};
use crate::images::Images;
use crate::noise::{Noise, stream};
use crate::temperature::Temperature;
use crate::{Error, Result};

impl Vdvae {
    /// Decodes `n` pictures: the first layers' latents as given, (n, r, r, Z) each, the rest from
    /// the prior with its standard deviation scaled by `temperature`.
    ///
    /// # Shapes
    /// - result: u8 (n, H, W, 3) on the CPU, drawn from the output distribution
    ///
    /// # Errors
    /// As [`Self::decode_output`].
    pub fn decode(
        &self,
        n: usize,
        given: &[Tensor],
        temperature: impl Into<Temperature>,
        seed: u64,
    ) -> Result<Tensor> {
        self.decode_from(0, n, given, temperature, seed)
    }

    /// As [`Self::decode`], for the pictures from number `first` on: what is drawn for a picture
    /// depends on its number, and not on the others of its batch.
    ///
    /// # Errors
    /// As [`Self::decode_output`].
    pub fn decode_from(
        &self,
        first: u64,
        n: usize,
        given: &[Tensor],
        temperature: impl Into<Temperature>,
        seed: u64,
    ) -> Result<Tensor> {
        let noise = Noise::Seeded { seed, first };
        let px = self.decode_output(n, given, noise, temperature)?;
        self.draw_pixels(&px, seed, first)
    }

    /// The decoder's output before the mixture, (n, H, W, width), for given and prior latents.
    ///
    /// # Errors
    /// [`Error::TooManyLayers`] and [`Error::GivenLatent`] for latents that do not fit the network,
    /// [`Error::NoResolution`] for a temperature of a resolution that it lacks, [`Error::Candle`]
    /// where the device's memory does not suffice.
    pub fn decode_output(
        &self,
        n: usize,
        given: &[Tensor],
        noise: Noise,
        temperature: impl Into<Temperature>,
    ) -> Result<Tensor> {
        let temperature = temperature.into();
        let layers = self.config.latent_layers().len();
        if given.len() > layers {
            return Err(Error::TooManyLayers { expected: layers, found: given.len() });
        }
        temperature.check(&self.config)?;
        bind(&self.device)?;
        let source = LatentSource::Prior { given, noise, temperature: &temperature };
        let keep_going = |_: BlockOutput| Ok(ControlFlow::Continue(()));
        Ok(self.decoder.walk(n, source, keep_going)?.expect("the visitor never stops the walk"))
    }

    /// Negative log-likelihood of pictures given the latents of the first layers, the others drawn from
    /// the prior: with the KL of the first, a lower bound on their likelihood by a code that sends no
    /// more than these.
    ///
    /// # Shapes
    /// - `images`: N pictures, or u8 (N, H, W, 3); `given`: (N, r, r, Z) a layer
    /// - result: (N), nats per dimension
    ///
    /// # Errors
    /// As [`Self::encode`] and [`Self::decode_output`].
    pub fn distortion(
        &self,
        images: &(impl Images + ?Sized),
        given: &[Tensor],
        noise: Noise,
        temperature: impl Into<Temperature>,
    ) -> Result<Tensor> {
        let pixels = images.to_pixels(self.config.image_size, &self.device)?;
        let px = self.decode_output(pixels.dim(0)?, given, noise, temperature)?;
        Ok(mixture_nll(&self.logits(&px)?, &pixels, self.config.low_bit)?)
    }

    /// Samples from the prior.
    ///
    /// # Shapes
    /// - result: u8 (n, H, W, 3) on the CPU
    ///
    /// # Errors
    /// As [`Self::decode_output`].
    pub fn sample(
        &self,
        n: usize,
        temperature: impl Into<Temperature>,
        seed: u64,
    ) -> Result<Tensor> {
        self.decode(n, &[], temperature, seed)
    }

    /// The mixture of every pixel, in float32: likelihoods of sharp mixtures need its means to more
    /// digits than bfloat16 has.
    pub(super) fn logits(&self, px: &Tensor) -> Result<Tensor> {
        let arithmetic = Arithmetic { bf16: false, ..self.arithmetic };
        Ok(conv(&cast(px, DType::F32)?, &self.output.1, self.output.0, arithmetic)?)
    }

    /// Draws pictures from the output distribution, that of the first with the noise of number
    /// `first`.
    fn draw_pixels(&self, px: &Tensor, seed: u64, first: u64) -> Result<Tensor> {
        let logits = self.logits(px)?;
        // A layer number no decoder block has.
        const OUTPUT: u64 = u64::MAX;
        let mut pictures = Vec::with_capacity(logits.dim(0)?);
        for (i, number) in (0..logits.dim(0)?).zip(first..) {
            let mut rng = stream(seed, number, OUTPUT);
            pictures.push(mixture_sample(&logits.narrow(0, i, 1)?, || rng.random::<f64>())?);
        }
        Ok(Tensor::cat(&pictures, 0)?)
    }
}
