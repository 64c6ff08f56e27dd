//! The network that flags ask for.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Device;
use vdvae_model::{Checkpoint, Preset, Vdvae, VdvaeConfig};
use vdvae_probes::SavedProbe;

use crate::common::Common;
use crate::download::find_checkpoint;
use crate::exit::usage;

/// Which network to load.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArgs {
    /// Checkpoint: a .safetensors file of ours, a published PyTorch .th file, hf:OWNER/REPO[/FILE],
    /// or a name: NAME.safetensors in $VDVAE_WEIGHTS or in a folder `weights` in or above this one, or
    /// what `vdvae fetch` brought; the built-in model without it [example: --checkpoint faces32]
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// The configuration of a checkpoint that does not carry its own and is none of the published ones.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct NetworkArgs {
    /// A published or built-in configuration [example: --preset imagenet64]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub(crate) preset: Option<Preset>,
    /// A configuration as JSON [example: --config config.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl NetworkArgs {
    /// The configuration asked for, if any.
    pub(crate) fn config(&self) -> Result<Option<VdvaeConfig>> {
        if let Some(preset) = self.preset {
            return Ok(Some(preset.config()));
        }
        let Some(path) = &self.config else { return Ok(None) };
        let config = VdvaeConfig::read(path).map_err(|error| match error {
            // What is wrong with a value is said without the file it came from.
            vdvae_model::Error::Config { .. } => {
                anyhow::Error::new(error).context(path.display().to_string())
            }
            other => other.into(),
        })?;
        Ok(Some(config))
    }
}

/// A network and what identifies it.
pub(crate) struct LoadedModel {
    pub(crate) model: Vdvae,
    /// Checkpoint's file name, or `built-in`.
    pub(crate) name: String,
    /// SHA-256 of the weights file.
    pub(crate) sha256: String,
}

impl LoadedModel {
    /// Fails where a probe was trained on the features of another network.
    pub(crate) fn check_probe(&self, probe: &SavedProbe, path: &Path) -> Result<()> {
        let (found, features) = (&self.sha256, &probe.info.features);
        if *found == features.sha256 {
            return Ok(());
        }
        Err(usage(format!(
            "{}: expected the network {} with sha256 {}, found {} with {found}; use --checkpoint",
            path.display(),
            features.network,
            features.sha256,
            self.name
        )))
    }
}

/// A checkpoint that holds the weights of a configuration.
pub(crate) struct ReadCheckpoint {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) config: VdvaeConfig,
    /// The file's name, or `built-in`.
    pub(crate) name: String,
}

/// Reads a checkpoint, and says what was taken of it.
pub(crate) fn read_checkpoint(path: &Path, network: &NetworkArgs) -> Result<ReadCheckpoint> {
    let given = network.config()?;
    let path = find_checkpoint(path)?;
    let checkpoint = Checkpoint::read(&path)?;
    for remark in &checkpoint.remarks {
        eprintln!("note: {}: {remark}", path.display());
    }
    let config = checkpoint.resolve_config(given.as_ref()).map_err(usage_if_no_config)?;
    // Here, where the file's name is known to the message.
    checkpoint.check(&config)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(ReadCheckpoint { checkpoint, config, name })
}

/// A missing configuration is a missing flag.
pub(crate) fn usage_if_no_config(error: vdvae_model::Error) -> anyhow::Error {
    match error {
        vdvae_model::Error::NoConfig { .. } => {
            usage(format!("{error}; --preset NAME or --config FILE says what it is"))
        }
        other => other.into(),
    }
}

impl ModelArgs {
    /// The network asked for, or the built-in one, where and in the numbers asked for.
    pub(crate) fn load(&self, common: &Common) -> Result<LoadedModel> {
        let device = common.device.open()?;
        common.precision_on(&device)?;
        let LoadedModel { model, name, sha256 } = self.load_on(&device)?;
        let model = common.device.in_precision(model)?.with_exact(common.exact);
        Ok(LoadedModel { model, name, sha256 })
    }

    /// The same on a device, in float32.
    fn load_on(&self, device: &Device) -> Result<LoadedModel> {
        let ReadCheckpoint { checkpoint, config, name } = self.read()?;
        checkpoint.check_finite()?;
        Ok(LoadedModel {
            model: Vdvae::new(&config, &checkpoint.weights, device)?,
            name,
            sha256: checkpoint.sha256,
        })
    }

    /// The checkpoint asked for, or the built-in one.
    pub(crate) fn read(&self) -> Result<ReadCheckpoint> {
        match &self.checkpoint {
            Some(path) => read_checkpoint(path, &self.network),
            None if self.network.preset.is_some() || self.network.config.is_some() => Err(usage(
                "--preset and --config describe a checkpoint: expected --checkpoint FILE",
            )),
            None => {
                let checkpoint = vdvae_model::builtin_checkpoint()?;
                let config = checkpoint.resolve_config(None)?;
                Ok(ReadCheckpoint { checkpoint, config, name: "built-in".into() })
            }
        }
    }
}
