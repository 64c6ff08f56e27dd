//! The picture of every row: a file beside the table.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use vdvae_io::printable;

use super::read::Table;
use crate::Result;
use crate::text::quoted;

/// Endings that a column of ids may leave out.
const ENDINGS: [&str; 6] = ["", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG"];

/// A picture of a table.
#[derive(Debug)]
pub(super) struct Picture {
    /// The path as the file spells it.
    pub(super) key: String,
    pub(super) file: PathBuf,
}

/// How paths are spelt in a table, which the first row shows.
#[derive(Clone, Copy)]
struct Spelling {
    /// What follows every path.
    ending: &'static str,
    /// Whether folders are parted as in Windows.
    backslashes: bool,
    /// Whether paths start in the folder above the table's, as in CheXpert.
    above: bool,
}

impl Spelling {
    const PLAIN: Self = Self { ending: "", backslashes: false, above: false };

    /// The first under which the first picture exists.
    fn of(first: &str, folder: &Path, remarks: &mut Vec<String>) -> Self {
        let endings = |backslashes, above| {
            ENDINGS.into_iter().map(move |ending| Self { ending, backslashes, above })
        };
        let both = |above| endings(false, above).chain(endings(true, above));
        let mut all = both(false).chain(both(true));
        let found = all.find(|spelling| spelling.file(first, folder).is_file());
        let found = found.unwrap_or(Self::PLAIN);
        if !found.ending.is_empty() {
            remarks.push(format!("names of pictures are read with `{}` after them", found.ending));
        }
        if found.backslashes {
            remarks.push("backslashes in paths are read as slashes".to_owned());
        }
        if found.above {
            remarks.push("paths of pictures start in the folder above the table's".to_owned());
        }
        found
    }

    /// The file of a path relative to the table's folder, or to the home folder.
    fn file(self, key: &str, folder: &Path) -> PathBuf {
        let mut path = format!("{key}{}", self.ending);
        if self.backslashes {
            path = path.replace('\\', "/");
        }
        let home = path.strip_prefix("~/").zip(std::env::var_os("HOME"));
        let file = match home {
            Some((rest, home)) => Path::new(&home).join(rest),
            None if self.above => folder.join("..").join(&path),
            None => folder.join(&path),
        };
        // Components drop what `./a.png` and `a.png` differ by.
        file.components().collect()
    }
}

/// The picture of every row, which must exist and come once, with what its file system says.
pub(super) fn pictures(
    table: &Table,
    column: usize,
    path: &Path,
    remarks: &mut Vec<String>,
) -> Result<(Vec<Picture>, Vec<Metadata>)> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let spelling = Spelling::of(table.cell(0, column), folder, remarks);
    check_quotes(table, column, |key| spelling.file(key, folder).is_file())?;
    let mut lines: HashMap<PathBuf, usize> = HashMap::new();
    let mut pictures = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let (key, line) = (table.cell(row, column), table.lines[row]);
        if key.is_empty() {
            return Err(table.error(line, "the path of a picture", "an empty cell"));
        }
        let file = spelling.file(key, folder);
        if let Some(first) = lines.insert(file.clone(), line) {
            let found = format!("{} again, first on line {first}", quoted(key));
            return Err(table.error(line, "one line a picture", found));
        }
        pictures.push(Picture { key: key.to_owned(), file });
    }
    let found: Vec<_> = pictures.par_iter().map(|picture| fs::metadata(&picture.file)).collect();
    let metadata = found.into_iter().enumerate().map(|(row, found)| {
        let missing = |found: String| table.error(table.lines[row], "a picture", found);
        let file = printable(&pictures[row].file.display().to_string());
        match found {
            Ok(metadata) if metadata.is_file() => Ok(metadata),
            Ok(_) => Err(missing(format!("{file}, which is no file"))),
            Err(error) => Err(missing(format!("{file}: {error}"))),
        }
    });
    let metadata = metadata.collect::<Result<_>>()?;
    Ok((pictures, metadata))
}

/// Fails where a cell of several lines holds rows: a quotation mark was opened and not closed, and
/// their pictures would be missed by nobody.
fn check_quotes(table: &Table, column: usize, exists: impl Fn(&str) -> bool) -> Result<()> {
    for row in 0..table.rows() {
        let cells = (0..table.header.len()).map(|column| table.cell(row, column));
        let below = cells.filter(|cell| cell.contains('\n')).flat_map(|cell| cell.lines().skip(1));
        let picture = |line: &'_ str| {
            let cell = line.split(char::from(table.delimiter)).nth(column)?.trim_matches('"');
            (!cell.is_empty() && exists(cell)).then(|| quoted(cell))
        };
        if let Some(picture) = below.map(picture).find_map(|picture| picture) {
            let found = format!("a cell with the row of {picture} in it");
            return Err(table.error(table.lines[row], "a closing quotation mark", found));
        }
    }
    Ok(())
}
