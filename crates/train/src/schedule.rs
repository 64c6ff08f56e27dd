//! How the learning rate goes on after the warm-up.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The learning rate over a run, as a factor of its largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Always 1, as published.
    #[default]
    Constant,
    /// Half a cosine from 1 at the first step to 0 after the last (Loshchilov and Hutter,
    /// arXiv 1608.03983, without restarts): for runs whose length is fixed from the start.
    Cosine,
}

impl Schedule {
    /// The factor of a step, counted from 0, in a run of `steps`.
    pub fn factor(self, step: u64, steps: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => {
                let done = step.min(steps) as f64 / steps.max(1) as f64;
                (1.0 + (PI * done).cos()) / 2.0
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Cosine => "cosine",
        })
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "constant" => Ok(Self::Constant),
            "cosine" => Ok(Self::Cosine),
            _ => Err(Error::Config {
                field: "schedule",
                expected: "constant or cosine".into(),
                found: format!("`{text}`"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainConfig;
    use vdvae_model::Preset;

    #[test]
    fn warm_up_is_linear_from_zero() {
        let config = TrainConfig {
            warmup_steps: 100,
            learning_rate: 2e-4,
            ..TrainConfig::preset(Preset::Cifar10)
        };
        let at = |step| config.learning_rate_at(step);
        assert_eq!((at(0), at(50), at(100), at(5_000)), (0.0, 1e-4, 2e-4, 2e-4));
        let config = TrainConfig { warmup_steps: 0, ..config };
        assert_eq!(config.learning_rate_at(0), 2e-4);
    }

    #[test]
    fn cosine_falls_from_one_to_zero() {
        let at = |step| Schedule::Cosine.factor(step, 300);
        assert_eq!((at(0), at(300), at(400)), (1.0, 0.0, 0.0));
        // cos(π/3) = 1/2 and cos(2π/3) = −1/2.
        assert!((at(100) - 0.75).abs() < 1e-12 && (at(200) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn names_round_trip() {
        for schedule in [Schedule::Constant, Schedule::Cosine] {
            assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
        }
        let error = "linear".parse::<Schedule>().unwrap_err().to_string();
        assert_eq!(error, "train: schedule: expected constant or cosine, found `linear`");
    }
}
