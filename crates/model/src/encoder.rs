//! The bottom-up path: a picture to the last activation at each resolution.

use std::collections::BTreeMap;

use candle_core::Tensor;
use vdvae_ops::{Arithmetic, BlockShape, BlockWeights, ConvShape, avg_pool, conv, together};

use crate::Result;
use crate::config::VdvaeConfig;
use crate::params::Parameters;

/// The last activation at each resolution: r → (N, r, r, width at r), in the type of the network's
/// activations ([`Precision`](crate::Precision)).
pub type Activations = BTreeMap<usize, Tensor>;

/// `encoder` of the published network.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    stem: (ConvShape, Tensor),
    blocks: Vec<EncoderBlock>,
    arithmetic: Arithmetic,
}

#[derive(Debug, Clone)]
struct EncoderBlock {
    weights: BlockWeights,
    /// Rate and width of the average pooling that follows.
    pool: Option<(usize, usize)>,
}

impl Encoder {
    pub(crate) fn new(config: &VdvaeConfig, parameters: &Parameters) -> Self {
        let stem = ConvShape { input: 3, output: config.width, kernel: 3 };
        let blocks = config.encoder_blocks().into_iter().enumerate().map(|(i, spec)| {
            let width = config.width_at(spec.resolution);
            let shape = BlockShape {
                input: width,
                middle: config.mid_at(spec.resolution),
                output: width,
                kernel: config.kernel_at(spec.resolution),
                residual: true,
            };
            EncoderBlock {
                weights: parameters.block(&format!("encoder.enc_blocks.{i}"), shape),
                pool: spec.down.map(|rate| (rate, config.width_at(spec.resolution / rate))),
            }
        });
        Self {
            stem: (stem, parameters.unit("encoder.in_conv")),
            blocks: blocks.collect(),
            arithmetic: Arithmetic::default(),
        }
    }

    /// The same encoder, its blocks as [`BlockWeights::recomputed`] says.
    pub(crate) fn recomputed(mut self, recompute: bool) -> Self {
        for block in &mut self.blocks {
            block.weights = block.weights.clone().recomputed(recompute);
        }
        self
    }

    /// The same encoder, its convolutions computed in another way.
    pub(crate) fn with_arithmetic(mut self, arithmetic: Arithmetic) -> Self {
        for block in &mut self.blocks {
            block.weights = block.weights.clone().with_arithmetic(arithmetic);
        }
        Self { arithmetic, ..self }
    }

    /// # Shapes
    /// - `x`: (N, H, W, 3), shifted and scaled
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Activations> {
        together(x.device(), || self.activations(x))
    }

    fn activations(&self, x: &Tensor) -> Result<Activations> {
        let mut x = conv(x, &self.stem.1, self.stem.0, self.arithmetic)?;
        let mut activations = Activations::from([(x.dim(1)?, x.clone())]);
        for b in &self.blocks {
            x = b.weights.apply(&x)?;
            if let Some((rate, width)) = b.pool {
                x = avg_pool(&x, rate, width)?;
            }
            activations.insert(x.dim(1)?, x.clone());
        }
        Ok(activations)
    }
}
