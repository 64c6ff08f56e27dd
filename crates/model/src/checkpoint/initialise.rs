//! Random weights to start training from, by the reference's scheme.
//!
//! A convolution's weight is uniform in ±1/√fan-in (PyTorch's default), its bias zero. What each
//! residual path adds is scaled by √(1/blocks) so that depth does not blow up the state, and the
//! last layer of every `prior` is zero: at first the prior is a unit Gaussian and adds nothing.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha256};

use super::weights::{Array, Weights};
use crate::{ParameterSpec, VdvaeConfig};

impl Weights {
    /// Random weights for `config`, the same for the same `seed` on every machine.
    ///
    /// Each parameter is drawn from a stream of its own, keyed by seed and name.
    ///
    /// ```
    /// use vdvae_model::{Preset, Weights};
    /// let config = Preset::Tiny.config();
    /// let weights = Weights::initialise(&config, 7);
    /// weights.check(&config)?;
    /// assert_eq!(weights, Weights::initialise(&config, 7));
    /// # Ok::<(), vdvae_model::Error>(())
    /// ```
    pub fn initialise(config: &VdvaeConfig, seed: u64) -> Self {
        let encoder_scale = (1.0 / config.encoder_blocks().len().max(1) as f64).sqrt();
        let decoder_scale = (1.0 / config.decoder_blocks().len().max(1) as f64).sqrt();
        let initialise = |spec: ParameterSpec| {
            let data = if spec.name == "decoder.gain" {
                vec![1.0; spec.len()]
            } else if let Some(layer) = spec.name.strip_suffix(".weight") {
                let scale = if layer.starts_with("encoder.") && layer.ends_with(".c4") {
                    encoder_scale
                } else if layer.ends_with(".resnet.c4") || layer.ends_with(".z_proj") {
                    decoder_scale
                } else if layer.ends_with(".prior.c4") {
                    0.0
                } else {
                    1.0
                };
                uniform(&spec, scale, seed)
            } else {
                vec![0.0; spec.len()]
            };
            (spec.name, Array::new(spec.shape, data))
        };
        config.parameters().into_iter().map(initialise).collect()
    }
}

/// Uniform in ±scale/√fan-in.
fn uniform(spec: &ParameterSpec, scale: f64, seed: u64) -> Vec<f32> {
    if scale == 0.0 {
        return vec![0.0; spec.len()]; // and not −0
    }
    let key = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(&spec.name).finalize();
    let mut random = ChaCha8Rng::from_seed(key.into());
    let fan_in: usize = spec.shape[1..].iter().product();
    let bound = scale / (fan_in as f64).sqrt();
    // 24 bits are what a float32 between 0 and 1 can hold evenly.
    let mut unit = || f64::from(random.next_u32() >> 8) / f64::from(1u32 << 24);
    (0..spec.len()).map(|_| (bound * (2.0 * unit() - 1.0)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    fn largest(weights: &Weights, name: &str) -> f32 {
        weights.get(name).unwrap().data().iter().fold(0.0, |most, v| v.abs().max(most))
    }

    #[test]
    fn every_kind_of_parameter_has_its_range() {
        let config = Preset::ToyFaces.config(); // 12 encoder and 20 decoder blocks; width 32, middle 16
        let weights = Weights::initialise(&config, 0);
        let near = |name: &str, bound: f64| {
            let largest = f64::from(largest(&weights, name));
            assert!(largest <= bound && largest > 0.95 * bound, "{name}: {largest} of {bound}");
        };
        near("encoder.in_conv.weight", 1.0 / 27f64.sqrt());
        near("encoder.enc_blocks.0.c2.weight", 1.0 / 144f64.sqrt());
        near("encoder.enc_blocks.0.c4.weight", 1.0 / 16f64.sqrt() / 12f64.sqrt());
        near("decoder.dec_blocks.19.enc.c4.weight", 1.0 / 16f64.sqrt());
        near("decoder.dec_blocks.19.resnet.c4.weight", 1.0 / 16f64.sqrt() / 20f64.sqrt());
        near("decoder.dec_blocks.19.z_proj.weight", 1.0 / 8f64.sqrt() / 20f64.sqrt());
        near("decoder.out_net.out_conv.weight", 1.0 / 32f64.sqrt());
        for name in ["decoder.dec_blocks.3.prior.c4.weight", "decoder.bias_xs.0", "decoder.bias"] {
            assert_eq!(largest(&weights, name), 0.0, "{name}");
        }
        assert_eq!(largest(&weights, "decoder.dec_blocks.3.enc.c1.bias"), 0.0);
        assert!(weights.get("decoder.gain").unwrap().data().iter().all(|&gain| gain == 1.0));
    }

    #[test]
    fn streams_differ_by_seed_and_name_only() {
        let config = Preset::Tiny.config();
        let (one, two) = (Weights::initialise(&config, 1), Weights::initialise(&config, 2));
        let [a, b] = ["encoder.enc_blocks.0.c2.weight", "encoder.enc_blocks.0.c3.weight"];
        assert_ne!(one.get(a), two.get(a));
        assert_ne!(one.get(a), one.get(b));
        let mut deeper = config;
        deeper.enc = "16x2,16d2,8x2,8d2,4x1,4d4,1x2".parse().unwrap();
        assert_eq!(one.get(a), Weights::initialise(&deeper, 1).get(a));
    }

    /// Weights of a seed are part of every result that names it: they may not drift.
    #[test]
    fn weights_of_a_seed_are_pinned() {
        let weights = Weights::initialise(&Preset::Tiny.config(), 0);
        assert_eq!(&weights.sha256()[..16], "9610bb612309ad19");
    }
}
