//! Strengths of a penalty that is chosen on validation.

use crate::Result;
use crate::error::check_range;

/// The strengths that probes choose from where none are given: 10⁰ … 10⁶.
pub const STRENGTHS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// Fails for a strength that no penalty has.
pub(crate) fn check_strength(strength: f64) -> Result<()> {
    let valid = strength > 0.0 && strength.is_finite();
    check_range(valid, "strength", "a finite number above 0", strength)
}

/// Strengths in falling order, so that the first of equals is the strongest.
pub(crate) fn strongest_first(strengths: &[f64]) -> Result<Vec<f64>> {
    check_range(!strengths.is_empty(), "strengths", "at least one", "none")?;
    let mut strengths = strengths.to_vec();
    strengths.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(strengths)
}
