//! Which kind a column is, and what its cells become.

use std::collections::HashSet;

use super::*;

#[test]
fn kinds_are_found() {
    for (yes, no) in [("1", "0"), ("1.0", "0.0"), ("True", "false"), ("yes", "NO")] {
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
    // Written with a point they are the same.
    let found = all_labels("digit", &["10.0", "9", "9.0", "10"], "");
    assert_eq!(found, classes(&["9", "10"], vec![1, 0, 0, 1]));
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
    let cases: [(&str, &[&str], &str, &str); 19] = [
        ("a", &["1", "1"], "", "line 1: expected two values or more in column `a`, found only `1`"),
        ("a", &["1.5", "1.50"], "", "line 1: expected two values or more in column `a`"),
        ("a", &["x", "x"], "", "line 1: expected two values or more in column `a`"),
        ("a,b", &["1,", "0,"], "b", "column `b`, found only empty cells"),
        (
            "a",
            &["1", "2", "x"],
            "",
            "line 4: expected a number, as elsewhere in column `a`, found `x`",
        ),
        (
            "a",
            &["y", "2", "x"],
            "",
            "line 3: expected a word, as elsewhere in column `a`, found `2`",
        ),
        (
            "a",
            &["\"1,5\"", "\"2,5\""],
            "",
            "line 2: expected a finite number, written like 1234.5,",
        ),
        (
            "a",
            &["1.5", "inf", "2"],
            "",
            "line 3: expected a finite number, written like 1234.5, in",
        ),
        (
            "a",
            &["1", "7%"],
            "",
            "line 3: expected a finite number, written like 1234.5, in column `a`",
        ),
        ("a", &["1", "9007199254740993"], "a:real", "line 3: expected a whole number that 64-bit"),
        ("a", &["1", "0", "-1"], "", "line 4: expected 1 and 0 in column `a`, found -1, which may"),
        (
            "a",
            &["1", "-1.0", ""],
            "",
            "line 3: expected 1 and 0 in column `a`, found -1, which may",
        ),
        ("a", &["1", "two"], "a:real", "line 3: expected a number in column `a`, found `two`"),
        ("a", &["1", "1e99"], "a:real", "line 3: expected a number in column `a`, found `1e99`"),
        ("a", &["1", "inf"], "a:real", "line 3: expected a number in column `a`, found `inf`"),
        ("a", &["1", "0", "2"], "a:binary", "line 4: expected 1 or 0, 1 or -1"),
        ("a", &["1", "0", "-1"], "a:binary", "line 4: expected 1 and 0 in column `a`, found -1"),
        ("a", &["1", "0"], "c", "expected a target column `c`, found `a`"),
        ("a", &["1", "0"], "a,a:real", "expected each target once, found `a` twice"),
    ];
    for (header, rows, targets, expected) in cases {
        let text = mistake(header, rows, targets);
        assert!(text.contains(expected), "{header} {rows:?} {targets}: {text}");
    }
}

#[test]
fn what_is_missing_is_missing_in_every_kind() {
    for missing in ["", "nan", "NA", "N/A", "<NA>", "None", "null", "?", "-"] {
        let rows = [missing, "1", "0"];
        let binary = Labels::Binary { names: names(&["a"]), values: vec![-1, 1, 0] };
        assert_eq!(all_labels("a", &rows, ""), binary, "{missing}");
        let Labels::Real { values, .. } = all_labels("a", &[missing, "1.5", "0"], "") else {
            panic!("{missing}")
        };
        assert!(values[0].is_nan() && values[1..] == [1.5, 0.0], "{missing}");
        // Beside nothing else, rows without a class are none.
        let rows = ["cat", missing, "dog", "cat"];
        let classes = Labels::Classes { names: names(&["cat", "dog"]), labels: vec![0, 1, 0] };
        assert_eq!(all_labels("a", &rows, ""), classes, "{missing}");
    }
}

#[test]
fn rows_without_a_class_are_counted_and_move_no_others() {
    let rows: Vec<String> = (0..60).map(|i| ["cat", "dog", "nan"][i % 3].to_owned()).collect();
    let directory = with_columns("y", &rows.iter().map(String::as_str).collect::<Vec<_>>());
    let table = open(&directory, "").unwrap();
    assert_eq!(Split::ALL.map(|split| table.len(split)).iter().sum::<usize>(), 40);
    let remarks = table.remarks();
    assert!(remarks.contains(&"target `y`: 2 classes: `cat`, `dog`; 20 missing".to_owned()));
    assert!(remarks.contains(&"20 rows without a class are left out".to_owned()), "{remarks:?}");
    let all = with_columns("y", &[["cat", "dog"]; 30].concat());
    let test = |table: &CsvTable| keys(table, Split::Test).into_iter().collect::<HashSet<_>>();
    assert!(test(&table).is_subset(&test(&open(&all, "").unwrap())));
}

#[test]
fn minus_one_is_no_alone_and_uncertain_otherwise() {
    let (alone, beside) =
        (with_columns("a", &["1", "-1", "1"]), with_columns("a", &["1", "-1", ""]));
    let says = |directory, uncertain| {
        let options = TableOptions { uncertain, ..TableOptions::default() };
        let table = open_with(directory, &options)?;
        let Labels::Binary { values, .. } = table.labels.clone() else { panic!("{table:?}") };
        Ok::<_, Error>((values, table.remarks().pop().unwrap()))
    };
    let (values, remark) = says(&alone, None).unwrap();
    assert_eq!(values, [1, 0, 1]);
    assert_eq!(remark, "target `a`: binary, 2 yes and 1 no, -1 is no");
    assert!(matches!(
        says(&beside, None),
        Err(Error::Undecided { choice: crate::TableChoice::Uncertain, line: 3, .. })
    ));
    let (values, remark) = says(&beside, Some(Uncertain::No)).unwrap();
    assert_eq!(values, [1, 0, -1]);
    assert_eq!(remark, "target `a`: binary, 1 yes and 1 no, -1 is no; 1 missing");
    let three = with_columns("a", &["1", "-1", "0"]);
    assert_eq!(says(&three, Some(Uncertain::Yes)).unwrap().0, [1, 1, 0]);
    assert_eq!(says(&three, Some(Uncertain::Missing)).unwrap().0, [1, -1, 0]);
}

#[test]
fn large_whole_numbers_stay_exact() {
    let Labels::Real { values, .. } = all_labels("a", &["16777217", "9007199254740991"], "a:real")
    else {
        panic!()
    };
    assert_eq!(values, [16_777_217.0, 9_007_199_254_740_991.0]);
}

#[test]
fn targets_of_several_kinds_stand_side_by_side() {
    let rows = ["yes,cat,1.5,s", "no,?,2.5,m", ",dog,,s", "no,cat,3.5,m"];
    let found = all_labels("smiles,pet,age,size", &rows, "");
    let Labels::Several(parts) = &found else { panic!("{found:?}") };
    let class = |all: &[&str], labels: &[u32]| Labels::Classes {
        names: names(all),
        labels: labels.to_vec(),
    };
    let binary = Labels::Binary { names: names(&["smiles"]), values: vec![1, 0, -1, 0] };
    assert_eq!(parts[0], ("binary".to_owned(), binary));
    let pets = class(&["cat", "dog"], &[0, Labels::UNKNOWN_CLASS, 1, 0]);
    assert_eq!(parts[1], ("pet:class".to_owned(), pets));
    let ("real", Labels::Real { values, .. }) = (&parts[2].0[..], &parts[2].1) else { panic!() };
    assert_eq!((values[0], values[1], values[3]), (1.5, 2.5, 3.5));
    assert_eq!(parts[3], ("size:class".to_owned(), class(&["m", "s"], &[1, 0, 1, 0])));
}

#[test]
fn every_target_has_a_line_and_many_share_one() {
    let remarks =
        |header: &str, rows: &[&str]| open(&with_columns(header, rows), "").unwrap().remarks();
    let found = remarks("split,a,b", &["train,1.5,x", "test,2,y", "test,,x"]);
    let expected = [
        "splits are those of column `split`; valid is drawn from train",
        "target `a`: real, 2 different numbers; 1 missing",
        "target `b`: 2 classes: `x`, `y`",
    ];
    assert_eq!(found, expected);
    let header: Vec<String> = (0..13).map(|i| format!("t{i}")).collect();
    let rows = ["1", "0", "1"].map(|cell| [cell; 13].join(","));
    let found = remarks(&header.join(","), &rows.each_ref().map(|row| &row[..]));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("13 targets are binary: `t0`, `t1`, "), "{found:?}");
}
