//! A data set of the hub, open: labels in memory, pictures in the Parquet files of the cache.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use image::RgbImage;
use vdvae_hub::{
    Block, ClassNames, Columns, Listing, Repository, Table, Target, Targets, columns, has_targets,
};
use vdvae_io::{Exif, decode_picture};

use super::blocks::Blocks;
use super::labels::{Kind, Rows, bring_together, may_be_classes};
use super::shards::Shards;
use super::splits::{Opened, Row, assign, hint, planned, substitutes};
use crate::fingerprint::Fingerprint;
use crate::published::grouped;
use crate::{Dataset, Error, Labels, OpenOptions, Result, Split, TargetColumn, TargetKind};

/// Parquet files of the hub as a data set.
#[derive(Debug)]
pub(super) struct HubDataset {
    name: String,
    tables: Vec<Table>,
    splits: [Vec<Row>; 3],
    targets: Vec<String>,
    kind: Kind,
    rows: Rows,
    fingerprint: String,
    stamp: String,
    hint: String,
    remarks: Vec<String>,
    blocks: Blocks,
}

/// Where files come from.
pub(super) struct Source<'a> {
    pub(super) repository: &'a Repository<'a>,
    pub(super) listing: &'a Listing,
    /// Called before a download.
    pub(super) announce: &'a dyn Fn(),
}

impl Source<'_> {
    fn path(&self, file: &str) -> Result<PathBuf> {
        Ok(self.repository.file(self.listing, file, self.announce)?)
    }

    fn error(&self, reason: String) -> Error {
        self.repository.reason(reason, false).into()
    }
}

impl HubDataset {
    /// Opens the splits asked for, downloading what the cache lacks; `names` are of the classes of
    /// columns that files do not name. Where a choice of columns is missing, `must_choose` makes that an
    /// error; there are no labels otherwise.
    pub(super) fn open(
        name: String,
        source: &Source<'_>,
        mut shards: Shards,
        names: &ClassNames,
        options: &OpenOptions,
        must_choose: bool,
    ) -> Result<Self> {
        let wanted = if options.splits.is_empty() { &Split::ALL } else { &options.splits[..] };
        let first = planned(&shards, wanted).first().map(|(_, file)| source.path(file));
        let first = first.ok_or_else(|| {
            source.error("expected Parquet files of a split, found none".into())
        })??;
        let chosen: Vec<Target> = options.targets.iter().map(target).collect();
        let columns = match columns(&first, Some(&chosen), names) {
            Err(vdvae_hub::Error::Targets { .. }) if !must_choose => columns(&first, None, names)?,
            found => found?,
        };
        // Whether every number is a class.
        let asked = chosen.iter().any(|target| target.kind == Some(vdvae_hub::TargetKind::Class));
        let mut remarks = std::mem::take(&mut shards.remarks);
        remarks.extend(columns.remarks.iter().cloned());
        if matches!(columns.targets, Targets::Classes { .. }) {
            remarks.extend(leave_out_unlabelled(source, &mut shards, &columns, asked)?);
        }
        let substitutes = substitutes(&shards);
        if source.listing.partial && substitutes.is_some() {
            remarks.push("the cache does not say whether more splits are published".to_owned());
        }
        remarks.extend(substitutes);
        let files = planned(&shards, wanted);
        let paths: Vec<PathBuf> =
            files.iter().map(|(_, file)| source.path(file)).collect::<Result<_>>()?;
        source.repository.remember(source.listing)?;
        let (mut opened, mut labels) = (Vec::new(), Vec::new());
        for ((split, _), path) in files.iter().zip(&paths) {
            let (table, found) = Table::open(path, &columns)?;
            opened.push(Opened { table, split: *split });
            labels.push(found);
        }
        if let (Targets::Real(names), true) = (&columns.targets, must_choose && chosen.is_empty())
            && let [label] = &names[..]
            && vdvae_hub::is_label(label)
            && may_be_classes(&labels)
        {
            let expected =
                format!("what the whole numbers in {label} are ({label}:class or {label}:real)");
            return Err(Error::Columns { path: first, expected, found: "none".into() });
        }
        if labels.iter().any(|file| file.words) && files.len() < planned(&shards, &Split::ALL).len()
        {
            remarks.push("classes are numbered among the splits that are read".to_owned());
        }
        let (kind, targets, rows) =
            bring_together(&columns, labels, asked).map_err(|found| source.error(found))?;
        if kind == Kind::Classes {
            remarks.extend(unlabelled_rows(&opened, &rows.classes));
        }
        let facts = Fingerprint::new("hub")
            .fact(source.repository.id().as_bytes())
            .fact(source.listing.commit.as_bytes())
            .number(options.seed);
        let facts = chosen.iter().fold(facts, |facts, target| facts.fact(target.name.as_bytes()));
        let mut fingerprint = facts;
        let mut stamp = Fingerprint::new("hub files");
        for ((_, file), path) in files.iter().zip(&paths) {
            let metadata = fs::metadata(path).map_err(Error::io(path))?;
            fingerprint = fingerprint.fact(file.as_bytes()).number(metadata.len());
            stamp = stamp.file(&metadata);
        }
        let fingerprint = fingerprint.hex();
        let stamp = stamp.fact(fingerprint.as_bytes()).hex();
        let splits = assign(&opened, &shards, &rows, kind, wanted, options.seed);
        let hint = hint(&name, &shards);
        let tables = opened.into_iter().map(|opened| opened.table).collect();
        let blocks = Blocks::default();
        Ok(Self {
            name,
            tables,
            splits,
            targets,
            kind,
            rows,
            fingerprint,
            stamp,
            hint,
            remarks,
            blocks,
        })
    }

    fn row(&self, split: Split, index: usize) -> Row {
        self.splits[split.position()][index]
    }
}

fn target(TargetColumn { name, kind }: &TargetColumn) -> Target {
    let kind = kind.map(|kind| match kind {
        TargetKind::Binary => vdvae_hub::TargetKind::Binary,
        TargetKind::Real => vdvae_hub::TargetKind::Real,
        TargetKind::Class => vdvae_hub::TargetKind::Class,
    });
    Target { name: name.clone(), kind }
}

/// Leaves out the validation and test files none of whose rows has a class, as test sets are
/// published whose answers are kept back. What has none is the same whichever splits are asked for.
fn leave_out_unlabelled(
    source: &Source<'_>,
    shards: &mut Shards,
    columns: &Columns,
    asked: bool,
) -> Result<Vec<String>> {
    let is_class = |class: &Option<i64>| class.is_some_and(|class| asked || class != -1);
    let mut remarks = Vec::new();
    for split in [Split::Valid, Split::Test] {
        let files = &mut shards.files[split.position()];
        let (mut rows, mut labelled) = (0, false);
        for file in files.iter() {
            let path = source.path(file)?;
            // Where answers are kept back, their column may be, too.
            let targets = match has_targets(&path, columns)? {
                true => columns.targets.clone(),
                false => Targets::None,
            };
            let (table, labels) = Table::open(&path, &Columns { targets, ..columns.clone() })?;
            rows += table.rows();
            labelled = labels.classes.iter().any(is_class);
            if labelled {
                break;
            }
        }
        if !labelled && rows > 0 {
            files.clear();
            let rows = grouped(rows);
            remarks.push(format!(
                "the published {split} split ({rows} pictures) has no labels and is left out"
            ));
        }
    }
    Ok(remarks)
}

/// A line for every published split of which some pictures have no class.
fn unlabelled_rows(opened: &[Opened], classes: &[Option<u32>]) -> Vec<String> {
    let mut counts: BTreeMap<Split, (usize, usize)> = BTreeMap::new();
    let splits = opened.iter().flat_map(|file| std::iter::repeat_n(file.split, file.table.rows()));
    for (split, class) in splits.zip(classes) {
        let (without, all) = counts.entry(split).or_default();
        *all += 1;
        *without += usize::from(class.is_none());
    }
    let line = |(split, (without, all)): (Split, (usize, usize))| {
        let (without, all) = (grouped(without), grouped(all));
        format!(
            "{without} of {all} pictures of the published {split} split have no label and are left out"
        )
    };
    counts.into_iter().filter(|(_, (without, _))| *without > 0).map(line).collect()
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
                let label = |row: usize| self.rows.classes[row].unwrap_or_default();
                Labels::Classes { names, labels: rows().map(label).collect() }
            }
            Kind::Binary => {
                let cells = |row: usize| &self.rows.binary[row * width..][..width];
                Labels::Binary { names, values: rows().flat_map(cells).copied().collect() }
            }
            Kind::Real => {
                let cells = |row: usize| &self.rows.real[row * width..][..width];
                Labels::Real { names, values: rows().flat_map(cells).copied().collect() }
            }
        }
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        let rows = self.splits[split.position()].iter();
        (!self.rows.groups.is_empty()).then(|| rows.map(|row| self.rows.groups[row.all]).collect())
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

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}
