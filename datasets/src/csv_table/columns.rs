//! What the columns of a table are for: pictures, splits, groups, and what may be predicted.

use std::collections::HashSet;

use super::cells::{
    MAX_WORDS, is_missing, is_odd_number, number, says_yes_or_no, whole, yes_or_no,
};
use super::read::Table;
use super::splits::{self, SplitColumn};
use super::{TableOptions, TargetColumn};
use crate::text::quoted;
use crate::{Error, Result, TableChoice};

/// Names of columns that deal rows out to folds, of which none is the test split.
const FOLDS: [&str; 4] = ["fold", "folds", "kfold", "cvfold"];
/// The column of pictures where there are several that might be.
const PATH: &str = "path";
/// Names of columns of pictures, in small letters and without what parts words.
const PATHS: [&str; 16] = [
    PATH,
    "paths",
    "file",
    "filename",
    "filepath",
    "image",
    "images",
    "imagefile",
    "imageid",
    "imageindex",
    "imagename",
    "imagepath",
    "img",
    "imgname",
    "imgpath",
    "picture",
];
/// The column of groups where there are several that might be.
const GROUP: &str = "group";
/// Names of columns that say who or what is in a picture, in small letters and without what parts
/// words: where it is in several splits, a probe may know it again.
const GROUPS: [&str; 9] = [
    GROUP,
    "identity",
    "patient",
    "patientid",
    "subject",
    "subjectid",
    "person",
    "personid",
    "participantid",
];

/// Columns by what they are for.
pub(super) struct Columns {
    /// Names the pictures.
    pub(super) path: usize,
    /// Say which split a row belongs to.
    pub(super) splits: Vec<SplitColumn>,
    /// Says which rows belong together.
    pub(super) group: Option<usize>,
    /// All others, in the order of the file.
    pub(super) others: Vec<usize>,
    /// What was decided.
    pub(super) remarks: Vec<String>,
}

/// Whether a header's name is one of a column of pictures.
pub(super) fn names_pictures(name: &str) -> bool {
    is_one_of(name, &PATHS)
}

/// Whether a name is one of a list, however its words are parted: `Image Index`, `image_index`.
fn is_one_of(name: &str, names: &[&str]) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    names.iter().any(|known| plain.eq_ignore_ascii_case(known))
}

impl Columns {
    /// Finds the columns that are not given; none of the targets is taken for anything else.
    pub(super) fn find(
        table: &Table,
        options: &TableOptions,
        targets: &[TargetColumn],
    ) -> Result<Self> {
        let mut remarks = Vec::new();
        let named = |choice: TableChoice, name: &Option<String>| {
            let Some(name) = name else { return Ok(None) };
            let found = table.column(name).map(Some);
            found.ok_or_else(|| undecided(table, choice, format!("a column {}", quoted(name))))
        };
        let is_target =
            |column: usize| targets.iter().any(|target| target.name == table.header[column]);
        let free = |taken: &[usize]| -> Vec<usize> {
            let columns = 0..table.header.len();
            columns.filter(|column| !taken.contains(column) && !is_target(*column)).collect()
        };
        let path = match named(TableChoice::Path, &options.path)? {
            Some(column) => column,
            None => path_column(table, &free(&[]))?,
        };
        if table.header[path] != PATH && options.path.is_none() {
            remarks.push(format!("pictures are those of column {}", table.name(path)));
        }
        let splits = match named(TableChoice::Split, &options.split)? {
            Some(column) => vec![SplitColumn::new(table, column, true)],
            None => splits::find(table, &free(&[path]), &mut remarks),
        };
        let mut taken: Vec<usize> = splits.iter().map(|split| split.column).chain([path]).collect();
        let group = match named(TableChoice::Group, &options.group)? {
            Some(column) => Some(column),
            None => group_column(table, &free(&taken), &mut remarks)?,
        };
        taken.extend(group);
        let others = (0..table.header.len()).filter(|column| !taken.contains(column)).collect();
        Ok(Self { path, splits, group, others, remarks })
    }
}

fn undecided(table: &Table, choice: TableChoice, expected: String) -> Error {
    let (file, found) = (table.file.clone(), table.names());
    Error::Undecided { choice, file, line: 1, expected, found }
}

/// `path`, or the one column that is named like paths.
fn path_column(table: &Table, free: &[usize]) -> Result<usize> {
    if let Some(column) = table.column(PATH) {
        return Ok(column);
    }
    let named = free.iter().copied().filter(|&column| names_pictures(&table.header[column]));
    match named.collect::<Vec<_>>()[..] {
        [only] => Ok(only),
        [] => {
            let expected = "a column of pictures' files: `path`, `filename`, `image`".to_owned();
            Err(undecided(table, TableChoice::Path, expected))
        }
        _ => Err(undecided(table, TableChoice::Path, "one column of pictures' files".to_owned())),
    }
}

/// `group`, or the one column that says who is in a picture. One without a value that comes twice
/// groups nothing.
fn group_column(table: &Table, free: &[usize], remarks: &mut Vec<String>) -> Result<Option<usize>> {
    if let Some(&column) = free.iter().find(|&&column| table.header[column] == GROUP) {
        return Ok(Some(column));
    }
    // `person` may also say whether there is one in the picture.
    let answers = |column| table.cells(column).all(|cell| is_missing(cell) || says_yes_or_no(cell));
    let groups = |&column: &usize| {
        let named = is_one_of(&table.header[column], &GROUPS);
        named && !all_differ(table.cells(column)) && !answers(column)
    };
    let named: Vec<usize> = free.iter().copied().filter(groups).collect();
    let Some(&column) = named.first() else { return Ok(None) };
    if named.len() > 1 {
        return Err(undecided(table, TableChoice::Group, "one column of groups".to_owned()));
    }
    remarks.push(format!("rows of one {} are a group", table.name(column)));
    Ok(Some(column))
}

/// Why a column that nobody asked for is not predicted, where it is not.
pub(super) fn left_out(table: &Table, column: usize) -> Option<String> {
    let name = table.header[column].to_ascii_lowercase();
    let known: Vec<&str> = table.cells(column).filter(|cell| !is_missing(cell)).collect();
    let differ = known.len() > 1 && all_differ(known.iter().copied());
    let whole = known.iter().all(|cell| whole(cell).is_some());
    let is_word =
        |cell: &&str| number(cell).is_none() && !is_odd_number(cell) && yes_or_no(cell).is_none();
    let words = known.iter().all(is_word);
    let is_id = ["id", "idx"].contains(&&name[..]) || name.ends_with("_id");
    let different = || known.iter().collect::<HashSet<_>>().len();
    let reason = match () {
        () if name.is_empty() => "it has no name",
        () if whole && (name == "index" || name.starts_with("unnamed:")) => "it is an index",
        () if whole && differ && is_id => "each row has an id of its own",
        () if words && differ => "each row has words of its own",
        () if whole && is_one_of(&name, &FOLDS) => "it deals rows out to folds, which are not used",
        () if words && different() > MAX_WORDS => {
            return Some(format!("it has more than {MAX_WORDS} different words"));
        }
        () => return None,
    };
    Some(reason.to_owned())
}

/// Why there is nothing to predict in a column, where there is not.
pub(super) fn constant(table: &Table, column: usize) -> Option<String> {
    let mut known = table.cells(column).filter(|cell| !is_missing(cell));
    let Some(first) = known.next() else { return Some("all its cells are empty".to_owned()) };
    known.all(|cell| cell == first).then(|| format!("all its cells are {}", quoted(first)))
}

/// Whether no cell comes twice.
fn all_differ<'a>(mut cells: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = HashSet::new();
    cells.all(|cell| seen.insert(cell))
}
