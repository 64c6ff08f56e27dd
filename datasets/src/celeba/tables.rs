//! The three label files of CelebA, as published and as commonly copied.
//!
//! Lines end in CRLF or LF, the last may lack its end; fields are separated by padding or, in
//! Kaggle's copies, by commas below a header; attributes are ±1 or 0/1.

use std::collections::HashMap;

use crate::names::base;
use crate::text::{Text, quoted};
use crate::{Result, Split};

/// Most attributes a file may name; CelebA has 40.
const MAX_ATTRIBUTES: usize = 4096;

/// The pictures that there are, by their names without an ending: the label files name pictures as
/// JPEG that may be PNG.
pub(super) struct Keys<'a> {
    rows: HashMap<&'a str, usize>,
    files: &'a [String],
}

impl<'a> Keys<'a> {
    pub(super) fn new(files: &'a [String]) -> Self {
        let rows = files.iter().enumerate().map(|(row, file)| (stem(base(file)), row)).collect();
        Self { rows, files }
    }

    /// Different names.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn fields(line: &str) -> Vec<&str> {
    if line.contains(',') {
        line.split(',').map(str::trim).collect()
    } else {
        line.split_whitespace().collect()
    }
}

/// Names and values of all attributes, for the pictures asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) names: Vec<String>,
    /// `(pictures, names)`, row-major: 1 or 0.
    pub(super) values: Vec<i8>,
}

/// Reads `list_attr_celeba.txt` for the pictures in `keys`.
pub(super) fn attributes(text: Text<'_>, keys: &Keys<'_>) -> Result<Attributes> {
    let mut lines = text.lines().peekable();
    let (mut number, mut header) =
        lines.next().ok_or_else(|| text.error(1, "a count or a header", "an empty file"))?;
    let count = header.parse::<usize>().ok();
    if count.is_some() {
        (number, header) =
            lines.next().ok_or_else(|| text.error(2, "attribute names", "the end of the file"))?;
    }
    let mut names = fields(header);
    // Published: names only. Kaggle: `image_id` first. Tell them apart by the first row's width.
    let width = lines.peek().map_or(names.len() + 1, |(_, line)| fields(line).len());
    if names.len() == width {
        names.remove(0);
    }
    if names.is_empty() || names.len() + 1 != width || names.len() > MAX_ATTRIBUTES {
        let expected = format!("{} attribute names, one for each value", width.saturating_sub(1));
        return Err(text.error(number, expected, format!("{} fields", names.len())));
    }
    let mut values = vec![-1_i8; keys.len() * names.len()];
    let mut seen = Seen::new(text, keys);
    let mut rows = 0;
    for (number, line) in lines {
        rows += 1;
        let row = fields(line);
        if row.len() != width {
            let expected = format!("a file name and {} values", names.len());
            return Err(text.error(number, expected, format!("{} fields", row.len())));
        }
        let Some(index) = seen.visit(number, row[0])? else { continue };
        let cells = &mut values[index * names.len()..][..names.len()];
        for (cell, value) in cells.iter_mut().zip(&row[1..]) {
            *cell = match *value {
                "1" | "+1" => 1,
                "-1" | "0" => 0,
                _ => return Err(text.error(number, "1, -1 or 0", quoted(value))),
            };
        }
    }
    if let Some(count) = count.filter(|&count| count != rows) {
        return Err(text.error(1, format!("the number of rows, {rows}"), count.to_string()));
    }
    seen.all()?;
    Ok(Attributes { names: names.into_iter().map(str::to_owned).collect(), values })
}

/// Reads `list_eval_partition.txt`: the split of every picture in `keys`.
pub(super) fn partition(text: Text<'_>, keys: &Keys<'_>) -> Result<Vec<Split>> {
    let expected = "a file name and 0, 1 or 2";
    pairs(text, keys, expected, |value| match value {
        "0" => Some(Split::Train),
        "1" => Some(Split::Valid),
        "2" => Some(Split::Test),
        _ => None,
    })
}

/// Reads `identity_CelebA.txt`: the person in every picture in `keys`.
pub(super) fn identities(text: Text<'_>, keys: &Keys<'_>) -> Result<Vec<u64>> {
    pairs(text, keys, "a file name and a number", |value| value.parse().ok())
}

/// Reads lines of a file name and one value; a first line whose value does not parse is a header.
fn pairs<T: Clone>(
    text: Text<'_>,
    keys: &Keys<'_>,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>> {
    let mut values: Vec<Option<T>> = vec![None; keys.len()];
    let mut seen = Seen::new(text, keys);
    for (number, line) in text.lines() {
        let (key, value) = match fields(line)[..] {
            [key, value] => (key, parse(value)),
            _ => (line, None),
        };
        let Some(value) = value else {
            // Kaggle's header names its columns, e.g. `image_id,partition`.
            if number == 1 && key == "image_id" {
                continue;
            }
            return Err(text.error(number, expected, quoted(line)));
        };
        if let Some(index) = seen.visit(number, key)? {
            values[index] = Some(value);
        }
    }
    seen.all()?;
    Ok(values.into_iter().flatten().collect())
}

/// Which pictures have had a line: each must have exactly one.
struct Seen<'a> {
    text: Text<'a>,
    keys: &'a Keys<'a>,
    lines: Vec<usize>,
}

impl<'a> Seen<'a> {
    fn new(text: Text<'a>, keys: &'a Keys<'a>) -> Self {
        Self { text, keys, lines: vec![0; keys.len()] }
    }

    /// Row of the picture a line is about, or `None` where the picture does not exist.
    fn visit(&mut self, number: usize, key: &str) -> Result<Option<usize>> {
        let Some(&index) = self.keys.rows.get(stem(key)) else { return Ok(None) };
        match std::mem::replace(&mut self.lines[index], number) {
            0 => Ok(Some(index)),
            first => {
                let found = format!("{key} again, first on line {first}");
                Err(self.text.error(number, "one line a picture", found))
            }
        }
    }

    /// Fails with the first picture, by key, that has had no line.
    fn all(&self) -> Result<()> {
        let pictures = self.keys.files.iter().zip(&self.lines);
        let missing = pictures.filter(|(_, line)| **line == 0).map(|(file, _)| base(file));
        match missing.min() {
            None => Ok(()),
            Some(key) => Err(self.text.no_line(key)),
        }
    }
}
