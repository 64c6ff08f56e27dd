//! The operators a Very Deep VAE is made of, with their gradients.
//!
//! Tensors are NHWC and contiguous, in float32 (float64 works too, and is what the tests check
//! gradients in). Each operator has a hand-written gradient: candle's
//! stock convolutions and activations are about ten times slower on a CPU, and the gradients of
//! its upsampling and average pooling are wrong when a tensor is used twice or does not divide.
//!
//! With the feature `cuda` the same operators run on NVIDIA GPUs, in float32 and bfloat16: see the
//! module `cuda`. What follows is about the CPU.
//!
//! # Architecture
//!
//! **Memory.** A pixel's channels lie together, from the picture to the loss, so a 1×1 convolution
//! is one matrix product over all pixels and needs no copy. A block's parameters are one flat
//! tensor: one variable for the optimizer, one gradient to write. Hidden states, patches and partial
//! sums come from a pool (`cpu/buffer.rs`), because zeroing fresh memory took a tenth of a small
//! network's training step.
//!
//! **From the block down.** [`block`] (a fused residual block) and [`conv`] describe what they do as
//! three things over blocks of pixels (`cpu/product.rs`): a product of rows with a weight matrix, a
//! 3×3 convolution, and a weight gradient. Rows are produced 120 pixels at a time, as GELU of the
//! input or as 3×3 neighbourhoods, and used while they are in the second-level cache (120 rows of
//! 9 × 96 numbers are 415 KB).
//!
//! **Products** (`cpu/panels.rs`). Weights are packed into panels as wide as a tile; a tile of
//! results stays in registers while the inner dimension runs. Its size is what the register file
//! holds with a row of the panel and a broadcast number beside it: 8 × 48 with AVX-512 (24 of 32
//! registers), 6 × 16 with AVX2 (12 of 16). A tile of 8 × 16 spills with AVX2; a training step of the
//! built-in network took 1.5 times as long.
//!
//! **3×3 convolutions** go through Winograd's F(4×4, 3×3) (`cpu/winograd.rs`) from 1024 pixels on,
//! where a quarter of the multiplications outweighs transforming the weights, and are summed
//! directly below, for channels that are no multiple of 16, and where [`Arithmetic::exact`] is set:
//! in a copy with a border of zeros (`Padded` in `cpu/im2col.rs`) a neighbourhood is three runs of
//! numbers, which the product reads in place.
//!
//! **bfloat16** ([`Arithmetic::bf16`], `cpu/bfloat`, `block/bfloat.rs`). Operands of products are
//! rounded to eight significant bits, sums stay float32. With AMX 32 × 32 results stay in tile
//! registers; AVX-512 BF16 has an instruction for products of pairs, and elsewhere the same arithmetic
//! is done in float32 operations, both of which gain nothing over float32. 3×3 convolutions are summed directly, in place
//! where lines and channels are whole tiles. GELU is a polynomial, good to what bfloat16 resolves.
//! States between blocks stay float32: in bfloat16 what a block adds to a state would be rounded to
//! the state's size, block after block.
//!
//! **Fusion** is for what is bound by memory. GELU is computed where a product reads its rows, its
//! derivative and the residual where a product has just finished a block, and both again in the
//! gradient instead of being kept: a block keeps its three narrow hidden states, 3/4 of its input's
//! size. The posterior reads state and activation as two products into one result, so the two are
//! never joined ([`joined_block`]). Upsampling adds its bias while it copies ([`upsample_add`]); the
//! sample and its KL are one pass ([`sample_and_kl`]), as are the mixture's likelihood and gradient
//! ([`mixture_nll`]), and AdamW, the moving average and the gradient norm ([`AdamW`]).
//!
//! **Gradients.** Every operator is an `Operator` (`operator.rs`, which says how to add one), and has
//! by way of it a place on the tape and in candle's graph. Training takes a [`Tape`]: gradients are
//! moved rather than added to zeros, blocks and latents add to what a tensor has from other uses
//! while they compute their own part, and every activation is let go of as soon as it was passed.
//! [`recomputed`] keeps nothing of what is inside it; [`stock`] takes in operators of candle's own.
//!
//! **Threads** (`team.rs`). A block divides its work a dozen times, each time for less than a
//! millisecond. The thread that calls it works along with rayon's idle workers, who stay awake
//! until the block is done; blocks of less than some 40 µs are left to the caller. [`together`] keeps
//! them for several operators. Programs with many pictures give each worker a batch of its own.
//!
//! **Autoregressive models** take [`window_conv`], whose sums are always direct, so that a result is
//! exactly independent of what it does not read; [`weight_norm`], [`concat_elu`] and [`gated_add`] go
//! with it. These four run on the CPU only.
//!
//! **Weights that never change** ([`BlockWeights::frozen`]) are packed and transformed at their first
//! use only.
//!
//! **Instruction sets.** A kernel is written once, over registers (`cpu/lanes.rs`) or as a plain
//! loop (`simd.rs`), compiled for AVX-512, AVX2 and the target's baseline, and chosen at run time
//! ([`vdvae_io::instruction_set`]); those of bfloat16 for AMX and AVX-512 BF16 besides.
//!
//! **Determinism.** Work is divided by the number of threads and partial sums are added in order:
//! the same number of threads gives the same bits. Instruction sets and numbers of threads differ in
//! rounding, by less than 1e-5 of an operator's largest value.
//!
//! **GELU** is a polynomial (`cpu/gelu.rs`), wrong by less than 4e-7 of its argument, or of one where that
//! is less. Below -5.4 it is exactly zero: products with the denormal numbers of its tail are a hundred
//! times slower on some processors (`benches/block.rs`, `forward_tails`).

mod adamw;
mod arithmetic;
mod block;
mod channels;
mod conv;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod gate;
mod kept;
mod latent;
mod mixture;
mod operator;
mod pool;
mod project;
mod rate;
mod real;
mod resampling;
mod shape;
mod simd;
mod storage;
mod tape;
mod team;
#[cfg(test)]
mod testing;
mod training;
mod upsample;
mod weight_norm;
mod window;

pub use adamw::{AdamW, AdamWState, sum_of_squares};
pub use arithmetic::Arithmetic;
pub use block::{BlockWeights, block, joined_block};
pub use channels::gain_bias;
pub use conv::conv;
pub use gate::{concat_elu, gated_add, joined_concat_elu};
pub use latent::{sample_and_kl, sample_prior};
pub use mixture::{mixture_nll, sample::mixture_sample};
pub use pool::avg_pool;
pub use project::project_add;
pub use rate::kl_sum;
pub use shape::{BlockShape, ConvShape};
pub use tape::stock::{add, cast, pixel_shuffle, scale, stock};
pub use tape::{Gradients, Tape, recomputed};
pub use team::together;
pub use training::{OptimizerMemory, StepStats};
pub use upsample::upsample_add;
pub use weight_norm::weight_norm;
pub use window::{WindowShape, window_conv};

/// Prepares the calling thread for a device. On a GPU that makes its context the thread's, which
/// candle's own operators take for granted; a CPU needs nothing.
///
/// # Errors
/// Those of the GPU's driver.
pub fn bind(device: &candle_core::Device) -> candle_core::Result<()> {
    match device {
        #[cfg(feature = "cuda")]
        candle_core::Device::Cuda(device) => cuda::gpu::Gpu::of(device).map(drop),
        _ => Ok(()),
    }
}
