//! Sizes of 3×3 convolutions.

/// Sizes of a convolution from (n, height, width, input) to (n, height, width, output).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Conv3 {
    pub(crate) n: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// Whether operands of float32 are rounded to TensorFloat-32.
    pub(crate) tf32: bool,
}

/// What is computed from what: x of the input's shape, w (output, 3, 3, input), y of the output's.
#[cfg_attr(not(feature = "cudnn"), expect(dead_code, reason = "only cuDNN asks by pass"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// y from x and w.
    Forward,
    /// x, a gradient, from w and y.
    Data,
    /// w, a gradient, from x and y.
    Filter,
}

impl Conv3 {
    pub(crate) fn pixels(&self) -> usize {
        self.n * self.height * self.width
    }

    pub(crate) fn weights(&self) -> usize {
        9 * self.input * self.output
    }
}
