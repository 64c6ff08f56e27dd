//! Seeded noise for sampled latents.

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::Result;

/// Where the randomness of latents comes from.
///
/// Noise is a function of (seed, image number, layer) alone: the same image gets the same noise
/// whatever batch it is in and however many threads there are. A GPU draws other numbers than a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// None: every latent is the mean of its distribution.
    Zero,
    /// Standard normal.
    Seeded {
        /// Seed of the stream.
        seed: u64,
        /// Number of the batch's first image.
        first: u64,
    },
    /// As [`Noise::Seeded`], with the numbers of a CPU on every device: slower on a GPU, for
    /// comparing one with the other.
    SeededOnHost {
        /// Seed of the stream.
        seed: u64,
        /// Number of the batch's first image.
        first: u64,
    },
}

impl Noise {
    /// The noise of the pictures `n` further on.
    pub fn after(self, n: u64) -> Self {
        match self {
            Self::Zero => Self::Zero,
            Self::Seeded { seed, first } => Self::Seeded { seed, first: first + n },
            Self::SeededOnHost { seed, first } => Self::SeededOnHost { seed, first: first + n },
        }
    }

    /// Standard normal numbers (n, r, r, z) for one layer in the type of its activations, or `None`
    /// for [`Noise::Zero`].
    pub(crate) fn draw(
        self,
        layer: usize,
        shape: (usize, usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let (seed, first) = match self {
            Self::Zero => return Ok(None),
            #[cfg(feature = "cuda")]
            Self::Seeded { seed, first } if device.is_cuda() => {
                let layer = layer as u64;
                let noise = vdvae_ops::cuda::normal(seed, first, layer, shape, dtype, device)?;
                return Ok(Some(noise));
            }
            Self::Seeded { seed, first } | Self::SeededOnHost { seed, first } => (seed, first),
        };
        let (n, resolution, channels) = shape;
        let each = resolution * resolution * channels;
        let mut data = vec![0f32; n * each];
        data.par_chunks_mut(each.max(1)).enumerate().for_each(|(i, image)| {
            fill_normal(seed, first + i as u64, layer as u64, image);
        });
        let noise = Tensor::from_vec(data, (n, resolution, resolution, channels), device)?;
        Ok(Some(noise.to_dtype(dtype)?))
    }
}

/// The stream of one image and layer: the layer picks a ChaCha key, the image a stream of it.
fn fill_normal(seed: u64, image: u64, layer: u64, out: &mut [f32]) {
    let mut rng = stream(seed, image, layer);
    out.iter_mut().for_each(|v| *v = StandardNormal.sample(&mut rng));
}

/// A generator that is a function of its three arguments; distinct arguments give unrelated
/// streams.
pub fn stream(seed: u64, image: u64, layer: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&layer.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(image);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_its_noise_in_any_batch() {
        let draw = |first, n| {
            let noise = Noise::Seeded { seed: 3, first };
            let t = noise.draw(5, (n, 2, 3), DType::F32, &Device::Cpu).unwrap().unwrap();
            t.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(draw(0, 4)[24..36], draw(2, 1)[..]);
        assert_ne!(draw(0, 1), draw(1, 1));
    }

    #[test]
    fn moments_are_standard() {
        let mut x = vec![0f32; 200_000];
        fill_normal(1, 0, 0, &mut x);
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / x.len() as f64;
        // Five standard errors: 1/sqrt(n) and sqrt(2/n).
        assert!(mean.abs() < 0.0112 && (var - 1.0).abs() < 0.0159, "{mean} {var}");
    }
}
