//! MNIST as its official idx files, plain or gzipped, in a folder.
//!
//! LeCun, Cortes and Burges. Pictures are grey, 28×28, repeated to three channels. There is no
//! published validation split: it is the last sixth of the training file (10,000 of 60,000).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use image::RgbImage;

use crate::fingerprint::Fingerprint;
use crate::{Dataset, Error, Labels, Result, Split};

const NAME: &str = "mnist";
/// Most pictures in a file, and largest side: what keeps a file in memory below a gigabyte.
const MAX_PICTURES: usize = 1 << 20;
const MAX_SIDE: usize = 1024;
const MAX_BYTES: usize = 1 << 30;
/// One training picture in this many is for validation.
const HELD_OUT: usize = 6;

/// MNIST, in memory (55 MB).
#[derive(Debug)]
pub struct Mnist {
    train: Part,
    test: Part,
}

/// One pair of files.
#[derive(Debug, Default)]
struct Part {
    /// H, W.
    size: [usize; 2],
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Mnist {
    /// Opens a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and `t10k-…`, each
    /// plain or with `.gz`. One of the two pairs may be missing; its splits are then empty.
    ///
    /// # Errors
    /// [`Error::Layout`] where both are missing, [`Error::Header`] where a file does not match its
    /// header or its partner, [`Error::Io`].
    pub fn open(root: &Path) -> Result<Self> {
        let (train, test) = (Part::open(root, "train")?, Part::open(root, "t10k")?);
        if train.is_none() && test.is_none() {
            let expected = "train-images-idx3-ubyte and t10k-images-idx3-ubyte, plain or .gz";
            return Err(Error::layout(NAME, root, expected, "neither"));
        }
        Ok(Self { train: train.unwrap_or_default(), test: test.unwrap_or_default() })
    }

    /// The pair a split lies in, and the rows of it.
    fn part(&self, split: Split) -> (&Part, std::ops::Range<usize>) {
        let n = self.train.labels.len();
        let kept = n - n / HELD_OUT;
        match split {
            Split::Train => (&self.train, 0..kept),
            Split::Valid => (&self.train, kept..n),
            Split::Test => (&self.test, 0..self.test.labels.len()),
        }
    }
}

impl Part {
    fn open(root: &Path, prefix: &str) -> Result<Option<Self>> {
        let Some(path) = find(root, &format!("{prefix}-images-idx3-ubyte")) else {
            return Ok(None);
        };
        let (shape, pixels) = read_idx(&path, 3)?;
        let name = format!("{prefix}-labels-idx1-ubyte");
        let path = find(root, &name)
            .ok_or_else(|| Error::layout(NAME, root, format!("{name} or {name}.gz"), "neither"))?;
        let (labels_shape, labels) = read_idx(&path, 1)?;
        let error = |expected: String, found: String| Error::Header { path, expected, found };
        if labels_shape[0] != shape[0] {
            let expected = format!("{} labels, one for each picture", shape[0]);
            return Err(error(expected, labels_shape[0].to_string()));
        }
        if let Some(label) = labels.iter().find(|&&label| label > 9) {
            return Err(error("labels of 0 to 9".to_owned(), label.to_string()));
        }
        Ok(Some(Self { size: [shape[1], shape[2]], pixels, labels }))
    }
}

/// A file in the folder, or where torchvision puts it below; some copies have a dot for the hyphen.
fn find(root: &Path, name: &str) -> Option<PathBuf> {
    let folders = ["", "raw", "MNIST/raw"].map(|folder| root.join(folder));
    let names = [name.to_owned(), name.replace("-idx", ".idx")];
    let files = names.into_iter().flat_map(|name| [name.clone(), format!("{name}.gz")]);
    let files: Vec<String> = files.collect();
    let mut paths = folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file)));
    paths.find(|path| path.is_file())
}

/// Reads an idx file of unsigned bytes with `sides` dimensions.
fn read_idx(path: &Path, sides: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let mut reader: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let error =
        |expected: String, found: String| Error::Header { path: path.to_owned(), expected, found };
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(Error::io(path))?;
    if magic != [0, 0, 8, sides as u8] {
        let expected = format!("an idx file of unsigned bytes in {sides} dimensions");
        return Err(error(expected, format!("{magic:02x?}")));
    }
    let mut header = vec![0; 4 * sides];
    reader.read_exact(&mut header).map_err(Error::io(path))?;
    let shape: Vec<usize> = header
        .chunks_exact(4)
        .map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
        .collect();
    let sized = shape[1..].iter().all(|side| (1..=MAX_SIDE).contains(side));
    let bytes = shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
    let bytes = bytes.filter(|&bytes| sized && shape[0] <= MAX_PICTURES && bytes <= MAX_BYTES);
    let Some(bytes) = bytes else {
        let expected = format!("at most {MAX_PICTURES} pictures and {MAX_BYTES} bytes");
        return Err(error(expected, format!("{shape:?}")));
    };
    // Grows with what is there, not with what the header promises.
    let mut data = Vec::new();
    reader.take(bytes as u64 + 1).read_to_end(&mut data).map_err(Error::io(path))?;
    if data.len() != bytes {
        let more = if data.len() > bytes { "more" } else { "the end of the file" };
        return Err(error(format!("{bytes} bytes after the header"), more.to_owned()));
    }
    Ok((shape, data))
}

impl Dataset for Mnist {
    fn name(&self) -> &str {
        NAME
    }

    fn len(&self, split: Split) -> usize {
        self.part(split).1.len()
    }

    fn key(&self, split: Split, index: usize) -> String {
        let (_, rows) = self.part(split);
        assert!(index < rows.len(), "index {index} of {} pictures", rows.len());
        let file = if split == Split::Test { "t10k" } else { "train" };
        format!("{file}/{:05}", rows.start + index)
    }

    fn labels(&self, split: Split) -> Labels {
        let (part, rows) = self.part(split);
        Labels::Classes {
            names: (0..10).map(|digit| digit.to_string()).collect(),
            labels: part.labels[rows].iter().map(|&label| u32::from(label)).collect(),
        }
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let (part, rows) = self.part(split);
        let [h, w] = part.size;
        let grey = &part.pixels[(rows.start + index) * h * w..][..h * w];
        let pixels = grey.iter().flat_map(|&value| [value; 3]).collect();
        Ok(RgbImage::from_raw(w as u32, h as u32, pixels).expect("three bytes a pixel"))
    }

    /// Covers the pixels too, which are in memory.
    fn fingerprint(&self) -> String {
        let hash = Fingerprint::new(NAME).dataset(self);
        hash.fact(&self.train.pixels).fact(&self.test.pixels).hex()
    }

    fn split_hint(&self) -> String {
        "; are all four files there?".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|side| side.to_be_bytes()));
        bytes.extend_from_slice(data);
        bytes
    }

    fn folder(images: &[u8], labels: &[u8]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("train-images-idx3-ubyte"), images).unwrap();
        let file = File::create(directory.path().join("train-labels-idx1-ubyte.gz")).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        file.write_all(labels).unwrap();
        file.finish().unwrap();
        directory
    }

    #[test]
    fn pictures_are_upright_and_the_last_sixth_is_valid() {
        let pixels: Vec<u8> = (0..36).collect();
        let directory = folder(&idx(&[6, 2, 3], &pixels), &idx(&[6], &[1, 2, 3, 4, 5, 6]));
        let mnist = Mnist::open(directory.path()).unwrap();
        assert_eq!(Split::ALL.map(|split| mnist.len(split)), [5, 1, 0]);
        let picture = mnist.image(Split::Valid, 0).unwrap();
        assert_eq!(picture.dimensions(), (3, 2));
        assert_eq!(picture.get_pixel(2, 1).0, [35; 3]);
        let Labels::Classes { labels, .. } = mnist.labels(Split::Valid) else { panic!() };
        assert_eq!(labels, [6]);
        assert!(mnist.require(&Split::ALL).unwrap_err().to_string().contains("`test` is empty"));
    }

    #[test]
    fn common_copies_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let raw = directory.path().join("MNIST/raw");
        fs::create_dir_all(&raw).unwrap();
        fs::write(raw.join("t10k-images.idx3-ubyte"), idx(&[1, 1, 1], &[7])).unwrap();
        fs::write(raw.join("t10k-labels.idx1-ubyte"), idx(&[1], &[3])).unwrap();
        let mnist = Mnist::open(directory.path()).unwrap();
        assert_eq!(Split::ALL.map(|split| mnist.len(split)), [0, 0, 1]);
        assert_eq!(mnist.image(Split::Test, 0).unwrap().get_pixel(0, 0).0, [7; 3]);
    }

    #[test]
    fn broken_files_are_one_clear_line() {
        let good = idx(&[2], &[0, 1]);
        let message = |images: &[u8], labels: &[u8]| {
            Mnist::open(folder(images, labels).path()).unwrap_err().to_string()
        };
        let pictures = idx(&[2, 1, 1], &[7, 8]);
        assert!(message(&idx(&[2, 1, 1], &[7]), &good).contains("found the end of the file"));
        assert!(message(&idx(&[2, 1, 1], &[7, 8, 9]), &good).contains("found more"));
        assert!(message(&idx(&[u32::MAX; 3], &[]), &good).contains("at most 1048576 pictures"));
        assert!(message(&idx(&[2, 1], &[7, 8]), &good).contains("in 3 dimensions"));
        assert!(message(&pictures, &idx(&[3], &[0, 1, 2])).contains("2 labels"));
        assert!(message(&pictures, &idx(&[2], &[0, 10])).contains("labels of 0 to 9, found 10"));
    }
}
