//! Arrays of unsigned bytes in a pickle, as numpy describes them.

use std::ops::Range;

use vdvae_io::pickle::{Call, Pickle, PickleRules, Value};

/// What a pickle of numpy's may mention, in the order of the constants below.
const NAMES: [(&str, &str); 7] = [
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
];
const DTYPE: Value<'_> = Value::Name(4);
const ENCODE: Value<'_> = Value::Name(5);

pub(super) const RULES: PickleRules<'_> =
    PickleRules { names: &NAMES, nothing_but: "nothing but arrays of numbers", protocol: 5 };

/// An array of bytes: its shape, and where its data lies in the file, in C order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByteArray {
    pub(super) shape: Vec<usize>,
    pub(super) data: Range<usize>,
    /// Whether the bytes are written as text, each the character of its number in UTF-8, as Python
    /// 3 does in protocol 2.
    pub(super) as_text: bool,
}

/// The value of a key, where the pickle is a dictionary that has it.
pub(super) fn get<'a>(pickle: &Pickle<'a>, key: &str) -> Option<Value<'a>> {
    let mut pairs = pickle.dict(pickle.root)?.iter();
    pairs.find(|[name, _]| text(pickle, *name) == Some(key.as_bytes())).map(|[_, value]| *value)
}

/// The integers of a list or tuple.
pub(super) fn integers(pickle: &Pickle<'_>, value: Value<'_>) -> Option<Vec<i64>> {
    let integer = |value: &Value<'_>| match *value {
        Value::Int(integer) => Some(integer),
        _ => None,
    };
    pickle.sequence(value)?.iter().map(integer).collect()
}

/// A numpy array of unsigned bytes in C order.
pub(super) fn byte_array<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<ByteArray> {
    let Call { callee, arguments, state } = call(pickle, value)?;
    let (shape, dtype, in_order, data) = match callee {
        Value::Name(0 | 1) => {
            let &[_version, shape, dtype, fortran, data] = pickle.sequence(state?)? else {
                return None;
            };
            (shape, dtype, fortran == Value::Bool(false), data)
        }
        Value::Name(2 | 3) => {
            let &[data, dtype, shape, order] = pickle.sequence(arguments)? else { return None };
            (shape, dtype, text(pickle, order) == Some(b"C"), data)
        }
        _ => return None,
    };
    let (data, as_text) = match data {
        Value::Bytes(data) => (data, false),
        // A string of Python 2 may happen to be UTF-8.
        Value::Text(data) => (data.as_bytes(), false),
        encoded => (self::encoded(pickle, encoded)?.as_bytes(), true),
    };
    let length = if as_text {
        let text = std::str::from_utf8(data).ok()?;
        text.chars().all(|c| u32::from(c) < 256).then(|| text.chars().count())?
    } else {
        data.len()
    };
    let shape = integers(pickle, shape)?.into_iter().map(|side| usize::try_from(side).ok());
    let shape = shape.collect::<Option<Vec<usize>>>()?;
    let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side))?;
    let whole = count == length && in_order && is_u8(pickle, dtype);
    whole.then(|| ByteArray { shape, data: pickle.range(data), as_text })
}

fn call<'a>(pickle: &Pickle<'a>, value: Value<'_>) -> Option<Call<'a>> {
    if let Value::Call(call) = value { pickle.calls.get(call).copied() } else { None }
}

fn is_u8(pickle: &Pickle<'_>, dtype: Value<'_>) -> bool {
    let Some(Call { callee: DTYPE, arguments, .. }) = call(pickle, dtype) else { return false };
    let name = pickle.sequence(arguments).and_then(|items| items.first());
    let name = name.and_then(|&name| text(pickle, name));
    matches!(name, Some(b"u1" | b"|u1" | b"uint8"))
}

/// Bytes or text. What is encoded is what it says only where that is ASCII, as every name is that
/// it is compared with.
fn text<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<&'a [u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Text(text) => Some(text.as_bytes()),
        encoded => Some(self::encoded(pickle, encoded)?.as_bytes()),
    }
}

/// The text of `_codecs.encode(text, "latin1")`, by which Python 3 writes bytes in protocol 2.
fn encoded<'a>(pickle: &Pickle<'a>, value: Value<'_>) -> Option<&'a str> {
    let Call { callee: ENCODE, arguments, state: None } = call(pickle, value)? else { return None };
    let &[Value::Text(text), Value::Text("latin1")] = pickle.sequence(arguments)? else {
        return None;
    };
    Some(text)
}
