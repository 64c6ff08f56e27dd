//! A block as an operator.

use candle_core::{Result, Shape};

use super::fused::Fused;
use crate::cpu::Number;
use crate::cpu::im2col::Grid;
use crate::cpu::product::Kernels;
#[cfg(feature = "cuda")]
use crate::cuda::{
    block::{Call, Hidden},
    gpu::Gpu,
    memory::{Buffer, Kind, View},
};
#[cfg(feature = "cuda")]
use crate::operator::OnGpu;
use crate::operator::{Gradient, OnSlices, Operator};
use crate::shape::{check_parameters, grid_of};
use crate::team::together_if_worth;

/// The pixels, and the channels of each input.
pub(crate) struct Sizes {
    grid: Grid,
    channels: Vec<usize>,
}

/// Of one input or two, and the parameters after them.
impl<const N: usize> Operator<N> for Fused {
    const NAME: &'static str = "residual block";

    type Sizes = Sizes;

    fn sizes(&self, inputs: [&Shape; N]) -> Result<(Sizes, Shape)> {
        let name = <Self as Operator<N>>::NAME;
        let (parameters, inputs) = parameters_last(&inputs);
        self.shape.check(name)?;
        check_parameters(name, parameters, self.shape.parameters())?;
        if self.shape.residual && inputs.len() > 1 {
            candle_core::bail!("{name}: two inputs allow no residual");
        }
        let channels: Vec<_> =
            inputs.iter().map(|x| x.dims().get(3).copied().unwrap_or(0)).collect();
        let (expected, found) = (self.shape.input, channels.iter().sum::<usize>());
        if found != expected {
            candle_core::bail!("{name}: expected {expected} input channels, found {found}");
        }
        let grids = inputs.iter().zip(&channels).map(|(x, &channels)| grid_of(name, x, channels));
        let grids = grids.collect::<Result<Vec<_>>>()?;
        let grid = grids[0];
        if grids.iter().any(|other| *other != grid) {
            candle_core::bail!("{name}: inputs differ in size: {inputs:?}");
        }
        let shape = Shape::from((grid.n, grid.height, grid.width, self.shape.output));
        Ok((Sizes { grid, channels }, shape))
    }

    fn forward<T: Number>(&self, sizes: &Sizes, inputs: [&[T]; N]) -> Vec<T> {
        let (flat, inputs) = parameters_last(&inputs);
        let inputs = with_channels(inputs, sizes);
        together_if_worth(self.multiplications(sizes), || T::block(self, sizes.grid, &inputs, flat))
    }

    fn gradients<T: Number>(&self, sizes: &Sizes, of: OnSlices<'_, T, N>) -> [Gradient<Vec<T>>; N] {
        let OnSlices { inputs, upstream, wanted, held } = of;
        let (flat, inputs) = parameters_last(&inputs);
        let held = held.map(|held| held.map(|held| &*held));
        let onto = (&wanted[..], &held[..]);
        let inputs = with_channels(inputs, sizes);
        let (dx, dp) = together_if_worth(2 * self.multiplications(sizes), || {
            T::block_gradients(self, (sizes.grid, &inputs), flat, upstream, onto)
        });
        in_order(dx, dp)
    }

    #[cfg(feature = "cuda")]
    fn gpu_forward(&self, gpu: &Gpu, sizes: &Sizes, inputs: [View<'_>; N]) -> Result<Buffer> {
        let name = <Self as Operator<N>>::NAME;
        let (parameters, inputs) = parameters_last(&inputs);
        for input in inputs {
            input.expect(inputs[0].kind, name)?;
        }
        let parameters = parameters.expect(Kind::F32, name)?;
        let inputs = with_channels(inputs, sizes);
        let (out, hidden) = self.call(gpu, sizes.grid, &inputs, parameters).forward()?;
        self.kept.put(hidden);
        Ok(out)
    }

    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, sizes: &Sizes, of: OnGpu<'_, N>) -> Result<[Gradient<Buffer>; N]> {
        let OnGpu { gpu, inputs, upstream, wanted, held } = of;
        let (&parameters, inputs) = parameters_last(&inputs);
        let inputs = with_channels(inputs, sizes);
        let call = self.call(gpu, sizes.grid, &inputs, parameters);
        let hidden = self.kept.take::<Hidden>();
        let gradients = call.backward(hidden, upstream, (&wanted, &held))?;
        Ok(in_order(gradients.inputs, gradients.parameters))
    }
}

/// Number types that a block is computed in.
pub(crate) trait InBlock: Kernels {
    /// See [`Fused::result`].
    fn block(by: &Fused, grid: Grid, inputs: &[(&[Self], usize)], flat: &[Self]) -> Vec<Self> {
        by.result(grid, inputs, flat)
    }

    /// See [`Fused::backward`].
    fn block_gradients(
        by: &Fused,
        (grid, inputs): (Grid, &[(&[Self], usize)]),
        flat: &[Self],
        upstream: &[Self],
        onto: (&[bool], &[Option<&[Self]>]),
    ) -> (Vec<Option<Vec<Self>>>, Vec<Self>) {
        by.backward(grid, inputs, flat, upstream, onto)
    }
}

impl InBlock for f64 {}

impl InBlock for f32 {
    fn block(by: &Fused, grid: Grid, inputs: &[(&[f32], usize)], flat: &[f32]) -> Vec<f32> {
        match by.arithmetic.bf16 {
            true => by.result_in_bf16(grid, inputs, flat),
            false => by.result(grid, inputs, flat),
        }
    }

    fn block_gradients(
        by: &Fused,
        (grid, inputs): (Grid, &[(&[f32], usize)]),
        flat: &[f32],
        upstream: &[f32],
        onto: (&[bool], &[Option<&[f32]>]),
    ) -> (Vec<Option<Vec<f32>>>, Vec<f32>) {
        match by.arithmetic.bf16 {
            true => by.backward_in_bf16(grid, inputs, flat, upstream, onto),
            false => by.backward(grid, inputs, flat, upstream, onto),
        }
    }
}

#[cfg(feature = "cuda")]
impl Fused {
    fn call<'a>(
        &self,
        gpu: &'a Gpu,
        grid: Grid,
        inputs: &'a [(View<'a>, usize)],
        parameters: View<'a>,
    ) -> Call<'a> {
        let tf32 = self.arithmetic.tf32;
        Call { gpu, grid, shape: self.shape, inputs, parameters, tf32 }
    }
}

impl Fused {
    /// Multiplications of the forward pass, were it summed directly in float32. In bfloat16 so many
    /// times more divide as well: they take less of the time than dividing them a dozen times does.
    fn multiplications(&self, sizes: &Sizes) -> usize {
        const OF_BF16: usize = 40;
        let all = sizes.grid.pixels() * self.shape.parameters();
        if self.arithmetic.bf16 { all / OF_BF16 } else { all }
    }
}

/// The parameters, and what stands in front of them.
fn parameters_last<V>(inputs: &[V]) -> (&V, &[V]) {
    inputs.split_last().expect("a block has its parameters")
}

fn with_channels<V: Copy>(inputs: &[V], sizes: &Sizes) -> Vec<(V, usize)> {
    inputs.iter().copied().zip(sizes.channels.iter().copied()).collect()
}

/// Gradients of the inputs, with what they have from other uses, and of the parameters.
fn in_order<V, const N: usize>(inputs: Vec<Option<V>>, parameters: V) -> [Gradient<V>; N] {
    let inputs = inputs.into_iter().map(|dx| dx.map_or(Gradient::Nothing, Gradient::Sum));
    let mut all = inputs.chain([Gradient::Own(parameters)]);
    std::array::from_fn(|_| all.next().expect("one for each input, and the parameters"))
}
