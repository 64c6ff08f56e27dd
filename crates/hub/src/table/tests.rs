mod meaning;

use std::fs;
use std::path::Path;

use parquet::basic::Encoding;
use parquet::data_type::BoolType;

use super::*;
use crate::tests::tables::{Column, Layout, PICTURE, Packing, numbered, write};

/// The columns of a file that are read unasked.
fn columns(path: &Path) -> Result<Columns> {
    super::columns(path, Some(&[]), &ClassNames::new())
}

/// The columns of a file where some are asked for.
fn chosen(path: &Path, targets: &[(&str, Option<TargetKind>)]) -> Result<Columns> {
    let target = |&(name, kind): &(&str, _)| Target { name: name.to_owned(), kind };
    let targets: Vec<Target> = targets.iter().map(target).collect();
    super::columns(path, Some(&targets), &ClassNames::new())
}

fn faces(path: &Path, layout: &Layout) {
    let text = vec!["x"; 40];
    let bit = |row: usize| (row != 3).then_some(row.is_multiple_of(2));
    let columns = [
        Column::Bytes(numbered(40)),
        Column::Text(text),
        Column::Long((0..40).map(|row| Some(row / 4)).collect()),
        Column::Bool((0..40).map(bit).collect()),
        Column::Bool((0..40).map(|row| Some(row < 10)).collect()),
    ];
    let schema = "optional int64 celeb_id; optional boolean Smiling; optional boolean Young;";
    write(path, &format!("{PICTURE} {schema}"), &columns, layout);
}

#[test]
fn attributes_groups_and_pictures_of_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let compressions = [Packing::None, Packing::Snappy, Packing::Zstd, Packing::Gzip];
    for compression in compressions {
        for (group, small_pages) in [(0, false), (7, false), (0, true), (13, true)] {
            faces(&path, &Layout { compression, group, small_pages, ..Layout::default() });
            let columns = columns(&path).unwrap();
            assert_eq!(columns.picture, "image.bytes");
            assert_eq!(columns.group.as_deref(), Some("celeb_id"));
            assert_eq!(columns.targets, Targets::Binary(vec!["Smiling".into(), "Young".into()]));
            let (table, labels) = Table::open(&path, &columns).unwrap();
            assert_eq!(table.rows(), 40);
            assert_eq!(labels.binary[..8], [1, 1, 0, 1, 1, 1, -1, 1]);
            assert_eq!(labels.groups[..9], [0, 0, 0, 0, 1, 1, 1, 1, 2]);
            for row in [39, 0, 13, 14, 12, 6, 7, 20] {
                let block = table.block(table.place(row)).unwrap();
                let picture = decode_row(&block, row);
                assert_eq!(picture.get_pixel(4, 3).0, [row as u8, 0, 7], "{row}");
            }
        }
    }
}

fn decode_row(block: &Block, row: usize) -> image::RgbImage {
    let bytes = block.get(row).unwrap().unwrap();
    vdvae_io::decode_picture("x", bytes, vdvae_io::Exif::Apply).unwrap()
}

#[test]
fn classes_take_their_names_from_the_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let json = r#"{"info": {"features": {"fine": {"names": ["cat", "dog"], "_type": "ClassLabel"},
                   "image": {"_type": "Image"}}}}"#;
    let columns_of = |name: &str, metadata: Option<&str>| {
        let data = [
            Column::Bytes(numbered(3)),
            Column::Text(vec!["x"; 3]),
            Column::Long(vec![Some(1), None, Some(0)]),
        ];
        let layout = Layout { metadata: metadata.map(str::to_owned), ..Layout::default() };
        write(&path, &format!("{PICTURE} optional int64 {name};"), &data, &layout);
        columns(&path).unwrap()
    };
    let found = columns_of("fine", Some(json));
    let names = Some(vec!["cat".to_owned(), "dog".into()]);
    assert_eq!(found.targets, Targets::Classes { column: "fine".into(), names });
    let (_, labels) = Table::open(&path, &found).unwrap();
    assert_eq!(labels.classes, [Some(1), None, Some(0)]);
    let plain = Targets::Classes { column: "label".into(), names: None };
    assert_eq!(columns_of("label", None).targets, plain);
    for json in ["", "[", r#"{"info": 3}"#, r#"{"info": {"features": {"label": {"names": 7}}}}"#] {
        assert_eq!(columns_of("label", Some(json)).targets, plain, "{json}");
    }
    // An integer that nothing says is a class is none.
    assert_eq!(columns_of("age", None).targets, Targets::None);
}

/// Three rows of a picture and these columns, in Parquet's own notation.
fn three(path: &Path, schema: &str, columns: Vec<Column>, metadata: Option<&str>) {
    let mut data = vec![Column::Bytes(numbered(3)), Column::Text(vec!["x"; 3])];
    data.extend(columns);
    let layout = Layout { metadata: metadata.map(str::to_owned), ..Layout::default() };
    write(path, &format!("{PICTURE} {schema}"), &data, &layout);
}

#[test]
fn a_label_comes_before_attributes_and_may_be_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let bits = || Column::Bool(vec![Some(true), Some(false), None]);
    let schema = "optional boolean flipped; optional binary label (STRING);";
    three(&path, schema, vec![bits(), Column::Text(vec!["dog", "", "cat"])], None);
    let found = columns(&path).unwrap();
    assert_eq!(found.targets, Targets::Classes { column: "label".into(), names: None });
    let (_, labels) = Table::open(&path, &found).unwrap();
    assert_eq!(labels.classes, [Some(1), None, Some(0)]);
    assert_eq!(labels.names, Some(vec!["cat".to_owned(), "dog".into()]));
    let schema = "optional boolean flipped; optional boolean label;";
    three(&path, schema, vec![bits(), bits()], None);
    assert_eq!(columns(&path).unwrap().targets, Targets::Binary(vec!["label".into()]));
}

const FINE_AND_COARSE: &str = r#"{"info": {"features": {
    "fine": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    "coarse": {"names": ["pet"], "_type": "ClassLabel"}}}}"#;

#[test]
fn one_of_several_columns_of_classes_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let long = |values: [i64; 3]| Column::Long(values.map(Some).to_vec());
    let schema = "optional int64 fine; optional int64 coarse; optional int64 age;";
    let data = || vec![long([1, -1, 0]), long([0; 3]), long([30, 31, 1])];
    three(&path, schema, data(), Some(FINE_AND_COARSE));
    let text = columns(&path).unwrap_err().to_string();
    assert!(text.ends_with("expected one column of classes, found fine, coarse"), "{text}");
    let found = chosen(&path, &[("fine", None)]).unwrap();
    let (_, labels) = Table::open(&path, &found).unwrap();
    assert_eq!(labels.classes, [Some(1), None, Some(0)]);
    let found = chosen(&path, &[("age", Some(TargetKind::Real))]).unwrap();
    assert_eq!(Table::open(&path, &found).unwrap().1.real, [30.0, 31.0, 1.0]);
    let found = chosen(&path, &[("age", Some(TargetKind::Class))]).unwrap();
    assert_eq!(Table::open(&path, &found).unwrap().1.classes, [Some(30), Some(31), Some(1)]);
    for (targets, expected) in [
        (&[("age", None)][..], "the kind of the whole numbers in age (age:class, age:real or"),
        (
            &[("shoe", None)],
            "expected a column shoe of words, numbers or truth values, found fine, coarse, age",
        ),
        (&[("fine", None), ("coarse", None)], "one column of classes, found fine, coarse"),
        (&[("fine", None), ("fine", None)], "each target once, found fine twice"),
        (&[("fine", None), ("age", Some(TargetKind::Real))], "of one kind, found fine, age"),
    ] {
        let text = chosen(&path, targets).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
    // A class that has no name, and numbers that are not two.
    three(&path, schema, vec![long([2, 0, 0]), long([0; 3]), long([1; 3])], Some(FINE_AND_COARSE));
    let text = Table::open(&path, &chosen(&path, &[("fine", None)]).unwrap()).unwrap_err();
    assert!(text.to_string().ends_with("one of 2 classes in fine, row 0, found 2"), "{text}");
    let binary = chosen(&path, &[("fine", Some(TargetKind::Binary))]).unwrap();
    let text = Table::open(&path, &binary).unwrap_err().to_string();
    assert!(text.ends_with("1 and 0, or 1 and -1, in fine, row 0, found 2"), "{text}");
}

#[test]
fn integers_of_two_values_are_binary_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for (values, expected) in
        [([1, 0, 1], Ok([1, 0, 1])), ([1, -1, 1], Ok([1, 0, 1])), ([0, -1, 1], Err(()))]
    {
        let data = vec![Column::Long(values.map(Some).to_vec())];
        three(&path, "optional int64 bald;", data, None);
        let columns = chosen(&path, &[("bald", Some(TargetKind::Binary))]).unwrap();
        let found = Table::open(&path, &columns).map(|(_, labels)| labels.binary);
        assert_eq!(found.map_err(drop), expected.map(|values| values.to_vec()));
    }
}

#[test]
fn whole_numbers_stored_as_real_ones_are_classes_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let open = |values: [f32; 3]| {
        three(&path, "required float label;", vec![Column::Float(values.to_vec())], None);
        Table::open(&path, &chosen(&path, &[("label", Some(TargetKind::Class))]).unwrap())
    };
    assert_eq!(open([2.0, f32::NAN, 0.0]).unwrap().1.classes, [Some(2), None, Some(0)]);
    let text = open([2.0, 0.5, 0.0]).unwrap_err().to_string();
    assert!(text.ends_with("expected whole numbers, row 1, found 0.5"), "{text}");
}

#[test]
fn plain_binary_pictures_and_real_targets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let data = [
        Column::Long(vec![Some(5); 3]),
        Column::Text(vec!["no picture"; 3]),
        Column::Float(vec![0.5, f32::NAN, -1.0]),
        Column::Int(vec![1; 3]),
    ];
    let infinite = [
        Column::Long(vec![Some(5); 3]),
        Column::Text(vec!["no picture"; 3]),
        Column::Float(vec![0.5, 1.0, f32::INFINITY]),
        Column::Int(vec![1; 3]),
    ];
    let schema = "optional int64 id; required binary jpg; required float age; required int32 x;";
    write(&path, schema, &data, &Layout::default());
    let found = columns(&path).unwrap();
    assert_eq!((found.picture.as_str(), &found.group), ("jpg", &None));
    assert_eq!(found.targets, Targets::Real(vec!["age".into()]));
    let (table, labels) = Table::open(&path, &found).unwrap();
    assert!(labels.real[1].is_nan() && labels.real[2] == -1.0);
    assert_eq!(table.single(2).unwrap().get(2).unwrap().unwrap(), b"no picture");
    // As in tables, it is an error and no missing number.
    write(&path, schema, &infinite, &Layout::default());
    let text = Table::open(&path, &found).unwrap_err().to_string();
    assert!(text.contains("expected finite numbers, row 2, found inf"), "{text}");
}

#[test]
fn a_missing_picture_column_lists_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let data = [Column::Long(vec![Some(5); 3]), Column::Text(vec!["x"; 3])];
    write(&path, "optional int64 id; required binary name (STRING);", &data, &Layout::default());
    let text = columns(&path).unwrap_err().to_string();
    assert!(text.contains("a column of pictures") && text.contains("the columns id, name"));
    let other = Columns {
        picture: "image.bytes".into(),
        targets: Targets::None,
        group: None,
        remarks: vec![],
    };
    let text = Table::open(&path, &other).unwrap_err().to_string();
    assert!(text.contains("expected a column image.bytes, as in the first file"), "{text}");
}

#[test]
fn a_row_without_a_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let data = [Column::Bytes(vec![None, numbered(1).remove(0)]), Column::Text(vec!["x"; 2])];
    write(&path, PICTURE, &data, &Layout::default());
    let (table, _) = Table::open(&path, &columns(&path).unwrap()).unwrap();
    let block = table.block(table.place(0)).unwrap();
    assert!(block.get(0).unwrap().is_err() && block.get(1).unwrap().is_ok());
    assert!(block.get(2).is_none());
}

/// As writers of version 2 pack words and pictures, in both versions of pages, with a row that has none.
#[test]
fn lists_of_lengths_are_read_and_what_they_claim_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut pictures = numbered(300);
    pictures[200] = None;
    let data = [Column::Bytes(pictures.clone()), Column::Text(vec!["x"; 300])];
    for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
        for small_pages in [false, true] {
            let layout = Layout { encoding: Some(encoding), small_pages, ..Layout::default() };
            write(&path, PICTURE, &data, &layout);
            let columns = columns(&path).unwrap();
            let (table, _) = Table::open(&path, &columns).unwrap();
            for row in [0, 1, 150, 200, 299] {
                let block = table.single(row).unwrap();
                let found = block.get(row).unwrap().ok();
                assert_eq!(found, pictures[row].as_deref(), "{encoding} {small_pages} {row}");
            }
        }
        // 299 lengths in blocks of 128, of which one has another number: as many bytes, and no match.
        write(&path, PICTURE, &data, &Layout { encoding: Some(encoding), ..Layout::default() });
        let mut bytes = fs::read(&path).unwrap();
        let list = [0x80, 1, 4, 0xab, 2];
        let at = bytes.windows(list.len()).position(|window| window == list).unwrap();
        bytes[at + 4] = 0x7f;
        fs::write(&path, bytes).unwrap();
        let (table, _) = Table::open(&path, &columns(&path).unwrap()).unwrap();
        let text = table.single(0).unwrap_err().to_string();
        let expected = "expected a list of lengths of at most 300 values, found 16299";
        assert!(text.contains(expected), "{text}");
    }
}

/// Many bytes of a small file, changed, and many places where it could be cut: an error of one line
/// or a result, and never a panic.
#[test]
fn damaged_files_are_errors_of_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let bits = (0..9).map(|row| Some(row % 2 == 0)).collect();
    let data = [Column::Bytes(numbered(9)), Column::Text(vec!["x"; 9]), Column::Bool(bits)];
    let layout = Layout { compression: Packing::Snappy, ..Layout::default() };
    write(&path, &format!("{PICTURE} optional boolean b;"), &data, &layout);
    let whole = fs::read(&path).unwrap();
    let read_all = || -> crate::Result<()> {
        let (table, _) = Table::open(&path, &columns(&path)?)?;
        for row in 0..table.rows().min(20) {
            table.block(table.place(row))?;
        }
        Ok(())
    };
    read_all().unwrap();
    let one_line = |error: Error| {
        let text = error.to_string();
        assert!(text.contains("a.parquet: expected ") && !text.contains('\n'), "{text}");
    };
    for length in (0..whole.len()).step_by(17) {
        fs::write(&path, &whole[..length]).unwrap();
        one_line(read_all().unwrap_err());
    }
    let mut refused = 0;
    let changes = [0xff, 0x80, 0x01].into_iter().cycle();
    for (at, change) in (0..whole.len()).step_by(2).zip(changes) {
        let mut bytes = whole.clone();
        bytes[at] ^= change;
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = read_all() {
            one_line(error);
            refused += 1;
        }
    }
    assert!(refused > whole.len() / 10, "{refused} of {}", whole.len() / 2);
}

#[test]
fn rows_beyond_reason_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    faces(&path, &Layout::default());
    let columns = columns(&path).unwrap();
    let (mut table, _) = Table::open(&path, &columns).unwrap();
    assert!(table.row_groups(MAX_LABELS).unwrap_err().to_string().contains("40 rows of"));
    // More rows claimed than there are.
    table.groups[0].rows = 50_000_000;
    let text = table.column::<BoolType, i8>(3, -1, i8::from).unwrap_err().to_string();
    assert!(text.contains("expected 50000000 rows in row group 0, found 40"), "{text}");
}
