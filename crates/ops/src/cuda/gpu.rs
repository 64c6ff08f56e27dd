//! One GPU: its kernels, libraries and memory.
//!
//! All work goes to the one stream of candle's device. Memory is allocated and freed in the order
//! of that stream, so an address stays good for everything that is queued before its buffer is
//! dropped, and nothing here ever waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, result, sys,
};
use candle_core::cuda_backend::{CudaStorageSlice, DeviceId, WrapErr};
use candle_core::{CudaDevice, CudaStorage, Device, Result, Tensor};

use super::blas::Blas;
#[cfg(feature = "cudnn")]
use super::dnn::Dnn;
use super::memory::{Buffer, Kind};

/// The kernels, as the build script compiled them.
const PTX: &str = include_str!(env!("VDVAE_PTX"));
const MODULE: &str = "vdvae";
/// Threads of a block in kernels that sum over blocks.
pub(crate) const SUM_THREADS: u32 = 512;

/// What of a GPU takes turns.
pub(crate) struct Libraries {
    functions: HashMap<&'static str, CudaFunction>,
    pub(crate) blas: Blas,
    #[cfg(feature = "cudnn")]
    pub(crate) dnn: Dnn,
    /// Scratch of the libraries. One for all calls: they run one after another.
    workspace: Option<CudaSlice<u8>>,
}

/// One GPU.
pub(crate) struct Gpu {
    pub(crate) device: CudaDevice,
    pub(crate) stream: Arc<CudaStream>,
    /// Blocks that kernels with sums over blocks are started with: two a multiprocessor.
    pub(crate) sum_blocks: u32,
    libraries: Mutex<Libraries>,
}

/// Every GPU in use. Never dropped: the driver may be gone when a process ends.
static GPUS: Mutex<Vec<(DeviceId, Arc<Gpu>)>> = Mutex::new(Vec::new());

impl Gpu {
    /// The GPU of a device, with its libraries at hand; its context becomes the thread's.
    pub(crate) fn of(device: &CudaDevice) -> Result<Arc<Self>> {
        device.cuda_stream().context().bind_to_thread().w()?;
        let mut gpus = GPUS.lock().expect("no panic while held");
        if let Some((_, gpu)) = gpus.iter().find(|(id, _)| *id == device.id()) {
            return Ok(gpu.clone());
        }
        let stream = device.cuda_stream();
        // The null stream and the threads' default streams have the handles 0 to 2.
        if stream.cu_stream() as usize <= 2 {
            candle_core::bail!(
                "expected a device from vdvae_ops::cuda::device: this one has a stream for every \
                 thread, which memory and libraries are not shared between"
            );
        }
        let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let multiprocessors = stream.context().attribute(attribute).w()?;
        let libraries = Libraries {
            functions: HashMap::new(),
            blas: Blas::new()?,
            #[cfg(feature = "cudnn")]
            dnn: Dnn::new(&stream)?,
            workspace: None,
        };
        let gpu = Arc::new(Self {
            device: device.clone(),
            stream,
            sum_blocks: 2 * multiprocessors.max(1) as u32,
            libraries: Mutex::new(libraries),
        });
        gpus.push((device.id(), gpu.clone()));
        Ok(gpu)
    }

    pub(crate) fn of_tensor(tensor: &Tensor, op: &'static str) -> Result<Arc<Self>> {
        match tensor.device() {
            Device::Cuda(device) => Self::of(device),
            _ => candle_core::bail!("{op}: expected a tensor on the GPU"),
        }
    }

    pub(crate) fn libraries(&self) -> MutexGuard<'_, Libraries> {
        self.libraries.lock().expect("no panic while held")
    }

    /// Numbers that are to be written before they are read.
    pub(crate) fn stale(&self, kind: Kind, len: usize) -> Result<Buffer> {
        // SAFETY: every use writes all numbers before it reads one.
        let slice = unsafe {
            match kind {
                Kind::F32 => CudaStorageSlice::F32(self.device.alloc(len)?),
                Kind::Bf16 => CudaStorageSlice::BF16(self.device.alloc(len)?),
            }
        };
        Ok(Buffer { storage: CudaStorage { slice, device: self.device.clone() }, len })
    }

    /// Numbers that are zero.
    pub(crate) fn zeros(&self, kind: Kind, len: usize) -> Result<Buffer> {
        let slice = match kind {
            Kind::F32 => CudaStorageSlice::F32(self.device.alloc_zeros(len)?),
            Kind::Bf16 => CudaStorageSlice::BF16(self.device.alloc_zeros(len)?),
        };
        Ok(Buffer { storage: CudaStorage { slice, device: self.device.clone() }, len })
    }

    /// Partial sums in float64, to be written before they are read.
    pub(crate) fn partial_sums(&self, len: usize) -> Result<CudaSlice<f64>> {
        // SAFETY: every block writes its own before they are added up.
        unsafe { self.device.alloc(len) }
    }

    pub(crate) fn function(&self, name: &'static str) -> Result<CudaFunction> {
        let mut libraries = self.libraries();
        if let Some(function) = libraries.functions.get(name) {
            return Ok(function.clone());
        }
        let function = self.device.get_or_load_custom_func(name, MODULE, PTX)?;
        let function = function.into_cuda_function();
        libraries.functions.insert(name, function.clone());
        Ok(function)
    }

    /// Copies `bytes` bytes within the GPU, in the order of the stream.
    pub(crate) fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()> {
        self.stream.context().bind_to_thread().w()?;
        // SAFETY: callers pass two views of that size which do not overlap.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }.w()
    }

    /// Blocks of 256 threads for a loop over `n` elements.
    pub(crate) fn blocks(&self, n: usize) -> u32 {
        let enough = self.sum_blocks as usize * 16;
        n.div_ceil(256).clamp(1, enough) as u32
    }
}

impl Libraries {
    /// Scratch of at least `bytes`: its address. What an earlier call was given stays good for what
    /// that call queued.
    pub(crate) fn workspace(&mut self, gpu: &Gpu, bytes: usize) -> Result<u64> {
        if bytes == 0 {
            return Ok(0);
        }
        if self.workspace.as_ref().is_none_or(|slice| slice.len() < bytes) {
            self.workspace = None;
            // SAFETY: scratch; the libraries write it before they read it.
            self.workspace = Some(unsafe { gpu.device.alloc(bytes)? });
        }
        let slice = self.workspace.as_ref().expect("allocated above");
        Ok(slice.device_ptr(&gpu.stream).0)
    }
}

/// The address of a slice of our own.
pub(crate) fn slice_address<T: DeviceRepr>(gpu: &Gpu, slice: &CudaSlice<T>) -> u64 {
    slice.device_ptr(&gpu.stream).0
}

/// Queues a kernel: `launch!(gpu, name, blocks, threads, shared bytes; arguments…)`. Arguments are
/// numbers of exactly the kernel's types; addresses are `u64`.
macro_rules! launch {
    ($gpu:expr, $name:expr, $grid:expr, $block:expr, $shared:expr; $($argument:expr),+ $(,)?) => {{
        use candle_core::cuda_backend::WrapErr as _;
        use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg as _};
        let function = $gpu.function($name)?;
        let mut builder = $gpu.stream.launch_builder(&function);
        $(
            let argument = $argument;
            builder.arg(&argument);
        )+
        let config =
            LaunchConfig { grid_dim: $grid, block_dim: $block, shared_mem_bytes: $shared };
        // SAFETY: the arguments are those of the kernel, and its views cover what it touches.
        unsafe { builder.launch(config) }.w()?;
    }};
}
pub(crate) use launch;

/// Devices by the number of their GPU. Two devices of one GPU would not wait for each other.
static DEVICES: Mutex<Vec<(usize, CudaDevice)>> = Mutex::new(Vec::new());

/// A GPU, set up for training: memory that is freed stays in the pool when something waits, and
/// uses are not tracked by events, which one stream does not need. The same device every time.
///
/// # Errors
/// In one line: where there is no driver or no such GPU, where it is older than compute capability
/// 8.0 (Ampere), where its driver is older than the toolkit this was built with, or where a library
/// (cuBLAS, cuRAND, cuDNN) is missing.
pub fn device(ordinal: usize) -> Result<Device> {
    let mut devices = DEVICES.lock().expect("no panic while held");
    if let Some((_, device)) = devices.iter().find(|(number, _)| *number == ordinal) {
        return Ok(Device::Cuda(device.clone()));
    }
    match set_up(ordinal) {
        Ok(device) => {
            devices.push((ordinal, device.clone()));
            Ok(Device::Cuda(device))
        }
        Err(error) => candle_core::bail!("CUDA GPU {ordinal}: {}", first_line(&error)),
    }
}

fn set_up(ordinal: usize) -> Result<CudaDevice> {
    let device = CudaDevice::new_with_stream(ordinal)?;
    let (major, minor) = device.cuda_stream().context().compute_capability().w()?;
    if major < 8 {
        candle_core::bail!("expected compute capability 8.0 or later, found {major}.{minor}");
    }
    // SAFETY: everything is queued on the device's one stream.
    unsafe { device.disable_event_tracking() };
    keep_freed_memory(&device)?;
    // Loads the module, so that a driver too old for it says so here.
    Gpu::of(&device)?.function("sum_partials")?;
    Ok(device)
}

fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// By default the pool gives its memory back at every synchronisation.
fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let pool = memory_pool(device)?;
    // SAFETY: the attribute is a 64-bit number.
    unsafe { sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast()) }.result().w()
}

/// What all memory of a device is taken from. The device's context becomes the thread's.
fn memory_pool(device: &CudaDevice) -> Result<sys::CUmemoryPool> {
    let stream = device.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().w()?;
    let mut pool: sys::CUmemoryPool = std::ptr::null_mut();
    // SAFETY: the pointer is to a local of that type.
    unsafe { sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device()) }.result().w()?;
    Ok(pool)
}

/// The most memory of a GPU, in bytes, that tensors and scratch took at once since this was asked
/// before; what the driver and the libraries take for themselves is not part of it.
///
/// # Errors
/// Where the device is no GPU; those of the driver.
pub fn peak_memory(device: &Device) -> Result<u64> {
    let Device::Cuda(device) = device else {
        candle_core::bail!("peak_memory: expected a GPU");
    };
    let pool = memory_pool(device)?;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    let (mut bytes, mut zero) = (0u64, 0u64);
    // SAFETY: the attribute is a 64-bit number; zero sets the mark back to what is in use.
    unsafe {
        sys::cuMemPoolGetAttribute(pool, attribute, (&raw mut bytes).cast()).result().w()?;
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut zero).cast()).result().w()?;
    }
    Ok(bytes)
}
