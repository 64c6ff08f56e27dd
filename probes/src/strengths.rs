//! Strengths of a penalty that is chosen on validation.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check_range;

/// The strengths that probes choose from where none are given: 10⁻² … 10⁶.
pub const STRENGTHS: [f64; 9] = [1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// An end of the strengths to choose from; where one is chosen, a weaker or stronger penalty might
/// have been better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StrengthEdge {
    /// The weakest penalty.
    Smallest,
    /// The strongest.
    Largest,
}

impl StrengthEdge {
    /// The end at which the strength of an index lies, in falling order; `None` where it is none, or
    /// there is nothing to choose.
    pub(crate) fn of(index: usize, strengths: &[f64]) -> Option<Self> {
        match index {
            _ if strengths.first() == strengths.last() => None,
            0 => Some(Self::Largest),
            index if index + 1 == strengths.len() => Some(Self::Smallest),
            _ => None,
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_at_an_end_is_known() {
        let strengths = strongest_first(&[1.0, 0.1, 10.0]).unwrap();
        let edges = [0, 1, 2].map(|index| StrengthEdge::of(index, &strengths));
        assert_eq!(edges, [Some(StrengthEdge::Largest), None, Some(StrengthEdge::Smallest)]);
        assert_eq!(StrengthEdge::of(0, &[5.0]), None);
    }
}
