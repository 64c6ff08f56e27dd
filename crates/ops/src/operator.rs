//! What an operator is, and its one way onto the tape and into candle's graph.
//!
//! # To add an operator
//!
//! Read `channels.rs`, which is a small one from end to end. It takes
//!
//! 1. a file with a struct, which holds what a call is told beside its tensors, and a public
//!    function that says what the shapes are and calls [`apply`];
//! 2. an [`Operator`] of that struct: the shapes are checked in one place, and everything else is
//!    written on plain slices ([`View`]s of memory on a GPU), which are contiguous and of one
//!    number type. Loops that are to be compiled for each instruction set go to `cpu/`; kernels of
//!    a GPU to `cuda/kernels`, and what launches them to `cuda/`;
//! 3. tests: `testing::check_gradients` compares the gradients on the tape and in candle's graph
//!    with finite differences in float64, `check_float32` float32 with float64, and a case in
//!    `tests/gpu.rs` a GPU with the CPU;
//! 4. its `mod` and `pub use` lines in `lib.rs`.
//!
//! Nothing else knows of storages, layouts, number types, devices, the tape or candle's graph:
//! [`apply`] asks for what is needed. Training takes the tape; candle's own `backward` gives the
//! same gradients, by way of [`InGraph`].

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, WithDType,
};

use crate::cpu::Number;
#[cfg(feature = "cuda")]
use crate::cuda::{
    gpu::Gpu,
    memory::{Buffer, Operand, View},
};
use crate::real::{dispatch, same_dtype, tensor};
use crate::storage::{Storages, collected, into_vec, slices, with_storages};
use crate::tape;

/// An operator with `N` inputs and one result; one value for each call, which may keep something
/// from [`Self::forward`] for [`Self::gradients`].
pub(crate) trait Operator<const N: usize>: Send + Sync + 'static {
    /// What errors call it.
    const NAME: &'static str;

    /// What the kernels need to know of the shapes.
    type Sizes;

    /// Checks the shapes of the inputs; says what follows, and the shape of the result.
    fn sizes(&self, inputs: [&Shape; N]) -> Result<(Self::Sizes, Shape)>;

    /// The result.
    fn forward<T: Number>(&self, sizes: &Self::Sizes, inputs: [&[T]; N]) -> Vec<T>;

    /// Gradients of the inputs from that of the result.
    fn gradients<T: Number>(
        &self,
        sizes: &Self::Sizes,
        of: OnSlices<'_, T, N>,
    ) -> [Gradient<Vec<T>>; N];

    /// As [`Self::forward`], on a GPU: activations in float32 or bfloat16, parameters in float32. An
    /// operator that has none refuses tensors there.
    #[cfg(feature = "cuda")]
    fn gpu_forward(&self, _: &Gpu, _: &Self::Sizes, _: [View<'_>; N]) -> Result<Buffer> {
        candle_core::bail!("{}: expected tensors on the CPU", Self::NAME)
    }

    /// As [`Self::gradients`], on a GPU.
    #[cfg(feature = "cuda")]
    fn gpu_gradients(&self, _: &Self::Sizes, _: OnGpu<'_, N>) -> Result<[Gradient<Buffer>; N]> {
        candle_core::bail!("{}: expected tensors on the CPU", Self::NAME)
    }
}

/// What gradients follow from.
pub(crate) struct Backward<V, H, const N: usize> {
    /// What the operator was applied to.
    pub(crate) inputs: [V; N],
    /// The gradient of the result.
    pub(crate) upstream: V,
    /// Gradients that are asked for; the others need not be computed.
    pub(crate) wanted: [bool; N],
    /// What inputs have from other uses; it may be written to.
    pub(crate) held: [Option<H>; N],
}

/// [`Backward`] as an operator reads it on a CPU.
pub(crate) type OnSlices<'a, T, const N: usize> = Backward<&'a [T], &'a mut [T], N>;

/// [`Backward`] as an operator reads it on a GPU.
#[cfg(feature = "cuda")]
pub(crate) struct OnGpu<'a, const N: usize> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) inputs: [View<'a>; N],
    pub(crate) upstream: View<'a>,
    pub(crate) wanted: [bool; N],
    pub(crate) held: [Option<View<'a>>; N],
}

/// [`Backward`] as a tape or candle's graph hands it over.
type OnTensors<'a, const N: usize> = Backward<&'a Tensor, Tensor, N>;

/// What an operator gives for one input.
pub(crate) enum Gradient<V> {
    /// The gradient of this use of the input; what it has from others is added by the caller.
    Own(V),
    /// The gradient with what the input has from other uses.
    Sum(V),
    /// Nothing: it is not wanted, or was added in place to what the input has.
    Nothing,
}

impl<V> Gradient<V> {
    /// [`Self::Own`] where there is one.
    pub(crate) fn own(value: Option<V>) -> Self {
        value.map_or(Self::Nothing, Self::Own)
    }

    /// What the input has in the end.
    fn onto(self, held: Option<V>, add: impl FnOnce(V, V) -> Result<V>) -> Result<Option<V>> {
        match (self, held) {
            (Self::Own(value), Some(held)) => add(held, value).map(Some),
            (Self::Own(value), None) | (Self::Sum(value), _) => Ok(Some(value)),
            (Self::Nothing, held) => Ok(held),
        }
    }
}

/// Applies an operator: on the tape where this thread records one, else in candle's graph.
pub(crate) fn apply<O: Operator<N>, const N: usize>(
    operator: O,
    inputs: [&Tensor; N],
) -> Result<Tensor>
where
    OfCandle<O>: InGraph<N>,
{
    let inputs: [Tensor; N] = collected(inputs.into_iter().map(Tensor::contiguous))?;
    if !tape::recording() {
        return OfCandle(operator).apply(inputs.each_ref());
    }
    tape::check(O::NAME, &inputs.each_ref())?;
    let (storage, shape) = with_storages(O::NAME, inputs.each_ref(), |storages| match storages {
        Storages::Cpu(inputs) => {
            forward(&operator, inputs).map(|(out, shape)| (Storage::Cpu(out), shape))
        }
        #[cfg(feature = "cuda")]
        Storages::Gpu(inputs) => {
            gpu_forward(&operator, inputs).map(|(out, shape)| (Storage::Cuda(out), shape))
        }
    })?;
    let result = tape::result(storage, shape, &inputs.each_ref());
    tape::record(inputs, &result, false, move |inputs, upstream, wanted, held| {
        gradients(&operator, Backward { inputs, upstream, wanted, held })
    });
    Ok(result)
}

fn forward<O: Operator<N>, const N: usize>(
    operator: &O,
    inputs: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    let (sizes, shape) = operator.sizes(inputs.map(|(_, layout)| layout.shape()))?;
    let dtypes = inputs.map(|(storage, _)| storage.dtype());
    same_dtype(O::NAME, &dtypes)?;
    dispatch!(dtypes[0], O::NAME, T => {
        let out = operator.forward(&sizes, slices::<T, N>(O::NAME, inputs)?);
        Ok((T::to_cpu_storage_owned(out), shape))
    })
}

#[cfg(feature = "cuda")]
fn gpu_forward<O: Operator<N>, const N: usize>(
    operator: &O,
    inputs: [(&CudaStorage, &Layout); N],
) -> Result<(CudaStorage, Shape)> {
    let (sizes, shape) = operator.sizes(inputs.map(|(_, layout)| layout.shape()))?;
    let gpu = Gpu::of(&inputs[0].0.device)?;
    let views = inputs.into_iter().map(|(storage, layout)| View::new(storage, layout, O::NAME));
    let out = operator.gpu_forward(&gpu, &sizes, collected(views)?)?;
    Ok((out.into_storage(), shape))
}

/// Gradients of the inputs that are wanted, each with what the input has from other uses.
fn gradients<O: Operator<N>, const N: usize>(
    operator: &O,
    of: OnTensors<'_, N>,
) -> Result<[Option<Tensor>; N]> {
    let (sizes, _) = operator.sizes(of.inputs.map(Tensor::shape))?;
    #[cfg(feature = "cuda")]
    if of.inputs[0].device().is_cuda() {
        return gpu_gradients(operator, &sizes, of);
    }
    dispatch!(of.inputs[0].dtype(), O::NAME, T => {
        cpu_gradients::<T, O, N>(operator, &sizes, of)
    })
}

fn cpu_gradients<T: Number, O: Operator<N>, const N: usize>(
    operator: &O,
    sizes: &O::Sizes,
    OnTensors { inputs, upstream, wanted, held }: OnTensors<'_, N>,
) -> Result<[Option<Tensor>; N]> {
    let upstream = upstream.contiguous()?;
    let mut held: [Option<Vec<T>>; N] =
        collected(held.into_iter().map(|held| held.map(|of| into_vec(O::NAME, of)).transpose()))?;
    let found = with_storages(O::NAME, [&upstream], |upstream| {
        with_storages(O::NAME, inputs, |inputs| match (inputs, upstream) {
            (Storages::Cpu(inputs), Storages::Cpu(upstream)) => {
                let inputs = slices::<T, N>(O::NAME, inputs)?;
                let [upstream] = slices::<T, 1>(O::NAME, upstream)?;
                let held = held.each_mut().map(Option::as_deref_mut);
                Ok(operator.gradients(sizes, OnSlices { inputs, upstream, wanted, held }))
            }
            #[cfg(feature = "cuda")]
            _ => candle_core::bail!("{}: expected all tensors on the CPU", O::NAME),
        })
    })?;
    let found = found.into_iter().zip(held).zip(inputs.into_iter().zip(wanted));
    collected(found.map(|((gradient, held), (input, wanted))| {
        let sum = gradient.onto(held, |mut held, own| {
            held.iter_mut().zip(&own).for_each(|(sum, &own)| *sum += own);
            Ok(held)
        })?;
        sum.filter(|_| wanted).map(|sum| tensor(sum, input.shape())).transpose()
    }))
}

#[cfg(feature = "cuda")]
fn gpu_gradients<O: Operator<N>, const N: usize>(
    operator: &O,
    sizes: &O::Sizes,
    OnTensors { inputs, upstream, wanted, held }: OnTensors<'_, N>,
) -> Result<[Option<Tensor>; N]> {
    let gpu = Gpu::of_tensor(inputs[0], O::NAME)?;
    let read = Operand::all(inputs, O::NAME)?;
    let upstream = Operand::new(upstream, O::NAME)?;
    let held: [Option<Operand>; N] = collected(
        held.iter().map(|held| held.as_ref().map(|of| Operand::new(of, O::NAME)).transpose()),
    )?;
    let of = OnGpu {
        gpu: &gpu,
        inputs: read.each_ref().map(Operand::view),
        upstream: upstream.view(),
        wanted,
        held: held.each_ref().map(|held| held.as_ref().map(Operand::view)),
    };
    let found = operator.gpu_gradients(sizes, of)?;
    let found = found.into_iter().zip(held).zip(inputs.into_iter().zip(wanted));
    collected(found.map(|((gradient, held), (input, wanted))| {
        let gradient = match gradient {
            Gradient::Own(own) => Gradient::Own(own.into_tensor(input.shape())),
            Gradient::Sum(sum) => Gradient::Sum(sum.into_tensor(input.shape())),
            Gradient::Nothing => Gradient::Nothing,
        };
        let sum = gradient.onto(held.map(Operand::into_tensor), |held, own| held + own)?;
        Ok(sum.filter(|_| wanted))
    }))
}

/// An operator as candle's graph takes it.
pub(crate) struct OfCandle<O>(O);

/// Operators of as many inputs as candle has custom operators for.
pub(crate) trait InGraph<const N: usize> {
    /// Applies it in candle's graph.
    fn apply(self, inputs: [&Tensor; N]) -> Result<Tensor>;
}

macro_rules! in_graph {
    ($n:literal, $custom:ident, $apply:ident, $gradients:ty, $first:ident $first_layout:ident
     $(, $x:ident $layout:ident)*) => {
        impl<O: Operator<$n>> $custom for OfCandle<O> {
            fn name(&self) -> &'static str {
                O::NAME
            }

            fn cpu_fwd(
                &self,
                $first: &CpuStorage,
                $first_layout: &Layout,
                $($x: &CpuStorage, $layout: &Layout),*
            ) -> Result<(CpuStorage, Shape)> {
                forward(&self.0, [($first, $first_layout) $(, ($x, $layout))*])
            }

            #[cfg(feature = "cuda")]
            fn cuda_fwd(
                &self,
                $first: &CudaStorage,
                $first_layout: &Layout,
                $($x: &CudaStorage, $layout: &Layout),*
            ) -> Result<(CudaStorage, Shape)> {
                gpu_forward(&self.0, [($first, $first_layout) $(, ($x, $layout))*])
            }

            #[allow(clippy::double_parens, reason = "a tuple where there are several")]
            fn bwd(
                &self,
                $first: &Tensor,
                $($x: &Tensor,)*
                _: &Tensor,
                upstream: &Tensor,
            ) -> Result<$gradients> {
                let inputs = [$first $(, $x)*];
                let (wanted, held) = (inputs.map(Tensor::track_op), [const { None }; $n]);
                let of = Backward { inputs, upstream, wanted, held };
                let [$first $(, $x)*] = gradients(&self.0, of)?;
                Ok(($first $(, $x)*))
            }
        }

        impl<O: Operator<$n>> InGraph<$n> for OfCandle<O> {
            fn apply(self, [$first $(, $x)*]: [&Tensor; $n]) -> Result<Tensor> {
                $first.$apply($($x,)* self)
            }
        }
    };
}

type One = Option<Tensor>;
in_graph!(1, CustomOp1, apply_op1, One, x x_layout);
in_graph!(2, CustomOp2, apply_op2, (One, One), x x_layout, y y_layout);
in_graph!(3, CustomOp3, apply_op3, (One, One, One), x x_layout, y y_layout, z z_layout);
