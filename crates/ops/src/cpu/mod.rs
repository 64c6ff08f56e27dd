//! CPU kernels on plain slices.

pub(crate) mod bfloat;
pub(crate) mod buffer;
pub(crate) mod elementary;
pub(crate) mod gate;
pub(crate) mod gelu;
pub(crate) mod im2col;
mod lanes;
pub(crate) mod latent;
mod matmul;
pub(crate) mod matrix;
pub(crate) mod mixture;
mod panels;
pub(crate) mod product;
pub(crate) mod window;
pub(crate) mod winograd;

/// A number type that every kernel is written for: `f32`, what networks run in, and `f64`, in which
/// the tests check every gradient by finite differences.
pub(crate) trait Number: product::Kernels + crate::block::InBlock {}

impl Number for f32 {}
impl Number for f64 {}
