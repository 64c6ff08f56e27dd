//! A reader of pickles that builds data and never runs code.
//!
//! A pickle is a program for a small stack machine. This one knows the instructions of protocol 2
//! that a PyTorch state dict consists of, and calls nothing: a name that is not in
//! [`objects`](super::objects)'s short list is an error. All values live in a [`Heap`] and are
//! referred to by index, so that neither cycles nor deep nesting can cost more than the bytes that
//! describe them.

use std::collections::HashMap;

use super::{
    fault::{Fault, Parse},
    objects::{self, Global, Heap, Value},
};
use crate::error::quote;

/// The largest published state dict needs 250 kB.
const MAX_BYTES: usize = 64 << 20;
/// Values on the stack, on the heap or in the memo; the largest published one needs about 20,000.
const MAX_VALUES: usize = 1 << 20;

/// What a pickle described.
pub(super) struct Unpickled<'a> {
    pub(super) root: Value,
    pub(super) heap: Heap<'a>,
    /// Offset of the byte after the pickle.
    pub(super) end: usize,
}

/// Reads the pickle that starts at `start`; `label` names `bytes` in errors.
pub(super) fn unpickle<'a>(bytes: &'a [u8], start: usize, label: &str) -> Parse<Unpickled<'a>> {
    let limit = bytes.len().min(start.saturating_add(MAX_BYTES));
    let mut machine = Machine {
        bytes: &bytes[..limit],
        label,
        at: start,
        opcode_at: start,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        heap: Heap::default(),
    };
    let root = machine.run()?;
    Ok(Unpickled { root, heap: machine.heap, end: machine.at })
}

struct Machine<'a, 'l> {
    bytes: &'a [u8],
    label: &'l str,
    at: usize,
    opcode_at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    heap: Heap<'a>,
}

impl<'a> Machine<'a, '_> {
    fn run(&mut self) -> Parse<Value> {
        loop {
            self.opcode_at = self.at;
            let [opcode] = self.array()?;
            if opcode == b'.' {
                let root = self.pop()?;
                return if self.stack.is_empty() && self.marks.is_empty() {
                    Ok(root)
                } else {
                    Err(self.fault("one value at the end", "more values on the stack"))
                };
            }
            if !self.scalar(opcode)? && !self.container(opcode)? && !self.reference(opcode)? {
                let expected = "an instruction of a PyTorch state dict (pickle protocol 2)";
                return Err(self.fault(expected, format!("opcode 0x{opcode:02x}")));
            }
            let values = self.stack.len() + self.marks.len() + self.memo.len() + self.heap.len();
            if values > MAX_VALUES {
                let expected = format!("a pickle of at most {MAX_VALUES} values");
                return Err(self.fault(expected, "more"));
            }
        }
    }

    /// Instructions that push a number, a string or a constant. False for any other.
    fn scalar(&mut self, opcode: u8) -> Parse<bool> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(i64::from(u8::from_le_bytes(self.array()?))),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            0x8a => {
                let [length] = self.array()?;
                Value::Int(self.long(usize::from(length))?)
            }
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.string(length as usize)?
            }
            // Strings of Python 2: bytes that are names here.
            b'U' => {
                let [length] = self.array()?;
                self.string(usize::from(length))?
            }
            b'T' => {
                let length = u32::from_le_bytes(self.array()?);
                self.string(length as usize)?
            }
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// Instructions that build or fill tuples, lists and dicts. False for any other.
    fn container(&mut self, opcode: u8) -> Parse<bool> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push_tuple(0)?,
            0x85 => self.push_tuple(1)?,
            0x86 => self.push_tuple(2)?,
            0x87 => self.push_tuple(3)?,
            b't' => {
                let mark = self.pop_mark()?;
                self.push_tuple(self.stack.len() - mark)?;
            }
            b']' => {
                let list = self.heap.list(Vec::new());
                self.stack.push(list);
            }
            b'}' => {
                let dict = self.heap.dict();
                self.stack.push(dict);
            }
            b'a' => self.append(1)?,
            b'e' => {
                let mark = self.pop_mark()?;
                self.append(self.stack.len() - mark)?;
            }
            b's' => self.set_items(2)?,
            b'u' => {
                let mark = self.pop_mark()?;
                self.set_items(self.stack.len() - mark)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions about names, objects and the memo. False for any other.
    fn reference(&mut self, opcode: u8) -> Parse<bool> {
        match opcode {
            0x80 => {
                let [protocol] = self.array()?;
                if protocol > 3 {
                    return Err(self.fault("pickle protocol 2", format!("protocol {protocol}")));
                }
            }
            b'c' => {
                let global = self.global()?;
                self.stack.push(Value::Global(global));
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let object = objects::construct(&mut self.heap, callee, arguments);
                self.push_object(object)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let object = objects::storage(&mut self.heap, id);
                self.push_object(object)?;
            }
            // An OrderedDict's attributes (`_metadata`, the version of each module): not needed.
            b'b' => {
                self.pop()?;
                let object = self.pop()?;
                self.stack.push(object);
            }
            b'q' => {
                let [index] = self.array()?;
                self.memoise(u32::from(index))?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?);
                self.memoise(index)?;
            }
            b'h' => {
                let [index] = self.array()?;
                self.recall(u32::from(index))?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.array()?);
                self.recall(index)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push_tuple(&mut self, length: usize) -> Parse<()> {
        let items = self.pop_many(length)?;
        let tuple = self.heap.tuple(items);
        self.stack.push(tuple);
        Ok(())
    }

    fn append(&mut self, count: usize) -> Parse<()> {
        let items = self.pop_many(count)?;
        match self.stack.last() {
            Some(Value::List(list)) => self.heap.extend_list(*list, items),
            _ => return Err(self.fault("a list to append to", "something else")),
        }
        Ok(())
    }

    fn set_items(&mut self, count: usize) -> Parse<()> {
        let items = self.pop_many(count)?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(self.fault("keys with values", "a key without one"));
        };
        match self.stack.last() {
            Some(Value::Dict(dict)) => self.heap.extend_dict(*dict, pairs),
            _ => return Err(self.fault("a dict to fill", "something else")),
        }
        Ok(())
    }

    fn push_object(&mut self, object: Result<Value, objects::Refused>) -> Parse<()> {
        let object = object.map_err(|refused| self.fault(refused.expected, refused.found))?;
        self.stack.push(object);
        Ok(())
    }

    fn memoise(&mut self, index: u32) -> Parse<()> {
        let Some(&value) = self.stack.last() else {
            return Err(self.fault("a value to remember", "an empty stack"));
        };
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Parse<()> {
        let Some(&value) = self.memo.get(&index) else {
            return Err(self.fault("a value remembered before", format!("memo {index}")));
        };
        self.stack.push(value);
        Ok(())
    }

    fn global(&mut self) -> Parse<Global> {
        let (module, name) = (self.line()?, self.line()?);
        Global::find(module, name).ok_or_else(|| {
            let found = format!("a call of {}", quote(&format!("{module}.{name}")));
            self.fault("nothing but tensors (code in a checkpoint is never run)", found)
        })
    }

    fn line(&mut self) -> Parse<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or_else(|| self.fault("a name", "the end of the pickle"))?;
        let name = self.text(length)?;
        self.at += 1;
        Ok(name)
    }

    fn string(&mut self, length: usize) -> Parse<Value> {
        let text = self.text(length)?;
        Ok(self.heap.string(text))
    }

    fn text(&mut self, length: usize) -> Parse<&'a str> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.fault("UTF-8 text", "other bytes"))
    }

    /// A little-endian two's complement integer of any length that fits.
    fn long(&mut self, length: usize) -> Parse<i64> {
        let bytes = self.take(length)?;
        if length > 8 {
            return Err(self.fault("an integer of 64 bits", format!("one of {length} bytes")));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..length].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn pop(&mut self) -> Parse<Value> {
        Ok(self.pop_many(1)?[0])
    }

    /// The top of the stack, which may not reach below the last mark.
    fn pop_many(&mut self, count: usize) -> Parse<Vec<Value>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= floor => Ok(self.stack.split_off(start)),
            _ => Err(self.fault("a value on the stack", "an empty stack")),
        }
    }

    fn pop_mark(&mut self) -> Parse<usize> {
        self.marks.pop().ok_or_else(|| self.fault("a mark on the stack", "none"))
    }

    fn array<const N: usize>(&mut self) -> Parse<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("take returns as many bytes as asked for"))
    }

    fn take(&mut self, length: usize) -> Parse<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(bytes) = rest.get(..length) else {
            let found = format!("{} to the end of the pickle", rest.len());
            return Err(self.fault(format!("{length} more bytes"), found));
        };
        self.at += length;
        Ok(bytes)
    }

    fn fault(&self, expected: impl Into<String>, found: impl Into<String>) -> Fault {
        Fault::new(format!("{} byte {}", self.label, self.opcode_at), expected, found)
    }
}
