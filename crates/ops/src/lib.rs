//! The operators a Very Deep VAE is made of, with their gradients.
//!
//! Tensors are NHWC and contiguous, in float32 (float64 works too, and is what the tests check
//! gradients in). Each operator is a candle custom operator with a hand-written gradient: candle's
//! stock convolutions and activations are about ten times slower on a CPU, and the gradients of
//! its upsampling and average pooling are wrong when a tensor is used twice or does not divide.

mod block;
mod conv;
mod cpu;
mod gelu;
mod real;
mod simd;

pub use block::{BlockShape, block, joined_block};
pub use conv::{ConvShape, conv, project_add};
pub use real::Real;
pub use simd::{InstructionSet, instruction_set};

