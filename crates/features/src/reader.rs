//! Latents back from a file, to decode them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vdvae_io::NpyHeader;
use vdvae_model::VdvaeConfig;

use crate::writer::FileFormat;
use crate::{Error, Result};

/// Reads `layer.000`, `layer.001`, … from an `.npz` or `.safetensors` file of unpooled latents:
/// the first layers of a network, (N, Z, r, r) each in the file.
///
/// # Shapes
/// - result: (N, r, r, Z) float32 a layer
///
/// # Errors
/// Where the file is none of these, a layer is missing above one that is given, or a shape is not
/// the network's.
pub fn read_layers(path: &Path, config: &VdvaeConfig) -> Result<Vec<Tensor>> {
    let mut arrays = match FileFormat::of(path)? {
        FileFormat::Npz => read_npz(path)?,
        FileFormat::Safetensors => {
            candle_core::safetensors::load(path, &Device::Cpu)?.into_iter().collect()
        }
        FileFormat::Npy => {
            return Err(invalid(path, "an .npz or .safetensors file of layers", "an .npy matrix"));
        }
    };
    let mut layers: Vec<Tensor> = Vec::new();
    for shape in config.latent_layers() {
        let Some(array) = arrays.remove(&format!("layer.{:03}", shape.index)) else { break };
        let n = layers.first().map_or_else(|| array.dims().first().copied(), |l| l.dim(0).ok());
        let (z, r) = (shape.channels, shape.resolution);
        let expected = [n.unwrap_or(0), z, r, r];
        if array.dims() != expected || array.dtype() != DType::F32 {
            let found = format!("{:?} {:?}", array.dtype(), array.dims());
            let expected = format!("layer.{:03}: F32 {expected:?}", shape.index);
            return Err(invalid(path, &expected, &found));
        }
        layers.push(array.permute((0, 2, 3, 1))?.contiguous()?);
    }
    match arrays.keys().next() {
        Some(name) => {
            let next = format!(
                "layer.{:03} of the network's {}",
                layers.len(),
                config.latent_layers().len()
            );
            Err(invalid(path, &next, name))
        }
        None => Ok(layers),
    }
}

fn invalid(path: &Path, expected: &str, found: &str) -> Error {
    let (expected, found) = (expected.to_owned(), found.to_owned());
    Error::File { path: path.to_path_buf(), expected, found }
}

/// Every array of an .npz file whose entries are little-endian float32 in C order.
fn read_npz(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let io = |source| Error::Io { path: path.to_path_buf(), action: "read", source };
    let file = File::open(path).map_err(io)?;
    let mut zip = zip::ZipArchive::new(BufReader::new(file))
        .map_err(|e| invalid(path, "a zip archive", &e.to_string()))?;
    let mut arrays = BTreeMap::new();
    for i in 0..zip.len() {
        let mut entry =
            zip.by_index(i).map_err(|e| invalid(path, "a zip entry", &e.to_string()))?;
        let name = entry.name().map_err(|e| invalid(path, "a name", &e.to_string()))?;
        let name = name.trim_end_matches(".npy").to_owned();
        // A stored entry cannot be larger than the archive, so its size may be believed.
        if entry.compression() != zip::CompressionMethod::Stored {
            return Err(invalid(path, "stored arrays, as numpy.savez writes", "compressed ones"));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|e| invalid(path, &name, &e.to_string()))?;
        let array = read_npy(path, &name, &bytes)?;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// One array of an .npz file.
fn read_npy(path: &Path, name: &str, bytes: &[u8]) -> Result<Tensor> {
    let header = NpyHeader::parse(bytes)
        .map_err(|fault| invalid(path, &format!("{name}: {}", fault.expected), &fault.found))?;
    if header.descr != "<f4" {
        return Err(invalid(path, &format!("{name}: float32 ('<f4')"), &header.descr));
    }
    let data = &bytes[header.data..];
    let count = header.shape.iter().try_fold(4u64, |n, &size| n.checked_mul(size));
    if count != Some(data.len() as u64) {
        let expected = format!("{name}: numbers of shape {:?}", header.shape);
        return Err(invalid(path, &expected, &format!("{} bytes", data.len())));
    }
    let (numbers, _) = data.as_chunks();
    let numbers: Vec<f32> = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let shape: Vec<usize> = header.shape.iter().map(|&size| size as usize).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FeatureWriter, LayerFeatures, Part};

    /// Writes the first layers of the tiny network for two images and reads them back.
    fn round_trip(name: &str, count: usize) -> Result<Vec<Tensor>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let config = vdvae_model::Preset::Tiny.config();
        let (mut parts, mut layers) = (Vec::new(), Vec::new());
        for shape in config.latent_layers().into_iter().take(count) {
            let (z, r) = (shape.channels, shape.resolution);
            parts.push(Part { name: format!("layer.{:03}", shape.index), shape: vec![z, r, r] });
            let values: Vec<f32> = (0..2 * z * r * r).map(|v| v as f32).collect();
            let columns = z * r * r;
            layers.push(LayerFeatures { layer: Some(shape.index), resolution: r, columns, values });
        }
        let mut writer = FeatureWriter::open(&path, parts, "").unwrap();
        writer.append(2, &[0, 1], &layers).unwrap();
        writer.finish("", |_| serde_json::Value::Null).unwrap();
        read_layers(&path, &config)
    }

    #[test]
    fn layers_come_back_as_nhwc() {
        for name in ["a.npz", "a.safetensors"] {
            let layers = round_trip(name, 3).unwrap();
            assert_eq!(layers.len(), 3);
            assert_eq!(layers[1].dims(), [2, 4, 4, 4]);
            // Channel 1 of the first pixel lies one plane of 16 further in the file.
            let first = layers[1].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(first[..2], [0.0, 16.0]);
        }
    }

    #[test]
    fn a_matrix_is_refused() {
        let message = round_trip("a.npy", 2).unwrap_err().to_string();
        assert!(message.contains("expected an .npz or .safetensors file"), "{message}");
    }
}
