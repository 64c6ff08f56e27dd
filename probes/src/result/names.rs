//! Names in flags and results.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where features came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Latents of the network.
    #[default]
    Latents,
    /// Control: the pixels the network sees.
    Pixels,
    /// Control: principal components of the pixels.
    Pca,
    /// Control: latents of the same network with random weights.
    RandomInit,
    /// Control: latents of the network, targets of other images.
    ShuffledLabels,
}

impl Source {
    const ALL: [Self; 5] =
        [Self::Latents, Self::Pixels, Self::Pca, Self::RandomInit, Self::ShuffledLabels];

    /// The name in flags and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latents => "latents",
            Self::Pixels => "pixels",
            Self::Pca => "pca",
            Self::RandomInit => "random-init",
            Self::ShuffledLabels => "shuffled-labels",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|source| source.name() == name);
        found.ok_or_else(|| Error::UnknownName {
            what: "source",
            expected: "latents, pixels, pca, random-init, shuffled-labels",
            found: name.to_owned(),
        })
    }
}

/// What one number says how well a probe did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Of binary targets: the mean area under their receiver operating characteristics.
    #[default]
    Auroc,
    /// Of classes, episodes and pairs: the share of right answers.
    Accuracy,
    /// Of real targets: the mean coefficient of determination.
    R2,
}

impl Metric {
    /// The name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auroc => "auroc",
            Self::Accuracy => "accuracy",
            Self::R2 => "r2",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_are_named_alike_everywhere() {
        for source in Source::ALL {
            assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
            assert_eq!(serde_json::to_value(source).unwrap(), json!(source.name()));
        }
        assert!("raw".parse::<Source>().is_err());
    }

    #[test]
    fn metrics_are_named_alike_everywhere() {
        for metric in [Metric::Auroc, Metric::Accuracy, Metric::R2] {
            assert_eq!(serde_json::to_value(metric).unwrap(), json!(metric.name()));
        }
    }
}
