//! Floats of Parquet files: lists of one length a row, or columns of one number a row.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use half::f16;
use parquet::basic::{LogicalType, Type};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{DataType, DoubleType, FixedLenByteArrayType, FloatType};
use parquet::errors::Result as ParquetResult;
use parquet::schema::types::ColumnDescriptor;
use vdvae_io::most_inflated;
use vdvae_parquet::{OpenFile, ParquetFile};

use super::{Arrays, invalid};
use crate::Result;

/// Rows read at once.
const STEP: usize = 1 << 10;

/// How a column stores its floats.
#[derive(Clone, Copy)]
enum Stored {
    F16,
    F32,
    F64,
}

/// A column of floats, or of lists of them.
struct Column {
    name: String,
    number: usize,
    stored: Stored,
    /// Levels of a number that is there: whether a list goes on, and whether it is there.
    repeated: i16,
    defined: i16,
}

impl Column {
    /// `None` for columns of anything else.
    fn of((number, column): (usize, &ColumnDescriptor)) -> Option<Self> {
        let stored = match (column.physical_type(), column.logical_type_ref()) {
            (Type::FLOAT, _) => Stored::F32,
            (Type::DOUBLE, _) => Stored::F64,
            (Type::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16)) => Stored::F16,
            _ => return None,
        };
        let (repeated, defined) = (column.max_rep_level(), column.max_def_level());
        let name = column.path().parts().first()?.clone();
        (repeated <= 1).then_some(Self { name, number, stored, repeated, defined })
    }
}

/// The arrays of lists by the names of their columns, (N, length) each; or, of a file without lists, its
/// columns of floats side by side as the one array `matrix`, (N, columns).
pub(super) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Arrays> {
    let file = ParquetFile::open(path)?;
    let schema = file.metadata().file_metadata().schema_descr();
    let mut leaves: HashMap<&str, usize> = HashMap::new();
    for column in schema.columns() {
        *leaves.entry(column.path().parts().first().map_or("", String::as_str)).or_default() += 1;
    }
    let all = schema.columns().iter().map(|column| &**column).enumerate().filter_map(Column::of);
    // A structure of several numbers is no number.
    let all = all.filter(|column| leaves[&*column.name] == 1);
    let (lists, single): (Vec<_>, Vec<_>) = all.partition(|column| column.repeated == 1);
    let names = lists.iter().map(|column| column.name.clone()).collect();
    let length = std::fs::metadata(path).map_err(super::cannot_read(path))?.len();
    // A number that is repeated takes next to no bytes.
    let mut room = most_inflated(length) / 4;
    let mut arrays = BTreeMap::new();
    if lists.is_empty() && !single.is_empty() && wanted("matrix") {
        arrays.insert("matrix".to_owned(), matrix(&file, &single, &mut room)?);
        return Ok((arrays, vec!["matrix".to_owned()]));
    }
    for column in lists.iter().filter(|column| wanted(&column.name)) {
        let (numbers, rows) = numbers(&file, column, &mut room)?;
        let width = numbers.len() / rows.max(1);
        let array = Tensor::from_vec(numbers, (rows, width), &Device::Cpu)?;
        arrays.insert(column.name.clone(), array);
    }
    Ok((arrays, names))
}

/// Columns of one number a row, as a matrix.
fn matrix(file: &ParquetFile, columns: &[Column], room: &mut u64) -> Result<Tensor> {
    let mut data = Vec::new();
    let mut rows = None;
    for column in columns {
        let (numbers, found) = numbers(file, column, room)?;
        let expected = *rows.get_or_insert(found);
        if found != expected {
            let expected = format!("{}: {expected} rows, as in the first column", column.name);
            return Err(invalid(file.path(), &expected, &found.to_string()));
        }
        data.extend(numbers);
    }
    let rows = rows.unwrap_or(0);
    Ok(Tensor::from_vec(data, (columns.len(), rows), &Device::Cpu)?.t()?.contiguous()?)
}

/// All numbers of a column, as many in each row, and the number of rows.
fn numbers(file: &ParquetFile, column: &Column, room: &mut u64) -> Result<(Vec<f32>, usize)> {
    let groups = file.metadata().row_groups().iter();
    let claimed: u64 = groups.map(|g| g.column(column.number).num_values().max(0) as u64).sum();
    *room = room.checked_sub(claimed).ok_or_else(|| {
        let expected = format!("{}: numbers that the file has bytes for", column.name);
        invalid(file.path(), &expected, &format!("{claimed} of them"))
    })?;
    let mut read = Read { column, numbers: Vec::new(), rows: 0, width: None, wrong: None };
    file.read(|open| {
        for group in 0..file.metadata().num_row_groups() {
            match column.stored {
                Stored::F16 => read.group::<FixedLenByteArrayType>(open, group, |value| {
                    let bytes = value.data().try_into().unwrap_or_default();
                    f16::from_le_bytes(bytes).to_f32()
                }),
                Stored::F32 => read.group::<FloatType>(open, group, |value| *value),
                Stored::F64 => read.group::<DoubleType>(open, group, |value| *value as f32),
            }?;
        }
        Ok(())
    })?;
    let Read { numbers, rows, wrong, .. } = read;
    match wrong {
        None => Ok((numbers, rows)),
        Some((expected, found)) => {
            Err(invalid(file.path(), &format!("{}: {expected}", column.name), &found))
        }
    }
}

struct Read<'a> {
    column: &'a Column,
    numbers: Vec<f32>,
    rows: usize,
    /// Numbers of every row.
    width: Option<usize>,
    /// What was expected and found, where reading ended early.
    wrong: Option<(String, String)>,
}

impl Read<'_> {
    fn group<T: DataType>(
        &mut self,
        open: &OpenFile<'_>,
        group: usize,
        convert: impl Fn(&T::T) -> f32,
    ) -> ParquetResult<()> {
        let mut reader: ColumnReaderImpl<T> = open.column(group, self.column.number)?;
        let (mut values, mut goes_on, mut present) = (Vec::new(), Vec::new(), Vec::new());
        while self.wrong.is_none() {
            values.clear();
            goes_on.clear();
            present.clear();
            let (records, ..) =
                reader.read_records(STEP, Some(&mut present), Some(&mut goes_on), &mut values)?;
            if records == 0 {
                break;
            }
            self.take(records, &goes_on, &present, values.len());
            self.numbers.extend(values.iter().map(&convert));
        }
        Ok(())
    }

    /// Checks the levels of some rows, which have so many values.
    fn take(&mut self, records: usize, goes_on: &[i16], present: &[i16], values: usize) {
        let Column { repeated, defined, .. } = *self.column;
        if let Some(at) = present.iter().position(|&level| level != defined) {
            let before = goes_on
                .get(..=at)
                .map_or(at + 1, |levels| levels.iter().filter(|&&level| level == 0).count());
            let row = self.rows + before - 1;
            self.wrong = Some((format!("a number in row {row}"), "none".into()));
            return;
        }
        let starts = goes_on.iter().enumerate().filter(|(_, level)| **level == 0);
        let ends: Vec<usize> = match repeated {
            0 => (0..=records).collect(),
            _ => starts.map(|(at, _)| at).chain([values]).collect(),
        };
        for (row, width) in ends.windows(2).map(|pair| pair[1] - pair[0]).enumerate() {
            let expected = *self.width.get_or_insert(width);
            if width != expected {
                let row = self.rows + row;
                let expected = format!("{expected} numbers in row {row}, as in the first");
                self.wrong = Some((expected, width.to_string()));
                return;
            }
        }
        self.rows += records;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::ArrayFile;

    type Group<'a> = SerializedRowGroupWriter<'a, File>;

    /// Writes a file of one row group, column by column.
    fn write(path: &Path, schema: &str, columns: impl FnOnce(&mut Group<'_>)) {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::default());
        let file = File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        columns(&mut group);
        group.close().unwrap();
        writer.close().unwrap();
    }

    /// The next column: values, whether they are there, and whether lists go on.
    fn column<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: [&[i16]; 2]) {
        let [present, goes_on] = levels.map(|levels| (!levels.is_empty()).then_some(levels));
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<T>().write_batch(values, present, goes_on).unwrap();
        column.close().unwrap();
    }

    fn path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("a.parquet")
    }

    fn arrays(path: &Path, array: Option<&str>) -> Result<BTreeMap<String, Tensor>> {
        ArrayFile { path: path.to_owned(), array: array.map(str::to_owned) }.read()
    }

    fn numbers_of(array: &Tensor) -> Vec<Vec<f32>> {
        array.to_vec2().unwrap()
    }

    /// As pyarrow writes lists: both they and their numbers may be missing.
    const LISTS: &str = "message schema {
        optional binary path (UTF8);
        optional group z (LIST) { repeated group list { optional double element; } }
        optional group y (LIST) { repeated group list {
            optional fixed_len_byte_array(2) element (FLOAT16); } }
    }";

    #[test]
    fn lists_are_arrays_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let half = |v: f32| {
            FixedLenByteArray::from(ByteArray::from(f16::from_f32(v).to_le_bytes().to_vec()))
        };
        write(&path, LISTS, |group| {
            let names = vec![ByteArray::from("a.png"); 2];
            column::<ByteArrayType>(group, &names, [&[1, 1], &[]]);
            column::<DoubleType>(group, &[1.0, 2.0, 3.0, 4.5], [&[3; 4], &[0, 1, 0, 1]]);
            column::<FixedLenByteArrayType>(group, &[half(0.5), half(-2.0)], [&[3; 2], &[0, 0]]);
        });
        let found = arrays(&path, None).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["y", "z"]);
        assert_eq!(numbers_of(&found["z"]), [[1.0, 2.0], [3.0, 4.5]]);
        assert_eq!(numbers_of(&found["y"]), [[0.5], [-2.0]]);
        assert_eq!(arrays(&path, Some("z")).unwrap().len(), 1);
        let text = arrays(&path, Some("path")).unwrap_err().to_string();
        assert!(text.ends_with("expected an array `path`, found z, y"), "{text}");
    }

    #[test]
    fn columns_of_floats_are_a_matrix() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let schema =
            "message schema { optional float a; required int64 label; required double b; }";
        let write = |present: &[i16]| {
            write(&path, schema, |group| {
                let known = present.iter().filter(|&&level| level == 1).count();
                column::<FloatType>(group, &[1.0, 2.0][..known], [present, &[]]);
                column::<Int64Type>(group, &[7, 8], [&[], &[]]);
                column::<DoubleType>(group, &[3.0, 4.0], [&[], &[]]);
            });
        };
        write(&[1, 1]);
        let found = arrays(&path, None).unwrap();
        assert_eq!(numbers_of(&found["matrix"]), [[1.0, 3.0], [2.0, 4.0]]);
        write(&[1, 0]);
        let text = arrays(&path, None).unwrap_err().to_string();
        assert!(text.ends_with("a.parquet: expected a: a number in row 1, found none"), "{text}");
    }

    #[test]
    fn rows_that_miss_numbers_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let refused = |present: &[i16]| {
            let values = vec![1.0; present.iter().filter(|&&level| level == 3).count()];
            write(&path, LISTS, |group| {
                column::<ByteArrayType>(group, &[], [&[0; 3], &[]]);
                column::<DoubleType>(group, &values, [present, &[0, 1, 0, 1, 0]]);
                column::<FixedLenByteArrayType>(group, &[], [&[0; 3], &[0; 3]]);
            });
            arrays(&path, Some("z")).unwrap_err().to_string()
        };
        // A row without a list, an empty list, and a number that is missing.
        for level in [0, 1, 2] {
            let text = refused(&[3, 3, 3, 3, level]);
            assert!(text.ends_with("z: a number in row 2, found none"), "{text}");
        }
        let text = refused(&[3; 5]);
        assert!(text.ends_with("z: 2 numbers in row 2, as in the first, found 1"), "{text}");
    }

    #[test]
    fn numbers_that_take_no_bytes_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        // One number 2^27 times: a dictionary of one, and runs.
        write(&path, "message schema { required double a; }", |group| {
            column::<DoubleType>(group, &vec![1.0; 1 << 27], [&[], &[]]);
        });
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
        let text = arrays(&path, None).unwrap_err().to_string();
        assert!(text.ends_with("has bytes for, found 134217728 of them"), "{text}");
        std::fs::write(&path, "PAR1 and no more").unwrap();
        let text = arrays(&path, None).unwrap_err().to_string();
        assert!(text.contains("a.parquet: expected a whole Parquet file"), "{text}");
    }
}
