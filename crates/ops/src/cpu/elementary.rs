//! Exponential and logarithm as plain arithmetic, so that the loops that use them vectorise.
//!
//! In float32 they are polynomials after the usual reduction by powers of two, good to 2 units in
//! the last place; in float64, where the tests look for exact gradients, the standard library's.

use crate::real::Real;

/// Elementary functions for use in kernels. NaN in, NaN out.
pub(crate) trait Elementary: Real {
    /// The nearest number to `value`.
    #[inline(always)]
    fn of(value: f64) -> Self {
        <Self as candle_core::WithDType>::from_f64(value)
    }
    /// `exp(x)`. In float32 it overflows above 88.3 and is zero below -87.6.
    fn quick_exp(self) -> Self;
    /// `ln(x)` of a positive normal number; anything else gives an unspecified result, or NaN.
    fn quick_ln(self) -> Self;
    /// `1 - exp(-x)` of `x >= 0`, without cancellation.
    fn one_minus_exp_neg(self) -> Self;
}

impl Elementary for f32 {
    #[inline(always)]
    fn quick_exp(self) -> f32 {
        // Adding 1.5 * 2^23 leaves the nearest integer in the low bits, in every vector width.
        const ROUND: f32 = 12_582_912.0;
        // ln 2 in two parts: the first has nine bits, so its product with the exponent is exact.
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        // The ends become 2^-127 and 2^128, which `scale` holds as zero and infinity. Comparisons
        // rather than `max` and `min`, which would turn NaN into a number.
        let x = if self < -88.0 { -88.0 } else { self };
        let x = if x > 89.0 { 89.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let whole = shifted - ROUND;
        let r = x - whole * LN_2_HIGH - whole * LN_2_LOW;
        // Taylor coefficients 1/k!: the first one left out is below 6e-9 for |r| <= ln(2)/2.
        let mut p = 1.0 / 5040.0;
        p = p * r + 1.0 / 720.0;
        p = p * r + 1.0 / 120.0;
        p = p * r + 1.0 / 24.0;
        p = p * r + 1.0 / 6.0;
        p = p * r + 0.5;
        p = p * r + 1.0;
        p = p * r + 1.0;
        p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
    }

    #[inline(always)]
    fn quick_ln(self) -> f32 {
        // Splits x into 2^k m with m in [sqrt(1/2), sqrt(2)).
        const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
        let offset = self.to_bits().wrapping_sub(SQRT_HALF_BITS);
        let k = (offset as i32 >> 23) as f32;
        let m = f32::from_bits((offset & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS));
        // ln m = 2 artanh z; the first term left out is below 1e-9.
        let z = (m - 1.0) / (m + 1.0);
        let z2 = z * z;
        let mut p = 2.0 / 9.0;
        p = p * z2 + 2.0 / 7.0;
        p = p * z2 + 2.0 / 5.0;
        p = p * z2 + 2.0 / 3.0;
        p *= z2;
        // The last term is zero, and NaN where x is not finite.
        k * std::f32::consts::LN_2 + (p * z + 2.0 * z) + self * 0.0
    }

    #[inline(always)]
    fn one_minus_exp_neg(self) -> f32 {
        let x = self;
        // Taylor series, x (1 - x/2 (1 - x/3 (…))); the first term left out is below 2e-8.
        let mut p = 1.0 - x * (1.0 / 8.0);
        p = 1.0 - x * (1.0 / 7.0) * p;
        p = 1.0 - x * (1.0 / 6.0) * p;
        p = 1.0 - x * (1.0 / 5.0) * p;
        p = 1.0 - x * (1.0 / 4.0) * p;
        p = 1.0 - x * (1.0 / 3.0) * p;
        p = 1.0 - x * (1.0 / 2.0) * p;
        if x < 0.5 { x * p } else { 1.0 - (-x).quick_exp() }
    }
}

impl Elementary for f64 {
    fn quick_exp(self) -> f64 {
        self.exp()
    }
    fn quick_ln(self) -> f64 {
        self.ln()
    }
    fn one_minus_exp_neg(self) -> f64 {
        -(-self).exp_m1()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance to the true value in units of the last place of `y`.
    fn ulps(y: f32, truth: f64) -> f64 {
        let unit =
            f64::from(f32::from_bits((truth as f32).to_bits() + 1)) - f64::from(truth as f32);
        (f64::from(y) - truth).abs() / unit.abs()
    }

    #[test]
    fn exp_is_good_to_two_units_in_the_last_place() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3 + 1e-4;
            let (y, truth) = (x.quick_exp(), f64::from(x).exp());
            assert!(ulps(y, truth) <= 2.0, "exp({x}) = {y}, expected {truth}");
        }
    }

    #[test]
    fn exp_at_its_ends() {
        assert_eq!(0f32.quick_exp(), 1.0);
        assert_eq!((-1e30f32).quick_exp(), 0.0);
        assert_eq!(f32::NEG_INFINITY.quick_exp(), 0.0);
        assert_eq!(f32::INFINITY.quick_exp(), f32::INFINITY);
        assert_eq!(89.5f32.quick_exp(), f32::INFINITY);
        assert!(f32::NAN.quick_exp().is_nan());
    }

    #[test]
    fn ln_is_good_to_two_units_in_the_last_place() {
        assert_eq!(1f32.quick_ln(), 0.0);
        let mut x = f32::MIN_POSITIVE;
        while x < 1e38 {
            let (y, truth) = (x.quick_ln(), f64::from(x).ln());
            assert!(ulps(y, truth) <= 2.0, "ln({x}) = {y}, expected {truth}");
            x *= 1.000_1;
        }
        assert!(f32::NAN.quick_ln().is_nan());
    }

    #[test]
    fn one_minus_exp_neg_keeps_its_relative_precision() {
        let mut x = 1e-30f32;
        while x < 200.0 {
            let (y, truth) = (x.one_minus_exp_neg(), -(-f64::from(x)).exp_m1());
            assert!(ulps(y, truth) <= 3.0, "1 - exp(-{x}) = {y}, expected {truth}");
            x *= 1.001;
        }
        assert_eq!(0f32.one_minus_exp_neg(), 0.0);
    }
}
