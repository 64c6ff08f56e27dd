//! The operators on NVIDIA GPUs.

mod optimizer;

pub use optimizer::{DeviceAdamW, DeviceMemory, DeviceOptimizer, DeviceSkip, DeviceStep};

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Result};

static TF32: AtomicBool = AtomicBool::new(false);

/// Whether products and convolutions of float32 tensors round their operands to TensorFloat-32
/// (ten bits of mantissa), which tensor cores multiply several times faster. Off at first.
pub fn set_tf32(enabled: bool) {
    TF32.store(enabled, Ordering::Relaxed);
}

/// Whether [`set_tf32`] is on.
pub fn tf32() -> bool {
    TF32.load(Ordering::Relaxed)
}

/// A GPU, set up for training: memory that is freed stays in the pool over synchronisations.
///
/// # Errors
/// In one line, where there is no driver or no such GPU.
pub fn device(_ordinal: usize) -> Result<Device> {
    candle_core::bail!("not built yet")
}
