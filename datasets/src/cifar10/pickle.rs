//! Data in Python's pickle format, read without executing anything.
//!
//! A pickle is a program for a stack machine. Here only the instructions that build data are known;
//! a class or function stays a name, a call stays a record of it, and what they mean is up to the
//! reader of the result. Strings stay ranges of the file, a value used twice is not copied, and
//! instructions are counted, so that no file makes the result large.

use std::collections::HashMap;
use std::ops::Range;

/// Most instructions; the published files have about 50,000 for 10,000 pictures.
const MAX_INSTRUCTIONS: usize = 1 << 20;

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
        let mut machine = Machine { bytes, at: 0, ..Machine::default() };
        let root = machine.run()?;
        Ok(Self { bytes, values: machine.values, root })
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

/// The stack machine. A frame of its stack begins at every mark.
#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        for _ in 0..MAX_INSTRUCTIONS {
            let (at, instruction) = (self.at, self.number(1)? as u8);
            if instruction == b'.' {
                return self.pop();
            }
            self.step(instruction).map_err(|reason| format!("{reason} at byte {at}"))?;
        }
        Err(format!("more than {MAX_INSTRUCTIONS} instructions"))
    }

    fn step(&mut self, instruction: u8) -> Result<(), String> {
        match instruction {
            // Protocol and frame: sizes that are not needed.
            0x80 => self.number(1).map(drop),
            0x95 => self.number(8).map(drop),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool(instruction == 0x88)),
            b'K' | b'M' => {
                let integer = self.number(if instruction == b'K' { 1 } else { 2 })?;
                self.push(Value::Int(integer as i64))
            }
            b'J' => {
                let integer = self.number(4)? as u32;
                self.push(Value::Int(i64::from(integer as i32)))
            }
            // Short strings, then strings with a length of 4 and of 8 bytes.
            b'U' | b'C' | 0x8c => self.string(1),
            b'T' | b'B' | b'X' => self.string(4),
            0x8d | 0x8e | 0x96 => self.string(8),
            b'c' => {
                let names = [self.line()?, self.line()?];
                let [module, name] = names.map(lossy);
                self.push(Value::Global(module, name))
            }
            0x93 => self.global(),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            0x85..=0x87 => {
                let length = usize::from(instruction - 0x84);
                let height = self.stack.len().checked_sub(length).ok_or(UNDERFLOW)?;
                self.tuple(height)
            }
            b't' => {
                let height = self.mark()?;
                self.tuple(height)
            }
            b'a' => {
                let height = self.stack.len().checked_sub(1).ok_or(UNDERFLOW)?;
                self.append(height)
            }
            b'e' => {
                let height = self.mark()?;
                self.append(height)
            }
            b's' => {
                let height = self.stack.len().checked_sub(2).ok_or(UNDERFLOW)?;
                self.set_items(height)
            }
            b'u' => {
                let height = self.mark()?;
                self.set_items(height)
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.push(Value::Call { callable, arguments, state: None })
            }
            b'b' => self.build(),
            b'q' | b'r' | 0x94 => self.put(instruction),
            b'h' | b'j' => self.get(instruction),
            _ => Err(format!("instruction {instruction:#04x}, which data does not need,")),
        }
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>, String> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("the end of the file")?;
        Ok(std::mem::replace(&mut self.at, end)..end)
    }

    /// A number of up to 8 bytes, the lowest first.
    fn number(&mut self, length: usize) -> Result<u64, String> {
        let range = self.take(length)?;
        Ok(self.bytes[range].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("the end of the file")?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn string(&mut self, length_bytes: usize) -> Result<(), String> {
        let length = self.number(length_bytes)?;
        let range = self.take(usize::try_from(length).map_err(|_| "the end of the file")?)?;
        self.push(Value::Bytes(range))
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err(UNDERFLOW.to_owned());
        }
        self.stack.pop().ok_or_else(|| UNDERFLOW.to_owned())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| UNDERFLOW.to_owned())
    }

    fn mark(&mut self) -> Result<usize, String> {
        let height = self.marks.pop().ok_or("no mark on the stack")?;
        if height > self.stack.len() { Err(UNDERFLOW.to_owned()) } else { Ok(height) }
    }

    fn tuple(&mut self, height: usize) -> Result<(), String> {
        let items = self.stack.split_off(height);
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, height: usize) -> Result<(), String> {
        let items = self.stack.split_off(height);
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err("no list to append to".to_owned()),
        }
    }

    fn set_items(&mut self, height: usize) -> Result<(), String> {
        let items = self.stack.split_off(height);
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(dict) if items.len().is_multiple_of(2) => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err("no dictionary to set items of".to_owned()),
        }
    }

    /// A class or function whose module and name lie on the stack.
    fn global(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        let text = |id: Id| match &self.values[id] {
            // Longer names mean nothing here, and must not be copied over and over.
            Value::Bytes(range) if range.len() <= 256 => Ok(lossy(&self.bytes[range.clone()])),
            _ => Err("no name of a global"),
        };
        let (module, name) = (text(module)?, text(name)?);
        self.push(Value::Global(module, name))
    }

    fn build(&mut self) -> Result<(), String> {
        let given = self.pop()?;
        let object = self.top()?;
        match &mut self.values[object] {
            Value::Call { state, .. } => {
                *state = Some(given);
                Ok(())
            }
            _ => Err("no object to give a state".to_owned()),
        }
    }

    fn put(&mut self, instruction: u8) -> Result<(), String> {
        let slot = match instruction {
            b'q' => self.number(1)? as usize,
            b'r' => self.number(4)? as usize,
            _ => self.memo.len(),
        };
        let value = self.top()?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn get(&mut self, instruction: u8) -> Result<(), String> {
        let slot = self.number(if instruction == b'h' { 1 } else { 4 })? as usize;
        let value = *self.memo.get(&slot).ok_or("nothing stored where it is looked up")?;
        self.stack.push(value);
        Ok(())
    }
}

const UNDERFLOW: &str = "an empty stack";

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(bytes: &[u8]) -> String {
        Pickle::read(bytes).unwrap_err()
    }

    #[test]
    fn data_of_protocol_2_and_4_is_read() {
        // Python 2: {'a': [1, 300, -2], 'b': (True, None)}, and Python 3 with framing.
        let two = b"\x80\x02}q\x01(U\x01aq\x02]q\x03(K\x01M,\x01J\xfe\xff\xff\xffeU\x01bq\x04\x88N\x86q\x05u.";
        let four = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94]\x94(K\x01M,\x01J\xfe\xff\xff\xffeC\x01b\x94\x88N\x86\x94u.";
        for bytes in [&two[..], &four[..]] {
            let pickle = Pickle::read(bytes).unwrap();
            assert_eq!(pickle.integers(pickle.get("a").unwrap()), Some(vec![1, 300, -2]));
            let Value::Tuple(items) = pickle.get("b").unwrap() else { panic!() };
            let items: Vec<_> = items.iter().map(|&id| &pickle.values[id]).collect();
            assert_eq!(items, [&Value::Bool(true), &Value::None]);
            assert!(pickle.get("c").is_none());
        }
    }

    #[test]
    fn nothing_is_executed() {
        // os.system("true"), as pickle.loads would call it.
        let bytes = b"\x80\x02cos\nsystem\nU\x04true\x85R.";
        let pickle = Pickle::read(bytes).unwrap();
        assert!(matches!(pickle.values[pickle.root], Value::Call { state: None, .. }));
        assert_eq!(pickle.byte_array(&pickle.values[pickle.root]), None);
        assert!(fails(b"\x80\x02(U\x01xios\nsystem\n.").contains("instruction 0x69"));
    }

    #[test]
    fn hostile_programs_are_refused() {
        assert!(fails(b"").contains("the end of the file"));
        assert!(fails(b"\x80\x02}").contains("the end of the file"));
        assert!(fails(b".").contains("an empty stack"));
        assert!(fails(b"(.").contains("an empty stack"));
        assert!(fails(b"e.").contains("no mark on the stack at byte 0"));
        assert!(fails(b"K\x01(a").contains("an empty stack"));
        assert!(fails(b"K\x01K\x02a").contains("no list to append to"));
        assert!(fails(b"}(K\x01u.").contains("no dictionary to set items of"));
        assert!(fails(b"}b.").contains("an empty stack at byte 1"));
        assert!(fails(b"h\x07.").contains("nothing stored"));
        assert!(fails(b"\x87.").contains("an empty stack"));
        assert!(fails(b"B\xff\xff\xff\xffx.").contains("the end of the file at byte 0"));
        assert!(fails(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffx.").contains("the end of the file"));
        assert!(fails(&vec![b'('; 8 << 20]).contains("more than 1048576 instructions"));
        // A list of itself, and a mark below which the stack was emptied.
        assert!(Pickle::read(b"]q\0h\0a.").is_ok());
        assert!(fails(b"K\x01K\x02(K\x03\x87t.").contains("an empty stack"));
    }
}
