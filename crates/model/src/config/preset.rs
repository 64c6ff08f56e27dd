//! Named configurations: the five published models, and small ones for one machine.
//!
//! Sizes, block strings and training values of the published models are those of `hps.py` in
//! <https://github.com/openai/vdvae>; input shift and scale are in its `data.py`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{Unpool, VdvaeConfig};
use crate::error::named;
use crate::{Error, Result};

/// A named configuration with the values it is trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// 16×16 pictures, 46,084 parameters: for tests.
    Tiny,
    /// 32×32 faces, under a million parameters: the built-in model, trained on a CPU.
    ToyFaces,
    /// 64×64 pictures, sized for a day on one GPU.
    Small64,
    /// CIFAR-10, 39 million parameters, 43 layers. Published at 2.87 bits per dimension.
    Cifar10,
    /// ImageNet at 32×32, 119 million parameters, 78 layers. Published at 3.80 bits per dimension.
    Imagenet32,
    /// ImageNet at 64×64, 125 million parameters, 75 layers. Published at 3.52 bits per dimension.
    Imagenet64,
    /// FFHQ at 256×256 and 5 bits, 115 million parameters, 66 layers. Published at 0.61 bits per
    /// dimension.
    Ffhq256,
    /// FFHQ at 1024×1024, 109 million parameters, 70 layers. Published at 2.42 bits per dimension.
    Ffhq1024,
}

/// The values a preset is trained with: AdamW, linear warm-up, clipping, skipping, EMA.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PresetTraining {
    /// Step size after the warm-up.
    pub learning_rate: f64,
    /// Pictures per step on each device.
    pub batch_size_per_device: usize,
    /// Devices of the published run.
    pub devices: usize,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup_steps: usize,
    /// Gradient norm above which the gradient is scaled down to it.
    pub grad_clip: f64,
    /// Gradient norm above which the update is skipped.
    pub skip_threshold: f64,
    /// Decay of the moving average of the weights per step.
    pub ema_rate: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// AdamW's decay of the first moment.
    pub adam_beta1: f64,
    /// AdamW's decay of the second moment.
    pub adam_beta2: f64,
}

impl PresetTraining {
    /// Pictures per step on all devices together.
    pub fn batch_size(&self) -> usize {
        self.batch_size_per_device * self.devices
    }
}

impl Preset {
    /// Every preset, smallest first.
    pub const ALL: [Self; 8] = [
        Self::Tiny,
        Self::ToyFaces,
        Self::Small64,
        Self::Cifar10,
        Self::Imagenet32,
        Self::Imagenet64,
        Self::Ffhq256,
        Self::Ffhq1024,
    ];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::ToyFaces => "toy-faces",
            Self::Small64 => "small64",
            Self::Cifar10 => "cifar10",
            Self::Imagenet32 => "imagenet32",
            Self::Imagenet64 => "imagenet64",
            Self::Ffhq256 => "ffhq256",
            Self::Ffhq1024 => "ffhq1024",
        }
    }

    /// The network.
    pub fn config(self) -> VdvaeConfig {
        match self {
            Self::Tiny => tiny(),
            Self::ToyFaces => toy_faces(),
            Self::Small64 => small64(),
            Self::Cifar10 => cifar10(),
            Self::Imagenet32 => imagenet32(),
            Self::Imagenet64 => imagenet64(),
            Self::Ffhq256 => ffhq256(),
            Self::Ffhq1024 => ffhq1024(),
        }
    }

    /// The values it is trained with.
    pub fn training(self) -> PresetTraining {
        match self {
            // Ours: one machine, and a batch that a CPU takes in about a second.
            Self::Tiny | Self::ToyFaces => PresetTraining {
                learning_rate: 1e-3,
                batch_size_per_device: 32,
                devices: 1,
                ema_rate: 0.999,
                ..CIFAR10
            },
            // Ours: one GPU.
            Self::Small64 => PresetTraining {
                learning_rate: 3e-4,
                devices: 1,
                batch_size_per_device: 32,
                ..IMAGENET64
            },
            Self::Cifar10 => CIFAR10,
            Self::Imagenet32 => IMAGENET32,
            Self::Imagenet64 => IMAGENET64,
            Self::Ffhq256 => FFHQ256,
            Self::Ffhq1024 => PresetTraining {
                learning_rate: 7e-5,
                grad_clip: 360.0,
                skip_threshold: 500.0,
                ..FFHQ256
            },
        }
    }
}

/// `hps.py`, `cifar10`; grad_clip and skip_threshold are the defaults there. Two GPUs.
const CIFAR10: PresetTraining = PresetTraining {
    learning_rate: 2e-4,
    batch_size_per_device: 16,
    devices: 2,
    warmup_steps: 100,
    grad_clip: 200.0,
    skip_threshold: 400.0,
    ema_rate: 0.9999,
    weight_decay: 0.01,
    adam_beta1: 0.9,
    adam_beta2: 0.9,
};
/// `hps.py`, `i32`, which starts from `cifar10`. 32 GPUs, like all that follow.
const IMAGENET32: PresetTraining = PresetTraining {
    learning_rate: 1.5e-4,
    batch_size_per_device: 8,
    devices: 32,
    skip_threshold: 300.0,
    ema_rate: 0.999,
    ..CIFAR10
};
/// `hps.py`, `i64`.
const IMAGENET64: PresetTraining = PresetTraining {
    batch_size_per_device: 4,
    grad_clip: 220.0,
    skip_threshold: 380.0,
    ..IMAGENET32
};
/// `hps.py`, `ffhq_256`.
const FFHQ256: PresetTraining = PresetTraining {
    batch_size_per_device: 1,
    grad_clip: 130.0,
    skip_threshold: 180.0,
    ..IMAGENET64
};

/// `hps.py`, `cifar10`.
fn cifar10() -> VdvaeConfig {
    VdvaeConfig {
        image_size: 32,
        width: 384,
        zdim: 16,
        enc: blocks("32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3"),
        dec: blocks("1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21"),
        custom_width: BTreeMap::new(),
        bottleneck: 0.25,
        no_bias_above: 64,
        num_mixtures: 10,
        low_bit: false,
        shift: -120.63838,
        scale: 1.0 / 64.16736,
        unpool: Unpool::Nearest,
    }
}

/// `hps.py`, `i32`.
fn imagenet32() -> VdvaeConfig {
    VdvaeConfig {
        width: 512,
        enc: blocks("32x15,32d2,16x9,16d2,8x8,8d2,4x6,4d4,1x6"),
        dec: blocks("1x2,4m1,4x4,8m4,8x9,16m8,16x19,32m16,32x40"),
        shift: -116.2373,
        scale: 1.0 / 69.37404,
        ..cifar10()
    }
}

/// `hps.py`, `i64`.
fn imagenet64() -> VdvaeConfig {
    VdvaeConfig {
        image_size: 64,
        enc: blocks("64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5"),
        dec: blocks("1x2,4m1,4x3,8m4,8x7,16m8,16x15,32m16,32x31,64m32,64x12"),
        shift: -115.92961967,
        ..imagenet32()
    }
}

/// `hps.py`, `ffhq_256`.
fn ffhq256() -> VdvaeConfig {
    VdvaeConfig {
        image_size: 256,
        enc: blocks("256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4"),
        dec: blocks("1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128"),
        low_bit: true,
        shift: -112.8666757481,
        scale: 1.0 / 69.84780273,
        ..imagenet64()
    }
}

/// `hps.py`, `ffhq1024`. Shift and scale are those of pictures in 0 to 1, hence the 255.
fn ffhq1024() -> VdvaeConfig {
    let narrow = [(512, 32), (256, 64)];
    let wide = [128, 64, 32, 16, 8, 4, 1].map(|resolution| (resolution, 512));
    VdvaeConfig {
        image_size: 1024,
        width: 16,
        enc: blocks(
            "1024x1,1024d2,512x3,512d2,256x5,256d2,128x7,128d2,64x10,64d2,32x14,32d2,16x7,16d2,\
             8x5,8d2,4x5,4d4,1x4",
        ),
        dec: blocks(
            "1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x20,64m32,64x14,128m64,128x7,256m128,256x2,\
             512m256,1024m512",
        ),
        custom_width: narrow.into_iter().chain(wide).collect(),
        num_mixtures: 2,
        low_bit: false,
        shift: -0.4387 * 255.0,
        scale: 1.0 / (0.2743 * 255.0),
        ..ffhq256()
    }
}

/// The parity case of the same name.
fn tiny() -> VdvaeConfig {
    VdvaeConfig {
        image_size: 16,
        width: 24,
        zdim: 4,
        enc: blocks("16x2,16d2,8x2,8d2,4x1,4d4,1x1"),
        dec: blocks("1x1,4m1,4x1,8m4,8x2,16m8,16x2"),
        ..cifar10()
    }
}

/// Ours, for the built-in model: small enough to train on two CPU cores and to commit. The lower
/// resolutions are wider, where width costs parameters but hardly any time.
fn toy_faces() -> VdvaeConfig {
    VdvaeConfig {
        width: 32,
        zdim: 8,
        enc: blocks("32x2,32d2,16x2,16d2,8x2,8d2,4x1,4d4,1x1"),
        dec: blocks("1x2,4m1,4x4,8m4,8x5,16m8,16x3,32m16,32x2"),
        custom_width: BTreeMap::from([(1, 48), (4, 48), (8, 48), (16, 48)]),
        bottleneck: 0.5,
        num_mixtures: 5,
        shift: -127.5,
        scale: 1.0 / 64.0,
        ..cifar10()
    }
}

/// Ours: the layout of `i64` at a quarter of its depth and under half its width.
fn small64() -> VdvaeConfig {
    VdvaeConfig {
        width: 192,
        enc: blocks("64x4,64d2,32x6,32d2,16x4,16d2,8x3,8d2,4x2,4d4,1x2"),
        dec: blocks("1x1,4m1,4x2,8m4,8x4,16m8,16x7,32m16,32x10,64m32,64x5"),
        ..imagenet64()
    }
}

fn blocks(text: &str) -> super::BlockString {
    text.parse().expect("the block strings of the presets are well formed")
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        named("preset", &Self::ALL, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_found_by_its_name() {
        for preset in Preset::ALL {
            preset.config().validate().unwrap();
            assert_eq!(preset.to_string().parse::<Preset>().unwrap(), preset);
            let training = preset.training();
            assert!(training.skip_threshold > training.grad_clip, "{preset}");
        }
        let error = "cifar".parse::<Preset>().unwrap_err().to_string();
        assert!(error.contains("cifar: expected one of tiny, "), "{error}");
    }

    /// The counts of the published checkpoints, and the parity case's.
    #[test]
    fn published_parameter_counts() {
        let counts = [
            (Preset::Tiny, 46_084),
            (Preset::Cifar10, 39_145_700),
            (Preset::Imagenet32, 119_280_868),
            (Preset::Imagenet64, 125_005_860),
            (Preset::Ffhq256, 114_874_852),
            (Preset::Ffhq1024, 109_366_904),
        ];
        for (preset, count) in counts {
            assert_eq!(preset.config().num_parameters(), count, "{preset}");
        }
    }

    #[test]
    fn published_layer_counts() {
        let layers = Preset::ALL.map(|preset| preset.config().latent_layers().len());
        assert_eq!(layers, [9, 20, 34, 43, 78, 75, 66, 70]);
    }

    /// The built-in model is one file of at most 4 MB.
    #[test]
    fn toy_faces_fits_its_file() {
        let config = Preset::ToyFaces.config();
        assert!(config.num_parameters() <= 1_000_000, "{}", config.num_parameters());
        assert!(config.latent_layers().len() >= 20);
        assert_eq!(config.latent_layers()[0].resolution, 1);
    }

    #[test]
    fn published_batches() {
        assert_eq!(Preset::Cifar10.training().batch_size(), 32);
        assert_eq!(Preset::Imagenet64.training().batch_size(), 128);
        assert_eq!(Preset::Ffhq1024.training().batch_size(), 32);
    }
}
