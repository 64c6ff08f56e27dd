//! What decides the features of one source and split, and the name of its entries.

use candle_core::Device;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vdvae_io::{hex, sha256};
use vdvae_model::Vdvae;

use super::entry::Encoding;
use crate::extract::{Extraction, FeatureSource, selection_parts};
use crate::hog;
use crate::{Part, Result, Statistic};

/// Raise it when the same network and pictures give other features than before.
const VERSION: u32 = 1;

/// A source whose network has been hashed.
pub(super) struct KeyedSource<'a> {
    pub(super) source: FeatureSource<'a>,
    /// What a reader would call its model.
    pub(super) name: String,
    /// Of the network, null for pixels.
    model: Value,
    /// Arithmetic of the network.
    precision: Value,
}

impl<'a> KeyedSource<'a> {
    pub(super) fn new(name: &str, source: FeatureSource<'a>) -> Result<Self> {
        let (model, precision) = match &source {
            FeatureSource::Pixels | FeatureSource::Hog => (Value::Null, Value::Null),
            FeatureSource::Latents { model, .. } => {
                let device = match model.device() {
                    Device::Cpu => "cpu",
                    Device::Cuda(_) => "cuda",
                    Device::Metal(_) => "metal",
                };
                let identity = json!({"sha256": hash(model)?, "config": model.config()});
                let precision = json!({
                    "dtype": model.precision(), "device": device, "exact": model.exact(),
                });
                (identity, precision)
            }
        };
        Ok(Self { source, name: name.to_owned(), model, precision })
    }

    /// Everything that decides the features of a split, but for the layers: an entry may hold more
    /// of them than are asked for.
    ///
    /// The instruction set, the batch and the number of threads are not part of it: they change
    /// features by rounding, if at all.
    pub(super) fn identity(&self, extraction: &Extraction<'_>) -> Value {
        let Extraction { dataset, split, preparation, .. } = extraction;
        let spec = match &self.source {
            FeatureSource::Pixels => Value::Null,
            FeatureSource::Hog => json!("hog"),
            FeatureSource::Latents { spec, .. } => {
                // The seed of what is not random changes nothing.
                let sampled = spec.statistic == Statistic::Z;
                json!({
                    "statistic": spec.statistic.to_string(),
                    "pooling": spec.pooling.to_string(),
                    "samples": spec.samples,
                    "seed": if sampled { Some(spec.seed) } else { None },
                })
            }
        };
        json!({
            "version": VERSION,
            "model": self.model,
            "precision": self.precision,
            "features": spec,
            "data": dataset.stamp(),
            "split": split.to_string(),
            "size": preparation.size,
            "exif": preparation.exif.to_string(),
            "crop": preparation.crop.to_string(),
            "resize": preparation.resize.to_string(),
        })
    }

    /// The arrays that are asked for.
    pub(super) fn parts(&self, extraction: &Extraction<'_>) -> Result<Vec<Part>> {
        match &self.source {
            FeatureSource::Pixels => {
                let numbers = extraction.preparation.size.pow(2) * 3;
                Ok(vec![Part { name: "pixels".to_owned(), shape: vec![numbers] }])
            }
            FeatureSource::Hog => {
                let numbers = hog::length(extraction.preparation.size)?;
                Ok(vec![Part { name: "hog".to_owned(), shape: vec![numbers] }])
            }
            FeatureSource::Latents { model, spec, layers } => {
                selection_parts(model.config(), spec, *layers)
            }
        }
    }

    pub(super) fn encoding(&self) -> Encoding {
        match self.source {
            FeatureSource::Pixels => Encoding::Byte,
            FeatureSource::Hog | FeatureSource::Latents { .. } => Encoding::Float,
        }
    }
}

/// SHA-256, in hex, over the names, shapes and values of a network's parameters as they lie in
/// memory.
fn hash(model: &Vdvae) -> Result<String> {
    let mut hash = Sha256::new();
    let parameters = model.parameters();
    for (unit, tensor) in parameters.units().iter().zip(parameters.tensors()) {
        for slot in &unit.slots {
            hash.update(format!("{} {:?};", slot.name, slot.shape));
        }
        for piece in tensor.to_vec1::<f32>()?.chunks(1 << 14) {
            let bytes: Vec<u8> = piece.iter().flat_map(|value| value.to_le_bytes()).collect();
            hash.update(bytes);
        }
    }
    Ok(hex(hash.finalize()))
}

/// The part of a file's name that all entries of an identity share: 64 digits.
pub(super) fn stem(identity: &Value) -> String {
    sha256(identity.to_string())
}

/// The name of an entry of an identity and some arrays.
pub(super) fn file_name(stem: &str, parts: &[Part]) -> String {
    let names: Vec<&str> = parts.iter().map(|part| &part.name[..]).collect();
    format!("{stem}-{}.{EXTENSION}", &sha256(names.join("/"))[..16])
}

const EXTENSION: &str = "safetensors";

/// Whether a file is named as an entry is.
pub(super) fn is_entry(name: &str) -> bool {
    let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_hexdigit());
    let stem = name.strip_suffix(EXTENSION).and_then(|name| name.strip_suffix('.'));
    let halves = stem.and_then(|stem| stem.split_once('-'));
    halves.is_some_and(|(stem, parts)| digits(stem, 64) && digits(parts, 16))
}
