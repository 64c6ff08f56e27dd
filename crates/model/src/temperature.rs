//! How far samples of the prior lie from its mean.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, VdvaeConfig};

/// Factors on the prior's standard deviation: one everywhere, and others at some resolutions.
///
/// As text: `0.8`, or `0.9,1x1=1,32x32=0.5`; resolutions alone leave the others at 1.
///
/// ```
/// use vdvae_model::Temperature;
///
/// let mixed: Temperature = "0.9,32x32=0.5".parse()?;
/// assert_eq!((mixed.at(32), mixed.at(16)), (0.5, 0.9));
/// assert_eq!(Temperature::from(0.8).at(1), 0.8);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Temperature {
    everywhere: f64,
    resolutions: BTreeMap<usize, f64>,
}

impl Temperature {
    /// The factor in layers of a resolution.
    pub fn at(&self, resolution: usize) -> f64 {
        self.resolutions.get(&resolution).copied().unwrap_or(self.everywhere)
    }

    /// Whether a network has layers at every resolution that has a factor of its own.
    ///
    /// # Errors
    /// [`Error::NoResolution`] for one that it lacks.
    pub fn check(&self, config: &VdvaeConfig) -> Result<()> {
        let mut known: Vec<usize> = config.latent_layers().iter().map(|l| l.resolution).collect();
        known.dedup();
        match self.resolutions.keys().find(|&r| !known.contains(r)) {
            Some(&found) => Err(Error::NoResolution { expected: known, found }),
            None => Ok(()),
        }
    }
}

impl From<f64> for Temperature {
    fn from(everywhere: f64) -> Self {
        Self { everywhere, resolutions: BTreeMap::new() }
    }
}

impl FromStr for Temperature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let factor = |text: &str| match text.trim().parse() {
            Ok(factor) if f64::is_finite(factor) && factor >= 0.0 => Ok(factor),
            _ => Err(format!("expected 0 or more, found `{text}`")),
        };
        let (mut everywhere, mut resolutions) = (None, BTreeMap::new());
        for part in text.split(',') {
            let Some((resolution, value)) = part.split_once('=') else {
                if everywhere.replace(factor(part)?).is_some() {
                    return Err(format!("expected one factor for all, found `{text}`"));
                }
                continue;
            };
            let sides = resolution.trim().split_once('x');
            let side = sides.filter(|(a, b)| a == b).and_then(|(side, _)| side.parse().ok());
            let side = side.ok_or_else(|| format!("expected RxR=T, found `{part}`"))?;
            if resolutions.insert(side, factor(value)?).is_some() {
                return Err(format!("expected {side}x{side} once, found `{text}`"));
            }
        }
        Ok(Self { everywhere: everywhere.unwrap_or(1.0), resolutions })
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.everywhere)?;
        self.resolutions.iter().try_for_each(|(r, factor)| write!(f, ",{r}x{r}={factor}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["0.8", "1,4x4=0.5", "0,1x1=1,32x32=0.25"] {
            assert_eq!(text.parse::<Temperature>().unwrap().to_string(), text);
        }
        assert_eq!("32x32=0.5".parse::<Temperature>().unwrap().to_string(), "1,32x32=0.5");
    }

    #[test]
    fn what_is_no_temperature_is_refused() {
        for (text, part) in [
            ("-1", "0 or more"),
            ("nan", "0 or more"),
            ("", "0 or more"),
            ("1,2", "one factor for all"),
            ("4x8=1", "RxR=T"),
            ("4x4=x", "0 or more"),
            ("4x4=1,4x4=1", "4x4 once"),
        ] {
            let error = text.parse::<Temperature>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
