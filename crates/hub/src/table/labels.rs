//! The labels of a table: columns of one value a row.

use std::cell::RefCell;
use std::collections::BTreeMap;

use parquet::basic::Type;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type,
};

use super::candidates::{Stored, is_unsigned};
use super::columns::class_names;
use super::{Columns, Table, Targets};
use crate::Result;

/// Most classes of a column of words, and longest of them in bytes.
const MAX_CLASSES: usize = 1 << 16;
const MAX_WORD_BYTES: usize = 1024;
/// Whole numbers below this are exact.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Labels of every row.
#[derive(Debug, Default, PartialEq)]
pub struct TableLabels {
    /// `None` where it is missing; a position in `names` where there are any, else any number.
    pub classes: Vec<Option<i64>>,
    /// Names of the classes, of a column whose file or card has them, or of words.
    pub names: Option<Vec<String>>,
    /// Whether the classes are words, which no number stands for.
    pub words: bool,
    /// `(rows, attributes)`: 1 present, 0 absent, -1 missing.
    pub binary: Vec<i8>,
    /// The number that says no, 0 or -1, of every attribute that has numbers and one of these.
    pub no: Vec<Option<i64>>,
    /// `(rows, targets)`; NaN is missing, and nothing is infinite.
    pub real: Vec<f64>,
    /// Person, or other unit, of every row; empty where the file does not say.
    pub groups: Vec<u64>,
}

impl Table {
    /// Column numbers are those of `columns`, in order: targets, then the group.
    pub(super) fn labels(&self, columns: &Columns, numbers: &[usize]) -> Result<TableLabels> {
        let mut labels = TableLabels::default();
        let (targets, group) = match columns.group {
            Some(_) => (&numbers[..numbers.len() - 1], numbers.last().copied()),
            None => (numbers, None),
        };
        match columns.targets {
            Targets::None => {}
            Targets::Classes { ref column, ref names } => match self.stored(targets[0]) {
                Some(Stored::Text) => self.words(targets[0], &mut labels)?,
                _ => self.numbered(targets[0], column, names.as_ref(), &mut labels)?,
            },
            Targets::Binary(_) => {
                let read = targets.iter().map(|&column| self.binary(column));
                let (values, no) = read.collect::<Result<Vec<_>>>()?.into_iter().unzip();
                (labels.binary, labels.no) = (interleave(values), no);
            }
            Targets::Real(_) => {
                let read = |&column| self.reals(column);
                labels.real = interleave(targets.iter().map(read).collect::<Result<_>>()?);
            }
        }
        if let Some(column) = group {
            labels.groups = self.groups(column)?;
        }
        Ok(labels)
    }

    /// Numbers of the groups, of which a word has its own in every file.
    fn groups(&self, column: usize) -> Result<Vec<u64>> {
        if self.stored(column) == Some(Stored::Text) {
            let number = |word: ByteArray| Some(word_number(word.data()));
            let groups = self.column::<ByteArrayType, _>(column, None, number)?;
            let known = |(row, group): (usize, Option<u64>)| {
                group.ok_or_else(|| self.error(format!("a group in row {row}"), "none"))
            };
            return groups.into_iter().enumerate().map(known).collect();
        }
        let number = |(row, value): (usize, Option<i64>)| {
            value.and_then(|value| u64::try_from(value).ok()).ok_or_else(|| {
                let found = value.map_or("none".to_owned(), |value| value.to_string());
                self.error(format!("a group from 0 up in row {row}"), found)
            })
        };
        self.integers(column)?.into_iter().enumerate().map(number).collect()
    }

    fn stored(&self, column: usize) -> Option<Stored> {
        Stored::of(&self.file.metadata().file_metadata().schema_descr().column(column))
    }

    /// Reads classes of a column of integers. Where they have names, -1 is none, as the library
    /// `datasets` has it.
    fn numbered(
        &self,
        number: usize,
        column: &str,
        names: Option<&Vec<String>>,
        labels: &mut TableLabels,
    ) -> Result<()> {
        let own = class_names(self.file.metadata().file_metadata()).remove(column);
        labels.names = own.or_else(|| names.cloned());
        labels.classes = self.integers(number)?;
        let Some(count) = labels.names.as_ref().map(Vec::len) else { return Ok(()) };
        for (row, class) in labels.classes.iter_mut().enumerate() {
            match *class {
                Some(-1) => *class = None,
                Some(found) if usize::try_from(found).map_or(true, |found| found >= count) => {
                    let expected = format!("one of {count} classes in {column}, row {row}");
                    return Err(self.error(expected, found.to_string()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads classes of a column of words, in the order of the words; an empty one is none.
    fn words(&self, column: usize, labels: &mut TableLabels) -> Result<()> {
        let words = RefCell::new(BTreeMap::new());
        let number = |word: ByteArray| {
            if word.is_empty() || word.len() > MAX_WORD_BYTES {
                return if word.is_empty() { None } else { Some(-1) };
            }
            let mut words = words.borrow_mut();
            match (words.get(word.data()), words.len()) {
                (Some(&number), _) => Some(number),
                (None, MAX_CLASSES..) => Some(-1),
                (None, count) => {
                    words.insert(word.data().to_vec(), count as i64);
                    Some(count as i64)
                }
            }
        };
        let mut classes = self.column::<ByteArrayType, Option<i64>>(column, None, number)?;
        if let Some(row) = classes.iter().position(|class| *class == Some(-1)) {
            let expected =
                format!("at most {MAX_CLASSES} classes of at most {MAX_WORD_BYTES} bytes each");
            return Err(self.error(expected, format!("another in row {row}")));
        }
        let words = words.into_inner();
        let mut ranks = vec![0; words.len()];
        words.values().zip(0..).for_each(|(&number, rank)| ranks[number as usize] = rank);
        classes.iter_mut().flatten().for_each(|class| *class = ranks[*class as usize]);
        let names = words.keys().map(|word| String::from_utf8_lossy(word).into_owned());
        (labels.classes, labels.names, labels.words) = (classes, Some(names.collect()), true);
        Ok(())
    }

    /// 1, 0, or -1 where it is missing: booleans, or integers that are 1 and 0, or 1 and -1; and
    /// which integer says no.
    fn binary(&self, column: usize) -> Result<(Vec<i8>, Option<i64>)> {
        if self.stored(column) != Some(Stored::Integer) {
            return Ok((self.column::<BoolType, i8>(column, -1, i8::from)?, None));
        }
        let mut no = None;
        let value = |(row, value): (usize, Option<i64>)| match value {
            None => Ok(-1),
            Some(1) => Ok(1),
            // 0 and -1 both say no, but not in one column: there, -1 may mean that it is not known.
            Some(value @ (0 | -1)) if *no.get_or_insert(value) == value => Ok(0),
            Some(value) => {
                let name = self.file.metadata().file_metadata().schema_descr().column(column);
                let expected = format!("1 and 0, or 1 and -1, in {}, row {row}", name.name());
                Err(self.error(expected, value.to_string()))
            }
        };
        let values = self.integers(column)?.into_iter().enumerate().map(value);
        Ok((values.collect::<Result<_>>()?, no))
    }

    fn integers(&self, column: usize) -> Result<Vec<Option<i64>>> {
        let kind = self.file.metadata().file_metadata().schema_descr().column(column);
        let unsigned = is_unsigned(&kind);
        match kind.physical_type() {
            Type::INT32 if unsigned => {
                let number = |value: i32| Some(i64::from(value.cast_unsigned()));
                self.column::<Int32Type, _>(column, None, number)
            }
            Type::INT32 => {
                self.column::<Int32Type, _>(column, None, |value| Some(i64::from(value)))
            }
            Type::FLOAT | Type::DOUBLE => self.whole(column),
            _ => {
                let values = self.column::<Int64Type, _>(column, None, Some)?;
                match values.iter().position(|value| unsigned && value.is_some_and(|v| v < 0)) {
                    Some(row) => {
                        Err(self.error("whole numbers below 2^63", format!("one in row {row}")))
                    }
                    None => Ok(values),
                }
            }
        }
    }

    /// Whole numbers that are stored as floating-point ones; NaN is missing.
    fn whole(&self, column: usize) -> Result<Vec<Option<i64>>> {
        let whole = |(row, value): (usize, f64)| match value {
            value if value.is_nan() => Ok(None),
            value if value.fract() == 0.0 && value.abs() < MAX_WHOLE => Ok(Some(value as i64)),
            value => Err(self.error(format!("whole numbers, row {row}"), value.to_string())),
        };
        self.reals(column)?.into_iter().enumerate().map(whole).collect()
    }

    /// Numbers; NaN is missing.
    fn reals(&self, column: usize) -> Result<Vec<f64>> {
        let types = self.file.metadata().file_metadata().schema_descr();
        let values = match types.column(column).physical_type() {
            Type::FLOAT => self.column::<FloatType, _>(column, f64::NAN, f64::from)?,
            Type::INT32 | Type::INT64 => {
                let number = |value: Option<i64>| value.map_or(f64::NAN, |value| value as f64);
                self.integers(column)?.into_iter().map(number).collect()
            }
            _ => self.column::<DoubleType, _>(column, f64::NAN, |value| value)?,
        };
        match values.iter().position(|value| value.is_infinite()) {
            Some(row) => Err(self.error(format!("finite numbers, row {row}"), "inf".to_owned())),
            None => Ok(values),
        }
    }
}

/// The number of a group that a word names: 52 bits, which every reader of JSON keeps.
fn word_number(word: &[u8]) -> u64 {
    let hash = vdvae_io::sha256(word);
    u64::from_str_radix(&hash[..13], 16).expect("a hash is hexadecimal")
}

/// Columns side by side, row by row.
fn interleave<V: Copy>(columns: Vec<Vec<V>>) -> Vec<V> {
    let rows = columns.first().map_or(0, Vec::len);
    (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
}
