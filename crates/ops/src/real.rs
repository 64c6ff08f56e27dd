//! The number types the operators work in, and the road from candle's storage to plain slices.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor, WithDType};

/// `f32`, what networks run in, or `f64`, in which the tests check every gradient by finite
/// differences.
pub trait Real:
    WithDType
    + crate::gelu::Gelu
    + crate::cpu::buffer::Pooled
    + crate::cpu::product::Kernels
    + Default
    + num_traits::Float
    + std::iter::Sum
    + Send
    + Sync
{
    /// The numbers of a storage of this type, to be written to.
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Real for f32 {
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [f32]> {
        match storage {
            CpuStorage::F32(numbers) => Some(numbers),
            _ => None,
        }
    }
}

impl Real for f64 {
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [f64]> {
        match storage {
            CpuStorage::F64(numbers) => Some(numbers),
            _ => None,
        }
    }
}

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

/// As [`slice`], of any storage.
pub(crate) fn host_slice<'a, T: Real>(
    storage: &'a Storage,
    layout: &Layout,
    op: &'static str,
) -> Result<&'a [T]> {
    match storage {
        Storage::Cpu(cpu) => slice(cpu, layout, op),
        _ => candle_core::bail!("{op}: expected a tensor on the CPU"),
    }
}

/// Runs `f` on the elements of a CPU tensor, copied first where they are not contiguous.
pub(crate) fn with_slice<T: Real, R>(
    tensor: &Tensor,
    op: &'static str,
    f: impl FnOnce(&[T]) -> Result<R>,
) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    f(host_slice(&storage, layout, op)?)
}

/// A CPU tensor that owns `data`.
pub(crate) fn tensor<T: Real>(
    data: Vec<T>,
    shape: impl Into<candle_core::Shape>,
) -> Result<Tensor> {
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
