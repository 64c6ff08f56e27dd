//! CPU kernels on plain slices.

pub(crate) mod buffer;
pub(crate) mod im2col;
pub(crate) mod lanes;
pub(crate) mod matmul;
mod panels;
pub(crate) mod product;
pub(crate) mod winograd;
