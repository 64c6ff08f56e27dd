//! Reading and writing weights: our single file, and the published PyTorch files.
//!
//! A file is read into memory once and its numbers are copied out once, so that loading takes the
//! size of the file plus that of the weights. No size stated in a file is believed before it is
//! compared with the size of the file itself.

mod dtype;
mod fault;
mod initialise;
mod objects;
mod prefix;
mod recognise;
mod safetensors;
mod torch;
mod torch_legacy;
mod torch_zip;
mod weights;

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use vdvae_io::{Fault, describe};

pub use safetensors::{write_safetensors, write_safetensors_f16, write_weights};
pub use weights::{Array, MAX_LISTED_PROBLEMS, Weights};

use crate::{Error, Result, VdvaeConfig};
use fault::{Parse, in_file};

/// Larger files are not read at all: weights, average and moments of the largest configuration
/// that [`VdvaeConfig::validate`] accepts.
const MAX_FILE_BYTES: u64 = 16 << 30;
/// Enough to tell every kind of file apart.
const MAGIC_BYTES: usize = 1024;

/// The layout of a checkpoint file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointKind {
    /// Ours, or another program's.
    Safetensors,
    /// PyTorch since version 1.6.
    TorchZip,
    /// PyTorch before version 1.6.
    TorchLegacy,
}

impl CheckpointKind {
    /// By the first bytes of a file; None when it is no checkpoint.
    fn detect(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"PK\x03\x04") {
            Some(Self::TorchZip)
        } else if torch_legacy::is_legacy(start) {
            Some(Self::TorchLegacy)
        } else if start.get(8) == Some(&b'{') {
            Some(Self::Safetensors)
        } else {
            None
        }
    }
}

impl fmt::Display for CheckpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (legacy stream)",
        })
    }
}

/// What a checkpoint file holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The file, as errors name it.
    pub file: String,
    /// How it is laid out.
    pub kind: CheckpointKind,
    /// The tensors of its network, in the order of the file and under their published names, without
    /// what training programs put before them (`module.`, `model.`, `ema.`, …); every tensor of a
    /// file that holds no network.
    pub weights: Weights,
    /// The configuration, when the file carries one.
    pub config: Option<VdvaeConfig>,
    /// Metadata entries of a safetensors file other than those that every file of ours has.
    pub metadata: BTreeMap<String, String>,
    /// What was taken of a file that holds more, a line each.
    pub remarks: Vec<String>,
    /// SHA-256 of the file itself, in lower-case hexadecimal.
    pub sha256: String,
}

impl Checkpoint {
    /// Reads the network of a file of any kind, told apart by its first bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Checkpoint`] when it is no checkpoint, or a
    /// damaged or hostile one.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let (bytes, file) = read_file(path.as_ref())?;
        Self::read_bytes(&bytes, &file)
    }

    /// Reads all tensors of a file, under the names that they have there: what a training program needs
    /// to go on.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_whole(path: impl AsRef<Path>) -> Result<Self> {
        let (bytes, file) = read_file(path.as_ref())?;
        Self::parse(&bytes, &file, |weights| Ok((weights, Vec::new())))
    }

    /// Reads the network of a checkpoint from memory; `file` names it in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], as for [`Self::read`].
    pub fn read_bytes(bytes: &[u8], file: &str) -> Result<Self> {
        Self::parse(bytes, file, prefix::unwrap)
    }

    /// `network` takes the network out of all tensors, and says what it left.
    fn parse(
        bytes: &[u8],
        file: &str,
        network: impl Fn(Weights) -> Parse<(Weights, Vec<String>)>,
    ) -> Result<Self> {
        let parse = || {
            let kind = detect(bytes)?;
            let (weights, metadata, remarks) = match kind {
                CheckpointKind::Safetensors => safetensors::read(bytes)?,
                CheckpointKind::TorchZip | CheckpointKind::TorchLegacy => {
                    let zip = kind == CheckpointKind::TorchZip;
                    let read = if zip { torch_zip::read } else { torch_legacy::read };
                    let (weights, remarks) = read(bytes)?;
                    (weights, BTreeMap::new(), remarks)
                }
            };
            let (weights, mut all) = network(weights)?;
            all.extend(remarks);
            Ok((kind, weights, metadata, all))
        };
        let (kind, weights, mut metadata, remarks) =
            parse().map_err(|fault: Fault| in_file(fault, file))?;
        let config = metadata.get("config").map(|json| config_from(json, file)).transpose()?;
        metadata.retain(|key, _| !safetensors::RESERVED.contains(&key.as_str()));
        let sha256 = vdvae_io::sha256(bytes);
        Ok(Self { file: file.to_owned(), kind, weights, config, metadata, remarks, sha256 })
    }

    /// The configuration to build the network from: the file's own, else the given one, else that of
    /// the preset whose parameters have the same names and shapes, as those of published files do.
    ///
    /// # Errors
    /// [`Error::NoConfig`] when there is none of the three, [`Error::ConfigConflict`] when the first
    /// two are there and differ, and whatever [`VdvaeConfig::validate`] finds wrong with the given
    /// one.
    pub fn resolve_config(&self, given: Option<&VdvaeConfig>) -> Result<VdvaeConfig> {
        given.map_or(Ok(()), VdvaeConfig::validate)?;
        match (&self.config, given) {
            (Some(own), Some(given)) => self.same_config(own, given).map(|()| own.clone()),
            (Some(config), None) | (None, Some(config)) => Ok(config.clone()),
            (None, None) => Ok(recognise::recognise(self)?.config()),
        }
    }

    /// Compares the names and shapes of the weights with those of `config`, both ways.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] that lists what is missing, extra or of another shape.
    pub fn check(&self, config: &VdvaeConfig) -> Result<()> {
        self.weights.check_from(config, &self.file)
    }

    /// Fails where a weight is not finite: the network computes nothing with it.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn check_finite(&self) -> Result<()> {
        self.weights.check_finite(&self.file)
    }

    fn same_config(&self, own: &VdvaeConfig, given: &VdvaeConfig) -> Result<()> {
        let json = |config: &VdvaeConfig| serde_json::to_value(config).unwrap_or_default();
        let (own, given) = (json(own), json(given));
        let keys = own.as_object().into_iter().flat_map(|object| object.keys());
        match keys.into_iter().find(|key| own[*key] != given[*key]) {
            None => Ok(()),
            Some(key) => Err(Error::ConfigConflict {
                file: self.file.clone(),
                field: key.clone(),
                expected: given[key].to_string(),
                found: own[key].to_string(),
            }),
        }
    }
}

/// The bytes of a file that begins as a checkpoint does, and its name for errors.
fn read_file(path: &Path) -> Result<(Vec<u8>, String)> {
    let file = path.display().to_string();
    let io = |source| Error::Io { path: path.to_owned(), action: "read", source };
    let details = fs::metadata(path).map_err(io)?;
    if !details.is_file() {
        let found = if details.is_dir() { "a folder" } else { "something else" };
        return Err(in_file(Fault::new("file", "a checkpoint file", found), &file));
    }
    if details.len() > MAX_FILE_BYTES {
        let found = format!("{} bytes", details.len());
        let expected = format!("at most {MAX_FILE_BYTES} bytes");
        return Err(in_file(Fault::new("file", expected, found), &file));
    }
    let mut reader = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    reader.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut bytes).map_err(io)?;
    detect(&bytes).map_err(|fault| in_file(fault, &file))?;
    bytes
        .try_reserve_exact(details.len().saturating_sub(bytes.len() as u64) as usize)
        .map_err(|error| io(io::Error::other(error)))?;
    reader.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io)?;
    Ok((bytes, file))
}

fn detect(start: &[u8]) -> Parse<CheckpointKind> {
    CheckpointKind::detect(start).ok_or_else(|| {
        Fault::new("file", "a safetensors file or a PyTorch checkpoint", describe(start))
    })
}

fn config_from(json: &str, file: &str) -> Result<VdvaeConfig> {
    VdvaeConfig::from_json(json).map_err(|error| {
        let fault = match error {
            Error::Config { field, expected, found } => {
                Fault::new(format!("config: {field}"), expected, found)
            }
            other => Fault::new("metadata config", "a model configuration", other.to_string()),
        };
        in_file(fault, file)
    })
}
