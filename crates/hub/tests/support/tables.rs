//! Writes Parquet files as they lie on the hub.
#![allow(dead_code, reason = "each crate's tests use some of these")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type,
};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

/// A column of a test file.
pub(crate) enum Column {
    Bytes(Vec<Option<Vec<u8>>>),
    Text(Vec<&'static str>),
    Bool(Vec<Option<bool>>),
    Long(Vec<Option<i64>>),
    Int(Vec<i32>),
    Float(Vec<f32>),
}

/// How a test file is written.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) compression: Packing,
    /// Rows of a row group; 0 for one group.
    pub(crate) group: usize,
    /// JSON under the key `huggingface`.
    pub(crate) metadata: Option<String>,
    /// Bytes of a page, and version 2 of pages.
    pub(crate) small_pages: bool,
    /// Of all values, without dictionaries; the usual ones without it.
    pub(crate) encoding: Option<Encoding>,
}

#[derive(Default, Clone, Copy)]
pub(crate) enum Packing {
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
pub(crate) fn write(path: &Path, schema: &str, columns: &[Column], layout: &Layout) {
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
    if let Some(encoding) = layout.encoding {
        properties = properties.set_dictionary_enabled(false).set_encoding(encoding);
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

pub(crate) const PICTURE: &str =
    "optional group image { optional binary bytes; required binary path (STRING); }";

/// Pictures of one colour each, which says their number.
pub(crate) fn numbered(count: usize) -> Vec<Option<Vec<u8>>> {
    let one = |number: usize| {
        let colour = image::Rgb([number as u8, (number / 256) as u8, 7]);
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_pixel(5, 4, colour);
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        Some(bytes.into_inner())
    };
    (0..count).map(one).collect()
}
