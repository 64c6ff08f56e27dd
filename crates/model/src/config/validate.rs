//! Refuses configurations that describe no network, or one too large to be meant.

use std::{collections::BTreeSet, fmt::Display};

use super::{BlockSpec, VdvaeConfig};
use crate::{Error, Result};

const MAX_IMAGE_SIZE: usize = 4096;
const MAX_WIDTH: usize = 1 << 16;
const MAX_ZDIM: usize = 1 << 12;
const MAX_MIXTURES: usize = 1000;
/// Eight times the largest published model; 4 GiB of float32.
const MAX_PARAMETERS: usize = 1 << 30;

impl VdvaeConfig {
    /// Checks that the configuration describes a network that can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first inconsistency, naming the key, what would be valid and what
    /// is there. After `Ok`, every other method is safe to call: no size overflows and
    /// [`Self::num_parameters`] is at most 2³⁰.
    pub fn validate(&self) -> Result<()> {
        self.check_values()?;
        let encoded = self.check_encoder()?;
        self.check_decoder(&encoded)?;
        self.check_middle_widths(&encoded)?;
        let parameters = self.num_parameters();
        within("parameters in all", parameters, 1, MAX_PARAMETERS)
    }

    fn check_values(&self) -> Result<()> {
        within("image_size", self.image_size, 1, MAX_IMAGE_SIZE)?;
        within("width", self.width, 1, MAX_WIDTH)?;
        within("zdim", self.zdim, 1, MAX_ZDIM)?;
        within("num_mixtures", self.num_mixtures, 1, MAX_MIXTURES)?;
        for (resolution, &width) in &self.custom_width {
            within(&format!("custom_width.{resolution}"), width, 1, MAX_WIDTH)?;
        }
        let width = self.width_at(self.image_size);
        if width != self.width {
            let field = format!("custom_width.{}", self.image_size);
            let expected = format!("width {}, which the picture's resolution has", self.width);
            return Err(problem(field, expected, width));
        }
        if !(self.bottleneck > 0.0 && self.bottleneck <= 4.0) {
            return Err(problem("bottleneck", "a fraction above 0, at most 4", self.bottleneck));
        }
        if !self.shift.is_finite() {
            return Err(problem("shift", "a finite number", self.shift));
        }
        // The network computes in float32: what rounds to zero or infinity there is no scale.
        if !(self.scale as f32).is_normal() {
            return Err(problem("scale", "a finite number other than 0", self.scale));
        }
        Ok(())
    }

    /// Returns the resolutions at which the encoder leaves an activation.
    fn check_encoder(&self) -> Result<BTreeSet<usize>> {
        let mut current = self.image_size;
        let mut encoded = BTreeSet::from([current]);
        for spec in self.enc.specs() {
            let (resolution, rate) = match *spec {
                BlockSpec::Same { resolution, count } => {
                    positive_count("enc", spec, count)?;
                    (resolution, 1)
                }
                BlockSpec::Down { resolution, rate } => (resolution, rate),
                BlockSpec::Mix { .. } => {
                    return Err(problem("enc", "blocks like 32x11 or 32d2", spec));
                }
            };
            if resolution != current {
                let expected = format!("a block at {current}, the resolution reached so far");
                return Err(problem("enc", expected, spec));
            }
            if matches!(spec, BlockSpec::Down { .. }) && (rate < 2 || !current.is_multiple_of(rate))
            {
                let expected = format!("a down rate of 2 or more that divides {current}");
                return Err(problem("enc", expected, spec));
            }
            let next = current / rate;
            if self.width_at(next) < self.width_at(current) {
                let expected =
                    format!("at least {}, the width at {current}", self.width_at(current));
                return Err(problem(format!("width at {next}"), expected, self.width_at(next)));
            }
            current = next;
            encoded.insert(current);
        }
        Ok(encoded)
    }

    fn check_decoder(&self, encoded: &BTreeSet<usize>) -> Result<()> {
        let mut decoded = BTreeSet::new();
        let mut last = 0;
        for spec in self.dec.specs() {
            let resolution = match *spec {
                BlockSpec::Same { resolution, count } => {
                    positive_count("dec", spec, count)?;
                    resolution
                }
                BlockSpec::Mix { resolution, from } => {
                    let grows = decoded.contains(&from) && from < resolution;
                    if !grows || !resolution.is_multiple_of(from) {
                        let expected = format!(
                            "a source below {resolution} that divides it and has been decoded \
                             before ({})",
                            listed(&decoded)
                        );
                        return Err(problem("dec", expected, spec));
                    }
                    resolution
                }
                BlockSpec::Down { .. } => {
                    return Err(problem("dec", "blocks like 32x21 or 32m16", spec));
                }
            };
            if !encoded.contains(&resolution) {
                let expected = format!("a resolution of the encoder ({})", listed(encoded));
                return Err(problem("dec", expected, spec));
            }
            decoded.insert(resolution);
            last = resolution;
        }
        if last != self.image_size {
            let expected = format!("blocks that end at image_size {}", self.image_size);
            return Err(problem("dec", expected, format!("an end at {last}")));
        }
        Ok(())
    }

    fn check_middle_widths(&self, encoded: &BTreeSet<usize>) -> Result<()> {
        for &resolution in encoded {
            if self.mid_at(resolution) == 0 {
                let field = format!("bottleneck at {resolution}");
                let expected = "at least one channel inside a block";
                let found = format!("{} × {}", self.width_at(resolution), self.bottleneck);
                return Err(problem(field, expected, found));
            }
        }
        Ok(())
    }
}

fn problem(field: impl Into<String>, expected: impl Into<String>, found: impl Display) -> Error {
    Error::Config { field: field.into(), expected: expected.into(), found: found.to_string() }
}

fn within(field: &str, value: usize, low: usize, high: usize) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(problem(field, format!("{low} to {high}"), value))
}

fn positive_count(field: &str, spec: &BlockSpec, count: usize) -> Result<()> {
    if count > 0 { Ok(()) } else { Err(problem(field, "one block or more", spec)) }
}

fn listed(resolutions: &BTreeSet<usize>) -> String {
    if resolutions.is_empty() {
        return "none so far".into();
    }
    resolutions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
