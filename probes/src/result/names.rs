//! Names in flags and results.

use serde::{Deserialize, Serialize};

use crate::named::named;

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
    /// Control: histograms of oriented gradients.
    Hog,
    /// Control: latents of the same network with random weights.
    RandomInit,
    /// Control: latents of the network, targets of other images.
    ShuffledLabels,
}

named!(
    "source",
    Source {
        Latents: "latents",
        Pixels: "pixels",
        Pca: "pca",
        Hog: "hog",
        RandomInit: "random-init",
        ShuffledLabels: "shuffled-labels"
    }
);

impl Source {
    /// Whether it is read from the layers of a network, and can be compared layer by layer.
    pub fn has_layers(self) -> bool {
        !matches!(self, Self::Pixels | Self::Pca | Self::Hog)
    }
}

/// What the one number says that stands for how well a probe did.
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

named!("metric", Metric { Auroc: "auroc", Accuracy: "accuracy", R2: "r2" });

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_are_named_alike_everywhere() {
        for &source in Source::ALL {
            assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
            assert_eq!(serde_json::to_value(source).unwrap(), json!(source.name()));
        }
        assert!("raw".parse::<Source>().is_err());
    }

    #[test]
    fn metrics_are_named_alike_everywhere() {
        for &metric in Metric::ALL {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
            assert_eq!(serde_json::to_value(metric).unwrap(), json!(metric.name()));
        }
    }
}
