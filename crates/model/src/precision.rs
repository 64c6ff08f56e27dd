//! The numbers that a network computes in.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::error::named;
use crate::{Error, Result};

/// The numbers that a network computes in. Parameters, gradients of parameters and sums are float32
/// in any case, and so is what a network hands out: latents, likelihoods, the mixture's logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32 everywhere.
    #[default]
    F32,
    /// float32, but products and convolutions round their operands to TensorFloat-32, ten bits of
    /// mantissa, for tensor cores. On a GPU only.
    Tf32,
    /// Products and convolutions take operands in bfloat16, eight significant bits, and sum in
    /// float32. On a GPU all activations are bfloat16, and the few products that stay in float32 are
    /// as in [`Self::Tf32`]. On a CPU the states that blocks add to stay float32, and so does the
    /// output layer.
    Bf16,
}

impl Precision {
    /// Every precision, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Tf32, Self::Bf16];

    /// Fails where a device does not compute in these numbers.
    ///
    /// # Errors
    /// [`Error::Precision`]: a CPU has no TensorFloat-32.
    pub fn check(self, device: &Device) -> Result<()> {
        match self != Self::Tf32 || device.is_cuda() {
            true => Ok(()),
            false => Err(Error::Precision { found: self }),
        }
    }

    /// Fails where convolutions were asked to be exact ([`crate::Vdvae::with_exact`]) in numbers that
    /// are not: in bfloat16 on a CPU, where nothing is left for it to change.
    ///
    /// # Errors
    /// [`Error::ExactBf16`].
    pub fn check_exact(self, exact: bool, device: &Device) -> Result<()> {
        match exact && self == Self::Bf16 && device.is_cpu() {
            true => Err(Error::ExactBf16),
            false => Ok(()),
        }
    }

    /// The type of activations between operators.
    pub(crate) fn activations(self, device: &Device) -> DType {
        match self {
            Self::Bf16 if device.is_cuda() => DType::BF16,
            Self::F32 | Self::Tf32 | Self::Bf16 => DType::F32,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        named("precision", &Self::ALL, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_round_trip() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
            assert_eq!(serde_json::json!(precision), precision.to_string());
        }
        let message = "f16".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(message, "unknown precision f16: expected one of f32, tf32, bf16");
    }

    #[test]
    fn a_cpu_has_no_tf32() {
        Precision::F32.check(&Device::Cpu).unwrap();
        Precision::Bf16.check(&Device::Cpu).unwrap();
        let message = Precision::Tf32.check(&Device::Cpu).unwrap_err().to_string();
        assert_eq!(
            message,
            "precision: expected f32 or bf16 on the CPU, found tf32: it needs a GPU"
        );
    }
}
