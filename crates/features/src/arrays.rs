//! Arrays of floats in `.npy`, `.npz`, `.safetensors` and `.parquet` files, whoever wrote them.

mod parquet;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::safetensors::BufferedSafetensors;
use candle_core::{DType, Device, Tensor};
use vdvae_io::{Fault, NpyHeader, most_inflated};

use crate::writer::FileFormat;
use crate::{Error, Result};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// A file of arrays, or one of its arrays: `FILE`, or `FILE:NAME` where FILE ends in `.npz`,
/// `.safetensors` or `.parquet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayFile {
    /// The file.
    pub path: PathBuf,
    /// The array, where one is named.
    pub array: Option<String>,
}

impl FromStr for ArrayFile {
    type Err = Error;

    /// # Errors
    /// [`Error::Unknown`] where no kind of file has such a name, or nothing follows the colon.
    fn from_str(text: &str) -> Result<Self> {
        let cut = [".npz:", ".safetensors:", ".parquet:"].into_iter().find_map(|ending| {
            let at = text.rfind(ending)?;
            Some(text.split_at(at + ending.len() - 1))
        });
        let (path, array) = match cut {
            Some((path, name)) => (path, Some(name[1..].to_owned())),
            None => (text, None),
        };
        FileFormat::of(Path::new(path))?;
        if array.as_ref().is_some_and(String::is_empty) {
            let expected = "the name of an array after the colon".to_owned();
            return Err(Error::Unknown { what: "array", expected, found: text.to_owned() });
        }
        Ok(Self { path: path.into(), array })
    }
}

impl From<PathBuf> for ArrayFile {
    /// All arrays of a file.
    fn from(path: PathBuf) -> Self {
        Self { path, array: None }
    }
}

impl fmt::Display for ArrayFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.array.is_some() { ":" } else { "" };
        write!(f, "{}{colon}{}", self.path.display(), self.array.as_deref().unwrap_or_default())
    }
}

impl ArrayFile {
    /// The arrays by name, as float32; of an `.npy` file the one, named `matrix`; of a `.parquet` file its
    /// columns of lists, or, without any, its columns of floats side by side as `matrix`. Where one is
    /// named, the others are not decoded.
    ///
    /// # Errors
    /// [`Error::File`] where the file is damaged, holds other numbers than floats, or lacks the array;
    /// [`Error::Io`].
    pub(crate) fn read(&self) -> Result<BTreeMap<String, Tensor>> {
        let path = &self.path;
        let wanted = |name: &str| self.array.as_deref().is_none_or(|array| array == name);
        let (arrays, names) = match FileFormat::of(path)? {
            FileFormat::Npz => read_npz(path, wanted)?,
            FileFormat::Safetensors => read_safetensors(path, wanted)?,
            FileFormat::Parquet => parquet::read(path, wanted)?,
            FileFormat::Npy => {
                let file = File::open(path).map_err(cannot_read(path))?;
                let length = file.metadata().map_err(cannot_read(path))?.len();
                let array = read_npy(path, "matrix", length, BufReader::new(file))?;
                (BTreeMap::from([("matrix".to_owned(), array)]), Vec::new())
            }
        };
        match &self.array {
            Some(array) if arrays.is_empty() => {
                Err(invalid(path, &format!("an array `{array}`"), &listed(&names)))
            }
            _ => Ok(arrays),
        }
    }
}

/// The first few names of a file's arrays.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const LISTED: usize = 6;
    let mut text: Vec<&str> = names.iter().take(LISTED).map(AsRef::as_ref).collect();
    if names.len() > LISTED {
        text.push("…");
    }
    if text.is_empty() { "none".to_owned() } else { text.join(", ") }
}

pub(crate) fn invalid(path: &Path, expected: &str, found: &str) -> Error {
    let (expected, found) = (expected.to_owned(), found.to_owned());
    Error::File { path: path.to_path_buf(), expected, found }
}

pub(crate) fn cannot_read(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path: path.clone(), action: "read", source }
}

/// Arrays by name, and the names of all that the file holds.
type Arrays = (BTreeMap<String, Tensor>, Vec<String>);

fn read_safetensors(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Arrays> {
    let bytes = std::fs::read(path).map_err(cannot_read(path))?;
    let broken = |error: candle_core::Error| {
        let said = error.to_string();
        invalid(path, "a whole safetensors file", said.lines().next().unwrap_or_default())
    };
    let file = BufferedSafetensors::new(bytes).map_err(broken)?;
    let mut names: Vec<String> = file.tensors().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let mut arrays = BTreeMap::new();
    for name in names.iter().filter(|name| wanted(name)) {
        let array = file.load(name, &Device::Cpu).map_err(broken)?;
        if !array.dtype().is_float() {
            let found = format!("{:?}", array.dtype());
            return Err(invalid(path, &format!("{name}: floats"), &found));
        }
        arrays.insert(name.clone(), array.to_dtype(DType::F32)?);
    }
    Ok((arrays, names))
}

fn read_npz(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Arrays> {
    let file = File::open(path).map_err(cannot_read(path))?;
    let mut zip = zip::ZipArchive::new(BufReader::new(file))
        .map_err(|e| invalid(path, "a zip archive", &e.to_string()))?;
    let (mut arrays, mut names) = (BTreeMap::new(), Vec::new());
    for i in 0..zip.len() {
        let entry = zip.by_index(i).map_err(|e| invalid(path, "a zip entry", &e.to_string()))?;
        let name = entry.name().map_err(|e| invalid(path, "a name", &e.to_string()))?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        names.push(name.clone());
        if !wanted(&name) {
            continue;
        }
        // An archive may promise any length; what is there is bounded by its own.
        let (length, most) = (entry.size(), most_inflated(entry.compressed_size()));
        if length > most {
            return Err(invalid(path, &format!("{name}: at most {most} bytes"), "more"));
        }
        let array = read_npy(path, &name, length, BufReader::with_capacity(PIECE, entry))?;
        arrays.insert(name, array);
    }
    Ok((arrays, names))
}

/// One array of floats, as float32, of a file of `length` bytes.
fn read_npy(path: &Path, name: &str, length: u64, mut file: impl Read) -> Result<Tensor> {
    let broken = |e: io::Error| invalid(path, name, &e.to_string());
    let fault = |fault: Fault| invalid(path, &format!("{name}: {}", fault.expected), &fault.found);
    let mut start = Vec::new();
    file.by_ref().take(NpyHeader::MAX_BYTES as u64).read_to_end(&mut start).map_err(broken)?;
    let header = NpyHeader::parse(&start).map_err(fault)?;
    let number = header.number().map_err(fault)?;
    if !number.is_float() {
        return Err(invalid(path, &format!("{name}: floats"), &header.descr));
    }
    let data = length.saturating_sub(header.data as u64);
    let size = number.size() as u64;
    if header.shape.iter().try_fold(size, |n, &side| n.checked_mul(side)) != Some(data) {
        let expected = format!("{name}: numbers of shape {:?}", header.shape);
        return Err(invalid(path, &expected, &format!("{data} bytes")));
    }
    // Room for what arrives, piece by piece: the length is still a promise.
    let mut numbers: Vec<f32> = Vec::new();
    let mut piece = start.split_off(header.data);
    let mut file = file.take(data - piece.len().min(data as usize) as u64);
    loop {
        let whole = piece.len() - piece.len() % number.size();
        numbers.extend(number.decode(&piece[..whole]).map(|number| number as f32));
        piece.drain(..whole);
        if file.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(broken)? == 0 {
            break;
        }
    }
    let found = numbers.len() as u64 * size + piece.len() as u64;
    if found != data {
        let expected = format!("{name}: numbers of shape {:?}", header.shape);
        return Err(invalid(path, &expected, &format!("{found} bytes")));
    }
    let mut shape: Vec<usize> = header.shape.iter().map(|&size| size as usize).collect();
    if !header.fortran {
        return Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?);
    }
    // In C order the array is its own transpose.
    shape.reverse();
    let back: Vec<usize> = (0..shape.len()).rev().collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?.permute(back)?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_a_file_is_named_after_a_colon() {
        let parsed = |text: &str| text.parse::<ArrayFile>().map(|f| (f.path, f.array));
        let (plain, named) = (parsed("a.npy").unwrap(), parsed("D:/a.npz:test_latents").unwrap());
        assert_eq!(plain, ("a.npy".into(), None));
        assert_eq!(named, ("D:/a.npz".into(), Some("test_latents".into())));
        assert_eq!(parsed("a.parquet:z").unwrap(), ("a.parquet".into(), Some("z".into())));
        assert_eq!("a.npz:b".parse::<ArrayFile>().unwrap().to_string(), "a.npz:b");
        for wrong in ["a.npz:", "a.txt", "a.npy:b", ""] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
