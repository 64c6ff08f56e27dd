//! The exact (erf) GELU and its derivative.
//!
//! `gelu(x) = x Φ(x)`, with Φ the standard normal distribution function. In float32 Φ comes from
//! Abramowitz and Stegun 7.1.26, whose exponential is the density the derivative needs too
//! (absolute error below 4e-7); in float64 from `libm::erf`.

use super::elementary::Elementary;
use crate::simd::{mul_add, multiversion};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// `2^y` for `y <= 0`, and exactly zero below 2^-40.
///
/// The tail is cut because its products with small activations are denormal numbers, which
/// processors handle a hundred times slower than others; 2^-40 is far below float32's resolution
/// of anything it is added to.
#[inline(always)]
fn exp2_tail_free<const FMA: bool>(y: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer in every vector width.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if y < -41.0 { -41.0 } else { y };
    let shifted = clamped + ROUND;
    let f = clamped - (shifted - ROUND);
    // Taylor coefficients of 2^f, ln(2)^k / k!, good to 1e-8 relative on [-0.5, 0.5].
    let mut p = 1.540_353e-4_f32;
    p = mul_add::<FMA, _>(p, f, 1.333_355_8e-3);
    p = mul_add::<FMA, _>(p, f, 9.618_129e-3);
    p = mul_add::<FMA, _>(p, f, 5.550_411e-2);
    p = mul_add::<FMA, _>(p, f, 2.402_265e-1);
    p = mul_add::<FMA, _>(p, f, std::f32::consts::LN_2);
    p = mul_add::<FMA, _>(p, f, 1.0);
    // The integer lies in the low bits of `shifted`; all that lies above is shifted out.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if y > -40.0 { p * scale } else { 0.0 }
}

/// Number types with a normal distribution.
pub(crate) trait Normal: Elementary {
    /// `(Φ(x), exp(-x²/2))`.
    fn normal<const FMA: bool>(self) -> (Self, Self);
}

impl Normal for f32 {
    #[inline(always)]
    fn normal<const FMA: bool>(self) -> (f32, f32) {
        let e = exp2_tail_free::<FMA>(self * self * (-0.5 * LOG2_E));
        const P: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / mul_add::<FMA, _>(self.abs(), P, 1.0);
        let mut q = 1.061_405_4_f32;
        q = mul_add::<FMA, _>(q, t, -1.453_152);
        q = mul_add::<FMA, _>(q, t, 1.421_413_7);
        q = mul_add::<FMA, _>(q, t, -0.284_496_74);
        q = mul_add::<FMA, _>(q, t, 0.254_829_6);
        let upper_tail = q * t * e * 0.5;
        (if self < 0.0 { upper_tail } else { 1.0 - upper_tail }, e)
    }
}

impl Normal for f64 {
    fn normal<const FMA: bool>(self) -> (f64, f64) {
        let upper = -self * std::f64::consts::FRAC_1_SQRT_2;
        (0.5 * libm::erfc(upper), (-0.5 * self * self).exp())
    }
}

multiversion! {
    /// `y = gelu(x)`.
    pub(crate) fn gelu<T: Normal>(x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x * x.normal::<FMA>().0;
        }
    }
}

multiversion! {
    /// `gradient *= gelu'(x)`.
    pub(crate) fn gelu_backward<T: Normal>(x: &[T], gradient: &mut [T]) {
        for (g, &x) in gradient.iter_mut().zip(x) {
            let (cdf, e) = x.normal::<FMA>();
            *g *= mul_add::<FMA, _>(x * e, T::of(INV_SQRT_TAU), cdf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Vec<f64> {
        (-2000..=2000).map(|i| f64::from(i) * 0.01).collect()
    }

    #[test]
    fn float32_agrees_with_erf() {
        let x = grid();
        let x32: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let (mut y, mut d) = (vec![0.0; x.len()], vec![1.0; x.len()]);
        gelu(&x, &mut y);
        gelu_backward(&x, &mut d);
        let (mut y32, mut d32) = (vec![0.0f32; x.len()], vec![1.0f32; x.len()]);
        gelu(&x32, &mut y32);
        gelu_backward(&x32, &mut d32);
        for i in 0..x.len() {
            // The approximation's own bound is 1.5e-7 on erf; it is multiplied by |x| <= 20.
            assert!((f64::from(y32[i]) - y[i]).abs() < 4e-7 * x[i].abs().max(1.0), "x = {}", x[i]);
            assert!((f64::from(d32[i]) - d[i]).abs() < 1e-6, "x = {}", x[i]);
        }
    }

    #[test]
    fn derivative_is_the_slope() {
        let h = 1e-6;
        for x in grid() {
            let mut slope = [0.0; 2];
            gelu(&[x - h, x + h], &mut slope);
            let mut d = [1.0];
            gelu_backward(&[x], &mut d);
            assert!(((slope[1] - slope[0]) / (2.0 * h) - d[0]).abs() < 1e-7, "x = {x}");
        }
    }

    #[test]
    fn tails_hold_no_denormals() {
        let x: Vec<f32> = (0..4000).map(|i| -(i as f32) * 0.01).collect();
        let mut y = vec![0.0; x.len()];
        gelu(&x, &mut y);
        assert!(y.iter().all(|v| *v == 0.0 || v.is_normal()));
        assert_eq!(y[3999], 0.0);
    }
}
