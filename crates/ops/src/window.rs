//! A convolution over any window of pixels: the shifted ones of autoregressive models, which read only
//! what lies above or to the left.

use candle_core::{Result, Shape, Tensor};

use crate::arithmetic::Arithmetic;
use crate::cpu::Number;
use crate::cpu::im2col::Grid;
use crate::cpu::matrix::Matrix;
use crate::cpu::product::{Rows, bias_gradient, product};
use crate::cpu::window::{Window, Windows};
use crate::operator::{Gradient, OnSlices, Operator, apply};
use crate::shape::{check_parameters, grid_of};
use crate::team::Out;

/// Sums are always direct.
const EXACT: Arithmetic = Arithmetic { exact: true, bf16: false, tf32: false };

/// Sizes of a convolution over a window. Its parameters are one flat tensor: weights as (output, window
/// row, window column, input), then one bias an output.
///
/// A result reads `rows` × `columns` pixels, the first of them `above` rows above it and `left`
/// columns to its left; outside the picture are zeros. With `rows: 2, columns: 3, above: 1, left: 1`
/// these are the row above and its own, with `above: 2` the two rows above it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vdvae_ops::{WindowShape, window_conv};
///
/// // The pixel to the left and the one itself, of one row.
/// let shape =
///     WindowShape { input: 1, output: 1, rows: 1, columns: 2, above: 0, left: 1, stride: 1 };
/// let x = Tensor::new(&[[[[1f32], [2.0], [3.0]]]], &Device::Cpu)?;
/// let parameters = Tensor::new(&[10f32, 1.0, 0.5], &Device::Cpu)?;
/// let y = window_conv(&x, &parameters, shape)?.flatten_all()?.to_vec1::<f32>()?;
/// assert_eq!(y, [1.5, 12.5, 23.5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowShape {
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Pixels that are read of a column.
    pub rows: usize,
    /// Pixels that are read of a row.
    pub columns: usize,
    /// Rows that the window begins above its result.
    pub above: usize,
    /// Columns that it begins to the left.
    pub left: usize,
    /// Pixels from one result to the next, right and down.
    pub stride: usize,
}

impl WindowShape {
    /// Numbers of one output's weights.
    pub fn row(&self) -> usize {
        self.rows * self.columns * self.input
    }

    /// Numbers in the flat parameters.
    pub fn parameters(&self) -> usize {
        self.output * (self.row() + 1)
    }

    fn window(&self) -> Window {
        let Self { rows, columns, stride, .. } = *self;
        Window { rows, columns, above: self.above as isize, left: self.left as isize, stride }
    }
}

/// A convolution over a window of pixels; every product is summed directly, so that a result is
/// exactly independent of what it does not read. On the CPU only.
///
/// # Shapes
/// - `x`: (N, H, W, `shape.input`); `shape.stride` divides H and W
/// - `parameters`: (`shape.parameters()`)
/// - result: (N, H / `shape.stride`, W / `shape.stride`, `shape.output`)
///
/// # Errors
/// Where the shapes or number types do not fit, and for tensors on a GPU.
pub fn window_conv(x: &Tensor, parameters: &Tensor, shape: WindowShape) -> Result<Tensor> {
    apply(WindowConv { shape }, [x, parameters])
}

struct WindowConv {
    shape: WindowShape,
}

impl WindowConv {
    fn rows<'a, T>(&self, grid: Grid, x: &'a [T]) -> Rows<'a, T> {
        let WindowShape { input: channels, .. } = self.shape;
        Rows::Windows(Windows { window: self.shape.window(), grid, x, channels })
    }

    /// The gradient of the input: the upstream gradient under the window of the results that read a
    /// pixel. Between results that lie apart there are zeros.
    fn input_gradient<T: Number>(&self, grid: Grid, weights: &[T], upstream: &[T]) -> Vec<T> {
        let WindowShape { input, output, stride, .. } = self.shape;
        let window = self.shape.window();
        let taps = window.taps();
        let mut reversed = Vec::with_capacity(weights.len());
        for tap in (0..taps).rev() {
            for output in 0..output {
                reversed.extend_from_slice(&weights[(output * taps + tap) * input..][..input]);
            }
        }
        let apart;
        let upstream = if stride == 1 {
            upstream
        } else {
            apart = spread(window.results(grid), upstream, output, stride);
            &apart
        };
        let windows = Windows { window: window.reversed(), grid, x: upstream, channels: output };
        let matrix = Matrix::new(&reversed, taps * output, input, input);
        let mut dx = Vec::new();
        let out = Out::New(&mut dx, grid.pixels() * input);
        product(&[(Rows::Windows(windows), matrix.into())], None, input, out, EXACT, |_, _| ());
        dx
    }
}

/// Pixels `stride` apart, zeros between them.
fn spread<T: Number>(grid: Grid, x: &[T], channels: usize, stride: usize) -> Vec<T> {
    let Grid { n, height, width } = grid;
    let line = width * stride * channels;
    let mut out = vec![T::zero(); n * height * stride * line];
    for (row, from) in x.chunks_exact(width * channels).enumerate() {
        let to = &mut out[row * stride * line..][..line];
        for (to, from) in to.chunks_exact_mut(stride * channels).zip(from.chunks_exact(channels)) {
            to[..channels].copy_from_slice(from);
        }
    }
    out
}

impl Operator<2> for WindowConv {
    const NAME: &'static str = "window_conv";

    type Sizes = Grid;

    fn sizes(&self, [x, parameters]: [&Shape; 2]) -> Result<(Grid, Shape)> {
        let WindowShape { rows, columns, stride, .. } = self.shape;
        if rows * columns * stride == 0 {
            candle_core::bail!("{}: expected a window and a stride, found none", Self::NAME);
        }
        let grid = grid_of(Self::NAME, x, self.shape.input)?;
        if !grid.height.is_multiple_of(stride) || !grid.width.is_multiple_of(stride) {
            candle_core::bail!(
                "{}: expected height and width that {stride} divides, found {:?}",
                Self::NAME,
                x.dims()
            );
        }
        check_parameters(Self::NAME, parameters, self.shape.parameters())?;
        let Grid { n, height, width } = self.shape.window().results(grid);
        Ok((grid, Shape::from((n, height, width, self.shape.output))))
    }

    fn forward<T: Number>(&self, &grid: &Grid, [x, parameters]: [&[T]; 2]) -> Vec<T> {
        let WindowShape { output, .. } = self.shape;
        let (weights, bias) = parameters.split_at(output * self.shape.row());
        let matrix = Matrix::new(weights, output, self.shape.row(), self.shape.row());
        let operand = (self.rows(grid, x), matrix.transposed().into());
        let mut result = Vec::new();
        let pixels = self.shape.window().results(grid).pixels();
        let out = Out::New(&mut result, pixels * output);
        product(&[operand], Some(bias), output, out, EXACT, |_, _| ());
        result
    }

    fn gradients<T: Number>(&self, &grid: &Grid, of: OnSlices<'_, T, 2>) -> [Gradient<Vec<T>>; 2] {
        let OnSlices { inputs: [x, parameters], upstream, wanted, .. } = of;
        let WindowShape { output, .. } = self.shape;
        let weights = output * self.shape.row();
        let dx = wanted[0].then(|| self.input_gradient(grid, &parameters[..weights], upstream));
        let dp = wanted[1].then(|| {
            let mut dp = vec![T::zero(); parameters.len()];
            let (weights, bias) = dp.split_at_mut(weights);
            let gradient = (weights, self.shape.row());
            T::weight_gradient(&self.rows(grid, x), upstream, output, gradient, EXACT);
            bias_gradient(upstream, bias);
            dp
        });
        [dx, dp].map(Gradient::own)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::testing::{check_float32, check_gradients, close, message, values, waves};
    use crate::{Arithmetic, ConvShape, conv};

    const ABOVE: WindowShape =
        WindowShape { input: 3, output: 2, rows: 2, columns: 3, above: 1, left: 1, stride: 1 };

    #[test]
    fn gradients_and_float32() {
        let shapes = [
            (ABOVE, [2, 3, 4, 3]),
            (WindowShape { columns: 2, ..ABOVE }, [1, 4, 3, 3]),
            // The two rows above, and the pixel to the left.
            (WindowShape { above: 2, ..ABOVE }, [1, 4, 3, 3]),
            (WindowShape { rows: 1, columns: 1, above: 0, ..ABOVE }, [1, 2, 3, 3]),
            (WindowShape { stride: 2, ..ABOVE }, [2, 4, 6, 3]),
            (WindowShape { stride: 2, columns: 2, input: 1, output: 17, ..ABOVE }, [1, 4, 4, 1]),
            // This one reads to the right.
            (WindowShape { rows: 1, columns: 2, above: 0, left: 0, ..ABOVE }, [1, 2, 3, 3]),
        ];
        for (shape, x) in shapes {
            let inputs = [waves(&x, 1.0, 0.1), waves(&[shape.parameters()], 1.0, 0.7)];
            let op = |x: &[Tensor]| window_conv(&x[0], &x[1], shape);
            check_gradients(&inputs, 1e-7, op);
            check_float32(&inputs, 1e-5, op);
        }
    }

    /// Weights of a 3×3 convolution that are zero outside the window give the same.
    #[test]
    fn is_a_masked_convolution() {
        let shape = WindowShape { input: 5, output: 4, columns: 2, ..ABOVE };
        let x = waves(&[2, 6, 7, 5], 1.0, 0.1);
        let parameters = values(&waves(&[shape.parameters()], 1.0, 0.7));
        let mut masked = vec![0.0; 4 * 9 * 5 + 4];
        for output in 0..4 {
            for row in 0..2 {
                let from = &parameters[(output * 2 + row) * 10..][..10];
                masked[(output * 9 + row * 3) * 5..][..10].copy_from_slice(from);
            }
        }
        masked[180..].copy_from_slice(&parameters[4 * shape.row()..]);
        let tensor = |data| Tensor::from_vec(data, shape.parameters(), &Device::Cpu).unwrap();
        let found = window_conv(&x, &tensor(parameters), shape).unwrap();
        let masked = Tensor::new(masked, &Device::Cpu).unwrap();
        let of = ConvShape { input: 5, output: 4, kernel: 3 };
        let expected = conv(&x, &masked, of, Arithmetic::default()).unwrap();
        close(&values(&found), &values(&expected), 1e-12, "result");
    }

    #[test]
    fn many_pixels_in_float32() {
        let shape = WindowShape { input: 20, output: 33, ..ABOVE };
        let double = [waves(&[3, 16, 18, 20], 1.0, 0.1), waves(&[shape.parameters()], 0.1, 0.7)];
        let single = double.each_ref().map(|x| x.to_dtype(DType::F32).unwrap());
        let [double, single] = [double, single].map(|[x, p]| window_conv(&x, &p, shape).unwrap());
        close(&values(&single), &values(&double), 1e-5, "result");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let parameters = waves(&[ABOVE.parameters()], 1.0, 0.0);
        let of = |dims: &[usize], shape| {
            message(window_conv(&waves(dims, 1.0, 0.0), &parameters, shape))
        };
        assert!(of(&[1, 2, 2, 4], ABOVE).contains("expected (N, H, W, 3)"));
        let halved = of(&[1, 3, 2, 3], WindowShape { stride: 2, ..ABOVE });
        assert!(halved.contains("height and width that 2 divides"), "{halved}");
        assert!(of(&[1, 2, 2, 3], WindowShape { rows: 3, ..ABOVE }).contains("56 parameters"));
        assert!(of(&[1, 2, 2, 3], WindowShape { stride: 0, ..ABOVE }).contains("found none"));
    }
}
