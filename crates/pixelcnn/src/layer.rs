//! One convolution with weight normalisation.

use candle_core::{Result, Tensor};
use vdvae_ops::{WindowShape, pixel_shuffle, stock, weight_norm, window_conv};

/// What becomes of a convolution's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They are the pixels.
    Plain,
    /// A transposed convolution, stride 2, whose kernel of 2 × 3 reaches one pixel to the right: each
    /// pixel becomes 2 × 2.
    EnlargeAbove,
    /// One with a kernel of 2 × 2.
    EnlargeBeside,
}

/// A convolution. Its parameters are one flat tensor: directions (output, row, column, input), a length
/// and a bias an output.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) name: String,
    /// Its place among all layers.
    pub(crate) index: usize,
    /// Of its weights as they are published.
    pub(crate) shape: WindowShape,
    pub(crate) kind: Kind,
    /// Standard deviation of its results on the pictures it is initialised with.
    pub(crate) scale: f64,
}

impl Layer {
    /// Numbers in the flat parameters.
    pub(crate) fn parameters(&self) -> usize {
        self.shape.output * (self.shape.row() + 2)
    }

    /// The convolution as it is computed.
    pub(crate) fn computed(&self) -> WindowShape {
        let output = 4 * self.shape.output;
        let one = WindowShape { rows: 1, columns: 1, above: 0, left: 0, output, ..self.shape };
        match self.kind {
            Kind::Plain => self.shape,
            Kind::EnlargeAbove => WindowShape { columns: 2, ..one },
            Kind::EnlargeBeside => one,
        }
    }

    /// Weights and biases of [`Self::computed`] from the flat parameters.
    pub(crate) fn weights(&self, parameters: &Tensor) -> Result<Tensor> {
        let WindowShape { output, .. } = self.shape;
        let weights = weight_norm(parameters, output, self.shape.row())?;
        match self.kind {
            Kind::Plain => Ok(weights),
            Kind::EnlargeAbove | Kind::EnlargeBeside => {
                stock([&weights], |[weights]| self.four_pixels(weights))
            }
        }
    }

    /// The kernel of a transposed convolution as that of a convolution with four times the outputs: those
    /// of the upper left pixel, the upper right, the lower left and the lower right.
    fn four_pixels(&self, weights: &Tensor) -> Result<Tensor> {
        let WindowShape { input, output, rows, columns, .. } = self.shape;
        let (kernel, bias) = (output * self.shape.row(), output);
        let bias = weights.narrow(0, kernel, bias)?;
        let kernel = weights.narrow(0, 0, kernel)?.reshape((output, rows, columns, input))?;
        // (row, output, column, input)
        let kernel = kernel.permute((1, 0, 2, 3))?.contiguous()?;
        let column = |i: usize| kernel.narrow(2, i, 1);
        let [left, right] = match self.kind {
            Kind::EnlargeAbove => {
                // The pixel it lies on, and the one to the right of it.
                let middle = column(1)?;
                let left = Tensor::cat(&[&middle, &middle.zeros_like()?], 2)?;
                [left, Tensor::cat(&[column(2)?, column(0)?], 2)?]
            }
            Kind::Plain | Kind::EnlargeBeside => [column(0)?, column(1)?],
        };
        let kernel = Tensor::stack(&[left, right], 1)?.flatten_all()?;
        Tensor::cat(&[&kernel, &bias, &bias, &bias, &bias], 0)
    }

    /// Its results.
    ///
    /// # Shapes
    /// - `x`: (N, H, W, input); `weights`: of [`Self::weights`]
    /// - result: (N, H, W, output), of half or twice the size where it shrinks or enlarges
    pub(crate) fn run(&self, x: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let y = window_conv(x, weights, self.computed())?;
        match self.kind {
            Kind::Plain => Ok(y),
            Kind::EnlargeAbove | Kind::EnlargeBeside => pixel_shuffle(&y, 2),
        }
    }
}
