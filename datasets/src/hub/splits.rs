//! Splits of a data set of the hub: which published ones they are made of, and the rows of each.

use std::collections::BTreeSet;

use vdvae_hub::Table;

use super::labels::{Kind, Rows};
use super::shards::Shards;
use crate::Split;
use crate::ranking::draw;

/// One picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) table: usize,
    /// In its table.
    pub(super) row: usize,
    /// Among the rows of all tables.
    pub(super) all: usize,
    /// The split it is published in, and its number there.
    pub(super) published: (Split, usize),
}

/// What one file gave.
pub(super) struct Opened {
    pub(super) table: Table,
    pub(super) split: Split,
}

/// The published split that one that is asked for is made of.
fn source(shards: &Shards, split: Split) -> Split {
    let has = |split: Split| !shards.files[split.position()].is_empty();
    match split {
        // What is not published is drawn from train; without test, valid is test.
        _ if has(split) && (split != Split::Valid || has(Split::Test)) => split,
        Split::Test if has(Split::Valid) => Split::Valid,
        _ => Split::Train,
    }
}

/// The files that the splits asked for are made of, train first.
pub(super) fn planned<'a>(shards: &'a Shards, wanted: &[Split]) -> Vec<(Split, &'a String)> {
    let published: BTreeSet<Split> = wanted.iter().map(|&split| source(shards, split)).collect();
    let of = |split: Split| shards.files[split.position()].iter().map(move |file| (split, file));
    published.into_iter().flat_map(of).collect()
}

/// What stands in for a test split.
pub(super) fn substitutes(shards: &Shards) -> Option<String> {
    let text = match source(shards, Split::Test) {
        Split::Valid => "the published valid split serves as test; valid is drawn from train",
        Split::Train if !shards.files[0].is_empty() => "valid and test are drawn from train",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Deals the rows out to the splits asked for.
pub(super) fn assign(
    opened: &[Opened],
    shards: &Shards,
    labels: &Rows,
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
    let from = |split| source(shards, split);
    // Train, whole or without what others draw from it.
    let train = Split::Train.position();
    let drawn: Vec<Split> = [Split::Test, Split::Valid]
        .into_iter()
        .filter(|&split| from(split) == Split::Train)
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
        splits[split.position()] = match (split, from(split) == Split::Train) {
            (Split::Train, _) => parts.last().map(pick).unwrap_or_default(),
            (split, true) => {
                let part = drawn.iter().position(|&drawn| drawn == split);
                part.map(|part| pick(&parts[part])).unwrap_or_default()
            }
            (split, false) => std::mem::take(&mut published[from(split).position()]),
        };
    }
    splits
}

/// What decides the splits.
pub(super) fn hint(name: &str, shards: &Shards) -> String {
    let published: Vec<String> = Split::ALL
        .into_iter()
        .filter(|split| !shards.files[split.position()].is_empty())
        .map(|split| split.to_string())
        .collect();
    format!("in {name}, which has files for {}", published.join(", "))
}
