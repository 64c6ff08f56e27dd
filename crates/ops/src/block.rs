//! The fused residual block: 1×1 → k×k → k×k → 1×1, each preceded by GELU.
//!
//! The block is one operator because its pieces are memory-bound: GELU is applied while a block of
//! pixels is in cache, the residual is added in the last product's epilogue, and only the three
//! narrow hidden states are kept for the gradient, which recomputes the activations.
//!
//! What is computed is in `fused`; `operator` says it as an operator.

mod bfloat;
mod fused;
mod operator;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::arithmetic::Arithmetic;
use crate::cpu::product::Packed;
use crate::operator::apply;
use crate::shape::BlockShape;
use crate::tape;
use fused::Fused;
pub(crate) use operator::InBlock;

/// A block on one input.
///
/// # Shapes
/// - `x`: (N, H, W, `shape.input`)
/// - `parameters`: (`shape.parameters()`), each convolution as [`crate::ConvShape`] lays it out
/// - result: (N, H, W, `shape.output`)
///
/// # Errors
/// Where the shapes or number types do not fit.
pub fn block(x: &Tensor, parameters: &Tensor, shape: BlockShape) -> Result<Tensor> {
    BlockWeights::new(shape, parameters.clone()).apply(x)
}

/// A block on two inputs side by side, without joining them in memory: the first 1×1 convolution
/// is split in two instead.
///
/// # Shapes
/// - `x`: (N, H, W, Cx), `y`: (N, H, W, Cy) with Cx + Cy = `shape.input`; no residual
/// - `parameters`: (`shape.parameters()`)
/// - result: (N, H, W, `shape.output`)
///
/// # Errors
/// Where the shapes or number types do not fit, or the block has a residual.
pub fn joined_block(
    x: &Tensor,
    y: &Tensor,
    parameters: &Tensor,
    shape: BlockShape,
) -> Result<Tensor> {
    BlockWeights::new(shape, parameters.clone()).apply_joined(x, y)
}

/// The parameters of a block.
///
/// Those that never change are laid out for the kernels once instead of in every call, which is
/// what a call on one small picture spends most of its time on. What is kept takes up to about four
/// times the memory of the parameters themselves.
#[derive(Debug, Clone)]
pub struct BlockWeights {
    shape: BlockShape,
    parameters: Tensor,
    packed: Option<Arc<[Packed; 4]>>,
    recompute: bool,
    arithmetic: Arithmetic,
}

impl BlockWeights {
    /// Parameters that may change between calls.
    ///
    /// # Shapes
    /// - `parameters`: (`shape.parameters()`)
    pub fn new(shape: BlockShape, parameters: Tensor) -> Self {
        let arithmetic = Arithmetic::default();
        Self { shape, parameters, packed: None, recompute: false, arithmetic }
    }

    /// Parameters whose numbers never change, whatever the tensor shares its storage with.
    ///
    /// # Shapes
    /// - `parameters`: (`shape.parameters()`)
    pub fn frozen(shape: BlockShape, parameters: Tensor) -> Self {
        Self { packed: Some(Arc::default()), ..Self::new(shape, parameters) }
    }

    /// Shape (`shape.parameters()`).
    pub fn parameters(&self) -> &Tensor {
        &self.parameters
    }

    /// Whether the gradient computes the hidden states again rather than have every call keep them:
    /// less memory in training for about a fifth more processor time. The numbers stay the same.
    pub fn recomputed(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// The same block, its products and convolutions computed in another way.
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// See [`block`].
    ///
    /// # Errors
    /// Where the shapes or number types do not fit.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        apply(self.op(tape::tracked(x)), [x, &self.parameters])
    }

    /// See [`joined_block`].
    ///
    /// # Errors
    /// Where the shapes or number types do not fit, or the block has a residual.
    pub fn apply_joined(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let op = self.op(tape::tracked(x) || tape::tracked(y));
        apply(op, [x, y, &self.parameters])
    }

    fn op(&self, input_tracked: bool) -> Fused {
        let keep = !self.recompute && (input_tracked || tape::tracked(&self.parameters));
        Fused::new(self.shape, self.arithmetic, keep, self.packed.clone())
    }
}
