//! Real numbers on a CPU, and the road from candle's storage to plain slices.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Tensor, WithDType};

use crate::cpu::buffer::Pooled;

/// `f32` or `f64`.
pub(crate) trait Real:
    WithDType + Pooled + Default + num_traits::Float + std::iter::Sum + Send + Sync
{
}

impl Real for f32 {}
impl Real for f64 {}

/// The elements of a contiguous CPU tensor; `op` names the caller in the error.
pub(crate) fn slice<'a, T: Real>(
    storage: &'a CpuStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => candle_core::bail!("{op}: expected a contiguous tensor, found {layout:?}"),
    }
}

/// A CPU tensor that owns `data`.
pub(crate) fn tensor<T: Real>(data: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape.into(), &Device::Cpu)
}

/// Calls a function generic over [`Real`] with the type that `$dtype` names.
macro_rules! dispatch {
    ($dtype:expr, $op:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("{}: expected float32 or float64, found {other:?}", $op),
        }
    };
}
pub(crate) use dispatch;

/// Fails unless every tensor has the dtype of the first.
pub(crate) fn same_dtype(op: &'static str, dtypes: &[DType]) -> Result<()> {
    match dtypes.iter().find(|&&d| d != dtypes[0]) {
        Some(other) => {
            candle_core::bail!("{op}: expected {:?} throughout, found {other:?}", dtypes[0])
        }
        None => Ok(()),
    }
}
