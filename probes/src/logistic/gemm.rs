//! Matrix products on the `gemm` crate, for views of any strides.
//!
//! With faer's products, which the rest of the crate uses, fits end at the same optimum but round
//! otherwise on the way, so that results differ in the seventh digit from those published. (On one
//! thread, in the development profile, 24 targets of 4,000 rows × 512 columns take 1.9 s with faer and
//! 3.2 s with these.) `gemm` chooses the instruction set by itself, as faer does.

use ::gemm::Parallelism;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::float::Float;

/// `into = keep · into + scale · left · right`, on all threads of the current pool.
///
/// # Shapes
/// `into`: `(m, n)`; `left`: `(m, k)`; `right`: `(k, n)`.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn product<T: Float>(
    keep: T,
    into: ArrayViewMut2<'_, T>,
    scale: T,
    left: ArrayView2<'_, T>,
    right: ArrayView2<'_, T>,
) {
    product_on(Parallelism::Rayon(0), keep, into, scale, left, right);
}

/// As [`product`], on the calling thread alone.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn product_here<T: Float>(
    keep: T,
    into: ArrayViewMut2<'_, T>,
    left: ArrayView2<'_, T>,
    right: ArrayView2<'_, T>,
) {
    product_on(Parallelism::None, keep, into, T::of(1.0), left, right);
}

fn product_on<T: Float>(
    threads: Parallelism,
    keep: T,
    mut into: ArrayViewMut2<'_, T>,
    scale: T,
    left: ArrayView2<'_, T>,
    right: ArrayView2<'_, T>,
) {
    let ((m, n), depth) = (into.dim(), left.ncols());
    assert_eq!((left.dim(), right.dim()), ((m, depth), (depth, n)), "shapes of a matrix product");
    let into_strides = (into.strides()[0], into.strides()[1]);
    // SAFETY: every pointer and its strides come from a view of the shape asserted above, and
    // `into` is borrowed mutably, so it overlaps neither factor. With `keep` zero it is not read.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            depth,
            into.as_mut_ptr(),
            into_strides.1,
            into_strides.0,
            keep != T::of(0.0),
            left.as_ptr(),
            left.strides()[1],
            left.strides()[0],
            right.as_ptr(),
            right.strides()[1],
            right.strides()[0],
            keep,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;

    #[test]
    fn any_strides_and_empty_shapes() {
        let left = Array2::from_shape_fn((6, 5), |(i, j)| (i * 5 + j) as f64);
        let right = Array2::from_shape_fn((8, 5), |(i, j)| (i as f64) - (j as f64));
        let (left, right) = (left.slice(s![..;2, ..]), right.slice(s![1..5, ..]));
        let mut into = Array2::from_elem((4, 3), 1.0);
        product(2.0, into.view_mut().reversed_axes(), -1.0, left, right.t());
        assert_eq!(into.t(), 2.0 - left.dot(&right.t()));
        let (narrow, other) = (left.mapv(|v| v as f32), right.mapv(|v| v as f32));
        let mut into = Array2::from_elem((3, 4), 1f32);
        product_here(1.0, into.view_mut(), narrow.view(), other.t());
        assert_eq!(into, 1.0 + narrow.dot(&other.t()));
        let mut nothing = Array2::from_elem((2, 2), 7.0);
        let (no_left, no_right) = (Array2::zeros((2, 0)), Array2::zeros((0, 2)));
        product(1.0, nothing.view_mut(), 1.0, no_left.view(), no_right.view());
        assert_eq!(nothing, Array2::from_elem((2, 2), 7.0));
    }
}
