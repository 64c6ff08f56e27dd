//! Tensors taken apart into their storages, and gradients out of their tensors.

use std::cell::Cell;
use std::ops::Deref;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Storage, Tensor};

use crate::real::{Real, slice};

/// Storages of `N` tensors, all in one place.
pub(crate) enum Storages<'a, const N: usize> {
    Cpu([(&'a CpuStorage, &'a Layout); N]),
    #[cfg(feature = "cuda")]
    Gpu([(&'a CudaStorage, &'a Layout); N]),
}

/// Calls `f` with the storages of tensors; `op` names the caller where they are not in one place.
pub(crate) fn with_storages<R, const N: usize>(
    op: &'static str,
    tensors: [&Tensor; N],
    f: impl FnOnce(Storages<'_, N>) -> Result<R>,
) -> Result<R> {
    let read = tensors.map(Tensor::storage_and_layout);
    match tensors[0].device() {
        Device::Cpu => f(Storages::Cpu(all(op, &read, |storage| match storage {
            Storage::Cpu(storage) => Some(storage),
            _ => None,
        })?)),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => f(Storages::Gpu(all(op, &read, |storage| match storage {
            Storage::Cuda(storage) => Some(storage),
            _ => None,
        })?)),
        other => candle_core::bail!("{op}: expected tensors on the CPU, found {other:?}"),
    }
}

fn all<'a, S, D: Deref<Target = Storage>, const N: usize>(
    op: &'static str,
    read: &'a [(D, &'a Layout); N],
    of: impl Fn(&'a Storage) -> Option<&'a S>,
) -> Result<[(&'a S, &'a Layout); N]> {
    collected(read.iter().map(|(storage, layout)| match of(storage) {
        Some(storage) => Ok((storage, *layout)),
        None => candle_core::bail!("{op}: expected all tensors on one device"),
    }))
}

/// The elements of contiguous CPU tensors.
pub(crate) fn slices<'a, T: Real, const N: usize>(
    op: &'static str,
    storages: [(&'a CpuStorage, &'a Layout); N],
) -> Result<[&'a [T]; N]> {
    collected(storages.into_iter().map(|(storage, layout)| slice(storage, layout, op)))
}

/// The `N` results of an iterator that gives as many.
pub(crate) fn collected<T, const N: usize>(
    results: impl Iterator<Item = Result<T>>,
) -> Result<[T; N]> {
    let results: Vec<T> = results.collect::<Result<_>>()?;
    Ok(results.try_into().unwrap_or_else(|_| unreachable!("as many as there were tensors")))
}

/// The numbers of a tensor that nothing else reads, without a copy where they lie in order.
pub(crate) fn into_vec<T: Real>(op: &'static str, tensor: Tensor) -> Result<Vec<T>> {
    let taken = Take { op, numbers: Cell::default() };
    tensor.contiguous()?.inplace_op1(&taken)?;
    Ok(taken.numbers.into_inner())
}

struct Take<T> {
    op: &'static str,
    numbers: Cell<Vec<T>>,
}

impl<T: Real> InplaceOp1 for Take<T> {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let part = slice::<T>(storage, layout, self.op)?;
        self.numbers.set(match part.len() == T::cpu_storage_as_slice(storage)?.len() {
            true => {
                let nothing = T::to_cpu_storage_owned(Vec::new());
                T::cpu_storage_data(std::mem::replace(storage, nothing))?
            }
            false => part.to_vec(),
        });
        Ok(())
    }
}
