//! Numbers on a GPU: their types, who owns them, and the road from candle's tensors to addresses.

use std::marker::PhantomData;

use candle_core::cuda_backend::CudaStorageSlice;
use candle_core::cuda_backend::cudarc::driver::DevicePtr;
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Storage, Tensor};

use crate::storage::collected;

/// Number types of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    F32,
    Bf16,
}

impl Kind {
    pub(crate) fn of(dtype: DType, op: &'static str) -> Result<Self> {
        match dtype {
            DType::F32 => Ok(Self::F32),
            DType::BF16 => Ok(Self::Bf16),
            other => candle_core::bail!("{op}: expected float32 or bfloat16, found {other:?}"),
        }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// Numbers in a pack of 16 bytes.
    pub(crate) fn pack(self) -> usize {
        16 / self.bytes()
    }
}

/// Contiguous numbers on the GPU that something else owns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) address: u64,
    pub(crate) kind: Kind,
    pub(crate) len: usize,
    owner: PhantomData<&'a ()>,
}

impl<'a> View<'a> {
    /// The numbers of a tensor that an operator was given.
    pub(crate) fn new(storage: &'a CudaStorage, layout: &Layout, op: &'static str) -> Result<Self> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("{op}: expected a contiguous tensor, found {layout:?}");
        };
        let stream = storage.device.cuda_stream();
        let (base, kind) = match &storage.slice {
            CudaStorageSlice::F32(slice) => (slice.device_ptr(&stream).0, Kind::F32),
            CudaStorageSlice::BF16(slice) => (slice.device_ptr(&stream).0, Kind::Bf16),
            _ => candle_core::bail!("{op}: expected float32 or bfloat16"),
        };
        let address = base + (start * kind.bytes()) as u64;
        Ok(Self { address, kind, len: end - start, owner: PhantomData })
    }

    /// What lies from element `offset` on.
    pub(crate) fn from(self, offset: usize) -> Self {
        debug_assert!(offset <= self.len);
        let address = self.address + (offset * self.kind.bytes()) as u64;
        Self { address, len: self.len - offset, ..self }
    }

    /// `len` numbers from element `offset` on.
    pub(crate) fn part(self, offset: usize, len: usize) -> Self {
        debug_assert!(offset + len <= self.len);
        Self { len, ..self.from(offset) }
    }

    pub(crate) fn expect(self, kind: Kind, op: &'static str) -> Result<Self> {
        if self.kind == kind {
            return Ok(self);
        }
        candle_core::bail!("{op}: expected {:?}, found {:?}", kind.dtype(), self.kind.dtype())
    }
}

/// The address of an optional argument; null for none.
pub(crate) fn address_of(view: Option<View<'_>>) -> u64 {
    view.map_or(0, |view| view.address)
}

/// A tensor that a gradient reads, made contiguous and kept until its kernels are queued.
pub(crate) struct Operand {
    tensor: Tensor,
    address: u64,
    kind: Kind,
}

impl Operand {
    pub(crate) fn new(tensor: &Tensor, op: &'static str) -> Result<Self> {
        let tensor = tensor.contiguous()?;
        let (address, kind) = {
            let (storage, layout) = tensor.storage_and_layout();
            let Storage::Cuda(storage) = &*storage else {
                candle_core::bail!("{op}: expected a tensor on the GPU");
            };
            let view = View::new(storage, layout, op)?;
            (view.address, view.kind)
        };
        Ok(Self { tensor, address, kind })
    }

    /// Several at once.
    pub(crate) fn all<const N: usize>(
        tensors: [&Tensor; N],
        op: &'static str,
    ) -> Result<[Self; N]> {
        collected(tensors.into_iter().map(|tensor| Self::new(tensor, op)))
    }

    pub(crate) fn view(&self) -> View<'_> {
        let len = self.tensor.elem_count();
        View { address: self.address, kind: self.kind, len, owner: PhantomData }
    }

    /// The tensor, with what was written to it.
    pub(crate) fn into_tensor(self) -> Tensor {
        self.tensor
    }
}

/// Numbers on the GPU that become a tensor, or go back to the pool.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(super) storage: CudaStorage,
    pub(super) len: usize,
}

impl Buffer {
    pub(crate) fn view(&self) -> View<'_> {
        let layout = Layout::contiguous(self.len);
        let view = View::new(&self.storage, &layout, "buffer");
        view.expect("a buffer is contiguous and of a kind that views have")
    }

    pub(crate) fn into_storage(self) -> CudaStorage {
        self.storage
    }

    pub(crate) fn into_tensor(self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        debug_assert_eq!(shape.elem_count(), self.len);
        Tensor::from_storage(Storage::Cuda(self.storage), shape, BackpropOp::none(), false)
    }
}

/// The name of a kernel for a number type.
macro_rules! kernel {
    ($kind:expr, $name:literal) => {
        match $kind {
            $crate::cuda::memory::Kind::F32 => concat!($name, "_f32"),
            $crate::cuda::memory::Kind::Bf16 => concat!($name, "_bf16"),
        }
    };
}
pub(crate) use kernel;
