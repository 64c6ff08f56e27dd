use std::fs;

use super::*;
use crate::fixture::{picture, png};

mod columns;
mod kinds;
mod splits;

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

fn open_with(directory: &tempfile::TempDir, options: &TableOptions) -> Result<CsvTable> {
    CsvTable::open(&directory.path().join("labels.csv"), 0, &[], options)
}

fn open(directory: &tempfile::TempDir, targets: &str) -> Result<CsvTable> {
    let targets: Vec<TargetColumn> =
        targets.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect();
    CsvTable::open(&directory.path().join("labels.csv"), 0, &targets, &TableOptions::default())
}

/// A table of `path` and the columns of `header`, whose pictures exist.
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
fn files_that_cannot_be_understood_are_named_by_line() {
    let cases: [(&[u8], &str); 16] = [
        (b"", "line 1: expected a header with a column of pictures, found an empty file"),
        (b"\n\n", "line 1: expected a header"),
        (b"path,a\n", "line 2: expected a row for each picture, found the end of the file"),
        (
            b"what,a\na.png,1\n",
            "line 1: expected a column of pictures' files: `path`, `filename`, `image`, found `what`, `a`",
        ),
        (b"path,a,a\na.png,1,1\n", "line 1: expected a different name for each column"),
        (b"path,a\na.png,1\n\nb.png,1,2\n", "line 4: expected 2 fields, as in the header, found 3"),
        (b"path,a\na.png,1\nb.png\n", "line 3: expected 2 fields, as in the header, found 1"),
        (b"path,a\na.png,1\nb.png,\xff\n", "line 3: expected text in UTF-8, found the byte ff"),
        (b"path,a\na.png,1\n,0\n", "line 3: expected the path of a picture"),
        (b"path,a\na.png,1\n./a.png,0\n", "line 3: expected one line a picture, found `./a.png`"),
        (
            b"path,split\na.png,trian\n",
            "line 2: expected train, valid or test in column `split`, found `trian`",
        ),
        (b"\xff\xfep\0a\0", "line 1: expected text in UTF-8, found UTF-16"),
        (b"path,a\na.png,1\nb\0.png,2\n", "line 3: expected text in UTF-8, found UTF-16"),
        (b"path,a\na.png,\"1\nb.png,2\n", "line 2: expected a closing quotation mark"),
        (b"path;a\na.png;1\nb.png;2;3\n", "line 3: expected 2 fields, as in the header, found 3"),
        (
            b"path,group,a\na.png,x,1\nb.png,,0\n",
            "line 3: expected a group in column `group`, found an empty cell",
        ),
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
    let text = CsvTable::open(Path::new("/nonexistent/x.csv"), 0, &[], &TableOptions::default())
        .unwrap_err()
        .to_string();
    assert!(text.starts_with("/nonexistent/x.csv: "), "{text}");
    let text =
        CsvTable::open(directory.path(), 0, &[], &TableOptions::default()).unwrap_err().to_string();
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
