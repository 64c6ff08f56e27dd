//! Concatenated exponential linear units and gates, for the pixels of one chunk.

use super::elementary::Elementary;
use crate::simd::multiversion;

/// Where an input's channels lie in pixels of twice `half` numbers: from `first` on in either half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    pub(crate) channels: usize,
    pub(crate) first: usize,
    pub(crate) half: usize,
}

multiversion! {
    /// Writes `elu(x)` and `elu(-x)` into every pixel of `out`.
    pub(crate) fn concat_elu_pixels<T: Elementary>(place: Joined, x: &[T], out: &mut [T]) {
        let Joined { channels, first, half } = place;
        for (out, x) in out.chunks_exact_mut(2 * half).zip(x.chunks_exact(channels)) {
            let (up, down) = out.split_at_mut(half);
            let (up, down) = (&mut up[first..][..channels], &mut down[first..][..channels]);
            for ((up, down), &x) in up.iter_mut().zip(down).zip(x) {
                let below = (-x.abs()).quick_exp() - T::one();
                let above = x > T::zero();
                *up = if above { x } else { below };
                *down = if above { below } else { -x };
            }
        }
    }
}

multiversion! {
    /// Writes the gradient of `x` from that of every pixel's result.
    pub(crate) fn concat_elu_slopes<T: Elementary>(
        place: Joined,
        x: &[T],
        upstream: &[T],
        out: &mut [T],
    ) {
        let Joined { channels, first, half } = place;
        let pixels = out.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
        for ((out, x), upstream) in pixels.zip(upstream.chunks_exact(2 * half)) {
            let (up, down) = upstream.split_at(half);
            let (up, down) = (&up[first..][..channels], &down[first..][..channels]);
            for (((out, &x), &up), &down) in out.iter_mut().zip(x).zip(up).zip(down) {
                let slope = (-x.abs()).quick_exp();
                *out = if x > T::zero() { up - down * slope } else { up * slope - down };
            }
        }
    }
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
fn sigmoid<T: Elementary>(x: T) -> T {
    T::one() / (T::one() + (-x).quick_exp())
}

multiversion! {
    /// Writes `x + a · sigmoid(b)` into every pixel of `out`.
    pub(crate) fn gate_pixels<T: Elementary>(channels: usize, x: &[T], gated: &[T], out: &mut [T]) {
        let pixels = out.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
        for ((out, x), gated) in pixels.zip(gated.chunks_exact(2 * channels)) {
            let (a, b) = gated.split_at(channels);
            for (((out, &x), &a), &b) in out.iter_mut().zip(x).zip(a).zip(b) {
                *out = x + a * sigmoid(b);
            }
        }
    }
}

multiversion! {
    /// Writes the gradients of a and b from that of every pixel's result.
    pub(crate) fn gate_slopes<T: Elementary>(
        channels: usize,
        gated: &[T],
        upstream: &[T],
        out: &mut [T],
    ) {
        let pixels = out.chunks_exact_mut(2 * channels).zip(gated.chunks_exact(2 * channels));
        for ((out, gated), upstream) in pixels.zip(upstream.chunks_exact(channels)) {
            let (by_a, by_b) = out.split_at_mut(channels);
            let (a, b) = gated.split_at(channels);
            let each = by_a.iter_mut().zip(by_b).zip(a).zip(b).zip(upstream);
            for ((((by_a, by_b), &a), &b), &upstream) in each {
                let open = sigmoid(b);
                *by_a = upstream * open;
                *by_b = upstream * a * open * (T::one() - open);
            }
        }
    }
}
