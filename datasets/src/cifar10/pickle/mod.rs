//! Data in Python's pickle format, read without executing anything.
//!
//! A pickle is a program for a stack machine. Here only the instructions that build data are known;
//! a class or function stays a name, a call stays a record of it, and what they mean is up to the
//! reader of the result. Strings stay ranges of the file, a value used twice is not copied, and
//! instructions are counted, so that no file makes the result large.

mod machine;
#[cfg(test)]
mod tests;

use std::ops::Range;

/// Position of a value in [`Pickle`].
pub(super) type Id = usize;

/// A value; others are referred to by position.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Bytes or text of the file.
    Bytes(Range<usize>),
    /// A class or function: module and name.
    Global(String, String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A call, and the state its result was given afterwards.
    Call {
        callable: Id,
        arguments: Id,
        state: Option<Id>,
    },
}

/// All values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: Id,
}

/// An array of bytes: its shape, and where its data lies in the file, in C order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByteArray {
    pub(super) shape: Vec<usize>,
    pub(super) data: Range<usize>,
    /// Whether the bytes are written as text, each the character of its number in UTF-8, as Python
    /// 3 does in protocol 2.
    pub(super) as_text: bool,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle of protocol 2 to 5, as Python 2 and 3 write it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (values, root) = machine::run(bytes)?;
        Ok(Self { bytes, values, root })
    }

    /// The value of a key, where the pickle is a dictionary that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let Value::Dict(pairs) = &self.values[self.root] else { return None };
        let named = |id: Id| self.text(id) == Some(key.as_bytes());
        pairs.iter().find(|&&(name, _)| named(name)).map(|&(_, value)| &self.values[value])
    }

    /// The integers of a list or tuple.
    pub(super) fn integers(&self, value: &Value) -> Option<Vec<i64>> {
        let (Value::List(items) | Value::Tuple(items)) = value else { return None };
        let integer = |&id: &Id| match self.values[id] {
            Value::Int(integer) => Some(integer),
            _ => None,
        };
        items.iter().map(integer).collect()
    }

    /// A numpy array of unsigned bytes in C order.
    pub(super) fn byte_array(&self, value: &Value) -> Option<ByteArray> {
        let &Value::Call { callable, arguments, state } = value else { return None };
        let Value::Global(module, name) = &self.values[callable] else { return None };
        let (shape, dtype, order, data) = match (module.as_str(), name.as_str()) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                let &[_version, shape, dtype, fortran, data] = self.items(state?)? else {
                    return None;
                };
                (shape, dtype, self.values[fortran] == Value::Bool(false), data)
            }
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => {
                let &[data, dtype, shape, order] = self.items(arguments)? else { return None };
                (shape, dtype, self.text(order) == Some(b"C"), data)
            }
            _ => return None,
        };
        let (data, as_text) = match &self.values[data] {
            Value::Bytes(data) => (data.clone(), false),
            encoded => (self.encoded(encoded)?, true),
        };
        let length = if as_text {
            let text = std::str::from_utf8(&self.bytes[data.clone()]).ok()?;
            text.chars().all(|c| u32::from(c) < 256).then(|| text.chars().count())?
        } else {
            data.len()
        };
        let shape = self.integers(&self.values[shape])?;
        let shape = shape.into_iter().map(|side| usize::try_from(side).ok());
        let shape = shape.collect::<Option<Vec<usize>>>()?;
        let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side))?;
        let whole = count == length && order && self.is_u8(dtype);
        whole.then_some(ByteArray { shape, data, as_text })
    }

    fn is_u8(&self, dtype: Id) -> bool {
        let Value::Call { callable, arguments, .. } = self.values[dtype] else { return false };
        let numpy = Value::Global("numpy".to_owned(), "dtype".to_owned());
        let name = self.items(arguments).and_then(|items| items.first());
        let name = name.and_then(|&name| self.text(name));
        self.values[callable] == numpy && matches!(name, Some(b"u1" | b"|u1" | b"uint8"))
    }

    fn items(&self, id: Id) -> Option<&[Id]> {
        match &self.values[id] {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Bytes or text, where the two are the same.
    fn text(&self, id: Id) -> Option<&'a [u8]> {
        match &self.values[id] {
            Value::Bytes(range) => Some(&self.bytes[range.clone()]),
            encoded => Some(&self.bytes[self.encoded(encoded)?]).filter(|text| text.is_ascii()),
        }
    }

    /// The text of `_codecs.encode(text, "latin1")`, by which Python 3 writes bytes in protocol 2.
    fn encoded(&self, value: &Value) -> Option<Range<usize>> {
        let &Value::Call { callable, arguments, state: None } = value else { return None };
        let &[text, encoding] = self.items(arguments)? else { return None };
        let encode = Value::Global("_codecs".to_owned(), "encode".to_owned());
        let (Value::Bytes(text), Value::Bytes(encoding)) =
            (&self.values[text], &self.values[encoding])
        else {
            return None;
        };
        let latin = &self.bytes[encoding.clone()] == b"latin1";
        (latin && self.values[callable] == encode).then(|| text.clone())
    }
}
