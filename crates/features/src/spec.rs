//! What is read from each layer, how it is pooled, and which layers are kept.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vdvae_model::{LayerShape, VdvaeConfig};

use crate::{Error, Result};

/// The number that stands for a latent, or for what computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Posterior mean, along the path of posterior means.
    #[default]
    Mean,
    /// A posterior sample, along the path of samples.
    Z,
    /// Mean of the prior, along the path of posterior means: what the layers above foretell.
    PriorMean,
    /// Logarithm of the posterior standard deviation.
    LogStd,
    /// Logarithm of the prior standard deviation, along the path of posterior means.
    PriorLogStd,
    /// The decoder's state after the layer's block; of a resolution, and of all layers, that after the
    /// last block of each resolution, which the others are on the way to.
    State,
    /// The encoder's last activation at each resolution; layers play no part.
    Activation,
}

impl Statistic {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Mean, "mean"),
        (Self::Z, "z"),
        (Self::PriorMean, "prior-mean"),
        (Self::LogStd, "log-std"),
        (Self::PriorLogStd, "prior-log-std"),
        (Self::State, "state"),
        (Self::Activation, "activation"),
    ];
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(s, _)| s == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Statistic {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(s, _)| *s).ok_or_else(|| {
            Error::Unknown {
                what: "statistic",
                expected: "mean, z, prior-mean, log-std, prior-log-std, state, activation".into(),
                found: text.into(),
            }
        })
    }
}

/// How a layer's grid becomes columns. In JSON it is text, as its [`Display`](fmt::Display) writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Every position.
    None,
    /// The mean over k × k cells, or over every position where the layer is smaller.
    ///
    /// Cell i of k covers rows ⌊i r / k⌋ to ⌈(i + 1) r / k⌉, as PyTorch's adaptive pooling does.
    Grid(usize),
}

impl Pooling {
    /// One number a channel.
    pub const MEAN: Self = Self::Grid(1);

    /// Cells along one side of a layer of resolution `r`.
    pub fn side(self, r: usize) -> usize {
        match self {
            Self::None => r,
            Self::Grid(k) => k.min(r),
        }
    }
}

impl Default for Pooling {
    /// 4 × 4 cells: on aligned pictures the mean over space throws most of the information away.
    fn default() -> Self {
        Self::Grid(4)
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Grid(1) => f.write_str("mean"),
            Self::Grid(k) => write!(f, "grid:{k}"),
        }
    }
}

impl FromStr for Pooling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let grid = |k: &str| k.parse().ok().filter(|&k| k > 0).map(Self::Grid);
        match text {
            "none" => Some(Self::None),
            "mean" => Some(Self::MEAN),
            _ => text.strip_prefix("grid:").and_then(grid),
        }
        .ok_or_else(|| Error::Unknown {
            what: "pooling",
            expected: "none, mean, grid:K with K at least 1".into(),
            found: text.into(),
        })
    }
}

/// What a table of features holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// The number read from each latent.
    pub statistic: Statistic,
    /// How its grid becomes columns.
    pub pooling: Pooling,
    /// Seed of the samples; used by [`Statistic::Z`] alone.
    pub seed: u64,
    /// Samples averaged, at least 1; more than 1 with [`Statistic::Z`] alone. Sample s follows the
    /// path of its own samples through all layers, and is the same however many follow it.
    pub samples: usize,
}

impl Default for FeatureSpec {
    /// Posterior means on 4 × 4 cells.
    fn default() -> Self {
        let (statistic, pooling) = (Statistic::default(), Pooling::default());
        Self { statistic, pooling, seed: 0, samples: 1 }
    }
}

impl FeatureSpec {
    /// The layers of a network that are read for a selection.
    ///
    /// # Errors
    /// As [`LayerSelection::layers`].
    pub fn layers(
        &self,
        config: &VdvaeConfig,
        selection: LayerSelection,
    ) -> Result<Vec<LayerShape>> {
        let mut layers = selection.layers(config)?;
        let whole = matches!(selection, LayerSelection::All | LayerSelection::Resolution(_));
        if whole && self.statistic == Statistic::State {
            let next: Vec<_> =
                layers.iter().skip(1).map(|l| Some(l.resolution)).chain([None]).collect();
            let mut next = next.into_iter();
            layers.retain(|layer| next.next() != Some(Some(layer.resolution)));
        }
        Ok(layers)
    }

    /// Fails where there is nothing to average.
    ///
    /// # Errors
    /// [`Error::Unknown`] for no sample, or several of a statistic that is no sample.
    pub fn validate(&self) -> Result<()> {
        let expected = match self.statistic {
            Statistic::Z if self.samples > 0 => return Ok(()),
            Statistic::Z => "at least 1".to_owned(),
            _ if self.samples == 1 => return Ok(()),
            other => format!("1 with the statistic {other}, which is not sampled"),
        };
        Err(Error::Unknown { what: "samples", expected, found: self.samples.to_string() })
    }

    /// Seed of one sample's noise. The first has the seed itself; the golden ratio keeps the seeds
    /// of the others apart from those that people choose.
    pub(crate) fn sample_seed(&self, sample: usize) -> u64 {
        self.seed.wrapping_add((sample as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// Layers, counted from 0 at the top (1×1). In JSON it is text, as its [`Display`](fmt::Display)
/// writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerSelection {
    /// Every layer.
    All,
    /// Every layer of one resolution: `32x32`.
    Resolution(usize),
    /// One layer: `17`.
    Layer(usize),
    /// The first n layers from the top: `first:31`.
    First(usize),
}

impl LayerSelection {
    /// Whether a layer belongs to the selection.
    pub fn contains(self, layer: &LayerShape) -> bool {
        match self {
            Self::All => true,
            Self::Resolution(r) => layer.resolution == r,
            Self::Layer(index) => layer.index == index,
            Self::First(n) => layer.index < n,
        }
    }

    /// The resolution all selected layers have, where they have one.
    pub fn resolution(self, config: &VdvaeConfig) -> Option<usize> {
        let mut layers = config.latent_layers().into_iter().filter(|l| self.contains(l));
        let first = layers.next()?.resolution;
        layers.all(|l| l.resolution == first).then_some(first)
    }

    /// The selected layers of a network.
    ///
    /// # Errors
    /// Where there are none; the message lists what the network has.
    pub fn layers(self, config: &VdvaeConfig) -> Result<Vec<LayerShape>> {
        let all = config.latent_layers();
        let count = all.len();
        let enough = match self {
            Self::First(n) => n > 0 && n <= count,
            _ => true,
        };
        let selected: Vec<_> = all.into_iter().filter(|l| self.contains(l)).collect();
        if enough && !selected.is_empty() {
            return Ok(selected);
        }
        let mut resolutions: Vec<_> = config.latent_layers().iter().map(|l| l.resolution).collect();
        resolutions.dedup();
        let resolutions: Vec<_> = resolutions.iter().map(|r| format!("{r}x{r}")).collect();
        Err(Error::Unknown {
            what: "layer",
            expected: format!(
                "{}, all, 0 to {}, or first:1 to first:{count}",
                resolutions.join(", "),
                count - 1
            ),
            found: self.to_string(),
        })
    }
}

impl fmt::Display for LayerSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Resolution(r) => write!(f, "{r}x{r}"),
            Self::Layer(index) => write!(f, "{index}"),
            Self::First(n) => write!(f, "first:{n}"),
        }
    }
}

impl FromStr for LayerSelection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let square = |text: &str| {
            let (a, b) = text.split_once('x')?;
            let (a, b): (usize, usize) = (a.parse().ok()?, b.parse().ok()?);
            (a == b).then_some(Self::Resolution(a))
        };
        let parsed = match text {
            "all" => Some(Self::All),
            _ => square(text)
                .or_else(|| text.strip_prefix("first:")?.parse().ok().map(Self::First))
                .or_else(|| text.parse().ok().map(Self::Layer)),
        };
        parsed.ok_or_else(|| Error::Unknown {
            what: "layer",
            expected: "RxR such as 32x32, all, a layer number, or first:N".into(),
            found: text.into(),
        })
    }
}

/// In files they are the text that users type.
macro_rules! stored_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

stored_as_text!(Pooling, LayerSelection);

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn a_spec_round_trips_through_json() {
        let spec = FeatureSpec { statistic: Statistic::LogStd, ..FeatureSpec::default() };
        let json = json!({"statistic": "log-std", "pooling": "grid:4", "seed": 0, "samples": 1});
        assert_eq!(to_value(spec).unwrap(), json);
        assert_eq!(from_value::<FeatureSpec>(json).unwrap(), spec);
    }

    #[test]
    fn names_round_trip() {
        for text in ["all", "32x32", "17", "first:31"] {
            let selection: LayerSelection = text.parse().unwrap();
            assert_eq!(selection.to_string(), text);
            assert_eq!(to_value(selection).unwrap(), json!(text));
            assert_eq!(from_value::<LayerSelection>(json!(text)).unwrap(), selection);
        }
        let message = from_value::<Pooling>(json!("grid")).unwrap_err().to_string();
        assert_eq!(message, "pooling: expected none, mean, grid:K with K at least 1, found `grid`");
        for text in ["none", "mean", "grid:4"] {
            let pooling: Pooling = text.parse().unwrap();
            assert_eq!(pooling.to_string(), text);
            assert_eq!(from_value::<Pooling>(to_value(pooling).unwrap()).unwrap(), pooling);
        }
        for (statistic, text) in Statistic::ALL {
            assert_eq!(text.parse::<Statistic>().unwrap(), statistic);
            assert_eq!(statistic.to_string(), text);
            assert_eq!(to_value(statistic).unwrap(), json!(text));
        }
        for text in ["", "7x8", "first:", "-1", "32x", "grid:0"] {
            assert!(text.parse::<LayerSelection>().is_err(), "{text}");
            assert!(text.parse::<Pooling>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_samples_can_be_averaged() {
        let of = |statistic, samples| FeatureSpec { statistic, samples, ..FeatureSpec::default() };
        let valid = |statistic, samples| of(statistic, samples).validate();
        assert!(valid(Statistic::Z, 8).is_ok() && valid(Statistic::Mean, 1).is_ok());
        let message = valid(Statistic::LogStd, 2).unwrap_err().to_string();
        let expected = "samples: expected 1 with the statistic log-std, which is not sampled";
        assert_eq!(message, format!("{expected}, found `2`"));
        let message = valid(Statistic::Z, 0).unwrap_err().to_string();
        assert_eq!(message, "samples: expected at least 1, found `0`");
    }

    #[test]
    fn a_layer_the_network_lacks_is_refused_with_a_list() {
        let config = vdvae_model::Preset::Tiny.config();
        let message = LayerSelection::Resolution(7).layers(&config).unwrap_err().to_string();
        assert_eq!(
            message,
            "layer: expected 1x1, 4x4, 8x8, 16x16, all, 0 to 8, or first:1 to first:9, found `7x7`"
        );
        assert!(LayerSelection::First(10).layers(&config).is_err());
        assert_eq!(LayerSelection::First(2).layers(&config).unwrap().len(), 2);
    }
}
