//! The operators a Very Deep VAE is made of, with their gradients.
//!
//! Tensors are NHWC and contiguous, in float32 (float64 works too, and is what the tests check
//! gradients in). Each operator is a candle custom operator with a hand-written gradient: candle's
//! stock convolutions and activations are about ten times slower on a CPU, and the gradients of
//! its upsampling and average pooling are wrong when a tensor is used twice or does not divide.

mod adamw;
mod block;
mod channels;
mod conv;
mod cpu;
mod elementary;
mod gelu;
mod latent;
mod mixture;
mod pool;
mod rate;
mod real;
mod shape;
mod simd;
#[cfg(test)]
mod testing;
mod upsample;

pub use adamw::{AdamW, AdamWState, sum_of_squares};
pub use block::{BlockShape, block, joined_block};
pub use channels::gain_bias;
pub use conv::{ConvShape, conv, project_add};
pub use cpu::product::set_exact;
pub use latent::{sample_and_kl, sample_prior};
pub use mixture::{mixture_nll, mixture_sample};
pub use pool::avg_pool;
pub use rate::kl_sum;
pub use real::Real;
pub use simd::{InstructionSet, instruction_set};
pub use upsample::upsample_add;
