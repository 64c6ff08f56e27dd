//! Writing and reading the file.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use ndarray::{Array1, Array2};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ProbeInfo, SavedProbe, TargetKind};
use crate::probe::Linear;
use crate::standardise::Standardiser;
use crate::{Error, Result};

/// The metadata entry.
const KEY: &str = "vdvae-probe";
const VERSION: u32 = 2;
/// Largest file read: a thousand classes on a hundred thousand columns, and room.
const MOST_BYTES: u64 = 1 << 30;

/// The JSON of the metadata entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    info: ProbeInfo,
    /// SHA-256, in hex, of this JSON with an empty hash and of all tensors in order.
    sha256: String,
}

/// What a file should hold, and holds.
struct Fault {
    expected: String,
    found: String,
}

fn fault<T>(expected: impl Into<String>, found: impl Into<String>) -> Result<T, Fault> {
    // Whatever stands in a file, a message is one short line.
    let found: String =
        found.into().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Err(Fault { expected: expected.into(), found: found.chars().take(200).collect() })
}

impl SavedProbe {
    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let io = |source| Error::Io { path: path.to_owned(), action: "write", source };
        let bytes = self.to_bytes().map_err(|source| io(io::Error::other(source)))?;
        vdvae_io::write(path, bytes).map_err(io)
    }

    /// Reads a file written by [`SavedProbe::save`], and nothing else.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::File`] where it is anything but a whole
    /// probe.
    pub fn load(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), action: "read", source };
        let length = fs::metadata(path).map_err(io)?.len();
        let parsed = match length <= MOST_BYTES {
            true => Self::from_bytes(&fs::read(path).map_err(io)?),
            false => fault(format!("a probe of at most {MOST_BYTES} bytes"), length.to_string()),
        };
        parsed.map_err(|Fault { expected, found }| {
            let path = path.to_owned();
            Error::File { path, expected, found }
        })
    }

    fn tensors(&self) -> [(&'static str, Vec<usize>, Vec<u8>); 5] {
        let Linear { standardiser, weights, intercept, .. } = &self.linear;
        let bytes = |values: &mut dyn Iterator<Item = &f64>| {
            values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()
        };
        let columns = vec![weights.ncols()];
        [
            ("deviation", columns.clone(), bytes(&mut standardiser.deviation.iter())),
            ("intercept", vec![intercept.len()], bytes(&mut intercept.iter())),
            ("mean", columns, bytes(&mut standardiser.mean.iter())),
            ("pattern", self.pattern.shape().to_vec(), bytes(&mut self.pattern.iter())),
            ("weights", vec![weights.nrows(), weights.ncols()], bytes(&mut weights.iter())),
        ]
    }

    fn to_bytes(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let tensors = self.tensors();
        let mut header =
            Header { version: VERSION, info: self.info.clone(), sha256: String::new() };
        header.sha256 = hash(&header, tensors.iter().map(|(_, _, bytes)| &bytes[..]))?;
        let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&header)?)]);
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((*name, TensorView::new(Dtype::F64, shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let whole = "a whole safetensors file";
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).or_else(|error| fault(whole, error.to_string()))?;
        let tensors =
            SafeTensors::deserialize(bytes).or_else(|error| fault(whole, error.to_string()))?;
        let Some(json) = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY)) else {
            return fault("a saved probe (metadata `vdvae-probe`)", "another safetensors file");
        };
        let version = format!("a probe of version {VERSION}");
        let mut header: Header =
            serde_json::from_str(json).or_else(|error| fault(&version, error.to_string()))?;
        if header.version != VERSION {
            return fault(version, format!("version {}", header.version));
        }
        let info = header.info.clone();
        let outputs = info.targets.len();
        if info.strengths.len() != outputs {
            let found = info.strengths.len().to_string();
            return fault(format!("{outputs} strengths, one a target"), found);
        }
        let mut names = tensors.names();
        names.sort_unstable();
        let expected = ["deviation", "intercept", "mean", "pattern", "weights"];
        if names != expected {
            return fault(format!("tensors {}", expected.join(", ")), names.join(", "));
        }
        let columns = tensors.tensor("mean").map_or(0, |mean| mean.shape().iter().product());
        let read = |name: &str, shape: &[usize]| tensor(&tensors, name, shape);
        let (mean, deviation) = (read("mean", &[columns])?, read("deviation", &[columns])?);
        let (weights, intercept) =
            (read("weights", &[outputs, columns])?, read("intercept", &[outputs])?);
        let pattern = read("pattern", &[outputs, columns])?;
        let stated = std::mem::take(&mut header.sha256);
        let data = expected.iter().filter_map(|name| tensors.tensor(name).ok());
        let computed = hash(&header, data.map(|tensor| tensor.data()))
            .or_else(|error| fault("a header", error.to_string()))?;
        if stated != computed {
            return fault(format!("content with hash {computed}"), stated);
        }
        check_numbers(&info, &mean, &deviation, &weights, &intercept)?;
        if let Some(value) = pattern.iter().find(|value| !value.is_finite()) {
            return fault("a finite pattern", value.to_string());
        }
        let matrix = |name: &str, values| {
            Array2::from_shape_vec((outputs, columns), values)
                .or_else(|error| fault(name, error.to_string()))
        };
        let linear = Linear {
            standardiser: Standardiser {
                mean: Array1::from_vec(mean),
                deviation: Array1::from_vec(deviation),
            },
            weights: matrix("weights", weights)?,
            intercept: Array1::from_vec(intercept),
            softmax: info.kind == TargetKind::Classes && info.probe == "logistic",
        };
        Ok(Self { info, linear, pattern: matrix("pattern", pattern)? })
    }
}

/// One tensor of float64 of a known shape.
fn tensor(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f64>, Fault> {
    let view = tensors.tensor(name).or_else(|error| fault(name, error.to_string()))?;
    if view.dtype() != Dtype::F64 || view.shape() != shape {
        let found = format!("{:?} {:?}", view.dtype(), view.shape());
        return fault(format!("{name}: F64 {shape:?}"), found);
    }
    let (numbers, _) = view.data().as_chunks();
    Ok(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

fn check_numbers(
    info: &ProbeInfo,
    mean: &[f64],
    deviation: &[f64],
    weights: &[f64],
    intercept: &[f64],
) -> Result<(), Fault> {
    if !matches!(&info.probe[..], "logistic" | "ridge") {
        return fault("probe logistic or ridge", info.probe.clone());
    }
    if let Some(value) = mean.iter().chain(weights).find(|value| !value.is_finite()) {
        return fault("finite means and weights", value.to_string());
    }
    if let Some(value) = deviation.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
        return fault("deviations above 0", value.to_string());
    }
    // NaN stands for a target that could not be fitted, -∞ for a class without training rows.
    let allowed = |value: &f64| value.is_finite() || value.is_nan() || *value == f64::NEG_INFINITY;
    if let Some(value) = intercept.iter().find(|value| !allowed(value)) {
        return fault("intercepts below infinity", value.to_string());
    }
    Ok(())
}

fn hash<'a>(
    header: &Header,
    tensors: impl Iterator<Item = &'a [u8]>,
) -> Result<String, serde_json::Error> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(header)?);
    tensors.for_each(|bytes| hash.update(bytes));
    Ok(vdvae_io::hex(hash.finalize()))
}
