//! The operators on NVIDIA GPUs.
//!
//! Activations are float32 or bfloat16, NHWC; parameters, their gradients, sums and likelihoods are
//! float32, and arithmetic inside kernels is too. The operators are those of the CPU: their shapes
//! are checked in the same place, and the same public functions call them.
//!
//! - **Products** (`product.rs`) go through cuBLASLt (`blas.rs`), with bias and residual in the
//!   epilogue.
//! - **3×3 convolutions** (`conv3.rs`) go through cuDNN (`dnn.rs`) forward and backward; what it has
//!   no algorithm for, and everything in a build without it, through products of patches.
//!   Algorithms are chosen once a shape: deterministic ones, where there are any.
//! - Both round float32 to TensorFloat-32 where the call says so ([`crate::Arithmetic::tf32`]).
//! - **Everything else** is a kernel of ours (`kernels/`), fused with what it stands beside: see
//!   `block.rs`.
//! - **A step's second half** is [`DeviceOptimizer`]'s: the host learns what became of a step
//!   when it asks.
//!
//! Everything is queued on the one stream of the device, and memory is taken from and given back to
//! the driver's pool in the order of that stream.

mod blas;
pub(crate) mod block;
mod cast;
mod conv3;
pub(crate) mod dense;
#[cfg(feature = "cudnn")]
mod dnn;
pub(crate) mod gpu;
pub(crate) mod latent;
pub(crate) mod memory;
pub(crate) mod moves;
mod noise;
mod optimizer;
mod product;
mod shapes;
mod upload;
mod weights;

pub use gpu::{device, peak_memory};
pub use noise::normal;
pub use optimizer::{DeviceAdamW, DeviceOptimizer};
pub use upload::Uploader;
