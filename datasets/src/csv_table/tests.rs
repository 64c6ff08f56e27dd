use std::collections::HashSet;

use super::*;
use crate::fixture::{picture, png};

/// A folder with `labels.csv` of this text and the pictures that it may name.
fn folder(text: impl AsRef<[u8]>, files: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in files {
        let path = directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, png()).unwrap();
    }
    fs::write(directory.path().join("labels.csv"), text).unwrap();
    directory
}

fn open(directory: &tempfile::TempDir, targets: &str) -> Result<CsvTable> {
    let targets: Vec<TargetColumn> =
        targets.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect();
    CsvTable::open(&directory.path().join("labels.csv"), 0, &targets)
}

/// A table of the columns `split` (all train but for one each) and `header` below `rows`, whose
/// pictures exist.
fn with_columns(header: &str, rows: &[&str]) -> tempfile::TempDir {
    let names: Vec<String> = (0..rows.len()).map(|i| format!("{i}.png")).collect();
    let mut text = format!("path,{header}\n");
    for (name, row) in names.iter().zip(rows) {
        text += &format!("{name},{row}\n");
    }
    folder(text, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Labels of all rows in the order of the file.
fn all_labels(header: &str, rows: &[&str], targets: &str) -> Labels {
    let header = format!("split,{header}");
    let rows: Vec<String> = rows.iter().map(|row| format!("test,{row}")).collect();
    let directory = with_columns(&header, &rows.iter().map(String::as_str).collect::<Vec<_>>());
    open(&directory, targets).unwrap().labels(Split::Test)
}

fn error(directory: &tempfile::TempDir, targets: &str) -> String {
    let text = open(directory, targets).unwrap_err().to_string();
    assert!(!text.contains('\n') && text.contains("labels.csv"), "{text}");
    text
}

/// The error's text after the name of the file.
fn mistake(header: &str, rows: &[&str], targets: &str) -> String {
    let text = error(&with_columns(header, rows), targets);
    text.split_once("labels.csv, ").unwrap().1.to_owned()
}

fn keys(table: &CsvTable, split: Split) -> Vec<String> {
    (0..table.len(split)).map(|index| table.key(split, index)).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn rows_are_read_with_quotes_spaces_and_a_byte_order_mark() {
    let text = "\u{feff}split, path ,group,Smiling\r\n\r\ntrain,\"a, b.png\",ann, 1 \r\n\
                val,sub/c.png,bob,0\r\nTEST,./d.png,ann,\r\n";
    let directory = folder(text, &["a, b.png", "sub/c.png", "d.png"]);
    let table = open(&directory, "").unwrap();
    assert_eq!(keys(&table, Split::Train), ["a, b.png"]);
    assert_eq!(keys(&table, Split::Valid), ["sub/c.png"]);
    assert_eq!(keys(&table, Split::Test), ["./d.png"]);
    assert_eq!(Split::ALL.map(|split| table.groups(split).unwrap()[0]), [0, 1, 0]);
    let missing = Labels::Binary { names: names(&["Smiling"]), values: vec![-1] };
    assert_eq!(table.labels(Split::Test), missing);
    assert_eq!(table.image(Split::Valid, 0).unwrap(), picture());
    assert!(table.image(Split::Valid, 1).unwrap_err().to_string().contains("below 1, found 1"));
}

#[test]
fn kinds_are_found() {
    for (yes, no) in [("1", "0"), ("1", "-1"), ("1.0", "0.0"), ("True", "false"), ("yes", "NO")] {
        let labels = all_labels("a", &[yes, no, "", "NaN", yes], "");
        let values = vec![1, 0, -1, -1, 1];
        assert_eq!(labels, Labels::Binary { names: names(&["a"]), values }, "{yes} {no}");
    }
    let labels = all_labels("a,b", &["1,yes", "0,", "0,no"], "");
    assert_eq!(
        labels,
        Labels::Binary { names: names(&["a", "b"]), values: vec![1, 1, 0, -1, 0, 0] }
    );
    // Words in the order of the alphabet, numbers in the order of their values.
    let classes = |names_: &[&str], labels| Labels::Classes { names: names(names_), labels };
    let labels = all_labels("kind", &["dog", "cat", "emu", "cat"], "");
    assert_eq!(labels, classes(&["cat", "dog", "emu"], vec![1, 0, 2, 0]));
    assert_eq!(all_labels("digit", &["10", "9", "9"], ""), classes(&["9", "10"], vec![1, 0, 0]));
    let labels = all_labels("age", &["0.5", "-2e1", "7"], "");
    assert_eq!(labels, Labels::Real { names: names(&["age"]), values: vec![0.5, -20.0, 7.0] });
    // Whole numbers beside another target, or of too many values, are numbers.
    let labels = all_labels("x,y", &["1,3", "2,4", "3,5"], "");
    assert_eq!(
        labels,
        Labels::Real { names: names(&["x", "y"]), values: vec![1.0, 3.0, 2.0, 4.0, 3.0, 5.0] }
    );
    let many: Vec<String> = (0..21).map(|i| i.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(all_labels("age", &many, ""), Labels::Real { .. }));
    assert!(matches!(all_labels("age", &many[..20], ""), Labels::Classes { .. }));
    assert_eq!(open(&folder("path\na.png\n", &["a.png"]), "").unwrap().labels, Labels::None);
}

#[test]
fn kinds_and_columns_can_be_given() {
    let rows = ["1,30,cat", "0,31.5,dog", "1,,cat"];
    let labels = |targets| all_labels("smiles,age,kind", &rows, targets);
    let binary = Labels::Binary { names: names(&["smiles"]), values: vec![1, 0, 1] };
    assert_eq!(labels("smiles"), binary);
    assert_eq!(labels("smiles:binary"), binary);
    let Labels::Real { names: found, values } = labels("age:real,smiles:real") else { panic!() };
    assert_eq!(found, ["age", "smiles"]);
    assert_eq!(values[..4], [30.0, 1.0, 31.5, 0.0]);
    assert!(values[4].is_nan());
    let classes = |names_: &[&str], labels| Labels::Classes { names: names(names_), labels };
    assert_eq!(labels("smiles:class"), classes(&["0", "1"], vec![1, 0, 1]));
    assert_eq!(labels("kind"), classes(&["cat", "dog"], vec![0, 1, 0]));
    for wrong in ["age:int", ":real", ""] {
        let text = wrong.parse::<TargetColumn>().unwrap_err().to_string();
        assert!(text.contains("NAME:class") && text.contains(&format!("`{wrong}`")), "{text}");
    }
}

#[test]
fn targets_that_make_no_sense_are_named() {
    let cases: [(&str, &[&str], &str, &str); 14] = [
        ("a", &["1", "1"], "", "line 1: expected two values or more in column `a`, found only `1`"),
        ("a", &["1.5", "1.50"], "", "line 1: expected two values or more in column `a`"),
        ("a", &["x", "x"], "", "line 1: expected two values or more in column `a`"),
        ("a,b", &["1,", "0,"], "", "column `b`, found only empty cells"),
        ("a,b", &["1,x", "0,y"], "", "line 2: expected a number, yes or no"),
        ("a,b", &["1,1.5", "0,2"], "", "targets of one kind, found `a` (binary) and `b` (real)"),
        ("a", &["1", "two"], "a:real", "line 3: expected a number in column `a`, found `two`"),
        ("a", &["1", "1e99"], "a:real", "line 3: expected a number in column `a`, found `1e99`"),
        ("a", &["1", "inf"], "a:real", "line 3: expected a number in column `a`, found `inf`"),
        ("a", &["1", "0", "-1"], "a:binary", "line 4: expected 1 or 0, 1 or -1"),
        ("a", &["x", "", "y"], "", "line 3: expected a class in column `a`, found an empty cell"),
        ("a,b", &["1,2", "2,1"], "a:class,b:class", "expected one column of classes, found 2"),
        ("a", &["1", "0"], "c", "expected a target column `c`, found `a`"),
        ("a", &["1", "0"], "a,a:real", "expected each target once, found `a` twice"),
    ];
    for (header, rows, targets, expected) in cases {
        let text = mistake(header, rows, targets);
        assert!(text.contains(expected), "{header} {rows:?} {targets}: {text}");
    }
}

#[test]
fn files_that_cannot_be_understood_are_named_by_line() {
    let cases: [(&[u8], &str); 12] = [
        (b"", "line 1: expected a header with a column `path`, found an empty file"),
        (b"\n\n", "line 1: expected a header"),
        (b"path,a\n", "line 2: expected a row for each picture, found the end of the file"),
        (b"file,a\na.png,1\n", "line 1: expected a header with a column `path`, found `file`, `a`"),
        (b"path,a,a\na.png,1,1\n", "line 1: expected a different name for each column"),
        (b"path,a\na.png,1\n\nb.png,1,2\n", "line 4: expected 2 fields, as in the header, found 3"),
        (b"path,a\na.png,1\nb.png\n", "line 3: expected 2 fields, as in the header, found 1"),
        (b"path,a\na.png,1\nb.png,\xff\n", "line 3: expected text in UTF-8, found the byte ff"),
        (b"path,a\na.png,1\n,0\n", "line 3: expected the path of a picture"),
        (b"path,a\na.png,1\n./a.png,0\n", "line 3: expected one line a picture, found `./a.png`"),
        (b"path,split\na.png,trian\n", "line 2: expected train, valid or test, found `trian`"),
        (b"path,group,a\na.png,x,1\nb.png,,0\n", "line 3: expected a group, found an empty cell"),
    ];
    for (text, expected) in cases {
        let message = error(&folder(text, &["a.png", "b.png"]), "");
        assert!(message.contains(expected), "{message}");
    }
    let message = error(&folder("path,a\na.png,1\n\nmissing/b.png,0\n", &["a.png"]), "");
    assert!(message.contains("line 4: expected a picture, found "), "{message}");
    assert!(message.contains("missing/b.png: "), "{message}");
    let directory = folder("path,a\na.png,1\nsub,0\n", &["a.png", "sub/b.png"]);
    assert!(error(&directory, "").contains("sub, which is no file"));
    let long = format!("path,a\na.png,{}\nb.png,\"x\ny\"\n", "z".repeat(500));
    let message = error(&folder(long, &["a.png", "b.png"]), "a:real");
    assert!(message.contains(&format!("`{}…`", "z".repeat(80))), "{message}");
    let text = CsvTable::open(Path::new("/nonexistent/x.csv"), 0, &[]).unwrap_err().to_string();
    assert!(text.starts_with("/nonexistent/x.csv: "), "{text}");
    let text = CsvTable::open(directory.path(), 0, &[]).unwrap_err().to_string();
    assert!(text.contains("a CSV file of at most"), "{text}");
}

#[test]
fn a_picture_that_is_broken_later_is_named_by_its_path() {
    let directory = folder("path,split\na.png,test\n", &["a.png"]);
    let table = open(&directory, "").unwrap();
    fs::write(directory.path().join("a.png"), b"no picture").unwrap();
    let text = table.image(Split::Test, 0).unwrap_err().to_string();
    assert!(text.starts_with("picture a.png: expected JPEG, PNG, "), "{text}");
}

#[test]
fn splits_are_drawn_by_row_or_group_and_repeat() {
    let rows: Vec<String> = (0..100).map(|i| format!("{},{}", i / 4, i % 2)).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let grouped = with_columns("group,a", &rows);
    let table = open(&grouped, "").unwrap();
    // 25 groups of 4: a tenth is reached with the third.
    assert_eq!(Split::ALL.map(|split| table.len(split)), [76, 12, 12]);
    let groups: Vec<HashSet<u64>> =
        Split::ALL.iter().map(|&s| table.groups(s).unwrap().into_iter().collect()).collect();
    assert!(groups[0].is_disjoint(&groups[1]) && groups[0].is_disjoint(&groups[2]));
    assert!(groups[1].is_disjoint(&groups[2]));
    let plain = with_columns("other,a", &rows);
    let path = plain.path().join("labels.csv");
    let open_seed = |seed| CsvTable::open(&path, seed, &["a".parse().unwrap()]).unwrap();
    let table = open_seed(0);
    assert_eq!(Split::ALL.map(|split| table.len(split)), [80, 10, 10]);
    let all: HashSet<_> = Split::ALL.into_iter().flat_map(|split| keys(&table, split)).collect();
    assert_eq!(all.len(), 100);
    assert_eq!(keys(&table, Split::Test), keys(&open_seed(0), Split::Test));
    assert_ne!(keys(&table, Split::Test), keys(&open_seed(1), Split::Test));
    assert!(table.groups(Split::Train).is_none());
}

#[test]
fn a_missing_valid_split_is_taken_from_train() {
    let rows = [["train"; 30].as_slice(), &["test"; 10]].concat();
    let table = open(&with_columns("split", &rows), "").unwrap();
    assert_eq!(Split::ALL.map(|split| table.len(split)), [27, 3, 10]);
    let table = open(&with_columns("split", &["train"; 5]), "").unwrap();
    let text = table.require(&Split::ALL).unwrap_err().to_string();
    assert!(text.contains("split `test` is empty") && text.contains("column `split`"), "{text}");
}

#[test]
fn the_fingerprint_sees_the_file_and_the_stamp_every_picture() {
    let directory = folder("path,a,b\na.png,1,2.5\nb.png,0,1.5\n", &["a.png", "b.png"]);
    let prints = |targets| {
        let table = open(&directory, targets).unwrap();
        (table.fingerprint(), table.stamp())
    };
    let (fingerprint, stamp) = prints("a");
    assert_eq!(prints("a"), (fingerprint.clone(), stamp.clone()));
    // Other targets are other data, of the same pictures.
    assert_ne!(prints("b").0, fingerprint);
    assert_eq!(prints("b").1, stamp);
    // Another time of change: perhaps another picture of the same length.
    let file = File::options().write(true).open(directory.path().join("b.png")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(prints("a").0, fingerprint);
    assert_ne!(prints("a").1, stamp);
    let stamp = prints("a").1;
    fs::write(directory.path().join("labels.csv"), "path,a,b\na.png,0,2.5\nb.png,1,1.5\n").unwrap();
    assert_ne!(prints("a").0, fingerprint);
    assert_ne!(prints("a").1, stamp);
}
