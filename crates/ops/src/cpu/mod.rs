//! CPU kernels on plain slices.

pub(crate) mod im2col;
pub(crate) mod matmul;
pub(crate) mod product;
