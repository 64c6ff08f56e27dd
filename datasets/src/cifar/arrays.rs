//! Arrays of integers in a pickle, as numpy describes them.

use std::borrow::Cow;
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

pub(super) const RULES: PickleRules<'_> = PickleRules {
    names: &NAMES,
    foreign: false,
    nothing_but: "nothing but arrays of numbers",
    protocol: 5,
};

/// An array of bytes: its shape, and where its data lies in the file, in C order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByteArray {
    pub(super) shape: Vec<usize>,
    pub(super) data: Range<usize>,
    /// Whether the bytes are written as text, each the character of its number in UTF-8, as Python
    /// 3 does in protocol 2.
    pub(super) as_text: bool,
}

/// An array of integers in C order.
struct Array<'a> {
    shape: Vec<usize>,
    item: Item,
    data: &'a [u8],
    /// See [`ByteArray::as_text`].
    as_text: bool,
}

/// How an array stores an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    signed: bool,
    /// Bytes.
    width: usize,
    big_endian: bool,
}

impl Item {
    /// The integer of some bytes; `None` beyond 64 bits with sign.
    fn read(self, bytes: &[u8]) -> Option<i64> {
        let mut number = [0; 8];
        number[..self.width].copy_from_slice(bytes);
        if self.big_endian {
            number[..self.width].reverse();
        }
        let unsigned = u64::from_le_bytes(number);
        if !self.signed {
            return i64::try_from(unsigned).ok();
        }
        let unused = 64 - 8 * self.width as u32;
        Some((unsigned << unused) as i64 >> unused)
    }
}

/// The value of a key, where the pickle is a dictionary that has it.
pub(super) fn get<'a>(pickle: &Pickle<'a>, key: &str) -> Option<Value<'a>> {
    let mut pairs = pickle.dict(pickle.root)?.iter();
    pairs.find(|[name, _]| text(pickle, *name) == Some(key.as_bytes())).map(|[_, value]| *value)
}

/// The integers of a list, a tuple or an array of one dimension.
pub(super) fn integers(pickle: &Pickle<'_>, value: Value<'_>) -> Option<Vec<i64>> {
    if pickle.sequence(value).is_some() {
        return listed(pickle, value);
    }
    let array = array(pickle, value).filter(|array| array.shape.len() == 1)?;
    let bytes = if array.as_text {
        let text = std::str::from_utf8(array.data).ok()?;
        Cow::Owned(text.chars().map(|c| c as u8).collect())
    } else {
        Cow::Borrowed(array.data)
    };
    bytes.chunks_exact(array.item.width).map(|bytes| array.item.read(bytes)).collect()
}

/// The integers of a list or a tuple. A shape is one: an array whose shape is an array could be its
/// own.
fn listed(pickle: &Pickle<'_>, value: Value<'_>) -> Option<Vec<i64>> {
    let integer = |value: &Value<'_>| match *value {
        Value::Int(integer) => Some(integer),
        _ => None,
    };
    pickle.sequence(value)?.iter().map(integer).collect()
}

/// A numpy array of unsigned bytes in C order.
pub(super) fn byte_array<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<ByteArray> {
    let Array { shape, item, data, as_text } = array(pickle, value)?;
    let bytes = item.width == 1 && !item.signed;
    bytes.then(|| ByteArray { shape, data: pickle.range(data), as_text })
}

/// A numpy array of integers in C order, all of whose bytes are there.
fn array<'a>(pickle: &Pickle<'a>, value: Value<'_>) -> Option<Array<'a>> {
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
    let shape = listed(pickle, shape)?.into_iter().map(|side| usize::try_from(side).ok());
    let shape = shape.collect::<Option<Vec<usize>>>()?;
    let item = item(pickle, dtype)?;
    let count = shape.iter().try_fold(item.width, |count, &side| count.checked_mul(side))?;
    // One dimension is in both orders.
    let in_order = in_order || shape.len() == 1;
    (count == length && in_order).then_some(Array { shape, item, data, as_text })
}

fn call<'a>(pickle: &Pickle<'a>, value: Value<'_>) -> Option<Call<'a>> {
    if let Value::Call(call) = value { pickle.calls.get(call).copied() } else { None }
}

/// What a dtype says of an integer: `i8`, `<i8`, `uint8`, with the order of its bytes in its state.
fn item(pickle: &Pickle<'_>, dtype: Value<'_>) -> Option<Item> {
    let Call { callee: DTYPE, arguments, state } = call(pickle, dtype)? else { return None };
    let name = text(pickle, *pickle.sequence(arguments)?.first()?)?;
    let (name, order) = match name {
        [order @ (b'<' | b'>' | b'|' | b'='), name @ ..] => (name, Some(*order)),
        name => (name, None),
    };
    let of_state = || text(pickle, *pickle.sequence(state?)?.get(1)?)?.first().copied();
    let (signed, width) = match name {
        b"u1" | b"uint8" => (false, 1),
        b"u2" | b"uint16" => (false, 2),
        b"u4" | b"uint32" => (false, 4),
        b"u8" | b"uint64" => (false, 8),
        b"i1" | b"int8" => (true, 1),
        b"i2" | b"int16" => (true, 2),
        b"i4" | b"int32" => (true, 4),
        b"i8" | b"int64" => (true, 8),
        _ => return None,
    };
    Some(Item { signed, width, big_endian: order.or_else(of_state) == Some(b'>') })
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
