//! Pictures and what is known about them in one table with a header: CSV, or with semicolons or tabs.
//!
//! One column names the pictures, relative to the file's own folder; columns may say which split a
//! row belongs to, and which rows are of one group (a person, say): they stay together when splits
//! are drawn, and are the groups of the data set. [`TableOptions`] names these columns where their
//! names do not say it. A missing `valid` is taken from `train`, and without a column of splits a
//! seeded tenth of the rows goes to `test`, another to `valid`. Every other column is a target;
//! [`TargetColumn`] says how its type is found or given. What was decided is in the data set's
//! [remarks](Dataset::remarks).
//!
//! Everything is checked when the file is opened; a mistake is named by file and line.

mod cells;
mod columns;
mod labels;
mod pictures;
mod read;
mod splits;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use image::RgbImage;
use vdvae_io::{Exif, MAX_PICTURE_BYTES, decode_picture};

pub use targets::{TargetColumn, TargetKind, Uncertain};

use crate::fingerprint::Fingerprint;
use crate::{Dataset, Error, Labels, Result, Split};
use cells::is_missing;
use columns::Columns;
use pictures::{Picture, pictures};
use read::Table;

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
    remarks: Vec<String>,
    fingerprint: String,
    stamp: String,
}

/// What the columns of a table are for, where that is not to be found from their names and cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// The column that names the pictures.
    pub path: Option<String>,
    /// The column that says which split a row belongs to.
    pub split: Option<String>,
    /// The column that says which rows are of one group.
    pub group: Option<String>,
    /// What -1 says in binary columns where it is not plainly no.
    pub uncertain: Option<Uncertain>,
}

impl CsvTable {
    /// Opens a file; `targets` names the target columns, all without another purpose where it is
    /// empty. `seed` decides splits that the file does not.
    ///
    /// Rows whose class is missing are left out where the class is all there is to predict.
    ///
    /// # Errors
    /// [`Error::Table`] where a line or a column cannot be understood, a path has no picture or
    /// comes twice, or a target has one value; [`Error::Targets`] where other targets, or given
    /// kinds, would do; [`Error::Undecided`] where [`TableOptions`] would;
    /// [`Error::Header`] for a file that is too large;
    /// [`Error::Io`].
    pub fn open(
        path: &Path,
        seed: u64,
        targets: &[TargetColumn],
        options: &TableOptions,
    ) -> Result<Self> {
        let given = |name: &str| options.path.as_deref() == Some(name);
        let table = Table::read(path, |name| given(name) || columns::names_pictures(name))?;
        let Columns { path: of_pictures, splits: of_splits, group, others, mut remarks } =
            Columns::find(&table, options, targets)?;
        let (pictures, metadata) = pictures(&table, of_pictures, path, &mut remarks)?;
        let group_names = group.map(|column| group_names(&table, column)).transpose()?;
        let keys = || pictures.iter().map(|picture| picture.key.as_str()).collect();
        let units = group_names.clone().unwrap_or_else(keys);
        let mut splits = splits::assign(&table, &of_splits, &units, seed, &mut remarks)?;
        let targets = targets::targets(&table, &others, targets, &mut remarks)?;
        let labels = labels::labels(&targets, options.uncertain, &mut remarks)?;
        leave_out_unknown(&mut splits, &labels, &mut remarks);
        let hint = match &of_splits[..] {
            [] => format!("in {}; add rows, or a column `split`", table.file),
            [split, ..] => {
                format!("in {}, whose column {} decides", table.file, table.name(split.column))
            }
        };
        let mut dataset = Self {
            name: format!("{NAME}:{}", path.display()),
            pictures,
            splits,
            labels,
            groups: group_names.map(|names| ranks(&names)),
            hint,
            remarks,
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

/// The group of every row.
fn group_names(table: &Table, column: usize) -> Result<Vec<&str>> {
    let names = table.cells(column).enumerate().map(|(row, name)| match is_missing(name) {
        true => Err(table.cell_error(row, column, "a group")),
        false => Ok(name),
    });
    names.collect()
}

/// Leaves rows without a class out of the splits, where there is nothing else to predict. Splits
/// were drawn before, so that other rows stay where they are.
fn leave_out_unknown(splits: &mut [Vec<usize>; 3], labels: &Labels, remarks: &mut Vec<String>) {
    let Labels::Classes { labels, .. } = labels else { return };
    let unknown = labels.iter().filter(|label| **label == Labels::UNKNOWN_CLASS).count();
    for rows in splits {
        rows.retain(|&row| labels[row] != Labels::UNKNOWN_CLASS);
    }
    if unknown > 0 {
        remarks.push(format!("{unknown} rows without a class are left out"));
    }
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
        Labels::Several(parts) => {
            let part = |(name, part): &(String, Labels)| (name.clone(), select(part, rows));
            Labels::Several(parts.iter().map(part).collect())
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

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}
