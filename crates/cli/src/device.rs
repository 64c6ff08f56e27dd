//! Where the network runs, in which numbers, and what to do where memory does not suffice.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result};
use candle_core::Device;
use vdvae_model::{Precision, Vdvae};

use crate::exit::{causes, usage};

/// Flags that every verb takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeviceArgs {
    /// Where the network runs: the CPU, or an NVIDIA GPU in builds with CUDA [default: cuda where
    /// there is one, else cpu] [example: --device cuda:1]
    #[arg(long, global = true, value_name = "cpu|cuda[:N]")]
    device: Option<Place>,
    /// Numbers the network computes in; tf32 is for GPUs, bf16 gains on GPUs and on processors with
    /// AMX [default: f32] [example: --precision bf16]
    #[arg(long, global = true, value_name = "f32|tf32|bf16")]
    pub(crate) precision: Option<Precision>,
}

/// What `--device` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let gpu = |number: &str| number.parse().ok().map(Self::Cuda);
        match (text, text.strip_prefix("cuda:").and_then(gpu)) {
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(place)) => Ok(place),
            _ => Err(format!("expected cpu, cuda or cuda:N, found `{text}`")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl DeviceArgs {
    /// Finds the mistakes that need no GPU to be seen.
    pub(crate) fn check(&self) -> Result<()> {
        let built = cfg!(feature = "cuda");
        match self.device {
            Some(place @ Place::Cuda(_)) if !built => Err(usage(format!(
                "--device {place}: this build has no CUDA support: expected cpu, or a build with \
                 --features cuda,cudnn"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether it is the CPU, before any device was opened.
    pub(crate) fn is_cpu(&self) -> bool {
        match self.device {
            Some(place) => place == Place::Cpu,
            None => !cfg!(feature = "cuda"),
        }
    }

    /// The device asked for. Where nothing was, and a build with CUDA can use no GPU, a line says why.
    pub(crate) fn open(&self) -> Result<Device> {
        match self.device {
            Some(Place::Cpu) => Ok(Device::Cpu),
            Some(place @ Place::Cuda(number)) => {
                gpu(number).with_context(|| format!("--device {place}"))
            }
            None if !cfg!(feature = "cuda") => Ok(Device::Cpu),
            None => Ok(gpu(0).unwrap_or_else(|error| {
                eprintln!("running on the CPU: {}", causes(&error));
                Device::Cpu
            })),
        }
    }

    /// The numbers asked for, which the device must have.
    pub(crate) fn precision_on(&self, device: &Device) -> Result<Precision> {
        let precision = self.precision.unwrap_or_default();
        precision.check(device).map_err(|error| usage(format!("--{error}")))?;
        Ok(precision)
    }

    /// A network that computes in the numbers asked for.
    pub(crate) fn in_precision(&self, model: Vdvae) -> Result<Vdvae> {
        let precision = self.precision_on(model.device())?;
        Ok(model.with_precision(precision)?)
    }
}

#[cfg(feature = "cuda")]
fn gpu(number: usize) -> Result<Device> {
    Ok(vdvae_model::cuda_device(number)?)
}

#[cfg(not(feature = "cuda"))]
fn gpu(_number: usize) -> Result<Device> {
    anyhow::bail!("this build has no CUDA support")
}

/// A device as `--device` names it.
pub(crate) fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        _ => "cpu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_round_trip() {
        for (text, place) in [("cpu", Place::Cpu), ("cuda:0", Place::Cuda(0))] {
            assert_eq!((text.parse(), place.to_string()), (Ok(place), text.to_owned()));
        }
        assert_eq!("cuda".parse(), Ok(Place::Cuda(0)));
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            bad.parse::<Place>().unwrap_err();
        }
    }
}
