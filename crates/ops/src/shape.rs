//! Shapes of parameters, and checks that the operators share.

use candle_core::{Result, Shape};

use crate::cpu::im2col::Grid;

/// Sizes of a convolution. Its parameters are one flat tensor: weights as (output, kernel row,
/// kernel column, input), then one bias an output. For a 1×1 kernel this is PyTorch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// 1, or 3 with one pixel of zero padding.
    pub kernel: usize,
}

impl ConvShape {
    /// Numbers in the weights.
    pub fn weights(&self) -> usize {
        self.output * self.row()
    }

    /// Numbers in the flat parameters.
    pub fn parameters(&self) -> usize {
        self.weights() + self.output
    }

    /// Numbers of one output's weights.
    pub(crate) fn row(&self) -> usize {
        self.kernel * self.kernel * self.input
    }

    pub(crate) fn check_kernel(&self, op: &'static str) -> Result<()> {
        match self.kernel {
            1 | 3 => Ok(()),
            other => candle_core::bail!("{op}: expected a kernel of 1 or 3, found {other}"),
        }
    }
}

/// Sizes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockShape {
    /// Input channels; of both inputs together for [`crate::joined_block`].
    pub input: usize,
    /// Channels of the hidden states.
    pub middle: usize,
    /// Output channels.
    pub output: usize,
    /// Kernel of the two middle convolutions: 3, or 1 where the resolution is at most 2.
    pub kernel: usize,
    /// Adds the input to the last `input` channels of the output. A residual block has as many
    /// outputs as inputs; a prior block has its statistics in front of them.
    pub residual: bool,
}

impl BlockShape {
    /// The four convolutions. Their parameters follow one another in the block's flat tensor.
    pub fn convolutions(&self) -> [ConvShape; 4] {
        let Self { input, middle, output, kernel, .. } = *self;
        [
            ConvShape { input, output: middle, kernel: 1 },
            ConvShape { input: middle, output: middle, kernel },
            ConvShape { input: middle, output: middle, kernel },
            ConvShape { input: middle, output, kernel: 1 },
        ]
    }

    /// Numbers in the flat parameters.
    pub fn parameters(&self) -> usize {
        self.convolutions().iter().map(ConvShape::parameters).sum()
    }

    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        self.convolutions()[1].check_kernel(op)?;
        if self.residual && self.output < self.input {
            candle_core::bail!(
                "{op}: a residual needs at least as many outputs as inputs, found {} and {}",
                self.output,
                self.input
            );
        }
        Ok(())
    }
}

/// Reads (N, H, W, C) and checks C.
pub(crate) fn grid_of(op: &'static str, shape: &Shape, channels: usize) -> Result<Grid> {
    match *shape.dims() {
        [n, height, width, found] if found == channels => Ok(Grid { n, height, width }),
        _ => candle_core::bail!("{op}: expected (N, H, W, {channels}), found {:?}", shape.dims()),
    }
}

/// Checks the length of flat parameters.
pub(crate) fn check_parameters(op: &'static str, shape: &Shape, expected: usize) -> Result<()> {
    match *shape.dims() {
        [found] if found == expected => Ok(()),
        _ => candle_core::bail!("{op}: expected {expected} parameters, found {:?}", shape.dims()),
    }
}

/// The dimensions of an NHWC tensor that holds something; `op` and `what` name it in the error.
pub(crate) fn nhwc(op: &'static str, what: &'static str, shape: &Shape) -> Result<[usize; 4]> {
    match *shape.dims() {
        [n, h, w, c] if n * h * w * c > 0 => Ok([n, h, w, c]),
        ref other => candle_core::bail!("{op}: expected {what} of (N, H, W, C), found {other:?}"),
    }
}

/// Fails unless `found` is `expected`.
pub(crate) fn same_shape(
    op: &'static str,
    what: &'static str,
    expected: &[usize],
    found: &Shape,
) -> Result<()> {
    if found.dims() == expected {
        return Ok(());
    }
    candle_core::bail!("{op}: expected {what} of {expected:?}, found {:?}", found.dims())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_expected_and_found() {
        assert_eq!(nhwc("op", "x", &Shape::from((2, 3, 4, 5))).unwrap(), [2, 3, 4, 5]);
        for bad in [Shape::from((2, 3, 4)), Shape::from((2, 0, 4, 5))] {
            let message = nhwc("op", "x", &bad).unwrap_err().to_string();
            assert!(message.contains("op: expected x of (N, H, W, C), found ["), "{message}");
        }
        let message = same_shape("op", "y", &[2, 3], &Shape::from(6)).unwrap_err().to_string();
        assert!(message.contains("op: expected y of [2, 3], found [6]"), "{message}");
    }
}
