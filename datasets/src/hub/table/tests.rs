use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type,
};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::fixture::png;

/// A column of a test file.
pub(in crate::hub) enum Column {
    Bytes(Vec<Option<Vec<u8>>>),
    Text(Vec<&'static str>),
    Bool(Vec<Option<bool>>),
    Long(Vec<Option<i64>>),
    Int(Vec<i32>),
    Float(Vec<f32>),
}

/// How a test file is written.
#[derive(Default)]
pub(in crate::hub) struct Layout {
    pub(in crate::hub) compression: Packing,
    /// Rows of a row group; 0 for one group.
    pub(in crate::hub) group: usize,
    /// JSON under the key `huggingface`.
    pub(in crate::hub) metadata: Option<String>,
    /// Bytes of a page, and version 2 of pages.
    pub(in crate::hub) small_pages: bool,
}

#[derive(Default, Clone, Copy)]
pub(in crate::hub) enum Packing {
    #[default]
    None,
    Snappy,
    Zstd,
    Gzip,
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl std::io::Write + Send>,
    values: &[T::T],
    levels: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, levels, None).unwrap();
    column.close().unwrap();
}

fn nullable<V: Clone, W>(values: &[Option<V>], convert: impl Fn(V) -> W) -> (Vec<W>, Vec<i16>) {
    let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
    (values.iter().flatten().cloned().map(convert).collect(), levels)
}

/// Writes a file with these columns under a schema in Parquet's own notation.
pub(in crate::hub) fn write(path: &Path, schema: &str, columns: &[Column], layout: &Layout) {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
    let compression = match layout.compression {
        Packing::None => Compression::UNCOMPRESSED,
        Packing::Snappy => Compression::SNAPPY,
        Packing::Zstd => Compression::ZSTD(Default::default()),
        Packing::Gzip => Compression::GZIP(Default::default()),
    };
    let mut properties = WriterProperties::builder().set_compression(compression);
    if layout.small_pages {
        properties = properties
            .set_data_page_size_limit(700)
            .set_write_batch_size(1)
            .set_dictionary_enabled(false)
            .set_writer_version(parquet::file::properties::WriterVersion::PARQUET_2_0);
    }
    if let Some(json) = &layout.metadata {
        let entry = KeyValue { key: "huggingface".into(), value: Some(json.clone()) };
        properties = properties.set_key_value_metadata(Some(vec![entry]));
    }
    let rows = match &columns[0] {
        Column::Bytes(values) => values.len(),
        Column::Long(values) => values.len(),
        _ => panic!("begin with a column of bytes"),
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    let step = if layout.group == 0 { rows.max(1) } else { layout.group };
    for start in (0..rows).step_by(step) {
        let range = start..rows.min(start + step);
        let mut group = writer.next_row_group().unwrap();
        for column in columns {
            match column {
                Column::Bytes(values) => {
                    let (bytes, levels) = nullable(&values[range.clone()], ByteArray::from);
                    // Optional struct, optional bytes.
                    let levels: Vec<i16> = levels.iter().map(|level| 1 + level).collect();
                    put::<ByteArrayType>(&mut group, &bytes, Some(&levels));
                }
                Column::Text(values) => {
                    let bytes: Vec<ByteArray> =
                        values[range.clone()].iter().map(|&text| ByteArray::from(text)).collect();
                    // Of no meaning where the column is required.
                    let levels = vec![1; bytes.len()];
                    put::<ByteArrayType>(&mut group, &bytes, Some(&levels));
                }
                Column::Bool(values) => {
                    let (values, levels) = nullable(&values[range.clone()], |value| value);
                    put::<BoolType>(&mut group, &values, Some(&levels));
                }
                Column::Long(values) => {
                    let (values, levels) = nullable(&values[range.clone()], |value| value);
                    put::<Int64Type>(&mut group, &values, Some(&levels));
                }
                Column::Int(values) => put::<Int32Type>(&mut group, &values[range.clone()], None),
                Column::Float(values) => {
                    put::<FloatType>(&mut group, &values[range.clone()], None);
                }
            }
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

pub(in crate::hub) const PICTURE: &str =
    "optional group image { optional binary bytes; required binary path (STRING); }";

/// Pictures of one colour each, which says their number.
pub(in crate::hub) fn numbered(count: usize) -> Vec<Option<Vec<u8>>> {
    let one = |number: usize| {
        let colour = image::Rgb([number as u8, (number / 256) as u8, 7]);
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_pixel(5, 4, colour);
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        Some(bytes.into_inner())
    };
    (0..count).map(one).collect()
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
            faces(&path, &Layout { compression, group, small_pages, metadata: None });
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
    vdvae_io::decode_picture("x", block.get(row).unwrap().unwrap()).unwrap()
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

#[test]
fn plain_binary_pictures_and_real_targets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let data = [
        Column::Long(vec![Some(5); 3]),
        Column::Text(vec!["no picture"; 3]),
        Column::Float(vec![0.5, f32::INFINITY, -1.0]),
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
}

#[test]
fn a_missing_picture_column_lists_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let data = [Column::Long(vec![Some(5); 3]), Column::Text(vec!["x"; 3])];
    write(&path, "optional int64 id; required binary name (STRING);", &data, &Layout::default());
    let text = columns(&path).unwrap_err().to_string();
    assert!(text.contains("a column of pictures") && text.contains("the columns id, name"));
    let other = Columns { picture: "image.bytes".into(), targets: Targets::None, group: None };
    let text = Table::open(&path, &other).unwrap_err().to_string();
    assert!(text.contains("expected a column image.bytes, as in the first file"), "{text}");
}

#[test]
fn a_row_without_a_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let data = [Column::Bytes(vec![None, Some(png())]), Column::Text(vec!["x"; 2])];
    write(&path, PICTURE, &data, &Layout::default());
    let (table, _) = Table::open(&path, &columns(&path).unwrap()).unwrap();
    let block = table.block(table.place(0)).unwrap();
    assert!(block.get(0).unwrap().is_err() && block.get(1).unwrap().is_ok());
    assert!(block.get(2).is_none());
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
