//! Features as a Parquet file: a row a picture, a list of numbers a layer.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type,
};
use parquet::errors::Result;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;
use vdvae_parquet::ParquetFile;

use super::rows::{LabelColumn, Rows};
use super::{FeatureWriter, Part};

/// The key of the manifest in the metadata of a file.
const MANIFEST: &str = "vdvae";
/// Bytes of features in a row group, about: readers hold one at a time.
const GROUP_BYTES: usize = 64 << 20;
/// Comes before the names of labels, which may be anything.
const LABEL: &str = "label.";

/// Writes all rows; the same rows give the same bytes.
pub(super) fn write(
    writer: &FeatureWriter,
    rows: &Rows<'_>,
    manifest: &Value,
    to: impl Write + Send,
) -> io::Result<()> {
    write_groups(writer, rows, manifest, to).map_err(io::Error::other)
}

fn write_groups(
    writer: &FeatureWriter,
    rows: &Rows<'_>,
    manifest: &Value,
    to: impl Write + Send,
) -> Result<()> {
    let columns = Columns::of(rows);
    let schema = columns.schema(&writer.parts)?;
    let manifest = KeyValue::new(MANIFEST.to_owned(), manifest.to_string());
    let properties = WriterProperties::builder()
        .set_created_by(format!("vdvae {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![manifest]))
        // Numbers that are all different gain nothing from either.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    let mut file = SerializedFileWriter::new(to, schema, Arc::new(properties.build()))?;
    let mut readers = writer
        .parts
        .iter()
        .map(|part| Ok((part, writer.reader(part)?)))
        .collect::<io::Result<Vec<_>>>()?;
    let width: usize = writer.parts.iter().map(Part::columns).sum();
    let step = (GROUP_BYTES / (4 * width.max(1))).max(1);
    for start in (0..rows.kept.len()).step_by(step) {
        let end = rows.kept.len().min(start + step);
        let mut group = file.next_row_group()?;
        columns.write(&mut group, start..end)?;
        for (part, reader) in &mut readers {
            write_lists(&mut group, end - start, part.columns(), reader)?;
        }
        group.close()?;
    }
    file.close()?;
    Ok(())
}

/// The manifest inside a file, where it has one.
pub(crate) fn manifest(path: &Path) -> crate::Result<Option<String>> {
    let file = ParquetFile::open(path)?;
    let entries = file.metadata().file_metadata().key_value_metadata();
    let ours = entries.into_iter().flatten().find(|entry| entry.key == MANIFEST);
    Ok(ours.and_then(|entry| entry.value.clone()))
}

/// The columns of one value a row.
struct Columns {
    keys: Vec<String>,
    splits: Vec<String>,
    groups: Option<Vec<u64>>,
    labels: Vec<(String, LabelColumn)>,
}

impl Columns {
    fn of(rows: &Rows<'_>) -> Self {
        Self {
            keys: rows.keys().collect(),
            splits: rows.splits().map(|split| split.to_string()).collect(),
            groups: rows.groups(),
            labels: rows.labels(),
        }
    }

    fn schema(&self, parts: &[Part]) -> Result<TypePtr> {
        let (required, optional) = (Repetition::REQUIRED, Repetition::OPTIONAL);
        let text = || Some(LogicalType::String);
        let mut fields = vec![
            column("key", Physical::BYTE_ARRAY, required, text())?,
            column("split", Physical::BYTE_ARRAY, required, text())?,
        ];
        if self.groups.is_some() {
            let unsigned = LogicalType::integer(64, false);
            fields.push(column("group", Physical::INT64, required, Some(unsigned))?);
        }
        for (name, values) in &self.labels {
            let (physical, logical) = match values {
                LabelColumn::Text(_) => (Physical::BYTE_ARRAY, text()),
                LabelColumn::Boolean(_) => (Physical::BOOLEAN, None),
                LabelColumn::Real(_) => (Physical::DOUBLE, None),
            };
            fields.push(column(&format!("{LABEL}{name}"), physical, optional, logical)?);
        }
        for part in parts {
            fields.push(list(&part.name)?);
        }
        Ok(Arc::new(Type::group_type_builder("features").with_fields(fields).build()?))
    }

    fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        rows: std::ops::Range<usize>,
    ) -> Result<()> {
        let text = |text: &String| ByteArray::from(text.as_str());
        for words in [&self.keys, &self.splits] {
            let words: Vec<ByteArray> = words[rows.clone()].iter().map(text).collect();
            write_column::<ByteArrayType, _>(group, &words, None)?;
        }
        if let Some(groups) = &self.groups {
            let numbers: Vec<i64> = groups[rows.clone()].iter().map(|&g| g as i64).collect();
            write_column::<Int64Type, _>(group, &numbers, None)?;
        }
        for (_, values) in &self.labels {
            match values {
                LabelColumn::Text(words) => {
                    let words: Vec<_> =
                        words[rows.clone()].iter().map(|word| word.as_ref().map(text)).collect();
                    write_optional::<ByteArrayType, _>(group, &words)?;
                }
                LabelColumn::Boolean(values) => {
                    write_optional::<BoolType, _>(group, &values[rows.clone()])?;
                }
                LabelColumn::Real(values) => {
                    write_optional::<DoubleType, _>(group, &values[rows.clone()])?;
                }
            }
        }
        Ok(())
    }
}

fn column(
    name: &str,
    physical: Physical,
    repetition: Repetition,
    logical: Option<LogicalType>,
) -> Result<TypePtr> {
    let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
    Ok(Arc::new(builder.with_logical_type(logical).build()?))
}

/// A list of float32, none of which is missing.
fn list(name: &str) -> Result<TypePtr> {
    let element = column("element", Physical::FLOAT, Repetition::REQUIRED, None)?;
    let repeated = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![element])
        .build()?;
    let list = Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(repeated)]);
    Ok(Arc::new(list.build()?))
}

fn with_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    write: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<()>,
) -> Result<()> {
    let mut column =
        group.next_column()?.expect("the schema has a column for each that is written");
    write(column.typed::<T>())?;
    column.close()
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    with_column::<T, W>(group, |column| column.write_batch(values, levels, None).map(drop))
}

fn write_optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[Option<T::T>],
) -> Result<()> {
    let levels: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
    let known: Vec<T::T> = values.iter().flatten().cloned().collect();
    write_column::<T, W>(group, &known, Some(&levels))
}

/// The lists of so many rows, read on from where the last ones ended.
fn write_lists<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: usize,
    columns: usize,
    from: &mut impl Read,
) -> Result<()> {
    with_column::<FloatType, W>(group, |column| {
        let mut bytes = vec![0; 4 * columns];
        let present = vec![1; columns];
        // A list goes on where the level is 1.
        let mut goes_on = vec![1; columns];
        goes_on[0] = 0;
        for _ in 0..rows {
            from.read_exact(&mut bytes)?;
            let (numbers, _) = bytes.as_chunks();
            let row: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            column.write_batch(&row, Some(&present), Some(&goes_on))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    use serde_json::json;
    use vdvae_datasets::{Dataset, Labels, Split, ToyFaces, Whole};

    use super::*;
    use crate::LayerFeatures;

    #[test]
    fn rows_say_all_that_is_known_of_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.parquet");
        let faces = Whole::new(Box::new(ToyFaces::with_people(0, [1, 1, 1])));
        let parts = vec![
            Part { name: "layer.000".into(), shape: vec![2] },
            Part { name: "layer.001".into(), shape: vec![1] },
        ];
        let kept: Vec<usize> = (0..faces.len(Split::Test)).rev().collect();
        let layer = |columns: usize, scale: f32| LayerFeatures {
            layer: None,
            resolution: 1,
            columns,
            values: (0..kept.len() * columns).map(|i| scale * i as f32).collect(),
        };
        let mut writer = FeatureWriter::open(&path, parts, "").unwrap();
        writer.append(kept.len(), &kept, &[layer(2, 1.0), layer(1, -1.0)]).unwrap();
        writer.finish("", json!({"format": "vdvae-features"}), &faces, Split::Test).unwrap();

        assert_eq!(manifest(&path).unwrap().unwrap(), r#"{"format":"vdvae-features"}"#);
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr();
        let Labels::Binary { names, values } = faces.labels(Split::Test) else { unreachable!() };
        let last = schema.num_columns() - 1;
        assert_eq!(schema.num_columns(), 3 + names.len() + 2);
        assert_eq!(schema.column(3).path().parts(), [format!("label.{}", names[0])]);
        assert_eq!(schema.column(last).path().string(), "layer.001.list.element");
        let groups = faces.groups(Split::Test).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for (row, &index) in reader.get_row_iter(None).unwrap().zip(&kept) {
            let row = row.unwrap();
            assert_eq!(*row.get_string(0).unwrap(), faces.key(Split::Test, index));
            let split = faces.origin(Split::Test, index).to_string();
            assert_eq!(*row.get_string(1).unwrap(), split);
            seen.insert(split);
            assert_eq!(row.get_ulong(2).unwrap(), groups[index]);
            assert_eq!(row.get_bool(3).unwrap(), values[index * names.len()] == 1);
            let list = row.get_list(last - 1).unwrap();
            assert_eq!(list.len(), 2);
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(!folder.path().join("f.parquet.json").exists());
    }
}
