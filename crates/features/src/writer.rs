//! Feature files: streamed to disk part by part, resumable, and whole or absent.
//!
//! Rows are appended to one file a part in `OUT.partial/`, with a note of how many are complete.
//! A run that was stopped continues there; [`FeatureWriter::finish`] assembles the parts into the
//! file asked for, which appears under its name only when it is complete and on disk.

pub(crate) mod parquet;
mod rows;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vdvae_datasets::{Dataset, Split};
use vdvae_io::npy_header;

use self::rows::Rows;
use crate::{Error, LayerFeatures, Result};

/// A kind of feature file, known by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// `.npz`: one array a layer.
    Npz,
    /// `.npy`: one (N, D) matrix, layers side by side.
    Npy,
    /// `.safetensors`: one tensor a layer.
    Safetensors,
    /// `.parquet`: a row a picture with all that is known of it, and a list of numbers a layer.
    Parquet,
}

impl FileFormat {
    /// The format a file's extension asks for.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another ending.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("npz") => Ok(Self::Npz),
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(Error::Unknown {
                what: "feature file",
                expected: "a name that ends in .npz, .npy, .safetensors or .parquet".into(),
                found: path.display().to_string(),
            }),
        }
    }
}

/// One array of a feature file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `layer.000`, or `activation.32`.
    pub name: String,
    /// Shape of one image's numbers: (Z, r, r) unpooled, (columns) pooled.
    pub shape: Vec<usize>,
}

impl Part {
    /// Numbers of one image.
    pub fn columns(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A file of `OUT.partial/` that a process keeps locked while it writes there.
const LOCK: &str = "lock";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    request: String,
    consumed: usize,
    rows: usize,
}

/// Writes one feature file.
#[derive(Debug)]
pub struct FeatureWriter {
    path: PathBuf,
    format: FileFormat,
    folder: PathBuf,
    parts: Vec<Part>,
    files: Vec<BufWriter<File>>,
    indices: BufWriter<File>,
    progress: Progress,
    /// Keeps other processes out of `folder` for as long as it is open.
    _lock: File,
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { path, action, source }
}

/// Where the manifest of a file of features lies.
pub(crate) fn manifest_path(path: &Path) -> PathBuf {
    beside(path, ".json")
}

/// `OUT` with something after its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

impl FeatureWriter {
    /// Starts a file, or continues one whose `request` (everything that changes its contents) is
    /// the same.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another extension, [`Error::File`] while another process writes the
    /// same file, [`Error::Io`].
    pub fn open(path: &Path, parts: Vec<Part>, request: &str) -> Result<Self> {
        let format = FileFormat::of(path)?;
        let folder = beside(path, ".partial");
        fs::create_dir_all(&folder).map_err(io_error(&folder, "create"))?;
        let lock = lock(path, &folder)?;
        let progress = read_progress(&folder, &parts, request);
        if progress.consumed == 0 {
            clear(&folder).map_err(io_error(&folder, "clear"))?;
        }
        let open = |name: &str, bytes: usize| {
            let path = folder.join(name);
            let open = || {
                let mut file =
                    OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
                file.set_len(bytes as u64)?;
                file.seek(SeekFrom::End(0))?;
                Ok(BufWriter::new(file))
            };
            open().map_err(io_error(&path, "write"))
        };
        let files = parts
            .iter()
            .map(|part| open(&part.name, progress.rows * part.columns() * 4))
            .collect::<Result<_>>()?;
        let indices = open("indices", progress.rows * 8)?;
        let path = path.to_path_buf();
        Ok(Self { path, format, folder, parts, files, indices, progress, _lock: lock })
    }

    /// Pictures already dealt with by an earlier run.
    pub fn consumed(&self) -> usize {
        self.progress.consumed
    }

    /// Rows written so far.
    pub fn rows(&self) -> usize {
        self.progress.rows
    }

    /// Adds the rows of some pictures. `consumed` counts the pictures dealt with, left-out ones
    /// included; `indices` are those kept.
    ///
    /// # Errors
    /// [`Error::TableShape`] where the layers are not those the file was opened for, [`Error::File`]
    /// for a number that is not finite, [`Error::Io`] where it cannot be written.
    pub fn append(
        &mut self,
        consumed: usize,
        indices: &[usize],
        layers: &[LayerFeatures],
    ) -> Result<()> {
        if layers.len() != self.parts.len() {
            let (expected, found) = (self.parts.len(), layers.len());
            return Err(Error::TableShape { part: "layers", expected, found });
        }
        for ((part, file), layer) in self.parts.iter().zip(&mut self.files).zip(layers) {
            let expected = indices.len() * part.columns();
            if layer.values.len() != expected {
                let found = layer.values.len();
                return Err(Error::TableShape { part: "values of a layer", expected, found });
            }
            if let Some(at) = layer.values.iter().position(|value| !value.is_finite()) {
                let picture = indices[at / part.columns()];
                let found = format!("{} of picture {picture} of the split", layer.values[at]);
                let expected = format!("finite numbers in {}", part.name);
                return Err(Error::File { path: self.path.clone(), expected, found });
            }
            let write = layer.values.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()));
            write.and_then(|()| file.flush()).map_err(io_error(&self.folder, "write"))?;
        }
        let mut write = || {
            for &index in indices {
                self.indices.write_all(&(index as u64).to_le_bytes())?;
            }
            self.indices.flush()
        };
        write().map_err(io_error(&self.folder, "write"))?;
        self.progress.consumed += consumed;
        self.progress.rows += indices.len();
        let text = serde_json::to_vec(&self.progress).expect("numbers and text serialise");
        replace(&self.folder.join("progress.json"), |file| file.write_all(&text))
    }

    /// Assembles the file, and its manifest `OUT.json`, which a Parquet file holds itself, and removes the
    /// parts. `manifest` says what the file holds; what is known of each picture of `split` that was kept
    /// is added to it.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be written.
    pub fn finish(
        mut self,
        request: &str,
        manifest: Value,
        dataset: &dyn Dataset,
        split: Split,
    ) -> Result<()> {
        debug_assert_eq!(request, self.progress.request);
        for file in &mut self.files {
            file.flush().map_err(io_error(&self.folder, "write"))?;
        }
        let path = self.folder.join("indices");
        let bytes = fs::read(&path).map_err(io_error(&path, "read"))?;
        let (numbers, _) = bytes.as_chunks();
        let kept = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize).collect();
        let rows = Rows { dataset, split, kept };
        replace(&self.path, |file| match self.format {
            FileFormat::Npz => self.write_npz(file),
            FileFormat::Npy => self.write_npy(file),
            FileFormat::Safetensors => self.write_safetensors(file),
            FileFormat::Parquet => parquet::write(&self, &rows, &manifest, file),
        })?;
        if self.format != FileFormat::Parquet {
            let described = rows.described(&manifest);
            replace(&manifest_path(&self.path), |file| {
                Ok(serde_json::to_writer_pretty(file, &described)?)
            })?;
        }
        fs::remove_dir_all(&self.folder).map_err(io_error(&self.folder, "remove"))
    }

    /// Removes everything this file has so far.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be removed.
    pub fn discard(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).map_err(io_error(&self.folder, "remove"))
    }

    fn reader(&self, part: &Part) -> io::Result<BufReader<File>> {
        Ok(BufReader::with_capacity(1 << 16, File::open(self.folder.join(&part.name))?))
    }

    fn shape(&self, part: &Part) -> Vec<usize> {
        [&[self.progress.rows], &part.shape[..]].concat()
    }

    fn write_npz(&self, file: &mut (impl Write + Seek)) -> io::Result<()> {
        let mut zip = zip::ZipWriter::new(file);
        for part in &self.parts {
            let header = npy_header("<f4", &self.shape(part));
            let bytes = header.len() + self.progress.rows * part.columns() * 4;
            zip.start_file(format!("{}.npy", part.name), stored(bytes as u64))?;
            zip.write_all(&header)?;
            io::copy(&mut self.reader(part)?, &mut zip)?;
        }
        zip.finish()?;
        Ok(())
    }

    fn write_npy(&self, file: &mut impl Write) -> io::Result<()> {
        let columns = self.parts.iter().map(Part::columns).sum();
        file.write_all(&npy_header("<f4", &[self.progress.rows, columns]))?;
        let mut readers =
            self.parts.iter().map(|part| self.reader(part)).collect::<io::Result<Vec<_>>>()?;
        let mut row = Vec::new();
        for _ in 0..self.progress.rows {
            for (part, reader) in self.parts.iter().zip(&mut readers) {
                row.resize(part.columns() * 4, 0);
                reader.read_exact(&mut row)?;
                file.write_all(&row)?;
            }
        }
        Ok(())
    }

    fn write_safetensors(&self, file: &mut impl Write) -> io::Result<()> {
        let mut header = serde_json::Map::new();
        let mut offset = 0;
        for part in &self.parts {
            let end = offset + self.progress.rows * part.columns() * 4;
            let entry = serde_json::json!({
                "dtype": "F32", "shape": self.shape(part), "data_offsets": [offset, end],
            });
            header.insert(part.name.clone(), entry);
            offset = end;
        }
        let mut header = serde_json::to_vec(&header).expect("plain values serialise");
        header.resize(header.len().next_multiple_of(8), b' ');
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for part in &self.parts {
            io::copy(&mut self.reader(part)?, file)?;
        }
        Ok(())
    }
}

/// Puts whole `.npy` files into one `.npz` file, each under the name beside it, and replaces the file
/// as a whole.
///
/// # Errors
/// [`Error::Io`] where a file cannot be read or written.
pub fn join_npz(path: &Path, arrays: &[(String, PathBuf)]) -> Result<()> {
    replace(path, |file| {
        let mut zip = zip::ZipWriter::new(file);
        for (name, array) in arrays {
            let mut array = File::open(array)?;
            zip.start_file(format!("{name}.npy"), stored(array.metadata()?.len()))?;
            io::copy(&mut array, &mut zip)?;
        }
        zip.finish()?;
        Ok(())
    })
}

/// An uncompressed entry of so many bytes, the same on every day.
fn stored(bytes: u64) -> zip::write::SimpleFileOptions {
    zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .large_file(bytes > u64::from(u32::MAX))
}

/// Two processes that append to one file would garble it.
fn lock(path: &Path, folder: &Path) -> Result<File> {
    let name = folder.join(LOCK);
    let file = File::create(&name).map_err(io_error(&name, "create"))?;
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(Error::File {
            path: path.to_path_buf(),
            expected: "one process to write it".into(),
            found: "another that is writing it now".into(),
        }),
        // Some file systems have no locks; what cannot be checked is not refused.
        Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(file),
    }
}

/// Removes all that an earlier run left, but for the lock.
fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != LOCK {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What an earlier run left, if it is of use.
fn read_progress(folder: &Path, parts: &[Part], request: &str) -> Progress {
    let fresh = Progress { request: request.to_owned(), ..Progress::default() };
    let Ok(text) = fs::read(folder.join("progress.json")) else { return fresh };
    let Ok(progress) = serde_json::from_slice::<Progress>(&text) else { return fresh };
    let holds = |name: &str, bytes: usize| {
        fs::metadata(folder.join(name)).is_ok_and(|m| m.len() >= bytes as u64)
    };
    let complete = progress.request == request
        && holds("indices", progress.rows * 8)
        && parts.iter().all(|p| holds(&p.name, progress.rows * p.columns() * 4));
    if complete { progress } else { fresh }
}

/// Replaces a file as a whole.
fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> Result<()> {
    vdvae_io::replace(path, write).map_err(io_error(path, "write"))
}

#[cfg(test)]
mod tests {
    use vdvae_datasets::ToyFaces;

    use super::*;

    fn layer(index: usize, resolution: usize, columns: usize, values: &[f32]) -> LayerFeatures {
        LayerFeatures { layer: Some(index), resolution, columns, values: values.to_vec() }
    }

    fn parts() -> Vec<Part> {
        vec![
            Part { name: "layer.000".into(), shape: vec![2] },
            Part { name: "layer.001".into(), shape: vec![1, 2, 2] },
        ]
    }

    fn write(path: &Path, stop: bool) -> Result<()> {
        let mut writer = FeatureWriter::open(path, parts(), "a")?;
        if writer.consumed() == 0 {
            let (a, b) = ([1., 2.], [3., 4., 5., 6.]);
            writer.append(2, &[1], &[layer(0, 1, 2, &a), layer(1, 2, 4, &b)])?;
            if stop {
                // A half-written row that was never counted.
                writer.files[0].write_all(&[1, 2, 3]).unwrap();
                return Ok(());
            }
        }
        let (a, b) = ([7., 8.], [9., 10., 11., 12.]);
        writer.append(1, &[2], &[layer(0, 1, 2, &a), layer(1, 2, 4, &b)])?;
        let faces = ToyFaces::with_people(0, [1, 1, 1]);
        writer.finish("a", serde_json::json!({"format": "test"}), &faces, Split::Valid)
    }

    #[test]
    fn npy_is_one_matrix_of_all_layers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.npy");
        write(&path, false).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() % 64, 48, "two rows of six numbers after an aligned header");
        assert!(String::from_utf8_lossy(&bytes[..128]).contains("'shape': (2, 6), }"));
        let numbers: Vec<f32> = bytes[bytes.len() - 48..]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        assert_eq!(numbers, [1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.]);
        let manifest = fs::read_to_string(folder.path().join("f.npy.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let faces = ToyFaces::with_people(0, [1, 1, 1]);
        let keys = [1, 2].map(|index| faces.key(Split::Valid, index));
        assert_eq!(manifest["keys"], serde_json::json!(keys));
        assert_eq!((&manifest["format"], manifest.get("splits")), (&"test".into(), None));
        let groups = faces.groups(Split::Valid).unwrap();
        assert_eq!(manifest["groups"], serde_json::json!(groups[1..3]));
        assert_eq!(manifest["labels"]["values"].as_array().unwrap().len(), 2);
        assert!(!folder.path().join("f.npy.partial").exists());
    }

    #[test]
    fn a_stopped_run_continues_and_gives_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f.npz", "f.npy", "f.safetensors", "f.parquet"] {
            let (whole, resumed) = (folder.path().join(name), folder.path().join("r").join(name));
            fs::create_dir_all(resumed.parent().unwrap()).unwrap();
            write(&whole, false).unwrap();
            write(&resumed, true).unwrap();
            assert!(!resumed.exists(), "no file before it is complete");
            write(&resumed, false).unwrap();
            assert_eq!(fs::read(&whole).unwrap(), fs::read(&resumed).unwrap(), "{name}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FeatureWriter::open(&folder.path().join("f.npy"), parts(), "a").unwrap();
        let layers =
            |v| [layer(0, 1, 2, &[0.; 4]), layer(1, 2, 4, &[0., 0., 0., 0., 0., v, 0., 0.])];
        let text = writer.append(2, &[7, 9], &layers(f32::NAN)).unwrap_err().to_string();
        let expected =
            "f.npy: expected finite numbers in layer.001, found NaN of picture 9 of the split";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn another_request_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.npy");
        write(&path, true).unwrap();
        assert_eq!(FeatureWriter::open(&path, parts(), "b").unwrap().consumed(), 0);
    }

    #[test]
    fn safetensors_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.safetensors");
        write(&path, false).unwrap();
        let bytes = fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let layer = file.tensor("layer.001").unwrap();
        assert_eq!(layer.shape(), [2, 1, 2, 2]);
        assert_eq!(layer.data()[..4], 3f32.to_le_bytes());
        assert_eq!(layer.data()[16..20], 9f32.to_le_bytes());
    }

    #[test]
    fn unknown_extensions_are_refused() {
        let message = FileFormat::of(Path::new("x.txt")).unwrap_err().to_string();
        assert!(message.contains(".npz, .npy, .safetensors or .parquet"), "{message}");
    }
}
