//! Pairs of pictures of one or of two people, in folds, as the lists of LFW have them.
//!
//! The first line has the number of folds and the number n of pairs of either kind in each (one
//! number: one fold). Every fold is n lines `Name⇥i⇥j`, two pictures of one person, then n lines
//! `NameA⇥i⇥NameB⇥j`, one picture each of two.

use std::collections::BTreeSet;

use crate::Result;
use crate::published::grouped;
use crate::text::{Text, quoted};

/// Two pictures, as indices into the split they lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PicturePair {
    /// The first picture.
    pub a: usize,
    /// The second picture.
    pub b: usize,
    /// Whether they show one person.
    pub same: bool,
}

/// Folds of pairs: a threshold for each fold comes from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationPairs {
    /// In every fold the pairs of one person come first.
    pub folds: Vec<Vec<PicturePair>>,
}

impl VerificationPairs {
    /// Pairs in all folds.
    pub fn len(&self) -> usize {
        self.folds.iter().map(Vec::len).sum()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pictures that are in a pair of a fold, in order, each once.
    ///
    /// # Panics
    /// If there is no such fold.
    pub fn pictures(&self, fold: usize) -> Vec<usize> {
        let mut pictures: Vec<_> =
            self.folds[fold].iter().flat_map(|pair| [pair.a, pair.b]).collect();
        pictures.sort_unstable();
        pictures.dedup();
        pictures
    }
}

/// Most missing pictures that a message names.
const MAX_NAMED: usize = 10;

/// A list being read.
struct List<'a> {
    text: Text<'a>,
    find: &'a dyn Fn(&str, u32) -> Option<usize>,
    /// Pictures that are not there, and the first of them with its line.
    missing: BTreeSet<String>,
    first_missing: Option<(usize, String)>,
}

/// Reads a list; `find` gives the index of a person's picture of some number.
pub(super) fn parse(
    text: Text<'_>,
    find: &dyn Fn(&str, u32) -> Option<usize>,
) -> Result<VerificationPairs> {
    let mut list = List { text, find, missing: BTreeSet::new(), first_missing: None };
    let mut lines = text.lines();
    let (folds, pairs) = list.header(lines.next().unwrap_or((1, "")))?;
    let mut found = VerificationPairs { folds: Vec::new() };
    let mut last = 1;
    for fold in 1..=folds {
        // Grows with what is there, not with what the header promises.
        let mut read = Vec::new();
        for number in 0..pairs.saturating_mul(2) {
            let Some((line, pair)) = lines.next() else {
                let expected =
                    format!("{pairs} pairs of one person and {pairs} of two in fold {fold}");
                return Err(text.error(last + 1, expected, "the end of the file"));
            };
            last = line;
            read.push(list.pair(line, pair, number < pairs)?);
        }
        found.folds.push(read);
    }
    match lines.next() {
        None => list.complete().map(|()| found),
        Some((line, more)) => {
            let expected = format!("the end of the file after {folds} folds of 2 x {pairs} pairs");
            Err(text.error(line, expected, quoted(more)))
        }
    }
}

impl List<'_> {
    /// Folds, and pairs of either kind in each.
    fn header(&self, (line, text): (usize, &str)) -> Result<(usize, usize)> {
        let fields: Option<Vec<usize>> =
            text.split_whitespace().map(|field| field.parse().ok()).collect();
        match fields.unwrap_or_default()[..] {
            [pairs] if pairs > 0 => Ok((1, pairs)),
            [folds, pairs] if folds > 0 && pairs > 0 => Ok((folds, pairs)),
            _ => {
                let expected = "a header of the number of folds and of pairs in each";
                Err(self.text.error(line, expected, quoted(text)))
            }
        }
    }

    fn pair(&mut self, line: usize, text: &str, same: bool) -> Result<PicturePair> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (a, b) = match (same, &fields[..]) {
            (true, &[name, i, j]) => ((name, i), (name, j)),
            (false, &[name, i, other, j]) if name != other => ((name, i), (other, j)),
            _ => {
                let expected = if same {
                    "a name and two numbers"
                } else {
                    "two different names, each with a number"
                };
                return Err(self.text.error(line, expected, quoted(text)));
            }
        };
        Ok(PicturePair { a: self.picture(line, a)?, b: self.picture(line, b)?, same })
    }

    /// Number of a picture; of one that is not there, no matter which, as the list is then refused.
    fn picture(&mut self, line: usize, (name, number): (&str, &str)) -> Result<usize> {
        let parsed = number.parse().map_err(|_| {
            self.text.error(line, "the number of a picture", quoted(&format!("{name} {number}")))
        })?;
        if let Some(index) = (self.find)(name, parsed) {
            return Ok(index);
        }
        let file = format!("{name}/{name}_{parsed:04}.jpg");
        let file = file.chars().take(160).collect::<String>();
        self.first_missing.get_or_insert_with(|| (line, file.clone()));
        self.missing.insert(file);
        Ok(0)
    }

    /// Fails with the pictures that are not there.
    fn complete(&self) -> Result<()> {
        let Some((line, first)) = &self.first_missing else { return Ok(()) };
        let mut found = "no such picture".to_owned();
        if self.missing.len() > 1 {
            let named: Vec<&str> =
                self.missing.iter().take(MAX_NAMED).map(String::as_str).collect();
            let more = if self.missing.len() > MAX_NAMED { ", …" } else { "" };
            found += &format!("; {} are missing: ", grouped(self.missing.len()));
            found += &(named.join(", ") + more);
        }
        Err(self.text.error(*line, format!("picture {first}"), found))
    }
}
