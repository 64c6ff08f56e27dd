//! Which split a row belongs to.

use std::collections::HashSet;

use super::*;

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
    let open_seed = |seed| {
        CsvTable::open(&path, seed, &["a".parse().unwrap()], &TableOptions::default()).unwrap()
    };
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

/// Rows in train, valid and test, and the first remark that is about splits.
fn dealt(header: &str, rows: &[&str]) -> ([usize; 3], String) {
    let rows: Vec<String> =
        rows.iter().enumerate().map(|(i, row)| format!("{row},{}", i % 2)).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let table = open(&with_columns(&format!("{header},y"), &rows), "").unwrap();
    let remarks = table.remarks();
    let remark = remarks.iter().find(|remark| remark.contains("split")).unwrap();
    assert!(matches!(table.labels(Split::Train), Labels::Binary { names, .. } if names == ["y"]));
    (Split::ALL.map(|split| table.len(split)), remark.clone())
}

#[test]
fn columns_of_splits_are_known_by_any_usual_name() {
    for (header, [train, valid, test]) in [
        ("split", ["train", "val", "test"]),
        ("Split", ["Training", "dev", "Testing"]),
        ("set", ["TRAIN", "validation", "eval"]),
        ("subset", ["train", "valid", "test"]),
        ("Partition", ["0", "1", "2"]),
        ("split", ["0.0", "1.0", "2.0"]),
    ] {
        let rows = [[train; 4], [valid; 4], [test; 4]].concat();
        let (found, remark) = dealt(header, &rows);
        assert_eq!(found, [4, 4, 4], "{header} {train}");
        let numbers =
            if train.starts_with('0') { ", where 0 is train, 1 valid and 2 test" } else { "" };
        assert_eq!(remark, format!("splits are those of column `{header}`{numbers}"));
    }
}

#[test]
fn yes_and_no_say_one_split_each() {
    let half = |a, b| [[a; 30].as_slice(), &[b; 10]].concat();
    assert_eq!(dealt("is_test", &half("False", "True")).0, [27, 3, 10]);
    assert_eq!(dealt("isTest", &half("0", "1")).0, [27, 3, 10]);
    assert_eq!(dealt("is_train", &half("yes", "no")).0, [27, 3, 10]);
    // The only part held out is tested on.
    let (found, remark) = dealt("is_valid", &half("False", "True"));
    assert_eq!(found, [27, 3, 10]);
    let expected = "splits are those of column `is_valid`, whose valid rows serve as test; valid is \
                    drawn from train";
    assert_eq!(remark, expected);
    let both = ["0,0", "0,0", "1,0", "0,1"];
    assert_eq!(dealt("is_valid,is_test", &both).0, [2, 1, 1]);
    let text = mistake("split,is_test,y", &["train,0,1", "train,1,0"], "");
    let expected = "line 3: expected columns that agree on the split, found `train` in column \
                    `split`, `1` in column `is_test`";
    assert_eq!(text, expected);
    let text = mistake("is_test,y", &["0,1", "maybe,0"], "");
    assert_eq!(text, "line 3: expected yes or no in column `is_test`, found `maybe`");
}

#[test]
fn a_set_of_something_else_is_no_split() {
    let rows: Vec<String> = (0..20).map(|i| ["red", "blue"][i % 2].to_owned()).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let table = open(&with_columns("set", &rows), "").unwrap();
    assert!(table.remarks().contains(&"column `set` names no splits".to_owned()));
    assert!(matches!(table.labels(Split::Test), Labels::Classes { .. }));
    let text = mistake("set,y", &["train,1", "tset,0"], "");
    assert_eq!(text, "line 3: expected train, valid or test in column `set`, found `tset`");
    // A target is no split, even if it could be.
    let table = open(&with_columns("set", &["train", "test", "train"]), "set").unwrap();
    assert!(matches!(table.labels, Labels::Classes { .. }));
}

#[test]
fn columns_whose_cells_name_splits_are_splits_by_any_name() {
    let rows = |i: usize| ["train", "train", "test"][i];
    for name in ["data_split", "phase", "fold"] {
        let text: String = (0..3).map(|i| format!("{i}.png,{},{i}.5\n", rows(i))).collect();
        let table =
            open(&folder(format!("path,{name},y\n{text}"), &["0.png", "1.png", "2.png"]), "");
        let table = table.unwrap();
        assert_eq!(table.len(Split::Test), 1, "{name}");
        assert!(table.remarks()[0].starts_with(&format!("splits are those of column `{name}`")));
    }
    let text: String = (0..3).map(|i| format!("{i}.png,{},{i}.5\n", usize::from(i < 2))).collect();
    let header = "path,is_training_image,y";
    let directory = folder(format!("{header}\n{text}"), &["0.png", "1.png", "2.png"]);
    assert_eq!(open(&directory, "").unwrap().len(Split::Test), 1);
}

/// In a column `split` 1 and 0 may be yes and no, or training and test the other way round.
#[test]
fn numbers_are_splits_where_all_three_are_there_or_it_is_said() {
    let files = ["0.png", "1.png", "2.png"];
    let table = |name: &str, numbers: [u8; 3]| {
        let row = |(i, n): (usize, u8)| format!("{i}.png,{n},{i}.5\n");
        let rows: String = numbers.into_iter().enumerate().map(row).collect();
        folder(format!("path,{name},y\n{rows}"), &files)
    };
    let all = open(&table("split", [0, 1, 2]), "").unwrap();
    assert_eq!(Split::ALL.map(|split| all.len(split)), [1; 3]);
    let said = "splits are those of column `split`, where 0 is train, 1 valid and 2 test";
    assert_eq!(all.remarks()[0], said);
    let text = error(&table("split", [1, 1, 0]), "");
    assert!(
        text.contains("line 2: expected train, valid or test, or all of 0, 1 and 2, in column"),
        "{text}"
    );
    let two = open(&table("subset", [1, 1, 0]), "y").unwrap();
    assert!(two.remarks().contains(&"column `subset` names no splits".to_owned()));
    assert_eq!(open(&table("partition", [0, 0, 1]), "").unwrap().len(Split::Test), 1);
}
