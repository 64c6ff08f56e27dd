//! A 1×1 or zero-padded 3×3 convolution with bias, and the projection of a latent into the state.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use crate::Real;
use crate::cpu::im2col::Grid;
use crate::cpu::matmul::Matrix;
use crate::cpu::product::{Convolution, Packed, Rows, bias_gradient, convolve, product};
use crate::cpu::winograd::Direction;
#[cfg(feature = "cuda")]
use crate::cuda::{
    dense,
    gpu::{Gpu, Kind, Operand, View},
};
use crate::real::{dispatch, same_dtype, slice, tensor, with_slice};
use crate::tape::{self, Operator, added, candle_gradient};

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

/// Rows of a convolution over `x`.
pub(crate) fn conv_rows<T>(grid: Grid, x: &[T], channels: usize, kernel: usize) -> Rows<'_, T> {
    match kernel {
        1 => Rows::Plain { x, channels, stride: channels },
        _ => Rows::Neighbours { grid, x, channels },
    }
}

/// `out = bias + convolution of x`, forward or, without a bias, backward.
pub(crate) fn run_conv<T: Real>(
    (grid, shape, direction): (Grid, &ConvShape, Direction),
    (x, weights, bias): (&[T], &[T], Option<&[T]>),
    packed: Option<&Packed>,
    out: &mut [T],
    finish: impl Fn(usize, &mut [T]) + Sync,
) {
    let ConvShape { input, output, kernel } = *shape;
    if kernel == 3 {
        let convolution = Convolution { grid, weights, input, output, direction, packed };
        return convolve(convolution, x, bias, out, finish);
    }
    let matrix = Matrix::new(weights, output, input, input);
    let (matrix, read, written) = match direction {
        Direction::Forward => {
            let cell = packed.map(|packed| &packed.panels[0]);
            (matrix.transposed().kept_in(cell), input, output)
        }
        Direction::Backward => (matrix, output, input),
    };
    let rows = Rows::Plain { x, channels: read, stride: read };
    product(&[(rows, matrix)], bias, written, out, finish);
}

/// A convolution that keeps the picture's size.
///
/// # Shapes
/// - `x`: (N, H, W, `shape.input`)
/// - `parameters`: (`shape.parameters()`)
/// - result: (N, H, W, `shape.output`)
pub fn conv(x: &Tensor, parameters: &Tensor, shape: ConvShape) -> Result<Tensor> {
    tape::apply2(x, parameters, Conv { shape })
}

struct Conv {
    shape: ConvShape,
}

impl Conv {
    const NAME: &'static str = "conv";

    fn forward<T: Real>(&self, grid: Grid, x: &[T], parameters: &[T]) -> Vec<T> {
        let (weights, bias) = parameters.split_at(self.shape.weights());
        let mut out = vec![T::zero(); grid.pixels() * self.shape.output];
        let how = (grid, &self.shape, Direction::Forward);
        run_conv(how, (x, weights, Some(bias)), None, &mut out, |_, _| ());
        out
    }

    fn gradients<T: Real>(
        &self,
        grid: Grid,
        (x, parameters, upstream): (&[T], &[T], &[T]),
        (want_x, want_parameters): (bool, bool),
    ) -> (Option<Vec<T>>, Option<Vec<T>>) {
        let ConvShape { input, output, kernel } = self.shape;
        let dx = want_x.then(|| {
            let mut dx = vec![T::zero(); x.len()];
            let weights = &parameters[..self.shape.weights()];
            let how = (grid, &self.shape, Direction::Backward);
            run_conv(how, (upstream, weights, None), None, &mut dx, |_, _| ());
            dx
        });
        let dp = want_parameters.then(|| {
            let mut dp = vec![T::zero(); parameters.len()];
            let (weights, bias) = dp.split_at_mut(self.shape.weights());
            let rows = conv_rows(grid, x, input, kernel);
            T::weight_gradient(&rows, upstream, output, weights, self.shape.row());
            bias_gradient(upstream, bias);
            dp
        });
        (dx, dp)
    }
}

impl CustomOp2 for Conv {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.shape.check_kernel(Self::NAME)?;
        same_dtype(Self::NAME, &[x.dtype(), parameters.dtype()])?;
        let grid = grid_of(Self::NAME, x_layout.shape(), self.shape.input)?;
        check_parameters(Self::NAME, parameters_layout.shape(), self.shape.parameters())?;
        let shape = Shape::from((grid.n, grid.height, grid.width, self.shape.output));
        dispatch!(x.dtype(), Self::NAME, T => {
            let x = slice::<T>(x, x_layout, Self::NAME)?;
            let parameters = slice::<T>(parameters, parameters_layout, Self::NAME)?;
            Ok((candle_core::WithDType::to_cpu_storage_owned(self.forward(grid, x, parameters)), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.shape.check_kernel(Self::NAME)?;
        let grid = grid_of(Self::NAME, x_layout.shape(), self.shape.input)?;
        check_parameters(Self::NAME, parameters_layout.shape(), self.shape.parameters())?;
        let gpu = Gpu::of(&x.device)?;
        let x = View::new(x, x_layout, Self::NAME)?;
        let parameters = View::new(parameters, parameters_layout, Self::NAME)?;
        let parameters = parameters.expect(Kind::F32, Self::NAME)?;
        let out = dense::conv(&gpu, (grid, self.shape), x, parameters)?;
        let shape = Shape::from((grid.n, grid.height, grid.width, self.shape.output));
        Ok((out.into_storage(), shape))
    }

    candle_gradient!(2);
}

impl Operator<2> for Conv {
    fn backward(
        &self,
        [x, parameters]: [&Tensor; 2],
        upstream: &Tensor,
        wanted: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let grid = grid_of(Self::NAME, x.shape(), self.shape.input)?;
        let wanted = (wanted[0], wanted[1]);
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let gpu = Gpu::of_tensor(x, Self::NAME)?;
            let [xs, ps, us] = Operand::all([x, parameters, upstream], Self::NAME)?;
            let views = (xs.view(), ps.view(), us.view());
            let (dx, dp) = dense::conv_backward(&gpu, (grid, self.shape), views, wanted)?;
            let dp = dp.map(|dp| dp.into_tensor(parameters.shape()));
            return Ok([dx.map(|dx| dx.into_tensor(x.shape())), dp]);
        }
        dispatch!(x.dtype(), Self::NAME, T => {
            let (dx, dp) = with_slice::<T, _>(x, Self::NAME, |xs| {
                with_slice::<T, _>(parameters, Self::NAME, |ps| {
                    with_slice::<T, _>(upstream, Self::NAME, |us| {
                        Ok(self.gradients(grid, (xs, ps, us), wanted))
                    })
                })
            })?;
            Ok([
                dx.map(|d| tensor(d, x.shape())).transpose()?,
                dp.map(|d| tensor(d, parameters.shape())).transpose()?,
            ])
        })
    }
}

/// Adds the projection of a latent to the last channels of `base`:
/// `base[.., P - W..] + latent[.., ..Z] · weightsᵀ + bias`.
///
/// `base` is what a prior block returns (statistics, then the state with the prior's features
/// added) and `latent` what [`crate::sample_and_kl`] returns (the latent, then its KL), so neither
/// has to be cut into pieces first.
///
/// # Shapes
/// - `base`: (N, r, r, P), P ≥ W = `shape.output`
/// - `latent`: (N, r, r, L), L ≥ Z = `shape.input`
/// - `parameters`: (`shape.parameters()`), kernel 1
/// - result: (N, r, r, W)
pub fn project_add(
    base: &Tensor,
    latent: &Tensor,
    parameters: &Tensor,
    shape: ConvShape,
) -> Result<Tensor> {
    tape::apply3(base, latent, parameters, ProjectAdd { shape })
}

struct ProjectAdd {
    shape: ConvShape,
}

impl ProjectAdd {
    const NAME: &'static str = "project_add";

    fn grid(&self, base: &Shape, latent: &Shape) -> Result<(Grid, usize, usize)> {
        let ConvShape { input, output, kernel } = self.shape;
        match (base.dims(), latent.dims()) {
            (&[n, height, width, p], &[n2, h2, w2, l])
                if kernel == 1
                    && (n, height, width) == (n2, h2, w2)
                    && p >= output
                    && l >= input =>
            {
                Ok((Grid { n, height, width }, p, l))
            }
            (base, latent) => candle_core::bail!(
                "{}: expected (N, r, r, ≥{output}) and (N, r, r, ≥{input}) with kernel 1, found \
                 {base:?} and {latent:?} with kernel {kernel}",
                Self::NAME
            ),
        }
    }

    fn forward<T: Real>(
        &self,
        pixels: usize,
        base: &[T],
        latent: &[T],
        parameters: &[T],
    ) -> Vec<T> {
        let ConvShape { input, output, .. } = self.shape;
        let (base_width, latent_width) = (base.len() / pixels, latent.len() / pixels);
        let (weights, bias) = parameters.split_at(self.shape.weights());
        let mut out = vec![T::zero(); pixels * output];
        let rows = Rows::Plain { x: latent, channels: input, stride: latent_width };
        let weights = Matrix::new(weights, output, input, input).transposed();
        product(&[(rows, weights)], Some(bias), output, &mut out, |first, block| {
            let base = base[first * base_width..].chunks_exact(base_width);
            for (out, base) in block.chunks_exact_mut(output).zip(base) {
                let tail = &base[base_width - output..];
                out.iter_mut().zip(tail).for_each(|(o, &b)| *o += b);
            }
        });
        out
    }

    /// Gradients of latent and parameters.
    fn gradients<T: Real>(
        &self,
        pixels: usize,
        (latent, parameters, upstream): (&[T], &[T], &[T]),
    ) -> (Vec<T>, Vec<T>) {
        let ConvShape { input, output, .. } = self.shape;
        let latent_width = latent.len() / pixels;
        let weights = &parameters[..self.shape.weights()];
        let mut dz = vec![T::zero(); pixels * input];
        let rows = Rows::Plain { x: upstream, channels: output, stride: output };
        let weights = Matrix::new(weights, output, input, input);
        product(&[(rows, weights)], None, input, &mut dz, |_, _| ());
        let mut dl = vec![T::zero(); latent.len()];
        for (dl, dz) in dl.chunks_exact_mut(latent_width).zip(dz.chunks_exact(input)) {
            dl[..input].copy_from_slice(dz);
        }
        let mut dp = vec![T::zero(); parameters.len()];
        let (dw, db) = dp.split_at_mut(self.shape.weights());
        let rows = Rows::Plain { x: latent, channels: input, stride: latent_width };
        T::weight_gradient(&rows, upstream, output, dw, input);
        bias_gradient(upstream, db);
        (dl, dp)
    }
}

impl CustomOp3 for ProjectAdd {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        base: &CpuStorage,
        base_layout: &Layout,
        latent: &CpuStorage,
        latent_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        same_dtype(Self::NAME, &[base.dtype(), latent.dtype(), parameters.dtype()])?;
        let (grid, _, _) = self.grid(base_layout.shape(), latent_layout.shape())?;
        check_parameters(Self::NAME, parameters_layout.shape(), self.shape.parameters())?;
        let shape = Shape::from((grid.n, grid.height, grid.width, self.shape.output));
        dispatch!(base.dtype(), Self::NAME, T => {
            let base = slice::<T>(base, base_layout, Self::NAME)?;
            let latent = slice::<T>(latent, latent_layout, Self::NAME)?;
            let parameters = slice::<T>(parameters, parameters_layout, Self::NAME)?;
            let out = self.forward(grid.pixels(), base, latent, parameters);
            Ok((candle_core::WithDType::to_cpu_storage_owned(out), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        base: &CudaStorage,
        base_layout: &Layout,
        latent: &CudaStorage,
        latent_layout: &Layout,
        parameters: &CudaStorage,
        parameters_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (grid, base_width, latent_width) =
            self.grid(base_layout.shape(), latent_layout.shape())?;
        check_parameters(Self::NAME, parameters_layout.shape(), self.shape.parameters())?;
        let gpu = Gpu::of(&base.device)?;
        let base = View::new(base, base_layout, Self::NAME)?;
        let latent = View::new(latent, latent_layout, Self::NAME)?.expect(base.kind, Self::NAME)?;
        let parameters = View::new(parameters, parameters_layout, Self::NAME)?;
        let parameters = parameters.expect(Kind::F32, Self::NAME)?;
        let sizes = (grid.pixels(), self.shape);
        let (base, latent) = ((base, base_width), (latent, latent_width));
        let out = dense::project_add(&gpu, sizes, base, latent, parameters)?;
        let shape = Shape::from((grid.n, grid.height, grid.width, self.shape.output));
        Ok((out.into_storage(), shape))
    }

    candle_gradient!(3);
}

impl Operator<3> for ProjectAdd {
    fn backward_onto(
        &self,
        [base, latent, parameters]: [&Tensor; 3],
        upstream: &Tensor,
        wanted: [bool; 3],
        held: [Option<Tensor>; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        #[cfg(feature = "cuda")]
        if base.device().is_cuda() {
            return self.cuda_backward([base, latent, parameters], upstream, wanted, held);
        }
        let (grid, base_width, _) = self.grid(base.shape(), latent.shape())?;
        let (pixels, output) = (grid.pixels(), self.shape.output);
        dispatch!(base.dtype(), Self::NAME, T => {
            let (db, dl, dp) = with_slice::<T, _>(latent, Self::NAME, |ls| {
                with_slice::<T, _>(parameters, Self::NAME, |ps| {
                    with_slice::<T, _>(upstream, Self::NAME, |us| {
                        let mut db = vec![<T as num_traits::Zero>::zero(); pixels * base_width];
                        let tails = db.chunks_exact_mut(base_width);
                        for (db, us) in tails.zip(us.chunks_exact(output)) {
                            db[base_width - output..].copy_from_slice(us);
                        }
                        let (dl, dp) = self.gradients(pixels, (ls, ps, us));
                        Ok((db, dl, dp))
                    })
                })
            })?;
            let gradients = [
                wanted[0].then(|| tensor(db, base.shape())).transpose()?,
                wanted[1].then(|| tensor(dl, latent.shape())).transpose()?,
                wanted[2].then(|| tensor(dp, parameters.shape())).transpose()?,
            ];
            added(gradients, held)
        })
    }
}

#[cfg(feature = "cuda")]
impl ProjectAdd {
    /// The latent's gradient is added in the product that computes it.
    fn cuda_backward(
        &self,
        [base, latent, parameters]: [&Tensor; 3],
        upstream: &Tensor,
        wanted: [bool; 3],
        [held_base, held, held_parameters]: [Option<Tensor>; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let (grid, base_width, latent_width) = self.grid(base.shape(), latent.shape())?;
        let gpu = Gpu::of_tensor(base, Self::NAME)?;
        let [ls, ps, us] = Operand::all([latent, parameters, upstream], Self::NAME)?;
        let onto = held.as_ref().map(|held| Operand::new(held, Self::NAME)).transpose()?;
        let (db, dl, dp) = dense::project_add_backward(
            &gpu,
            (grid.pixels(), self.shape),
            base_width,
            (ls.view(), latent_width),
            (ps.view(), us.view()),
            onto.as_ref().map(Operand::view),
        )?;
        let gradients = [
            wanted[0].then(|| db.into_tensor(base.shape())),
            wanted[1].then(|| dl.map(|dl| dl.into_tensor(latent.shape())).or(held)).flatten(),
            wanted[2].then(|| dp.into_tensor(parameters.shape())),
        ];
        added(gradients, [held_base, None, held_parameters])
    }
}
