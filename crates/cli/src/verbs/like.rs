//! Files laid out as other projects lay them out.

use vdvae_datasets::Split;
use vdvae_features::{LayerSelection, Statistic};

use super::args::Which;
use super::arrays::{ArraySource, NamedArray};

/// A layout of files that others use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Like {
    /// ozcelikfu/brain-diffuser: one sample of the first 31 layers of the ImageNet-64 network a
    /// picture, side by side; `train_latents` and `test_latents` in one .npz; pictures from 0.png on
    BrainDiffuser,
}

impl Like {
    /// The layers that are kept.
    pub(super) fn layers(self) -> LayerSelection {
        match self {
            Self::BrainDiffuser => LayerSelection::First(31),
        }
    }

    /// What is read from each layer.
    pub(super) fn statistic(self) -> Statistic {
        match self {
            Self::BrainDiffuser => Statistic::Z,
        }
    }

    /// Side of decoded pictures.
    pub(super) fn size(self) -> u32 {
        match self {
            Self::BrainDiffuser => 512,
        }
    }

    /// The matrices of one file.
    pub(super) fn arrays(self) -> Vec<NamedArray> {
        let array = |name: &str, split| NamedArray {
            name: name.to_owned(),
            source: ArraySource::Split(Which::One(split)),
        };
        match self {
            Self::BrainDiffuser => {
                vec![array("train_latents", Split::Train), array("test_latents", Split::Test)]
            }
        }
    }
}
