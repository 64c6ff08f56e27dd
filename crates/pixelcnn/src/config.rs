//! What a network is built from.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The sizes of a network.
///
/// ```
/// use vdvae_pixelcnn::PixelCnnConfig;
///
/// let small = PixelCnnConfig { filters: 24, blocks: 2, ..PixelCnnConfig::cifar10() };
/// small.validate()?;
/// assert!(small.num_parameters() < PixelCnnConfig::cifar10().num_parameters() / 50);
/// # Ok::<(), vdvae_pixelcnn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelCnnConfig {
    /// Pixels on a side; the two smaller scales have a half and a quarter of them.
    pub image_size: usize,
    /// Channels of either stream.
    pub filters: usize,
    /// Gated residual blocks of each scale on the way to the smallest; on the way back there are as
    /// many at the smallest and one more at the others.
    pub blocks: usize,
    /// Logistics of a pixel's mixture.
    pub num_mixtures: usize,
    /// Whether the upper five bits of each byte are modelled in place of all eight.
    #[serde(default)]
    pub low_bit: bool,
    /// Probability with which a number inside a block is left out while training.
    pub dropout: f64,
}

impl PixelCnnConfig {
    /// As published for CIFAR-10: 2.92 bits per dimension after five days on eight GPUs.
    pub fn cifar10() -> Self {
        Self {
            image_size: 32,
            filters: 160,
            blocks: 5,
            num_mixtures: 10,
            low_bit: false,
            dropout: 0.5,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] for the first that makes no sense.
    pub fn validate(&self) -> Result<()> {
        let whole = |field, value: usize, high: usize, expected| match (1..=high).contains(&value) {
            true => Ok(()),
            false => Err(Error::Config { field, expected, found: value.to_string() }),
        };
        let size = self.image_size;
        whole("image_size", size, 1024, "4 to 1024")?;
        if !size.is_multiple_of(4) {
            let found = size.to_string();
            return Err(Error::Config { field: "image_size", expected: "a multiple of 4", found });
        }
        whole("filters", self.filters, 1 << 12, "1 to 4096")?;
        whole("blocks", self.blocks, 1 << 6, "1 to 64")?;
        whole("num_mixtures", self.num_mixtures, 1 << 8, "1 to 256")?;
        if !(0.0..1.0).contains(&self.dropout) {
            let found = self.dropout.to_string();
            return Err(Error::Config { field: "dropout", expected: "at least 0, below 1", found });
        }
        Ok(())
    }

    /// Numbers in all parameters.
    pub fn num_parameters(&self) -> usize {
        crate::layout::Layout::new(self).layers.iter().map(crate::layer::Layer::parameters).sum()
    }

    /// Numbers of one picture, what "per dimension" divides by.
    pub fn dimensions(&self) -> usize {
        3 * self.image_size * self.image_size
    }
}
