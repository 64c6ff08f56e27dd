//! Strengths of a penalty that is chosen on validation.

use crate::{Error, Result};

/// The strengths that probes choose from where none are given: 10⁰ … 10⁶.
pub const STRENGTHS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// Strengths in falling order, so that the first of equals is the strongest.
pub(crate) fn strongest_first(strengths: &[f64]) -> Result<Vec<f64>> {
    if strengths.is_empty() {
        let (expected, found) = ("at least one", "none".to_owned());
        return Err(Error::OutOfRange { what: "strengths", expected, found });
    }
    let mut strengths = strengths.to_vec();
    strengths.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(strengths)
}
