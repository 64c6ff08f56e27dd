//! The likelihood and the KL of every layer, averaged over many pictures.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::{Error, Noise, Result, Vdvae};

/// Means over pictures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Pictures the means are over.
    pub images: usize,
    /// Negative log-likelihood of the pictures given their latents, nats per dimension.
    pub distortion: f64,
    /// KL from posterior to prior, nats per dimension.
    pub rate: f64,
    /// `(layers)`: KL from posterior to prior, nats, summed over the layer, top first.
    pub kl_nats: Vec<f64>,
}

impl Evaluation {
    /// The negative evidence lower bound, nats per dimension.
    pub fn nats_per_dim(&self) -> f64 {
        self.distortion + self.rate
    }

    /// The negative evidence lower bound, bits per dimension.
    pub fn bits_per_dim(&self) -> f64 {
        self.nats_per_dim() / std::f64::consts::LN_2
    }
}

impl Vdvae {
    /// The evidence lower bound and the KL of every layer, averaged over all pictures of `batches`,
    /// u8 (N, H, W, 3) each. An empty batch is passed over; of no picture at all, the means are NaN.
    ///
    /// `noise` is that of the first picture; the others follow it. On the CPU each thread takes a
    /// batch of its own: a small network has too little work in one operator to keep several busy.
    /// The number of threads changes no digit of the result.
    ///
    /// # Errors
    /// The first error of `batches`, and those of [`Self::loss`].
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vdvae_model::{Error, Noise, Vdvae};
    ///
    /// let model = Vdvae::builtin(&Device::Cpu)?;
    /// let batch = Tensor::zeros((2, 32, 32, 3), DType::U8, &Device::Cpu)?;
    /// let batches = [Ok::<_, Error>(batch.clone()), Ok(batch)];
    /// let means = model.evaluate(batches, Noise::Seeded { seed: 0, first: 0 })?;
    /// assert_eq!((means.images, means.kl_nats.len()), (4, 20));
    /// let rate = means.kl_nats.iter().sum::<f64>() / model.dimensions() as f64;
    /// assert!((means.rate - rate).abs() < 1e-6 * rate);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn evaluate<E: From<Error> + Send>(
        &self,
        batches: impl IntoIterator<Item = Result<Tensor, E>>,
        noise: Noise,
    ) -> Result<Evaluation, E> {
        let at_once = if self.device().is_cpu() { rayon::current_num_threads() } else { 1 };
        let mut means = Evaluation::over(batches, at_once, |batch, first| {
            Ok::<_, E>(PictureTerms::of(self, batch, noise.after(first))?)
        })?;
        // Of no picture at all there is still a mean of every layer.
        means.kl_nats.resize(self.config().latent_layers().len(), f64::NAN);
        Ok(means)
    }
}

impl Evaluation {
    /// Means over all pictures of `batches`, of which so many are computed at once: `terms` is given a
    /// batch and the number of its first picture. An empty batch is passed over; of no picture at all,
    /// the means are NaN.
    ///
    /// # Errors
    /// The first error of `batches`, and those of `terms`.
    pub fn over<E: From<Error> + Send>(
        batches: impl IntoIterator<Item = Result<Tensor, E>>,
        at_once: usize,
        terms: impl Fn(&Tensor, u64) -> Result<PictureTerms, E> + Sync,
    ) -> Result<Self, E> {
        let mut sums = Self::default();
        let mut batches = batches.into_iter();
        loop {
            let group = batches.by_ref().take(at_once).collect::<Result<Vec<_>, E>>()?;
            if group.is_empty() {
                break;
            }
            let mut first = sums.images as u64;
            let mut work = Vec::new();
            for batch in &group {
                work.push((batch, first));
                first += batch.dim(0).map_err(Error::from)? as u64;
            }
            let filled = work.into_par_iter().filter(|(batch, _)| batch.elem_count() > 0);
            let found: Vec<PictureTerms> =
                filled.map(|(batch, first)| terms(batch, first)).collect::<Result<_, E>>()?;
            for batch in found {
                let sum = |values: &[f32]| values.iter().copied().map(f64::from).sum::<f64>();
                sums.images += batch.distortion.len();
                sums.distortion += sum(&batch.distortion);
                sums.rate += sum(&batch.rate);
                sums.kl_nats.resize(batch.kl.len(), 0.0);
                sums.kl_nats.iter_mut().zip(&batch.kl).for_each(|(total, kl)| *total += sum(kl));
            }
        }
        let mean = |sum: f64| sum / sums.images as f64;
        Ok(Self {
            images: sums.images,
            distortion: mean(sums.distortion),
            rate: mean(sums.rate),
            kl_nats: sums.kl_nats.iter().copied().map(mean).collect(),
        })
    }
}

/// The terms of every picture of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PictureTerms {
    /// Negative log-likelihood of each picture given its latents, nats per dimension.
    pub distortion: Vec<f32>,
    /// KL from posterior to prior, nats per dimension.
    pub rate: Vec<f32>,
    /// The KL of every layer, nats, of each picture.
    pub kl: Vec<Vec<f32>>,
}

impl PictureTerms {
    fn of(model: &Vdvae, pictures: &Tensor, noise: Noise) -> Result<Self> {
        // Asked for at the end: a GPU would be waited for at every layer.
        let mut layers = Vec::new();
        let (terms, _) = model.loss_with(pictures, noise, |_, kl| {
            layers.push(kl.clone());
            Ok(())
        })?;
        let kl = layers.iter().map(Tensor::to_vec1).collect::<candle_core::Result<_>>()?;
        Ok(Self { distortion: terms.distortion.to_vec1()?, rate: terms.rate.to_vec1()?, kl })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{Preset, Weights};

    fn network() -> Vdvae {
        let config = Preset::Tiny.config();
        Vdvae::new(&config, &Weights::initialise(&config, 0), &Device::Cpu).unwrap()
    }

    fn pictures(n: usize) -> Tensor {
        let bytes: Vec<u8> = (0..n * 768).map(|i| (i * 31 % 251) as u8).collect();
        Tensor::from_vec(bytes, (n, 16, 16, 3), &Device::Cpu).unwrap()
    }

    fn evaluate(batches: &[Tensor], noise: Noise) -> Evaluation {
        network().evaluate(batches.iter().cloned().map(Ok::<_, Error>), noise).unwrap()
    }

    const NOISE: Noise = Noise::Seeded { seed: 3, first: 0 };

    #[test]
    fn means_are_those_of_the_loss() {
        let (all, model) = (pictures(7), network());
        let mut kl = Vec::new();
        let (terms, _) = model
            .loss_with(&all, NOISE, |_, nats| {
                kl.push(nats.mean_all()?.to_scalar::<f32>()?);
                Ok(())
            })
            .unwrap();
        let found = evaluate(&[all], NOISE);
        let mean = |t: &Tensor| f64::from(t.mean_all().unwrap().to_scalar::<f32>().unwrap());
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-5 * b.abs(), "{a} {b}");
        close(found.distortion, mean(&terms.distortion));
        close(found.rate, mean(&terms.rate));
        found.kl_nats.iter().zip(kl).for_each(|(&found, kl)| close(found, kl.into()));
        assert_eq!(found.images, 7);
    }

    #[test]
    fn batches_give_the_same_bits_on_any_number_of_threads() {
        let batches = [pictures(5), pictures(3), pictures(4)];
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| evaluate(&batches, NOISE))
        };
        assert_eq!(on(1), on(4));
    }

    #[test]
    fn a_picture_keeps_its_noise_in_any_batch() {
        let all = pictures(6);
        let part = |start, n| all.narrow(0, start, n).unwrap();
        let (one, many) = ([all.clone()], [part(0, 1), part(1, 0), part(1, 5)]);
        let (one, many) = (evaluate(&one, NOISE), evaluate(&many, NOISE));
        assert_eq!(one.images, many.images);
        assert!((one.nats_per_dim() - many.nats_per_dim()).abs() < 1e-12);
        assert_ne!(one, evaluate(&[all], Noise::Zero));
    }
}
