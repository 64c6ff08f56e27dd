//! The two precisions a pass over the rows can run in, with exponentials that vectorise.
//!
//! The loops of `loss` are compiled for every instruction set by `pulp` and chosen at run time;
//! what they call must be plain arithmetic, so library functions are out.

use std::ops::{AddAssign, Neg};

use ndarray::{Array1, Array2, ArrayView2, LinalgScalar, Zip};

/// `f32` or `f64`.
pub(super) trait Float:
    LinalgScalar + Send + Sync + PartialOrd + AddAssign + Neg<Output = Self>
{
    /// A block of rows less their centre in this precision: a view of it, or of `buffer`.
    fn rows<'a>(
        block: ArrayView2<'a, f64>,
        centre: Option<&Array1<f64>>,
        buffer: &'a mut Array2<Self>,
    ) -> ArrayView2<'a, Self>;

    /// Rounds to this precision.
    fn of(value: f64) -> Self;

    /// The same number in float64, exactly.
    fn to_f64(self) -> f64;

    /// A label, or another small integer, as a number; exact.
    fn of_label(label: i8) -> Self;

    /// `exp(x)` for `x ≤ 0` to two units in the last place; where it would be subnormal, the
    /// smallest normal power of two, about.
    fn exp_negative(self) -> Self;

    /// `ln(1 + x)` for `0 ≤ x ≤ 1`, to three units in the last place of the result.
    fn ln_1p_unit(self) -> Self;
}

/// `Σ coefficient[i] xⁱ`, for arrays of coefficients from the highest power down.
macro_rules! polynomial {
    ($x:expr, $($coefficient:expr),+) => {{
        let x = $x;
        let mut sum = 0.0;
        $(sum = sum * x + $coefficient;)+
        sum
    }};
}

/// `exp` by `2ⁿ · exp(r)` with |r| ≤ ln 2 / 2. Adding `magic` (1.5 times the power of two whose
/// unit in the last place is 1) rounds to an integer and leaves it in the low bits, where a shift makes
/// it an exponent. `ln_2` is in two parts, the first with trailing zeros, so that the product
/// with n is exact.
macro_rules! float {
    ($float:ident, $rows:expr, $magic:expr, $lowest:expr, $bias:expr, $shift:expr, $ln_2:expr,
     exp [$($taylor:expr),+], atanh [$($odd:expr),+]) => {
        impl Float for $float {
            fn rows<'a>(
                block: ArrayView2<'a, f64>,
                centre: Option<&Array1<f64>>,
                buffer: &'a mut Array2<Self>,
            ) -> ArrayView2<'a, Self> {
                ($rows)(block, centre, buffer)
            }

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn of_label(label: i8) -> Self {
                Self::from(label)
            }

            #[inline(always)]
            fn exp_negative(self) -> Self {
                let x = if self > $lowest { self } else { $lowest };
                let shifted = x * std::$float::consts::LOG2_E + $magic;
                let n = shifted - $magic;
                let r = (x - n * $ln_2[0]) - n * $ln_2[1];
                let power = (shifted.to_bits() << $shift).wrapping_add($bias << $shift);
                polynomial!(r, $($taylor),+) * Self::from_bits(power)
            }

            #[inline(always)]
            fn ln_1p_unit(self) -> Self {
                // ln(1 + x) = 2 atanh(s) with s = x / (2 + x) ≤ 1/3.
                let s = self / (2.0 + self);
                2.0 * s * polynomial!(s * s, $($odd),+)
            }
        }
    };
}

/// Writes a block of rows less their centre into `buffer`.
fn centred<'a, T: Float>(
    block: ArrayView2<'_, f64>,
    centre: Option<&Array1<f64>>,
    buffer: &'a mut Array2<T>,
) -> ArrayView2<'a, T> {
    if buffer.dim() != block.dim() {
        *buffer = Array2::from_elem(block.dim(), T::of(0.0));
    }
    for (to, from) in buffer.rows_mut().into_iter().zip(block.rows()) {
        let to = Zip::from(to).and(from);
        match centre {
            None => to.for_each(|to, &from| *to = T::of(from)),
            Some(centre) => to.and(centre).for_each(|to, from, centre| *to = T::of(from - centre)),
        }
    }
    buffer.view()
}

// Taylor coefficients 1/k!, and 1/(2k + 1) of atanh(s) / s: what is left out is below half a unit
// in the last place (0.347⁸ / 8! = 5e-9, 9⁻⁸ / 17 = 1e-9; 0.347¹⁴ / 14! = 4e-18,
// 9⁻¹⁷ / 35 = 2e-18).
float!(
    f32,
    centred,
    12_582_912.0,
    -87.0,
    127,
    23,
    [355.0 / 512.0, -2.121_944_4e-4],
    exp[1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0],
    atanh[1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0]
);
float!(
    f64,
    |block, centre: Option<_>, buffer| match centre {
        None => block,
        centre => centred(block, centre, buffer),
    },
    6_755_399_441_055_744.0,
    -708.0,
    1023,
    52,
    [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    exp[
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0
    ],
    atanh[
        1.0 / 33.0,
        1.0 / 31.0,
        1.0 / 29.0,
        1.0 / 27.0,
        1.0 / 25.0,
        1.0 / 23.0,
        1.0 / 21.0,
        1.0 / 19.0,
        1.0 / 17.0,
        1.0 / 15.0,
        1.0 / 13.0,
        1.0 / 11.0,
        1.0 / 9.0,
        1.0 / 7.0,
        1.0 / 5.0,
        1.0 / 3.0,
        1.0
    ]
);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Float>(unit: f64, lowest: f64) {
        for i in 0..20_000 {
            let x = T::of(lowest * f64::from(i) / 20_000.0);
            let (found, expected) = (x.exp_negative().to_f64(), x.to_f64().exp());
            // The reference itself is off by half a unit.
            assert!((found / expected - 1.0).abs() <= 2.5 * unit, "exp {}", x.to_f64());
            let x = T::of(f64::from(i) / 20_000.0);
            let (found, expected) = (x.ln_1p_unit().to_f64(), x.to_f64().ln_1p());
            assert!((found - expected).abs() <= 3.5 * unit * expected, "ln {}", x.to_f64());
        }
        let small = T::of(-1e9).exp_negative().to_f64();
        assert!((0.0..1e-37).contains(&small));
        assert_eq!(T::of(0.0).exp_negative().to_f64(), 1.0);
        assert_eq!(T::of(0.0).ln_1p_unit().to_f64(), 0.0);
        assert_eq!(T::of_label(-1).to_f64(), -1.0);
    }

    #[test]
    fn exponentials_and_logarithms_are_accurate() {
        check::<f32>(f64::from(f32::EPSILON), -87.0);
        check::<f64>(f64::EPSILON, -708.0);
    }
}
