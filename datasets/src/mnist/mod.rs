//! MNIST and the data sets that are published in its form: idx files of pictures and of labels,
//! plain or gzipped, in a folder or an archive.
//!
//! LeCun, Cortes and Burges; the others in `sets.rs`. Pictures are grey, 28×28, repeated to three
//! channels. There is no published validation split, except EMNIST's, which is the last sixth of
//! the training file: so it is for all (10,000 of MNIST's 60,000).

mod sets;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use image::RgbImage;
use vdvae_io::describe;

use crate::fingerprint::Fingerprint;
use crate::names::base;
use crate::published::partial;
use crate::store::FileStore;
use crate::{Dataset, Error, Labels, Result, Split};
pub use sets::IdxSet;
use sets::SETS;

/// Most pictures in a file, and largest side: what keeps a file in memory below a gigabyte.
const MAX_PICTURES: usize = 1 << 20;
const MAX_SIDE: usize = 1024;
const MAX_BYTES: usize = 1 << 30;
/// One training picture in this many is for validation.
const HELD_OUT: usize = 6;

/// MNIST, or a data set like it, in memory (MNIST: 55 MB).
#[derive(Debug)]
pub struct Mnist {
    set: &'static IdxSet,
    train: Part,
    test: Part,
}

/// One pair of files.
#[derive(Debug, Default)]
struct Part {
    /// H, W, as in the file.
    size: [usize; 2],
    pixels: Vec<u8>,
    /// Positions in the list of classes.
    labels: Vec<u8>,
}

impl Mnist {
    /// Opens a folder, at any depth of which `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`
    /// and `t10k-…` lie, each plain or gzipped, or an archive of them. One of the two pairs may be
    /// missing; its splits are then empty.
    ///
    /// # Errors
    /// [`Error::Layout`] where both are missing, or one is there twice, [`Error::Header`] where a
    /// file does not match its header or its partner, [`Error::Io`], [`Error::Archive`].
    pub fn open(root: &Path, set: &'static IdxSet) -> Result<Self> {
        let wanted = |name: &str| set.files.iter().any(|part| kind_of(name, part).is_some());
        let store = FileStore::open(set.name, root, &wanted)?;
        let [train, test] = set.files.map(|part| find(&store, set, part, Kind::Images));
        check_together(&store, set, train?, test?)?;
        let [train, test] = set.files.map(|part| Part::open(&store, set, part));
        let (train, test) = (train?, test?);
        if train.is_none() && test.is_none() {
            let [train, test] = set.files;
            let expected =
                format!("{train}-images-idx3-ubyte and {test}-images-idx3-ubyte, plain or .gz");
            return Err(Error::layout(set.name, root, expected, "neither"));
        }
        Ok(Self { set, train: train.unwrap_or_default(), test: test.unwrap_or_default() })
    }

    /// The sets of EMNIST that files of a folder or an archive are of.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Archive`].
    pub(crate) fn parts_of_emnist(root: &Path) -> Result<Vec<&'static IdxSet>> {
        let has =
            |set: &IdxSet, name: &str| set.files.iter().any(|part| kind_of(name, part).is_some());
        let sets = || SETS.iter().filter(|set| set.transposed);
        let store = FileStore::open("emnist", root, &|name| sets().any(|set| has(set, name)))?;
        let files = store.files();
        Ok(sets().filter(|set| files.iter().any(|(name, _)| has(set, name))).collect())
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

/// The two files of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Images,
    Labels,
}

/// What a file of a part holds, by its name; some copies have a dot for the second hyphen.
fn kind_of(name: &str, part: &str) -> Option<Kind> {
    let base = base(name);
    let rest = base.strip_suffix(".gz").unwrap_or(base).strip_prefix(part)?;
    match rest {
        "-images-idx3-ubyte" | "-images.idx3-ubyte" => Some(Kind::Images),
        "-labels-idx1-ubyte" | "-labels.idx1-ubyte" => Some(Kind::Labels),
        _ => None,
    }
}

/// Fails where two files are of different copies: they lie neither in one folder, nor in one each
/// side by side, as Kaggle unpacks them.
fn check_together(store: &FileStore, set: &IdxSet, a: Option<&str>, b: Option<&str>) -> Result<()> {
    let (Some(a), Some(b)) = (a, b) else { return Ok(()) };
    fn folder(name: &str) -> &str {
        name.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
    if folder(a) == folder(b) || folder(folder(a)) == folder(folder(b)) {
        return Ok(());
    }
    let found = format!("{a} and {b}; name one folder");
    Err(Error::layout(set.name, store.root(), "files of one copy", found))
}

/// The file of a part: the one in the set's own folder comes first, then the one nearest to the
/// root, then the one that is not packed. Several sets have files of the same names, so those in
/// the folder of another set do not count.
fn find<'a>(store: &'a FileStore, set: &IdxSet, part: &str, kind: Kind) -> Result<Option<&'a str>> {
    // `FashionMNIST` is also spelt `fashion-mnist` and `fashion_mnist`.
    let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
    let lies_in =
        |name: &str, folder: &str| name.split('/').any(|part| plain(part) == plain(folder));
    let foreign = |name: &str| {
        SETS.iter().any(|other| other.folder != set.folder && lies_in(name, other.folder))
    };
    let place = |name: &str| (!lies_in(name, set.folder), name.split('/').count());
    let mut files: Vec<&str> = store.files().into_iter().map(|(name, _)| name).collect();
    files.retain(|name| kind_of(name, part) == Some(kind) && !foreign(name));
    files.sort_by_key(|name| (place(name), name.len()));
    let folder = |name: &'a str| name.rsplit_once('/').map_or("", |(folder, _)| folder);
    match files[..] {
        [first, second, ..] if place(first) == place(second) && folder(first) != folder(second) => {
            let found = format!("{first} and {second}; name one folder");
            Err(Error::layout(set.name, store.root(), "one copy of the files", found))
        }
        _ => Ok(files.first().copied()),
    }
}

impl Part {
    fn open(store: &FileStore, set: &IdxSet, part: &str) -> Result<Option<Self>> {
        let Some(images) = find(store, set, part, Kind::Images)? else { return Ok(None) };
        let (shape, pixels) = read_idx(store, images, 3)?;
        let labels = find(store, set, part, Kind::Labels)?.ok_or_else(|| {
            let expected = format!("{part}-labels-idx1-ubyte, plain or .gz");
            Error::layout(set.name, store.root(), expected, "no such file")
        })?;
        check_together(store, set, Some(images), Some(labels))?;
        let path = store.root().join(labels);
        let (labels_shape, mut labels) = read_idx(store, labels, 1)?;
        if labels_shape[0] != shape[0] {
            let expected = format!("{} labels, one for each picture", shape[0]);
            return Err(Error::header(&path, expected, labels_shape[0].to_string()));
        }
        let classes = set.first..set.first + set.classes.len() as u8;
        if let Some(label) = labels.iter().find(|label| !classes.contains(label)) {
            let expected = format!("labels of {} to {}", classes.start, classes.end - 1);
            return Err(Error::header(&path, expected, label.to_string()));
        }
        labels.iter_mut().for_each(|label| *label -= set.first);
        Ok(Some(Self { size: [shape[1], shape[2]], pixels, labels }))
    }
}

/// Reads an idx file of unsigned bytes with `sides` dimensions; whether it is gzipped, its first
/// bytes say.
fn read_idx(store: &FileStore, name: &str, sides: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let path = store.root().join(name);
    let bytes = store.read(name, MAX_BYTES as u64)?;
    let mut reader: Box<dyn Read> = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => Box::new(MultiGzDecoder::new(&bytes[..])),
        false => Box::new(&bytes[..]),
    };
    let mut start = Vec::new();
    (&mut reader).take(1024).read_to_end(&mut start).map_err(Error::io(&path))?;
    let Some(rest) = start.strip_prefix(&[0, 0, 8, sides as u8]) else {
        let expected = format!("an idx file of unsigned bytes in {sides} dimensions");
        return Err(Error::header(&path, expected, describe(&start)));
    };
    let mut reader = rest.chain(reader);
    let mut header = vec![0; 4 * sides];
    reader.read_exact(&mut header).map_err(Error::io(&path))?;
    let shape: Vec<usize> = header
        .chunks_exact(4)
        .map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
        .collect();
    let sized = shape[1..].iter().all(|side| (1..=MAX_SIDE).contains(side));
    let count = shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
    let count = count.filter(|&count| sized && shape[0] <= MAX_PICTURES && count <= MAX_BYTES);
    let Some(count) = count else {
        let expected = format!("at most {MAX_PICTURES} pictures and {MAX_BYTES} bytes");
        return Err(Error::header(&path, expected, format!("{shape:?}")));
    };
    // Grows with what is there, not with what the header promises.
    let mut data = Vec::new();
    reader.take(count as u64 + 1).read_to_end(&mut data).map_err(Error::io(&path))?;
    if data.len() != count {
        let more = if data.len() > count { "more" } else { "the end of the file" };
        return Err(Error::header(&path, format!("{count} bytes after the header"), more));
    }
    Ok((shape, data))
}

impl Dataset for Mnist {
    fn name(&self) -> &str {
        self.set.name
    }

    fn len(&self, split: Split) -> usize {
        self.part(split).1.len()
    }

    fn key(&self, split: Split, index: usize) -> String {
        let (_, rows) = self.part(split);
        assert!(index < rows.len(), "index {index} of {} pictures", rows.len());
        let file = self.set.files[usize::from(split == Split::Test)];
        format!("{file}/{:05}", rows.start + index)
    }

    fn labels(&self, split: Split) -> Labels {
        let (part, rows) = self.part(split);
        Labels::Classes {
            names: self.set.classes.iter().map(|&class| class.to_owned()).collect(),
            labels: part.labels[rows].iter().map(|&label| u32::from(label)).collect(),
        }
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let (part, rows) = self.part(split);
        let [h, w] = part.size;
        let grey = &part.pixels[(rows.start + index) * h * w..][..h * w];
        Ok(match self.set.transposed {
            false => RgbImage::from_fn(w as u32, h as u32, |x, y| {
                image::Rgb([grey[y as usize * w + x as usize]; 3])
            }),
            true => RgbImage::from_fn(h as u32, w as u32, |x, y| {
                image::Rgb([grey[x as usize * w + y as usize]; 3])
            }),
        })
    }

    /// Covers the pixels too, which are in memory.
    fn fingerprint(&self) -> String {
        let hash = Fingerprint::new(self.set.name).dataset(self);
        hash.fact(&self.train.pixels).fact(&self.test.pixels).hex()
    }

    fn split_hint(&self) -> String {
        "; are all four files there?".to_owned()
    }

    fn remarks(&self) -> Vec<String> {
        let [train, test] = self.set.published;
        partial(&[
            (self.train.labels.len(), train, "training pictures"),
            (self.test.labels.len(), test, "test pictures"),
        ])
    }
}
