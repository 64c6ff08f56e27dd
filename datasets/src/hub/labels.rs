//! Labels of a data set of the hub: those of all of its files, and one list of names of classes.

use std::collections::{BTreeSet, HashMap};

use vdvae_hub::{Columns, TableLabels, Targets};

/// Largest number of a class that has no name, and most classes: beyond it a column counts something
/// else.
const MAX_CLASS: i64 = 1 << 16;

/// Most whole numbers of a column `label` of floating-point ones that may be classes, as in tables.
const MAX_NUMBERS: usize = 20;

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    None,
    Classes,
    Binary,
    Real,
}

/// Labels of all rows, in the order of the tables; see [`TableLabels`].
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) classes: Vec<Option<u32>>,
    pub(super) binary: Vec<i8>,
    pub(super) real: Vec<f64>,
    pub(super) groups: Vec<u64>,
}

/// The labels of all files: their kind, the names of targets or classes, and the rows.
pub(super) fn bring_together(
    columns: &Columns,
    files: Vec<TableLabels>,
    asked: bool,
) -> Result<(Kind, Vec<String>, Rows), String> {
    let mut rows = Rows::default();
    let (kind, names) = match &columns.targets {
        Targets::None => (Kind::None, Vec::new()),
        Targets::Binary(names) => {
            one_no(names, &files)?;
            (Kind::Binary, names.clone())
        }
        Targets::Real(names) => (Kind::Real, names.clone()),
        Targets::Classes { column, .. } => {
            let Classes { names, labels } = merge(&files, column, asked)?;
            rows.classes = labels;
            (Kind::Classes, names)
        }
    };
    for file in files {
        rows.binary.extend(file.binary);
        rows.real.extend(file.real);
        rows.groups.extend(file.groups);
    }
    Ok((kind, names, rows))
}

/// Whether numbers may as well be classes: whole, and few.
pub(super) fn may_be_classes(files: &[TableLabels]) -> bool {
    let known = || files.iter().flat_map(|file| &file.real).filter(|value| !value.is_nan());
    let mut values = BTreeSet::new();
    known().all(|value| {
        values.insert(value.to_bits());
        value.fract() == 0.0 && values.len() <= MAX_NUMBERS
    })
}

/// Fails where an attribute is denied by 0 in one file and by -1 in another: there, -1 may mean that
/// it is not known.
fn one_no(names: &[String], files: &[TableLabels]) -> Result<(), String> {
    for (at, name) in names.iter().enumerate() {
        let mut no = files.iter().filter_map(|file| *file.no.get(at)?);
        let first = no.next();
        if no.any(|other| Some(other) != first) {
            return Err(format!("expected 1 and 0, or 1 and -1, in {name}, found all three"));
        }
    }
    Ok(())
}

/// Names of classes, and the class of every row; none where it is missing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Classes {
    names: Vec<String>,
    labels: Vec<Option<u32>>,
}

/// Brings the classes of all files together. Files that name their classes may have them in another
/// order each; `asked` says that every number is a class.
///
/// # Errors
/// What was expected in `column`, and what was found.
fn merge(files: &[TableLabels], column: &str, asked: bool) -> Result<Classes, String> {
    let own: Vec<Option<Vec<String>>> =
        files.iter().map(|file| file.names.as_deref().map(told_apart)).collect();
    let names = all_names(&own);
    match names.is_empty() {
        true => numbers(files, column, asked),
        false => named(files, &own, names, column),
    }
}

/// Names of classes, of which those that others have too get a number: `crane` the bird and `crane (2)`
/// the machine.
fn told_apart(names: &[String]) -> Vec<String> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    let name = |name| {
        let count = counts.entry(name).or_default();
        *count += 1;
        if *count == 1 { name.to_owned() } else { format!("{name} ({count})") }
    };
    names.iter().map(String::as_str).map(name).collect()
}

/// The names of the first file that has some, and after them those that only others have.
fn all_names(own: &[Option<Vec<String>>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut known = BTreeSet::new();
    for name in own.iter().flatten().flatten() {
        if known.insert(name) {
            names.push(name.clone());
        }
    }
    names
}

fn named(
    files: &[TableLabels],
    own: &[Option<Vec<String>>],
    names: Vec<String>,
    column: &str,
) -> Result<Classes, String> {
    let numbers: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
    let words = files.iter().any(|file| file.words);
    let mut labels = Vec::new();
    for (file, own) in files.iter().zip(own) {
        if words && own.is_none() && file.classes.iter().flatten().any(|&class| class != -1) {
            return Err(format!("expected words in {column} of every file, found numbers in one"));
        }
        // A file without names counts as the first one does.
        let own: Vec<u32> = match own {
            Some(own) => own.iter().map(|name| numbers[name.as_str()]).collect(),
            None => (0..names.len() as u32).collect(),
        };
        for &label in &file.classes {
            let number = |label: i64| own.get(usize::try_from(label).ok()?).copied();
            labels.push(match label {
                None | Some(-1) => None,
                Some(label) => Some(number(label).ok_or_else(|| {
                    format!("expected one of {} classes in {column}, found {label}", own.len())
                })?),
            });
        }
    }
    Ok(Classes { names, labels })
}

/// Classes that are numbers. -1 is none, except of two classes 1 and -1.
fn numbers(files: &[TableLabels], column: &str, asked: bool) -> Result<Classes, String> {
    let all = || files.iter().flat_map(|file| &file.classes).copied();
    let values: BTreeSet<i64> = all().flatten().collect();
    let listed: Vec<i64> = values.iter().copied().take(4).collect();
    let distinct = match listed[..] {
        _ if asked => true,
        [-1, 1] => true,
        [-1, 0, 1] => {
            return Err(format!(
                "expected classes from 0 up, found -1, 0 and 1 in {column}, where -1 may be a class or \
                 none: all three are classes of {column}:class"
            ));
        }
        [least, ..] if least < -1 => {
            let expected = "expected classes from 0 up, or -1 for none";
            return Err(format!("{expected}, in {column}, found {least}"));
        }
        _ => false,
    };
    let last = values.last().copied().unwrap_or(-1);
    let classes: Vec<i64> = if distinct { values.into_iter().collect() } else { Vec::new() };
    if last > MAX_CLASS && !distinct || classes.len() as i64 > MAX_CLASS {
        let expected = format!("expected classes from 0 to {MAX_CLASS} in {column}");
        return Err(format!("{expected}, found {last}"));
    }
    let number = |label: i64| match distinct {
        true => classes.binary_search(&label).ok().map(|at| at as u32),
        false => u32::try_from(label).ok(),
    };
    let labels = all().map(|label| label.and_then(number)).collect();
    let names = match distinct {
        true => classes.iter().map(i64::to_string).collect(),
        false => (0..=last).map(|class| class.to_string()).collect(),
    };
    Ok(Classes { names, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(classes: &[i64], names: Option<&[&str]>) -> TableLabels {
        let names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        // 99 is a null.
        let classes = classes.iter().map(|&class| (class != 99).then_some(class)).collect();
        TableLabels { classes, names, ..TableLabels::default() }
    }

    fn merged(files: &[TableLabels], asked: bool) -> (Vec<String>, Vec<Option<u32>>) {
        let Classes { names, labels } = merge(files, "label", asked).unwrap();
        (names, labels)
    }

    #[test]
    fn classes_of_all_files_go_by_their_names() {
        let files = [
            file(&[0, 1], Some(&["cat", "dog"])),
            file(&[0, 99, 1, 2], Some(&["dog", "cat", "eel"])),
            file(&[1, -1], None),
        ];
        let (names, labels) = merged(&files, false);
        assert_eq!(names, ["cat", "dog", "eel"]);
        let labels: Vec<i64> =
            labels.into_iter().map(|label| label.map_or(-1, i64::from)).collect();
        assert_eq!(labels, [0, 1, 1, -1, 0, 2, 1, -1]);
        let found = merge(&[file(&[0], Some(&["cat"])), file(&[7], None)], "label", false);
        assert_eq!(found.unwrap_err(), "expected one of 1 classes in label, found 7");
    }

    #[test]
    fn one_number_says_no_in_all_files() {
        let names = ["a", "b"].map(str::to_owned).to_vec();
        let (picture, targets) = ("image".to_owned(), Targets::Binary(names));
        let columns = Columns { picture, targets, group: None, remarks: vec![] };
        let file = |binary: &[i8], no: [Option<i64>; 2]| TableLabels {
            binary: binary.to_vec(),
            no: no.to_vec(),
            ..TableLabels::default()
        };
        let files = vec![file(&[1, 0], [None, Some(-1)]), file(&[0, 1], [Some(0), None])];
        assert_eq!(bring_together(&columns, files, false).unwrap().2.binary, [1, 0, 0, 1]);
        let files = vec![file(&[0, 0], [Some(0), None]), file(&[0, 1], [Some(-1), None])];
        let text = bring_together(&columns, files, false).unwrap_err();
        assert_eq!(text, "expected 1 and 0, or 1 and -1, in a, found all three");
    }

    #[test]
    fn numbers_are_classes_and_minus_one_is_none_or_one_of_two() {
        let names = |values: &[i64], asked| merged(&[file(values, None)], asked).0;
        assert_eq!(names(&[2, 0, -1, 99], false), ["0", "1", "2"]);
        let (two, labels) = merged(&[file(&[1, -1], None), file(&[-1, 99], None)], false);
        assert_eq!(two, ["-1", "1"]);
        assert_eq!(labels, [Some(1), Some(0), Some(0), None]);
        assert_eq!(merged(&[file(&[-1, 5], None)], false).1, [None, Some(5)]);
        assert_eq!(merged(&[file(&[-1, -1], None)], false), (vec![], vec![None, None]));
        assert_eq!(names(&[-1, 0, 1], true), ["-1", "0", "1"]);
        assert_eq!(names(&[7, 1001], true), ["7", "1001"]);
        let wrong = |values: &[i64]| merge(&[file(values, None)], "label", false).unwrap_err();
        assert!(wrong(&[-1, 0, 1]).contains("label:class"));
        assert!(wrong(&[-2, 5]).ends_with("in label, found -2"));
        assert!(wrong(&[1 << 40]).contains("from 0 to 65536 in label, found 1099511627776"));
    }
}
