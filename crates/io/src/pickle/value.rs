//! What a pickle describes.

use std::ops::Range;

use crate::quote;

/// What a reader of pickles admits.
#[derive(Debug, Clone, Copy)]
pub struct PickleRules<'r> {
    /// Module and name of everything that may be mentioned, beside the dicts of `collections`.
    pub names: &'r [(&'r str, &'r str)],
    /// Whether other names may be mentioned, too, and objects of other classes be there: a
    /// [`Value::Foreign`] each, or a call of it, which mean nothing. A call of another function is
    /// refused all the same; functions are what has a small first letter.
    pub foreign: bool,
    /// What such a file consists of, for the refusal of other names: `nothing but tensors`.
    pub nothing_but: &'r str,
    /// Highest protocol that a file may state, at most 5.
    pub protocol: u8,
}

/// A value; what is larger than a number or a string is part of a [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text, or a string of Python 2 that is UTF-8.
    Text(&'a str),
    /// Bytes, or a string of Python 2 that is no UTF-8; with [`PickleRules::foreign`], also an integer
    /// of more than 64 bits.
    Bytes(&'a [u8]),
    /// A name, by its position in [`PickleRules::names`].
    Name(usize),
    /// A name that was not listed, by its position in [`Pickle::foreign`].
    Foreign(usize),
    /// The name `OrderedDict` or `defaultdict` of `collections`; a call of it is a [`Value::Dict`].
    DictClass,
    /// See [`Pickle::sequence`]; a frozen set, too.
    Tuple(usize),
    /// See [`Pickle::sequence`]; a set, too.
    List(usize),
    /// See [`Pickle::dict`].
    Dict(usize),
    /// A position in [`Pickle::calls`].
    Call(usize),
    /// A position in [`Pickle::persistent`].
    Persistent(usize),
}

impl<'a> Value<'a> {
    /// The text that it is.
    pub fn text(self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// A call that a pickle asks for, and that nobody makes.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// What would be called.
    pub callee: Value<'a>,
    /// Its arguments, a tuple where Python wrote the file.
    pub arguments: Value<'a>,
    /// What the result would be given with `__setstate__`.
    pub state: Option<Value<'a>>,
}

/// All values of a pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub(super) bytes: &'a [u8],
    /// What the pickle describes.
    pub root: Value<'a>,
    /// Offset of the byte after the pickle.
    pub end: usize,
    /// Every call, in the order of the file.
    pub calls: Vec<Call<'a>>,
    /// Every persistent id, which stands for an object outside the pickle.
    pub persistent: Vec<Value<'a>>,
    /// Module and name of everything mentioned that was not listed.
    pub foreign: Vec<(&'a str, &'a str)>,
    /// Tuples and lists.
    pub(super) sequences: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Vec<[Value<'a>; 2]>>,
}

impl<'a> Pickle<'a> {
    /// The items of a tuple or list.
    pub fn sequence(&self, value: Value<'_>) -> Option<&[Value<'a>]> {
        match value {
            Value::Tuple(index) | Value::List(index) => Some(&self.sequences[index]),
            _ => None,
        }
    }

    /// The keys and values of a dict, in the order in which they were set.
    pub fn dict(&self, value: Value<'_>) -> Option<&[[Value<'a>; 2]]> {
        if let Value::Dict(index) = value { Some(&self.dicts[index]) } else { None }
    }

    /// The value under a text key of a dict.
    pub fn lookup(&self, dict: Value<'_>, key: &str) -> Option<Value<'a>> {
        let mut pairs = self.dict(dict)?.iter();
        pairs.find(|[name, _]| *name == Value::Text(key)).map(|[_, value]| *value)
    }

    /// Where in the file some of its text or bytes lie.
    ///
    /// # Panics
    /// If they are not part of it.
    pub fn range(&self, part: &'a [u8]) -> Range<usize> {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        assert!(start + part.len() <= self.bytes.len(), "a part of the file");
        start..start + part.len()
    }

    /// What a value is, for messages.
    pub fn describe(&self, value: Value<'_>) -> String {
        match value {
            Value::None => "None".into(),
            Value::Bool(value) => format!("{value}"),
            Value::Int(value) => format!("{value}"),
            Value::Float(value) => format!("{value}"),
            Value::Text(text) => format!("the text {}", quote(text)),
            Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Value::Tuple(index) => format!("a tuple of {}", self.sequences[index].len()),
            Value::List(index) => format!("a list of {}", self.sequences[index].len()),
            Value::Dict(index) => format!("a dict of {}", self.dicts[index].len()),
            Value::Foreign(index) => {
                let (module, name) = self.foreign[index];
                quote(&format!("{module}.{name}"))
            }
            Value::Name(_) | Value::DictClass => "a class or function".into(),
            Value::Call(_) => "an object".into(),
            Value::Persistent(_) => "an object outside the pickle".into(),
        }
    }
}
