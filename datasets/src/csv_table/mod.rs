//! Pictures and what is known about them in one CSV file, with a header.
//!
//! The column `path` names a picture, relative to the file's own folder. `split` says `train`,
//! `valid` or `test`; a missing `valid` is taken from `train`, and without the column a seeded
//! tenth of the rows goes to `test`, another to `valid`. Rows of one `group` (a person, say) stay
//! together when the split is drawn, and are the groups of the data set. Every other column is a
//! target; [`TargetColumn`] says how its type is found or given.
//!
//! Everything is checked when the file is opened; a mistake is named by file and line.

mod read;
mod splits;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use image::RgbImage;
use rayon::prelude::*;
use vdvae_io::{Exif, MAX_PICTURE_BYTES, decode_picture};

pub use targets::{TargetColumn, TargetKind};

use crate::fingerprint::Fingerprint;
use crate::text::quoted;
use crate::{Dataset, Error, Labels, Result, Split};
use read::{GROUP, PATH, SPLIT, Table};

const NAME: &str = "csv";

/// The pictures of a CSV file, open: labels in memory, pictures on disk.
#[derive(Debug)]
pub struct CsvTable {
    name: String,
    pictures: Vec<Picture>,
    /// Rows of train, valid and test, in the order of the file.
    splits: [Vec<usize>; 3],
    /// Labels of all rows.
    labels: Labels,
    /// Group of every row: the rank of its name.
    groups: Option<Vec<u64>>,
    hint: String,
    fingerprint: String,
    stamp: String,
}

#[derive(Debug)]
struct Picture {
    /// The path as the file spells it.
    key: String,
    file: PathBuf,
}

impl CsvTable {
    /// Opens a file; `targets` names the target columns, all but `path`, `split` and `group` where
    /// it is empty. `seed` decides splits that the file does not.
    ///
    /// # Errors
    /// [`Error::Table`] where a line or a column cannot be understood, a path has no picture or
    /// comes twice, or a target has one value; [`Error::Targets`] where other targets would do;
    /// [`Error::Header`] for a file that is too large;
    /// [`Error::Io`].
    pub fn open(path: &Path, seed: u64, targets: &[TargetColumn]) -> Result<Self> {
        let table = Table::read(path)?;
        let (pictures, metadata) = pictures(&table, path)?;
        let group_names = group_names(&table)?;
        let keys = || pictures.iter().map(|picture| picture.key.as_str()).collect();
        let splits = splits::assign(&table, &group_names.clone().unwrap_or_else(keys), seed)?;
        let labels = targets::labels(&table, targets)?;
        let hint = match table.column(SPLIT) {
            Some(_) => format!("in {}, whose column `{SPLIT}` decides", table.file),
            None => format!("in {}; add rows, or a column `{SPLIT}`", table.file),
        };
        let mut dataset = Self {
            name: format!("{NAME}:{}", path.display()),
            pictures,
            splits,
            labels,
            groups: group_names.map(|names| ranks(&names)),
            hint,
            fingerprint: String::new(),
            stamp: String::new(),
        };
        let hash = Fingerprint::new(NAME).fact(&table.sha256).dataset(&dataset);
        let lengths = metadata.iter().map(Metadata::len);
        dataset.fingerprint = lengths.fold(hash, Fingerprint::number).hex();
        dataset.stamp = dataset.stamp_of(&table, &metadata);
        Ok(dataset)
    }

    /// Which targets were chosen is no part of it: they change no picture.
    fn stamp_of(&self, table: &Table, metadata: &[Metadata]) -> String {
        let mut hash = Fingerprint::new(NAME).fact(&table.sha256);
        for rows in &self.splits {
            hash = rows.iter().fold(hash.number(rows.len() as u64), |hash, &row| {
                hash.fact(self.pictures[row].file.as_os_str().as_encoded_bytes())
            });
        }
        metadata.iter().fold(hash, Fingerprint::file).hex()
    }

    fn picture(&self, split: Split, index: usize) -> &Picture {
        &self.pictures[self.splits[split.position()][index]]
    }
}

/// The picture of every row, which must exist and come once, with what its file system says.
fn pictures(table: &Table, path: &Path) -> Result<(Vec<Picture>, Vec<Metadata>)> {
    let column = table.column(PATH).ok_or_else(|| {
        let found = table.header.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        table.error(1, format!("a header with a column `{PATH}`"), found)
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // Components drop what `./a.png` and `a.png` differ by.
    let resolve = |key: &str| folder.join(key).components().collect::<PathBuf>();
    let mut lines: HashMap<PathBuf, usize> = HashMap::new();
    let mut pictures = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let (key, line) = (table.cell(row, column), table.lines[row]);
        if key.is_empty() {
            return Err(table.error(line, "the path of a picture", "an empty cell"));
        }
        let file = resolve(key);
        if let Some(first) = lines.insert(file.clone(), line) {
            let found = format!("{} again, first on line {first}", quoted(key));
            return Err(table.error(line, "one line a picture", found));
        }
        pictures.push(Picture { key: key.to_owned(), file });
    }
    let found: Vec<_> = pictures.par_iter().map(|picture| fs::metadata(&picture.file)).collect();
    let metadata = found.into_iter().enumerate().map(|(row, found)| {
        let missing = |found: String| table.error(table.lines[row], "a picture", found);
        let file = pictures[row].file.display();
        match found {
            Ok(metadata) if metadata.is_file() => Ok(metadata),
            Ok(_) => Err(missing(format!("{file}, which is no file"))),
            Err(error) => Err(missing(format!("{file}: {error}"))),
        }
    });
    let metadata = metadata.collect::<Result<_>>()?;
    Ok((pictures, metadata))
}

/// The group of every row, where the file has groups.
fn group_names(table: &Table) -> Result<Option<Vec<&str>>> {
    let Some(column) = table.column(GROUP) else { return Ok(None) };
    let names = (0..table.rows()).map(|row| match table.cell(row, column) {
        "" => Err(table.error(table.lines[row], "a group", "an empty cell")),
        name => Ok(name),
    });
    names.collect::<Result<_>>().map(Some)
}

/// The rank of every name among all that differ.
fn ranks(names: &[&str]) -> Vec<u64> {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let ranks: HashMap<&str, u64> = sorted.into_iter().zip(0..).collect();
    names.iter().map(|name| ranks[name]).collect()
}

/// The labels of some rows.
fn select(labels: &Labels, rows: &[usize]) -> Labels {
    fn cells<T: Copy>(values: &[T], width: usize, rows: &[usize]) -> Vec<T> {
        rows.iter().flat_map(|&row| values[row * width..][..width].iter().copied()).collect()
    }
    match labels {
        Labels::None => Labels::None,
        Labels::Binary { names, values } => {
            Labels::Binary { names: names.clone(), values: cells(values, names.len(), rows) }
        }
        Labels::Real { names, values } => {
            Labels::Real { names: names.clone(), values: cells(values, names.len(), rows) }
        }
        Labels::Classes { names, labels } => {
            Labels::Classes { names: names.clone(), labels: cells(labels, 1, rows) }
        }
    }
}

impl Dataset for CsvTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split.position()].len()
    }

    fn key(&self, split: Split, index: usize) -> String {
        self.picture(split, index).key.clone()
    }

    fn labels(&self, split: Split) -> Labels {
        select(&self.labels, &self.splits[split.position()])
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        let groups = self.groups.as_ref()?;
        Some(self.splits[split.position()].iter().map(|&row| groups[row]).collect())
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.image_with(split, index, Exif::Apply)
    }

    fn image_with(&self, split: Split, index: usize, exif: Exif) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let Picture { key, file } = self.picture(split, index);
        let opened = File::open(file).map_err(Error::io(file))?;
        let mut bytes = Vec::new();
        opened.take(MAX_PICTURE_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(file))?;
        if bytes.len() as u64 > MAX_PICTURE_BYTES {
            let reason = format!("expected at most {MAX_PICTURE_BYTES} bytes, found more");
            return Err(Error::Picture { key: key.clone(), reason });
        }
        Ok(decode_picture(key, &bytes, exif)?)
    }

    /// Covers the bytes of the CSV file and the lengths of the pictures.
    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn stamp(&self) -> String {
        self.stamp.clone()
    }

    fn split_hint(&self) -> String {
        self.hint.clone()
    }
}
