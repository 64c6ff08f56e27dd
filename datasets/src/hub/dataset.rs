//! A data set of the hub, open: labels in memory, pictures in the Parquet files of the cache.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use image::RgbImage;
use vdvae_hub::{Block, Columns, Listing, Repository, Table, TableLabels, Targets, columns};
use vdvae_io::{Exif, decode_picture};

use super::shards::Shards;
use crate::fingerprint::Fingerprint;
use crate::ranking::draw;
use crate::{Dataset, Error, Labels, Result, Split};

/// Blocks of pictures that are kept: batches read a few rows here and there, or many in a row.
const BLOCKS: usize = 32;
/// Largest number of a class: beyond it a column counts something else.
const MAX_CLASS: u32 = 1 << 16;

/// Parquet files of the hub as a data set.
#[derive(Debug)]
pub(super) struct HubDataset {
    name: String,
    tables: Vec<Table>,
    splits: [Vec<Row>; 3],
    targets: Vec<String>,
    kind: Kind,
    /// Of all rows, in the order of the tables.
    labels: TableLabels,
    fingerprint: String,
    stamp: String,
    hint: String,
    blocks: Blocks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Classes,
    Binary,
    Real,
}

/// One picture.
#[derive(Debug, Clone, Copy)]
struct Row {
    table: usize,
    /// In its table.
    row: usize,
    /// Among the rows of all tables.
    all: usize,
    /// The split it is published in, and its number there.
    published: (Split, usize),
}

/// What one file gave.
struct Opened {
    table: Table,
    split: Split,
}

/// From which published splits each one that is asked for is made.
fn sources(shards: &Shards, split: Split) -> Vec<Split> {
    let has = |split: Split| !shards.files[split.position()].is_empty();
    match split {
        // What is not published is drawn from train; without test, valid is test.
        _ if has(split) && (split != Split::Valid || has(Split::Test)) => vec![split],
        Split::Test if has(Split::Valid) => vec![Split::Valid],
        _ => vec![Split::Train],
    }
}

impl HubDataset {
    /// Opens the splits asked for, downloading what the cache lacks.
    pub(super) fn open(
        name: String,
        repository: &Repository<'_>,
        listing: &Listing,
        shards: &Shards,
        (wanted, seed): (&[Split], u64),
        announce: impl Fn(),
    ) -> Result<Self> {
        let wanted = if wanted.is_empty() { &Split::ALL } else { wanted };
        let published: BTreeSet<Split> =
            wanted.iter().flat_map(|&split| sources(shards, split)).collect();
        let files: Vec<(Split, &String)> = published
            .iter()
            .flat_map(|&split| shards.files[split.position()].iter().map(move |file| (split, file)))
            .collect();
        let paths: Vec<PathBuf> = files
            .iter()
            .map(|(_, file)| repository.file(listing, file, &announce))
            .collect::<vdvae_hub::Result<_>>()?;
        repository.remember(listing)?;
        let first = paths.first().ok_or_else(|| {
            repository.reason("expected Parquet files of a split, found none".into(), false)
        })?;
        let columns = columns(first)?;
        let mut labels = TableLabels::default();
        let mut opened = Vec::new();
        for ((split, _), path) in files.iter().zip(&paths) {
            let (table, found) = Table::open(path, &columns)?;
            labels.classes.extend(found.classes);
            labels.binary.extend(found.binary);
            labels.real.extend(found.real);
            labels.groups.extend(found.groups);
            opened.push(Opened { table, split: *split });
        }
        let facts = Fingerprint::new("hub")
            .fact(repository.id().as_bytes())
            .fact(listing.commit.as_bytes())
            .number(seed);
        let mut fingerprint = facts;
        let mut stamp = Fingerprint::new("hub files");
        for ((_, file), path) in files.iter().zip(&paths) {
            let metadata = fs::metadata(path).map_err(Error::io(path))?;
            fingerprint = fingerprint.fact(file.as_bytes()).number(metadata.len());
            stamp = stamp.file(&metadata);
        }
        let fingerprint = fingerprint.hex();
        let stamp = stamp.fact(fingerprint.as_bytes()).hex();
        let (kind, targets) =
            targets(&columns, &labels.classes).map_err(|found| repository.reason(found, false))?;
        let splits = assign(&opened, shards, &labels, kind, wanted, seed);
        let hint = hint(&name, shards);
        let tables = opened.into_iter().map(|opened| opened.table).collect();
        let blocks = Blocks::default();
        Ok(Self { name, tables, splits, targets, kind, labels, fingerprint, stamp, hint, blocks })
    }

    fn row(&self, split: Split, index: usize) -> Row {
        self.splits[split.position()][index]
    }
}

/// Names of what is predicted.
fn targets(columns: &Columns, classes: &[Option<u32>]) -> Result<(Kind, Vec<String>), String> {
    Ok(match &columns.targets {
        Targets::None => (Kind::None, Vec::new()),
        Targets::Binary(names) => (Kind::Binary, names.clone()),
        Targets::Real(names) => (Kind::Real, names.clone()),
        Targets::Classes { column, names } => {
            let mut names = names.clone().unwrap_or_default();
            let last = classes.iter().flatten().max().copied().unwrap_or_default();
            if last > MAX_CLASS {
                let expected = format!("expected classes from 0 to {MAX_CLASS} in {column}");
                return Err(format!("{expected}, found {last}"));
            }
            names.extend((names.len()..=last as usize).map(|class| class.to_string()));
            (Kind::Classes, names)
        }
    })
}

/// Deals the rows out to the splits asked for.
fn assign(
    opened: &[Opened],
    shards: &Shards,
    labels: &TableLabels,
    kind: Kind,
    wanted: &[Split],
    seed: u64,
) -> [Vec<Row>; 3] {
    let mut published: [Vec<Row>; 3] = Default::default();
    let mut all = 0;
    let mut counts = [0; 3];
    for (table, Opened { table: file, split }) in opened.iter().enumerate() {
        for row in 0..file.rows() {
            let number = counts[split.position()];
            counts[split.position()] += 1;
            // A picture without its class is of no use where classes are what is asked for.
            if kind != Kind::Classes || labels.classes[all].is_some() {
                let published_as = (*split, number);
                published[split.position()].push(Row { table, row, all, published: published_as });
            }
            all += 1;
        }
    }
    let from = |split| sources(shards, split);
    // Train, whole or without what others draw from it.
    let train = Split::Train.position();
    let drawn: Vec<Split> = [Split::Test, Split::Valid]
        .into_iter()
        .filter(|&split| from(split) == [Split::Train])
        .collect();
    let rows = std::mem::take(&mut published[train]);
    let name = |at: usize| match labels.groups.get(rows[at].all) {
        Some(group) => group.to_string(),
        None => rows[at].published.1.to_string(),
    };
    let names: Vec<String> = (0..rows.len()).map(name).collect();
    let indices: Vec<usize> = (0..rows.len()).collect();
    let unit = |row: usize| names[row].as_str();
    let parts: Vec<Vec<usize>> = match drawn.len() {
        2 => draw::<3>(indices, unit, seed).into(),
        1 => draw::<2>(indices, unit, seed).into(),
        _ => vec![indices],
    };
    let pick = |part: &Vec<usize>| part.iter().map(|&at| rows[at]).collect::<Vec<Row>>();
    let mut splits: [Vec<Row>; 3] = Default::default();
    for &split in wanted {
        splits[split.position()] = match (split, from(split)[..] == [Split::Train]) {
            (Split::Train, _) => parts.last().map(pick).unwrap_or_default(),
            (split, true) => {
                let part = drawn.iter().position(|&drawn| drawn == split);
                part.map(|part| pick(&parts[part])).unwrap_or_default()
            }
            (split, false) => std::mem::take(&mut published[from(split)[0].position()]),
        };
    }
    splits
}

/// What decides the splits.
fn hint(name: &str, shards: &Shards) -> String {
    let published: Vec<String> = Split::ALL
        .into_iter()
        .filter(|split| !shards.files[split.position()].is_empty())
        .map(|split| split.to_string())
        .collect();
    format!("in {name}, which has files for {}", published.join(", "))
}

impl Dataset for HubDataset {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split.position()].len()
    }

    /// Split and number of the row as published, such as `train/000017`.
    fn key(&self, split: Split, index: usize) -> String {
        let (published, number) = self.row(split, index).published;
        format!("{published}/{number:06}")
    }

    fn labels(&self, split: Split) -> Labels {
        let rows = || self.splits[split.position()].iter().map(|row| row.all);
        let names = self.targets.clone();
        let width = names.len();
        match self.kind {
            Kind::None => Labels::None,
            Kind::Classes => {
                let label = |row: usize| self.labels.classes[row].unwrap_or_default();
                Labels::Classes { names, labels: rows().map(label).collect() }
            }
            Kind::Binary => {
                let cells = |row: usize| &self.labels.binary[row * width..][..width];
                Labels::Binary { names, values: rows().flat_map(cells).copied().collect() }
            }
            Kind::Real => {
                let cells = |row: usize| &self.labels.real[row * width..][..width];
                Labels::Real { names, values: rows().flat_map(cells).copied().collect() }
            }
        }
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        let rows = self.splits[split.position()].iter();
        (!self.labels.groups.is_empty())
            .then(|| rows.map(|row| self.labels.groups[row.all]).collect())
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        self.image_with(split, index, Exif::Apply)
    }

    fn image_with(&self, split: Split, index: usize, exif: Exif) -> Result<RgbImage> {
        self.check_index(split, index)?;
        let Row { table, row, .. } = self.row(split, index);
        let key = self.key(split, index);
        let table_number = table;
        let table = &self.tables[table];
        let (group, block) = table.place(row);
        let block =
            self.blocks.get((table_number, group, block), || Ok(table.block((group, block))?))?;
        let picture = |block: &Block| match block.get(row) {
            Some(Ok(bytes)) => Some(decode_picture(&key, bytes, exif).map_err(Error::from)),
            Some(Err(reason)) => Some(Err(Error::Picture { key: key.clone(), reason })),
            None => None,
        };
        match picture(&block) {
            Some(result) => result,
            None => picture(&table.single(row)?).unwrap_or_else(|| {
                let reason = format!("no row {row} in {}", table.path().display());
                Err(Error::Picture { key: key.clone(), reason })
            }),
        }
    }

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

/// The blocks used last. Threads that want the same one wait for the first to read it.
#[derive(Debug, Default)]
struct Blocks(Mutex<VecDeque<(BlockId, Slot)>>);

/// Filled by the first thread that needs it; `None` where that failed.
type Slot = Arc<OnceLock<Option<Arc<Block>>>>;

/// Table, row group, block.
type BlockId = (usize, usize, usize);

impl Blocks {
    fn get(&self, id: BlockId, read: impl Fn() -> Result<Block>) -> Result<Arc<Block>> {
        let slot = {
            let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let found = blocks.iter().position(|(known, _)| *known == id);
            let slot = match found.and_then(|at| blocks.remove(at)) {
                Some((_, slot)) => slot,
                None => Arc::default(),
            };
            blocks.push_back((id, Arc::clone(&slot)));
            if blocks.len() > BLOCKS {
                blocks.pop_front();
            }
            slot
        };
        // An error is not kept: each who asks reads again, and gets its own.
        match slot.get_or_init(|| read().ok().map(Arc::new)) {
            Some(block) => Ok(Arc::clone(block)),
            None => read().map(Arc::new),
        }
    }
}
