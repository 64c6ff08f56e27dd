//! A 1×1 or zero-padded 3×3 convolution with bias.

use candle_core::{Result, Shape, Tensor};

use crate::arithmetic::Arithmetic;
use crate::cpu::Number;
use crate::cpu::im2col::Grid;
use crate::cpu::matrix::Matrix;
use crate::cpu::product::{
    Convolution, Kernels, Packed, Rows, Weights, bias_gradient, convolve, product,
};
use crate::cpu::winograd::Direction;
#[cfg(feature = "cuda")]
use crate::cuda::{
    dense,
    gpu::Gpu,
    memory::{Buffer, Kind, View},
};
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::shape::{ConvShape, check_parameters, grid_of};
use crate::team::Out;

/// Rows of a convolution over `x`.
pub(crate) fn conv_rows<T>(grid: Grid, x: &[T], channels: usize, kernel: usize) -> Rows<'_, T> {
    match kernel {
        1 => Rows::Plain { x, channels, stride: channels },
        _ => Rows::Neighbours { grid, x, channels },
    }
}

/// `out = bias + convolution of x`, forward or, without a bias, backward.
pub(crate) fn run_conv<T: Kernels>(
    (grid, shape, direction): (Grid, &ConvShape, Direction),
    (x, weights, bias): (&[T], &[T], Option<&[T]>),
    (packed, arithmetic): (Option<&Packed>, Arithmetic),
    out: &mut [T],
    finish: impl Fn(usize, &mut [T]) + Sync,
) {
    let ConvShape { input, output, kernel } = *shape;
    if kernel == 3 {
        let convolution =
            Convolution { grid, weights, input, output, direction, packed, arithmetic };
        return convolve(convolution, x, bias, out, finish);
    }
    let matrix = Matrix::new(weights, output, input, input);
    let (matrix, read, written) = match direction {
        Direction::Forward => {
            let cell = packed.map(|packed| &packed.panels[0]);
            (Weights::kept_in(cell, matrix.transposed()), input, output)
        }
        Direction::Backward => (matrix.into(), output, input),
    };
    let rows = Rows::Plain { x, channels: read, stride: read };
    product(&[(rows, matrix)], bias, written, Out::Held(out), arithmetic, finish);
}

/// A convolution that keeps the picture's size.
///
/// # Shapes
/// - `x`: (N, H, W, `shape.input`)
/// - `parameters`: (`shape.parameters()`)
/// - result: (N, H, W, `shape.output`)
///
/// # Errors
/// Where the shapes or number types do not fit.
pub fn conv(
    x: &Tensor,
    parameters: &Tensor,
    shape: ConvShape,
    arithmetic: Arithmetic,
) -> Result<Tensor> {
    apply(Conv { shape, arithmetic }, [x, parameters])
}

struct Conv {
    shape: ConvShape,
    arithmetic: Arithmetic,
}

impl Operator<2> for Conv {
    const NAME: &'static str = "conv";

    type Sizes = Grid;

    fn sizes(&self, [x, parameters]: [&Shape; 2]) -> Result<(Grid, Shape)> {
        self.shape.check_kernel(Self::NAME)?;
        let grid = grid_of(Self::NAME, x, self.shape.input)?;
        check_parameters(Self::NAME, parameters, self.shape.parameters())?;
        Ok((grid, Shape::from((grid.n, grid.height, grid.width, self.shape.output))))
    }

    fn forward<T: Number>(&self, &grid: &Grid, [x, parameters]: [&[T]; 2]) -> Vec<T> {
        let (weights, bias) = parameters.split_at(self.shape.weights());
        let mut out = vec![T::zero(); grid.pixels() * self.shape.output];
        let (how, by) = ((grid, &self.shape, Direction::Forward), (None, self.arithmetic));
        run_conv(how, (x, weights, Some(bias)), by, &mut out, |_, _| ());
        out
    }

    fn gradients<T: Number>(&self, &grid: &Grid, of: OnSlices<'_, T, 2>) -> [Gradient<Vec<T>>; 2] {
        let OnSlices { inputs: [x, parameters], upstream, wanted, .. } = of;
        let (ConvShape { input, output, kernel }, how) = (self.shape, self.arithmetic);
        let dx = wanted[0].then(|| {
            let mut dx = vec![T::zero(); x.len()];
            let weights = &parameters[..self.shape.weights()];
            let which = (grid, &self.shape, Direction::Backward);
            run_conv(which, (upstream, weights, None), (None, how), &mut dx, |_, _| ());
            dx
        });
        let dp = wanted[1].then(|| {
            let mut dp = vec![T::zero(); parameters.len()];
            let (weights, bias) = dp.split_at_mut(self.shape.weights());
            let rows = conv_rows(grid, x, input, kernel);
            T::weight_gradient(&rows, upstream, output, (weights, self.shape.row()), how);
            bias_gradient(upstream, bias);
            dp
        });
        [dx, dp].map(Gradient::own)
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(
        &self,
        gpu: &Gpu,
        &grid: &Grid,
        [x, parameters]: [View<'_>; 2],
    ) -> Result<Buffer> {
        let how = (grid, self.shape, self.arithmetic.tf32);
        dense::conv(gpu, how, x, parameters.expect(Kind::F32, Self::NAME)?)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, &grid: &Grid, of: OnGpu<'_, 2>) -> Result<[Gradient<Buffer>; 2]> {
        let OnGpu { gpu, inputs: [x, parameters], upstream, wanted, .. } = of;
        let how = (grid, self.shape, self.arithmetic.tf32);
        let found = dense::conv_backward(gpu, how, (x, parameters, upstream), wanted.into())?;
        Ok(<[_; 2]>::from(found).map(Gradient::own))
    }
}
