//! Which updates are skipped.
//!
//! A Very Deep VAE without KL warm-up now and then meets a batch whose gradient would wreck it;
//! the paper (arXiv 2011.10650, section 3) leaves such updates out. The published threshold is
//! fixed: where gradients stay above it, no update is ever made. [`SkipWatch`] notices that, and
//! [`Skip::Adaptive`] avoids it.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The rule by which updates with a finite gradient are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Skip {
    /// None is.
    None,
    /// Those whose gradient norm is this or more, as published.
    Fixed(f64),
    /// Those whose gradient norm is this many times the median of the last [`WINDOW`] norms, or
    /// more. Skipped norms count for the median too, so that a lasting change is accepted.
    Adaptive(f64),
}

/// Gradient norms that the adaptive threshold remembers.
pub const WINDOW: usize = 100;
/// Norms before the adaptive threshold says anything.
pub(crate) const FEWEST: usize = 20;
/// Factor of the adaptive threshold where none is given.
const FACTOR: f64 = 10.0;

impl Skip {
    pub(crate) fn validate(self) -> Result<()> {
        let (expected, valid, found) = match self {
            Self::None => return Ok(()),
            Self::Fixed(norm) => ("a gradient norm above 0", norm > 0.0, norm),
            Self::Adaptive(factor) => ("a factor above 1", factor > 1.0, factor),
        };
        if valid && found.is_finite() {
            return Ok(());
        }
        Err(Error::Config { field: "skip", expected: expected.into(), found: found.to_string() })
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Fixed(norm) => write!(f, "{norm}"),
            Self::Adaptive(factor) => write!(f, "adaptive:{factor}"),
        }
    }
}

impl FromStr for Skip {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| {
            text.parse().map_err(|_| Error::Config {
                field: "skip",
                expected: "none, a gradient norm, adaptive or adaptive:FACTOR".into(),
                found: format!("`{text}`"),
            })
        };
        let skip = match (text, text.strip_prefix("adaptive:")) {
            ("none", _) => Self::None,
            ("adaptive", _) => Self::Adaptive(FACTOR),
            (_, Some(factor)) => Self::Adaptive(number(factor)?),
            _ => Self::Fixed(number(text)?),
        };
        skip.validate().map(|()| skip)
    }
}

/// The norm from which on updates are skipped after the finite `norms` seen last, see
/// [`push_norm`]; infinite where there is no limit.
pub(crate) fn threshold(skip: Skip, norms: &[f64]) -> f64 {
    match skip {
        Skip::None => f64::INFINITY,
        Skip::Fixed(norm) => norm,
        Skip::Adaptive(_) if norms.len() < FEWEST => f64::INFINITY,
        Skip::Adaptive(factor) => factor * median(norms),
    }
}

/// Adds a norm, if it is finite, to those seen last, oldest first.
pub(crate) fn push_norm(norms: &mut Vec<f64>, norm: f64) {
    if norm.is_finite() {
        norms.drain(..(norms.len() + 1).saturating_sub(WINDOW));
        norms.push(norm);
    }
}

fn median(norms: &[f64]) -> f64 {
    let mut sorted = norms.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

/// Notices a run that hardly makes updates any more.
#[derive(Debug, Default)]
pub(crate) struct SkipWatch {
    consecutive: u64,
    not_finite: u64,
    recent: VecDeque<bool>,
}

impl SkipWatch {
    /// Skipped updates in a row that are worth a warning, and again after as many.
    const ROW: u64 = 100;
    /// Steps of which no more than half may be skipped.
    const RECENT: usize = 1000;

    /// Takes note of a gradient norm; so many steps in a row without a finite one are too many: every
    /// batch was another, and weights did not change.
    pub(crate) fn diverged(&mut self, norm: f64) -> Option<u64> {
        self.not_finite = if norm.is_finite() { 0 } else { self.not_finite + 1 };
        Some(self.not_finite).filter(|steps| *steps >= Self::ROW)
    }

    /// Takes note of a step; (skipped, of steps) where a warning is due.
    pub(crate) fn note(&mut self, skipped: bool) -> Option<(u64, u64)> {
        self.consecutive = if skipped { self.consecutive + 1 } else { 0 };
        self.recent.push_back(skipped);
        if self.consecutive > 0 && self.consecutive.is_multiple_of(Self::ROW) {
            return Some((self.consecutive, self.consecutive));
        }
        if self.recent.len() < Self::RECENT {
            return None;
        }
        let count = self.recent.iter().filter(|&&skipped| skipped).count();
        let due = 2 * count > Self::RECENT;
        if due {
            self.recent.clear(); // the next warning is a whole window away
        } else {
            self.recent.pop_front();
        }
        due.then_some((count as u64, Self::RECENT as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_round_trip() {
        for (text, skip, json) in [
            ("none", Skip::None, "\"none\""),
            ("400", Skip::Fixed(400.0), r#"{"fixed":400.0}"#),
            ("adaptive:2.5", Skip::Adaptive(2.5), r#"{"adaptive":2.5}"#),
        ] {
            assert_eq!((text.parse::<Skip>().unwrap(), skip.to_string()), (skip, text.into()));
            assert_eq!(serde_json::to_string(&skip).unwrap(), json);
            assert_eq!(serde_json::from_str::<Skip>(json).unwrap(), skip);
        }
        assert_eq!("adaptive".parse::<Skip>().unwrap(), Skip::Adaptive(10.0));
        for bad in ["", "0", "-1", "nan", "inf", "adaptive:1", "adaptive:", "off"] {
            bad.parse::<Skip>().unwrap_err();
        }
    }

    #[test]
    fn the_adaptive_threshold_follows_the_median_of_the_last_norms() {
        let mut norms = Vec::new();
        let threshold = |norms: &[f64]| threshold(Skip::Adaptive(3.0), norms);
        (0..19).for_each(|_| push_norm(&mut norms, 2.0));
        assert_eq!(threshold(&norms), f64::INFINITY);
        push_norm(&mut norms, f64::NAN);
        assert_eq!(threshold(&norms), f64::INFINITY, "what is not finite does not count");
        push_norm(&mut norms, 1e9);
        assert_eq!(threshold(&norms), 6.0);
        // A lasting change is accepted once it fills more than half of the window.
        (0..49).for_each(|_| push_norm(&mut norms, 50.0));
        assert_eq!(threshold(&norms), 150.0);
        (0..200).for_each(|_| push_norm(&mut norms, 1.0));
        assert_eq!((norms.len(), threshold(&norms)), (WINDOW, 3.0));
    }

    #[test]
    fn a_run_that_makes_no_updates_is_noticed() {
        let mut watch = SkipWatch::default();
        let due: Vec<u64> = (1..=250).filter(|_| watch.note(true).is_some()).collect();
        assert_eq!(due, [100, 200]);
    }

    #[test]
    fn a_run_without_a_finite_gradient_is_noticed() {
        let mut watch = SkipWatch::default();
        assert!((0..99).all(|_| watch.diverged(f64::NAN).is_none()));
        assert_eq!(watch.diverged(1.0), None);
        assert!((0..99).all(|_| watch.diverged(f64::INFINITY).is_none()));
        assert_eq!(watch.diverged(f64::NAN), Some(100));
    }

    #[test]
    fn a_run_that_makes_few_updates_is_noticed() {
        let mut watch = SkipWatch::default();
        let due: Vec<_> = (1..=2000).filter_map(|i| watch.note(i % 3 != 0)).collect();
        assert_eq!(due, [(667, 1000), (667, 1000)]);
        let mut watch = SkipWatch::default();
        assert!((1..=3000).all(|i| watch.note(i % 2 == 0).is_none()), "half is not more than half");
    }
}
