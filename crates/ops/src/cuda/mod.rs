//! The operators on NVIDIA GPUs.
//!
//! Activations are float32 or bfloat16, NHWC; parameters, their gradients, sums and likelihoods are
//! float32, and arithmetic inside kernels is too. The operators are those of the CPU: their shapes
//! are checked in the same place, and the same public functions call them.
//!
//! - **Products** (`blas.rs`) go through cuBLASLt, with bias and residual in the epilogue.
//! - **3×3 convolutions** go through cuDNN (`dnn.rs`) forward and backward; what it has no algorithm
//!   for, and everything in a build without it, through products of patches (`conv3.rs`).
//!   Algorithms are chosen once a shape: deterministic ones, where there are any.
//! - **Everything else** is a kernel of ours (`kernels/`), fused with what it stands beside: see
//!   `block.rs`.
//! - **A step's second half** is [`DeviceOptimizer`]'s: the host learns what became of a step
//!   when it asks.
//!
//! Everything is queued on the one stream of the device, and memory is taken from and given back to
//! the driver's pool in the order of that stream.

mod blas;
pub(crate) mod block;
mod conv3;
pub(crate) mod dense;
#[cfg(feature = "cudnn")]
mod dnn;
pub(crate) mod gpu;
pub(crate) mod latent;
pub(crate) mod moves;
mod noise;
mod optimizer;
mod upload;
mod weights;

use std::sync::atomic::{AtomicBool, Ordering};

pub use gpu::{device, peak_memory};
pub use noise::normal;
pub use optimizer::{DeviceAdamW, DeviceMemory, DeviceOptimizer, DeviceSkip, DeviceStep};
pub use upload::Uploader;

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
