//! A learned unpooling, beside the one of published networks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{Device, Tensor};
use vdvae_model::{Array, Noise, Preset, Unpool, Vdvae, VdvaeConfig, Weights};

fn pictures() -> Tensor {
    let bytes = (0..2 * 16 * 16 * 3).map(|i: usize| (i * 37 % 251) as u8).collect();
    Tensor::from_vec(bytes, (2, 16, 16, 3), &Device::Cpu).unwrap()
}

fn nats(config: &VdvaeConfig, weights: &Weights) -> Vec<f32> {
    let model = Vdvae::new(config, weights, &Device::Cpu).unwrap();
    let terms = model.loss(&pictures(), Noise::Seeded { seed: 1, first: 0 }).unwrap();
    [terms.distortion, terms.rate].iter().flat_map(|term| term.to_vec1().unwrap()).collect()
}

/// A kernel that copies every channel to every pixel repeats pixels.
#[test]
fn nearest_is_one_of_the_learned() {
    // A higher resolution that is narrower keeps the first channels.
    let custom_width = [(1, 40), (4, 32)].into();
    let nearest = VdvaeConfig { custom_width, ..Preset::Tiny.config() };
    let learned = VdvaeConfig { unpool: Unpool::Learned, ..nearest.clone() };
    let mut weights = Weights::initialise(&learned, 3);
    let random = nats(&learned, &weights);
    let mut of_nearest = weights.clone();
    let mut found = 0;
    for block in learned.decoder_blocks().iter().enumerate() {
        let (i, Some(from)) = (block.0, block.1.mix_from) else { continue };
        let (r, name) = (block.1.resolution, format!("decoder.dec_blocks.{i}.unpool"));
        let (input, width) = (learned.width_at(from), learned.width_at(r));
        let pixels = (r / from).pow(2);
        let mut kernel = vec![0.0; pixels * width * input];
        for output in 0..pixels * width {
            kernel[output * input + output % width] = 1.0;
        }
        let shape = vec![pixels * width, input, 1, 1];
        let of = |part: &str| format!("{name}.{part}");
        assert!(weights.insert(of("weight"), Array::new(shape, kernel)).is_some());
        let bias = of_nearest.remove(&of("bias")).unwrap();
        assert!(bias.data().iter().all(|&bias| bias == 0.0));
        of_nearest.remove(&of("weight")).unwrap();
        found += 1;
    }
    assert_eq!(found, 3);
    let (expected, found) = (nats(&nearest, &of_nearest), nats(&learned, &weights));
    for (expected, found) in expected.iter().zip(&found) {
        assert!((expected - found).abs() < 1e-5 * expected.abs(), "{expected} {found}");
    }
    assert_ne!(random, found);
}

#[test]
fn the_configuration_says_so_where_it_is_learned() {
    let nearest = Preset::Tiny.config();
    assert!(!nearest.to_json().contains("unpool"));
    let learned = VdvaeConfig { unpool: Unpool::Learned, ..nearest.clone() };
    assert!(learned.to_json().contains(r#""unpool":"learned""#));
    assert_eq!(VdvaeConfig::from_json(&learned.to_json()).unwrap(), learned);
    let error = VdvaeConfig::from_json(&learned.to_json().replace("learned", "bilinear"));
    assert!(error.unwrap_err().to_string().contains("bilinear"));
}
