//! What the columns are for.

use super::*;

/// A table of three pictures and a target `y`.
fn three(header: &str, row: impl Fn(usize) -> String) -> tempfile::TempDir {
    let rows: String = (0..3).map(|i| format!("{}\n", row(i))).collect();
    folder(format!("{header}\n{rows}"), &["0.png", "1.png", "2.png"])
}

fn targets(table: &CsvTable) -> Vec<String> {
    match &table.labels {
        Labels::Binary { names, .. } | Labels::Real { names, .. } => names.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn delimiters_are_found() {
    for delimiter in [',', ';', '\t', '|'] {
        let header = format!("path{delimiter}y");
        let table = open(&three(&header, |i| format!("{i}.png{delimiter}{}.5", i)), "").unwrap();
        assert_eq!(targets(&table), ["y"], "{delimiter:?}");
    }
    // Commas within cells decide nothing.
    let table = open(&three("path;y,z", |i| format!("{i}.png;{i}.5")), "").unwrap();
    assert_eq!(targets(&table), ["y,z"]);
    let text = error(&three("path;y", |i| format!("{i}.png;{i},5")), "");
    assert!(text.contains("line 2: expected a finite number, written like 1234.5, in"), "{text}");
}

#[test]
fn pictures_are_found_under_usual_names() {
    for header in
        ["path", "filename", "file_name", "File", "image", "image_id", "Path", "Image Index"]
    {
        let directory = three(&format!("{header},y"), |i| format!("{i}.png,{i}.5"));
        let remarks = open(&directory, "").unwrap().remarks();
        let said = remarks[0] == format!("pictures are those of column `{header}`");
        assert_eq!(said, header != "path", "{remarks:?}");
    }
    // `path` comes first; of others, one is to be chosen.
    let both =
        |first: &str| three(&format!("{first},image,y"), |i| format!("{i}.png,{i}.png,{i}.5"));
    assert_eq!(open(&both("path"), "y").unwrap().len(Split::Train), 1);
    let undecided = open(&both("file"), "").unwrap_err();
    assert!(matches!(undecided, Error::Undecided { choice: crate::TableChoice::Path, .. }));
    let path = Some("file".to_owned());
    let options = TableOptions { path, ..TableOptions::default() };
    assert!(open_with(&both("file"), &options).is_ok());
    let options = TableOptions { path: Some("photo".to_owned()), ..options };
    assert!(open_with(&both("photo"), &options).is_ok());
    let text = open_with(&both("file"), &options).unwrap_err().to_string();
    assert!(text.ends_with("expected a column `photo`, found `file`, `image`, `y`"), "{text}");
}

#[test]
fn paths_are_read_as_the_first_row_is_spelt() {
    let directory = folder("image_id,y\n1,0.5\n2,1.5\n", &["1.png", "2.png"]);
    let table = open(&directory, "").unwrap();
    let remark = "names of pictures are read with `.png` after them".to_owned();
    assert!(table.remarks().contains(&remark), "{:?}", table.remarks());
    assert_eq!(table.pictures[1].key, "2");
    let directory = folder("path,y\na\\1.png,0.5\na\\2.png,1.5\n", &["a/1.png", "a/2.png"]);
    let table = open(&directory, "").unwrap();
    let remark = "backslashes in paths are read as slashes".to_owned();
    assert!(table.remarks().contains(&remark), "{:?}", table.remarks());
    let text = "Path,y\nset/1.png,0.5\nset/2.png,1.5\n";
    let directory = folder("", &["set/1.png", "set/2.png"]);
    let path = directory.path().join("set/labels.csv");
    fs::write(&path, text).unwrap();
    let table = CsvTable::open(&path, 0, &[], &TableOptions::default()).unwrap();
    let remark = "paths of pictures start in the folder above the table's".to_owned();
    assert!(table.remarks().contains(&remark), "{:?}", table.remarks());
    // Another spelling in another row is no picture.
    let directory = folder("path,y\n1,0.5\n2.png,1.5\n", &["1.png", "2.png"]);
    assert!(error(&directory, "").contains("line 3: expected a picture"));
    let far = tempfile::tempdir().unwrap();
    fs::write(far.path().join("0.png"), png()).unwrap();
    let directory =
        folder(format!("path,y\n{}/0.png,0.5\n1.png,2.5\n", far.path().display()), &["1.png"]);
    assert!(open(&directory, "").is_ok());
}

#[test]
fn indices_ids_and_captions_are_left_out_unless_chosen() {
    for (header, reason) in [
        ("", "it has no name"),
        ("Unnamed: 0", "it is an index"),
        ("index", "it is an index"),
        ("id", "each row has an id of its own"),
        ("photo_id", "each row has an id of its own"),
        ("caption", "each row has words of its own"),
    ] {
        let cell =
            |i: usize| if header == "caption" { format!("a cat, {i} m") } else { i.to_string() };
        let directory = three(&format!("{header},path,age"), |i| {
            format!("\"{}\",{i}.png,{}.5", cell(i), 2 * i)
        });
        let table = open(&directory, "").unwrap();
        assert_eq!(targets(&table), ["age"], "{header}");
        let remarks = table.remarks();
        let said = |remark: &String| remark.ends_with(&format!("is left out: {reason}"));
        assert!(remarks.iter().any(said), "{header}: {remarks:?}");
        if !header.is_empty() {
            assert!(!matches!(
                open(&directory, &format!("{header}:class")).unwrap().labels,
                Labels::None
            ));
        }
    }
    // Numbers that come twice are no ids.
    let table = open(&three("path,class_id", |i| format!("{i}.png,{}", i % 2)), "").unwrap();
    assert_eq!(targets(&table), ["class_id"]);
    // A delimiter at the end of every line is a column without a name.
    let table = open(&three("path,age,", |i| format!("{i}.png,{i}.5,")), "").unwrap();
    assert_eq!(targets(&table), ["age"]);
}

#[test]
fn groups_are_known_by_usual_names() {
    let groups = |header: &str, chosen: &str| {
        let directory = three(header, |i| format!("{i}.png,p{},q{},{i}.5", i / 2, i % 2));
        open(&directory, chosen).map(|table| table.groups)
    };
    for name in ["group", "Patient_ID", "identity", "subject"] {
        assert_eq!(
            groups(&format!("path,{name},y,z"), "z").unwrap(),
            Some(vec![0, 0, 1]),
            "{name}"
        );
    }
    assert_eq!(groups("path,group,patient,z", "z").unwrap(), Some(vec![0, 0, 1]));
    assert!(matches!(
        groups("path,subject,patient,z", "z"),
        Err(Error::Undecided { choice: crate::TableChoice::Group, .. })
    ));
    // What is to be predicted groups nothing.
    assert_eq!(groups("path,identity,y,z", "identity").unwrap(), None);
    let directory = three("path,family,y", |i| format!("{i}.png,f{},{i}.5", i % 2));
    let options = TableOptions { group: Some("family".to_owned()), ..TableOptions::default() };
    assert_eq!(open_with(&directory, &options).unwrap().groups, Some(vec![0, 1, 0]));
    // Names that never come twice are no groups.
    let alone = three("path,patient_id,y", |i| format!("{i}.png,{i},{i}.5"));
    assert_eq!(open(&alone, "").unwrap().groups, None);
}

#[test]
fn what_says_nothing_or_deals_out_folds_is_no_target() {
    let all = |i: usize| format!("{i}.png,{i},1,,{i}.5,{}", ["Yes", "yes", "no"][i]);
    let directory = three("path,fold,No Finding,empty,y,taken", all);
    assert_eq!(targets(&open(&directory, "y").unwrap()), ["y"]);
    let table = open(&directory, "").unwrap();
    let expected = [
        "column `fold` is left out: it deals rows out to folds, which are not used",
        "column `No Finding` is left out: all its cells are `1`",
        "column `empty` is left out: all its cells are empty",
    ];
    let remarks = table.remarks();
    assert!(expected.iter().all(|said| remarks.contains(&(*said).to_owned())), "{remarks:?}");
    let remarks = open(&directory, "taken:class").unwrap().remarks();
    let case = "target `taken`: `Yes` and `yes` differ in case only";
    assert!(remarks.contains(&case.to_owned()), "{remarks:?}");
    // Asked for, or alone, a column of one value is wrong.
    let text = error(&directory, "No Finding");
    assert!(text.contains("two values or more in column `No Finding`"), "{text}");
    let text = error(&three("path,same", |i| format!("{i}.png,1")), "");
    assert!(text.contains("two values or more in column `same`"), "{text}");
}

#[test]
fn whether_there_is_a_person_is_no_group() {
    let row = |i: usize| format!("{i}.png,{},{}", i % 2, usize::from(i == 2));
    let table = open(&three("path,person,dog", row), "").unwrap();
    assert_eq!(targets(&table), ["person", "dog"]);
    assert!(table.groups.is_none());
}

#[test]
fn rows_within_a_quotation_are_missed() {
    let text = "path,y\n0.png,\"a\n1.png,b\n2.png,a\"\n";
    let directory = folder(text, &["0.png", "1.png", "2.png"]);
    let text = error(&directory, "");
    assert!(text.contains("line 2: expected a closing quotation mark"), "{text}");
    assert!(text.contains("the row of `1.png`"), "{text}");
    // Lines that are no rows may be in a cell.
    let text = "path,y,note\n0.png,1.5,\"one,\ntwo, three\"\n1.png,2,x\n2.png,3,x\n";
    let directory = folder(text, &["0.png", "1.png", "2.png"]);
    assert_eq!(targets(&open(&directory, "y").unwrap()), ["y"]);
}

#[test]
fn words_are_compared_in_their_composed_form() {
    let cafe = ["caf\u{e9}", "cafe\u{301}", "tea"];
    let table = open(&three("path,y", |i| format!("{i}.png,{}", cafe[i])), "y:class").unwrap();
    let Labels::Classes { names, labels } = &table.labels else { panic!() };
    assert_eq!((names.len(), labels), (2, &vec![0, 0, 1]));
}
