//! What columns mean, and what is said of it.

use super::*;

fn open(path: &Path, schema: &str, data: Vec<Column>) -> (Columns, TableLabels) {
    three(path, schema, data, None);
    let found = columns(path).unwrap();
    let (_, labels) = Table::open(path, &found).unwrap();
    (found, labels)
}

#[test]
fn groups_may_be_words_and_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let schema = "required int32 label; optional binary Patient_ID (STRING);";
    let data = |words| vec![Column::Int(vec![0, 1, 0]), Column::Text(words)];
    let (found, labels) = open(&path, schema, data(vec!["ann", "bob", "ann"]));
    assert_eq!(found.group.as_deref(), Some("Patient_ID"));
    assert_eq!(found.remarks, ["rows of one `Patient_ID` are a group"]);
    assert_eq!(labels.groups[0], labels.groups[2]);
    assert_ne!(labels.groups[0], labels.groups[1]);
    // The same in another file.
    let (_, others) = open(&path, schema, data(vec!["bob", "cy", "di"]));
    assert_eq!(others.groups[0], labels.groups[1]);
    let schema = "required int32 label; optional int64 celeb_id;";
    let data = vec![Column::Int(vec![0; 3]), Column::Long(vec![Some(1), None, Some(-1)])];
    three(&path, schema, data, None);
    let text = Table::open(&path, &columns(&path).unwrap()).unwrap_err().to_string();
    assert!(text.ends_with("expected a group from 0 up in row 1, found none"), "{text}");
}

#[test]
fn what_is_not_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let data = vec![Column::Text(vec!["a", "b", "c"]), Column::Text(vec!["train", "test", "test"])];
    let (found, labels) =
        open(&path, "optional binary species (STRING); optional binary split (STRING);", data);
    let remarks = [
        "no labels: nothing is predicted unasked of the columns `species`, `split`",
        "column `split` is not read: splits are files, or drawn",
    ];
    assert_eq!((found.targets, labels.classes), (Targets::None, vec![]));
    assert_eq!(found.remarks, remarks);
    // Nothing is taken for a label where one is there that cannot be read.
    let data = vec![Column::Int(vec![0, 1, 0]), Column::Float(vec![0.5; 3])];
    let (found, _) = open(&path, "required int32 label (DATE); required float width;", data);
    assert_eq!(found.targets, Targets::None);
    let remark = "no labels: `label` has no word, number or truth value in each row";
    assert_eq!(found.remarks, [remark]);
    let data = vec![Column::Int(vec![0, 1, 0]), Column::Text(vec!["x"; 3])];
    let (found, _) = open(&path, "required int32 label; optional binary mask;", data);
    assert_eq!(found.picture, "image.bytes");
    assert_eq!(found.remarks, ["pictures are those of column `image`; others may be in `mask`"]);
}

#[test]
fn whole_numbers_are_what_their_type_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let numbers = || Column::Int(vec![-1, 2, 0]);
    let real = [("x", Some(TargetKind::Real))];
    three(&path, "required int32 x (INTEGER(32, false));", vec![numbers()], None);
    let (_, labels) = Table::open(&path, &chosen(&path, &real).unwrap()).unwrap();
    assert_eq!(labels.real, [4_294_967_295.0, 2.0, 0.0]);
    let long = Column::Long(vec![Some(1), Some(i64::MIN), Some(0)]);
    three(&path, "optional int64 x (INTEGER(64, false));", vec![long], None);
    let text = Table::open(&path, &chosen(&path, &real).unwrap()).unwrap_err().to_string();
    assert!(text.ends_with("expected whole numbers below 2^63, found one in row 1"), "{text}");
    for kind in ["DATE", "TIME(MILLIS, true)", "DECIMAL(9, 2)"] {
        three(&path, &format!("required int32 x ({kind});"), vec![numbers()], None);
        let text = chosen(&path, &real).unwrap_err().to_string();
        assert!(text.contains("expected a column x of words, numbers or truth values"), "{text}");
    }
}
