//! The exact (erf) GELU and its derivative.
//!
//! `gelu(x) = x Φ(x)`, with Φ the standard normal distribution function. In float32 Φ and the
//! derivative are polynomials, minimax in absolute error up to 5.4 and constant beyond. In float64
//! they come from `libm`.

use super::elementary::Elementary;
use crate::simd::{mul_add, multiversion};

/// Number types with a normal distribution.
pub(crate) trait Normal: Elementary {
    /// `Φ(x)`.
    fn cdf<const FMA: bool>(self) -> Self;
    /// The derivative of `x Φ(x)`.
    fn gelu_slope<const FMA: bool>(self) -> Self;
}

/// From here on Φ and the derivative are one, and zero below its negative. In the tail that is cut
/// off `x Φ(x)` is above -2e-7. Its products with small activations would be denormal numbers, which
/// processors handle a hundred times slower than others.
const END: f32 = 5.4;

/// `Φ(x) = 0.5 + x q(t)` with `t = 2 x² / 5.4² - 1`: the coefficients of `q`, that of the highest power
/// first. `x Φ(x)` is wrong by less than 7e-8 but for rounding.
const CDF: [f32; 15] = [
    3.191_906e-4,
    -9.667_525e-4,
    1.091_194_2e-3,
    -1.361_247_3e-3,
    3.414_452e-3,
    -6.526_749e-3,
    9.784_856e-3,
    -1.405_963_6e-2,
    1.960_882e-2,
    -2.572_293e-2,
    3.212_109_7e-2,
    -3.920_922_8e-2,
    4.849_939_5e-2,
    -6.532_799e-2,
    1.309_281_1e-1,
];

/// The derivative likewise, wrong by less than 6e-7 but for rounding.
const SLOPE: [f32; 15] = [
    7.576_392e-3,
    -1.822_364_4e-2,
    9.688_773e-3,
    -6.187_161e-3,
    3.703_811_6e-2,
    -6.260_473e-2,
    6.369_108e-2,
    -6.818_851e-2,
    7.609_562_6e-2,
    -7.342_725e-2,
    6.421_869e-2,
    -5.669_823_6e-2,
    5.572_794_3e-2,
    -6.731_459e-2,
    1.312_003_7e-1,
];

/// `0.5 + x q(t)`, cut at the ends; NaN of NaN.
#[inline(always)]
fn odd<const FMA: bool>(x: f32, coefficients: &[f32; 15]) -> f32 {
    let t = mul_add::<FMA, _>(x * x, 2.0 / (END * END), -1.0);
    let mut q = coefficients[0];
    for &coefficient in &coefficients[1..] {
        q = mul_add::<FMA, _>(q, t, coefficient);
    }
    let inside = mul_add::<FMA, _>(x, q, 0.5);
    let above = if x >= END { 1.0 } else { inside };
    if x <= -END { 0.0 } else { above }
}

impl Normal for f32 {
    #[inline(always)]
    fn cdf<const FMA: bool>(self) -> f32 {
        odd::<FMA>(self, &CDF)
    }

    #[inline(always)]
    fn gelu_slope<const FMA: bool>(self) -> f32 {
        odd::<FMA>(self, &SLOPE)
    }
}

impl Normal for f64 {
    fn cdf<const FMA: bool>(self) -> f64 {
        0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2)
    }

    fn gelu_slope<const FMA: bool>(self) -> f64 {
        const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_7;
        let density = (-0.5 * self * self).exp() * INV_SQRT_TAU;
        self.cdf::<FMA>() + self * density
    }
}

multiversion! {
    /// `y = gelu(x)`.
    pub(crate) fn gelu<T: Normal>(x: &[T], y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x * x.cdf::<FMA>();
        }
    }
}

multiversion! {
    /// `gradient *= gelu'(x)`.
    pub(crate) fn gelu_backward<T: Normal>(x: &[T], gradient: &mut [T]) {
        for (g, &x) in gradient.iter_mut().zip(x) {
            *g *= x.gelu_slope::<FMA>();
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
            // The polynomial's own error, and rounding, which is multiplied by |x| <= 20.
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
