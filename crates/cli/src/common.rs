//! What every verb shares, and the flags that several have.

use anyhow::{Context, Result};
use candle_core::Device;
use vdvae_model::Precision;

use crate::device::DeviceArgs;
use crate::exit::usage;
use crate::process::{MAX_THREADS, default_threads};

/// Flags that every verb takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Seed of everything random: noise, splits, shuffles [example: --seed 1]
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Threads; 0 takes one for each core [example: --threads 2]
    #[arg(long, global = true, default_value_t = 0, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=MAX_THREADS as i64))]
    pub(crate) threads: u32,
    /// Print the machine-readable result instead of the table [example: --json]
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Compute every convolution directly, without Winograd's transforms: slower, and closer to
    /// the exact result in the sixth digit [example: --exact]
    #[arg(long, global = true)]
    pub(crate) exact: bool,
}

impl Common {
    /// Starts the threads and checks what every verb is told.
    pub(crate) fn set_up(&self) -> Result<()> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(if self.threads == 0 { default_threads() } else { self.threads as usize })
            .build_global()
            .context("cannot start the threads")?;
        vdvae_io::requested_instruction_set().map_err(usage)?;
        self.device.check()?;
        if self.device.is_cpu() {
            self.precision_on(&Device::Cpu)?;
        }
        Ok(())
    }

    /// The numbers asked for, which the device must have, and which the way to compute must suit.
    pub(crate) fn precision_on(&self, device: &Device) -> Result<Precision> {
        let precision = self.device.precision_on(device)?;
        precision.check_exact(self.exact, device).map_err(|error| usage(format!("--{error}")))?;
        Ok(precision)
    }
}

/// How often latents are sampled.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SamplesArg {
    /// Posterior samples averaged, with --statistic z; --seed seeds them [example: --samples 8]
    #[arg(long, default_value_t = 1, value_name = "K",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) samples: u32,
}
