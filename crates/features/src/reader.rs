//! Latents back from a file, to decode them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::Value;
use vdvae_model::{LayerShape, VdvaeConfig};

use crate::Result;
use crate::arrays::{ArrayFile, invalid, listed};
use crate::writer::{FileFormat, manifest_path, parquet};

/// Reads unpooled latents: the first layers of a network, as floats of 16 to 64 bits.
///
/// An `.npz` (compressed or not) or `.safetensors` file holds `layer.000`, `layer.001`, …, each (N,
/// Z, r, r) or (N, Z · r · r); a `.parquet` file has lists of so many numbers by these names. A matrix (N, D), of an
/// `.npy` file, alone in another or named by `file`, has the layers side by side, each flattened as
/// PyTorch does; so have the columns of floats of a `.parquet` file without lists. A manifest, beside the
/// file or in a `.parquet` file of ours, must say that it holds latents.
///
/// # Shapes
/// - result: (N, r, r, Z) float32 a layer
///
/// # Errors
/// Where the file is none of these, a layer is missing above one that is given, a shape is not
/// the network's, or a number is not finite.
pub fn read_layers(file: &ArrayFile, config: &VdvaeConfig) -> Result<Vec<Tensor>> {
    let path = &file.path;
    check_manifest(path)?;
    let mut arrays = file.read()?;
    let named_layers = arrays.keys().any(|name| name.starts_with("layer."));
    let layers = match arrays.len() {
        1 if file.array.is_some() || !named_layers => {
            let (name, matrix) = arrays.pop_first().expect("there is one");
            if matrix.rank() != 2 {
                let found = format!("shape {:?}", matrix.dims());
                return Err(invalid(path, &format!("{name}: a matrix (N, columns)"), &found));
            }
            side_by_side(path, &matrix, config)?
        }
        2.. if !named_layers => {
            let expected = "one matrix, or one of several by its name as in `FILE.npz:NAME`";
            return Err(invalid(path, expected, &listed(&arrays.keys().collect::<Vec<_>>())));
        }
        _ => by_name(path, &mut arrays, config)?,
    };
    if let Some(name) = arrays.keys().next() {
        let (next, all) = (layers.len(), config.latent_layers().len());
        return Err(invalid(path, &format!("layer.{next:03} of the network's {all}"), name));
    }
    if layers.is_empty() {
        return Err(invalid(path, "layer.000, or one matrix", "none"));
    }
    for (index, layer) in layers.iter().enumerate() {
        check_finite(path, index, layer)?;
    }
    let nhwc = |layer: &Tensor| Ok(layer.permute((0, 2, 3, 1))?.contiguous()?);
    layers.iter().map(nhwc).collect()
}

/// What a file of ours says of itself, in its manifest.
fn check_manifest(path: &Path) -> Result<()> {
    let (place, text) = match FileFormat::of(path)? {
        FileFormat::Parquet => (path.to_owned(), parquet::manifest(path)?.map(String::into_bytes)),
        _ => (manifest_path(path), fs::read(manifest_path(path)).ok()),
    };
    let Some(text) = text else { return Ok(()) };
    let manifest: Value = serde_json::from_slice(&text)
        .map_err(|error| invalid(&place, "a manifest in JSON", &error.to_string()))?;
    let says = |key: &str| manifest[key].as_str().unwrap_or_default();
    if says("format") != "vdvae-features" {
        return Ok(());
    }
    match (says("statistic"), says("pool")) {
        ("mean" | "z", "none") => Ok(()),
        (statistic, "none") => {
            let found = format!("{statistic} in its manifest");
            Err(invalid(path, "latents: the statistic mean or z", &found))
        }
        (_, pool) => Err(invalid(
            path,
            "latents that are not pooled",
            &format!("pooling {pool} in its manifest"),
        )),
    }
}

/// Takes `layer.000` and on out of the arrays.
fn by_name(
    path: &Path,
    arrays: &mut BTreeMap<String, Tensor>,
    config: &VdvaeConfig,
) -> Result<Vec<Tensor>> {
    let mut layers: Vec<Tensor> = Vec::new();
    for shape in config.latent_layers() {
        let Some(array) = arrays.remove(&format!("layer.{:03}", shape.index)) else { break };
        let n = layers.first().map_or_else(|| array.dims().first().copied(), |l| l.dim(0).ok());
        let (z, r) = (shape.channels, shape.resolution);
        let expected = [n.unwrap_or(0), z, r, r];
        // Lists of Parquet's have no shape.
        let flat = array.dims() == [expected[0], z * r * r];
        let array = if flat { array.reshape(&expected)? } else { array };
        if array.dims() != expected || !array.dtype().is_float() {
            let found = format!("{:?} {:?}", array.dtype(), array.dims());
            let expected = format!("layer.{:03}: floats {expected:?}", shape.index);
            return Err(invalid(path, &expected, &found));
        }
        layers.push(array.to_dtype(DType::F32)?);
    }
    Ok(layers)
}

/// Cuts a matrix into the layers whose columns it has.
fn side_by_side(path: &Path, matrix: &Tensor, config: &VdvaeConfig) -> Result<Vec<Tensor>> {
    let (n, found) = matrix.dims2()?;
    let columns = |shape: &LayerShape| shape.channels * shape.resolution.pow(2);
    let mut layers = Vec::new();
    let mut start = 0;
    for shape in config.latent_layers() {
        let width = columns(&shape);
        if start + width > found {
            break;
        }
        let (z, r) = (shape.channels, shape.resolution);
        layers.push(matrix.narrow(1, start, width)?.reshape((n, z, r, r))?);
        start += width;
    }
    if start == found {
        return Ok(layers);
    }
    let (count, next) = (layers.len(), config.latent_layers().get(layers.len()).map(columns));
    let more = next.map_or(String::new(), |width| format!(", or {} for one more", start + width));
    let expected = format!("{start} columns for the first {count} layers{more}");
    Err(invalid(path, &expected, &format!("{found} columns")))
}

fn check_finite(path: &Path, index: usize, layer: &Tensor) -> Result<()> {
    let values = layer.flatten_all()?.to_vec1::<f32>()?;
    let Some(at) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let row = at / (values.len() / layer.dim(0)?);
    let expected = format!("finite numbers in layer {index}");
    Err(invalid(path, &expected, &format!("{} in row {row}", values[at])))
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
        let faces = vdvae_datasets::ToyFaces::with_people(0, [1, 1, 1]);
        let manifest = serde_json::json!({});
        writer.finish("", manifest, &faces, vdvae_datasets::Split::Test).unwrap();
        read_layers(&path.into(), &config)
    }

    #[test]
    fn layers_come_back_as_nhwc() {
        for name in ["a.npz", "a.safetensors", "a.parquet"] {
            let layers = round_trip(name, 3).unwrap();
            assert_eq!(layers.len(), 3);
            assert_eq!(layers[1].dims(), [2, 4, 4, 4]);
            // Channel 1 of the first pixel lies one plane of 16 further in the file.
            let first = layers[1].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(first[..2], [0.0, 16.0]);
        }
    }

    #[test]
    fn a_matrix_is_cut_into_the_layers_that_it_has() {
        let layers = round_trip("a.npy", 3).unwrap();
        let named = round_trip("a.npz", 3).unwrap();
        assert_eq!(layers.len(), 3);
        for (layer, named) in layers.iter().zip(&named) {
            assert_eq!(layer.dims(), named.dims());
            let numbers = |layer: &Tensor| layer.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(numbers(layer), numbers(named));
        }
    }

    fn read(name: &str, bytes: &[u8], manifest: Option<&str>) -> Result<Vec<Tensor>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        if let Some(manifest) = manifest {
            fs::write(manifest_path(&path), manifest).unwrap();
        }
        read_layers(&path.into(), &vdvae_model::Preset::Tiny.config())
    }

    /// Layer 0 of the tiny network, (2, 4, 1, 1), in a file of numpy's.
    fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
        [&vdvae_io::npy_header(descr, shape), data].concat()
    }

    fn npz(name: &str, array: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        let options = options.compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(array).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_do_not_grow_without_bound() {
        let zeros = vec![0; 300 << 20];
        let text = read("a.npz", &npz("layer.000", &zeros), None).unwrap_err().to_string();
        assert!(text.contains("layer.000: at most") && text.ends_with("found more"), "{text}");
    }

    #[test]
    fn floats_of_every_size_compressed_or_not_are_read() {
        let expected = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let f64s: Vec<u8> =
            expected.iter().flat_map(|v: &f32| f64::from(*v).to_le_bytes()).collect();
        let f16s = [0u16, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700];
        let f16s: Vec<u8> = f16s.iter().flat_map(|v| v.to_be_bytes()).collect();
        let files = [
            ("a.npz", npz("layer.000", &npy("<f8", &[2, 4, 1, 1], &f64s))),
            ("a.npz", npz("layer.000", &npy(">f2", &[2, 4, 1, 1], &f16s))),
            ("a.npz", npz("predicted", &npy("<f8", &[2, 4], &f64s))),
            ("a.npy", npy(">f2", &[2, 4], &f16s)),
        ];
        for (name, bytes) in files {
            let layers = read(name, &bytes, None).unwrap();
            assert_eq!(layers.len(), 1);
            assert_eq!(layers[0].dims(), [2, 1, 1, 4]);
            assert_eq!(layers[0].flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
        }
        // Fortran order: the rows are those of the transpose.
        let mut fortran = npy("<f8", &[2, 4], &f64s);
        let at = fortran.windows(5).position(|text| text == b"False").unwrap();
        fortran[at..at + 5].copy_from_slice(b"True ");
        let layers = read("a.npy", &fortran, None).unwrap();
        let found = layers[0].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(found, [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    }

    #[test]
    fn what_is_no_latents_is_refused() {
        let message = |name: &str, bytes: &[u8], manifest: Option<&str>| {
            read(name, bytes, manifest).unwrap_err().to_string()
        };
        let good = npy("<f4", &[1, 4], &[0; 16]);
        let says = |statistic: &str, pool: &str| {
            format!(
                r#"{{"format": "vdvae-features", "statistic": "{statistic}", "pool": "{pool}"}}"#
            )
        };
        for statistic in ["mean", "z"] {
            assert!(read("a.npy", &good, Some(&says(statistic, "none"))).is_ok());
        }
        let text = message("a.npy", &good, Some(&says("log-std", "none")));
        assert!(text.ends_with("the statistic mean or z, found log-std in its manifest"), "{text}");
        let text = message("a.npy", &good, Some(&says("mean", "grid:4")));
        assert!(text.ends_with("not pooled, found pooling grid:4 in its manifest"), "{text}");
        assert!(message("a.npy", &good, Some("{")).contains("a manifest in JSON"));
        let text = message("a.npy", &npy("<f4", &[1, 5], &[0; 20]), None);
        assert!(text.contains("4 columns for the first 1 layers, or 68 for one more"), "{text}");
        assert!(text.ends_with("found 5 columns"), "{text}");
        let infinite = [[0; 20].as_slice(), &f32::INFINITY.to_le_bytes(), &[0; 8]].concat();
        let text = message("a.npy", &npy("<f4", &[2, 4], &infinite), None);
        assert!(text.contains("finite numbers in layer 0, found inf in row 1"), "{text}");
        assert!(message("a.npy", &npy("<i4", &[1, 4], &[0; 16]), None).contains("floats"));
        assert!(message("a.npy", &npy("<f4", &[2, 4], &[0; 16]), None).contains("16 bytes"));
        let text = message("a.safetensors", &[0; 9], None);
        assert!(
            text.contains("a.safetensors: expected a whole safetensors file, found "),
            "{text}"
        );
        let other = npz("layer.001", &npy("<f4", &[1, 4], &[0; 16]));
        assert!(message("a.npz", &other, None).contains("layer.000 of the network's 9"));
    }
}
