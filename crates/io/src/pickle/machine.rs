//! The stack machine whose programs pickles are; what would call leaves a record instead.

use std::collections::HashMap;

use super::value::{Call, Pickle, PickleRules, Value};
use crate::{Fault, quote};

/// Longest pickle in bytes; the largest published one, of CIFAR-100, has 155 MB.
const MAX_BYTES: usize = 256 << 20;
/// Most instructions, each of which leaves at most two values but for dicts made of lists, whose pairs
/// are counted, too; the largest published state dict
/// needs about 50,000, the 50,000 pictures of CIFAR-100 with names and labels 200,000.
const MAX_INSTRUCTIONS: usize = 1 << 20;
/// Longest name of a class or function, in bytes.
const MAX_NAME: usize = 256;

type Parse<T> = Result<T, Fault>;

impl<'a> Pickle<'a> {
    /// Reads the pickle that starts at `start`, of protocol 2 or later; `label` names `bytes` in
    /// errors.
    ///
    /// # Errors
    /// A [`Fault`] with the byte at which it is: an instruction that does not build data, a name
    /// that `rules` do not admit, the end of the bytes, or more than is sensible.
    pub fn read(
        bytes: &'a [u8],
        start: usize,
        label: &str,
        rules: PickleRules<'_>,
    ) -> Result<Self, Fault> {
        let limit = bytes.len().min(start.saturating_add(MAX_BYTES));
        let pickle = Self {
            bytes,
            root: Value::None,
            end: start,
            calls: Vec::new(),
            persistent: Vec::new(),
            foreign: Vec::new(),
            sequences: Vec::new(),
            dicts: Vec::new(),
        };
        let mut machine = Machine {
            bytes: &bytes[..limit],
            label,
            rules,
            at: start,
            opcode_at: start,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copied: 0,
            pickle,
        };
        let root = machine.run()?;
        Ok(Self { root, end: machine.at, ..machine.pickle })
    }
}

/// The machine. A frame of its stack begins at every mark.
struct Machine<'a, 'r> {
    bytes: &'a [u8],
    label: &'r str,
    rules: PickleRules<'r>,
    at: usize,
    opcode_at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    /// Pairs of dicts made of lists.
    copied: usize,
    pickle: Pickle<'a>,
}

impl<'a> Machine<'a, '_> {
    fn run(&mut self) -> Parse<Value<'a>> {
        for _ in 0..MAX_INSTRUCTIONS {
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
                let found = format!("opcode 0x{opcode:02x}");
                return Err(self.fault("an instruction that builds data", found));
            }
        }
        let expected = format!("a pickle of at most {MAX_INSTRUCTIONS} instructions");
        Err(self.fault(expected, "more"))
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
            0x8a => self.long()?,
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            // Text, bytes, and strings of Python 2 that may be either: with a length of one byte,
            // of four and of eight.
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => Value::Bytes(self.counted(1)?),
            b'B' => Value::Bytes(self.counted(4)?),
            0x8e | 0x96 => Value::Bytes(self.counted(8)?),
            b'U' => self.string(1)?,
            b'T' => self.string(4)?,
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
            0x85..=0x87 => self.push_tuple(usize::from(opcode - 0x84))?,
            b't' => {
                let count = self.pop_mark()?;
                self.push_tuple(count)?;
            }
            b'}' => self.push_dict(),
            // A set is a list, a frozen one a tuple.
            b']' | 0x8f => {
                self.pickle.sequences.push(Vec::new());
                self.stack.push(Value::List(self.pickle.sequences.len() - 1));
            }
            0x91 => {
                let count = self.pop_mark()?;
                self.push_tuple(count)?;
            }
            b'a' => self.append(1)?,
            b'e' | 0x90 => {
                let count = self.pop_mark()?;
                self.append(count)?;
            }
            b's' => self.set_items(2)?,
            b'u' => {
                let count = self.pop_mark()?;
                self.set_items(count)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Instructions about names, objects and the memo. False for any other.
    fn reference(&mut self, opcode: u8) -> Parse<bool> {
        match opcode {
            0x80 => {
                let ([protocol], most) = (self.array()?, self.rules.protocol);
                if protocol > most {
                    let expected = format!("pickle protocol 2 to {most}");
                    return Err(self.fault(expected, format!("protocol {protocol}")));
                }
            }
            // A frame: its length is not needed.
            0x95 => drop(self.array::<8>()?),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_name(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err(self.fault("a name", self.pickle.describe(name)));
                };
                self.push_name(module, name)?;
            }
            // A function with its arguments, or a class with those of its `__new__`, by name, too.
            b'R' | 0x81 => self.call()?,
            0x92 => {
                self.pop()?;
                self.call()?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.pickle.persistent.push(id);
                self.stack.push(Value::Persistent(self.pickle.persistent.len() - 1));
            }
            b'b' => self.build()?,
            b'q' => {
                let [slot] = self.array()?;
                self.memoise(u32::from(slot))?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memoise(slot)?;
            }
            0x94 => self.memoise(self.memo.len() as u32)?,
            b'h' => {
                let [slot] = self.array()?;
                self.recall(u32::from(slot))?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push_tuple(&mut self, length: usize) -> Parse<()> {
        let items = self.pop_many(length)?;
        self.pickle.sequences.push(items);
        self.stack.push(Value::Tuple(self.pickle.sequences.len() - 1));
        Ok(())
    }

    fn push_dict(&mut self) {
        self.pickle.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.pickle.dicts.len() - 1));
    }

    fn push_dict_of(&mut self, pairs: usize) -> Parse<()> {
        // A list that is remembered may be asked for again and again.
        self.copied += self.pickle.sequences[pairs].len();
        if self.copied > MAX_INSTRUCTIONS {
            let expected = format!("at most {MAX_INSTRUCTIONS} pairs in dicts made of lists");
            return Err(self.fault(expected, "more"));
        }
        let pairs = &self.pickle.sequences[pairs];
        let pair = |value: &Value<'a>| self.pickle.sequence(*value)?.try_into().ok();
        let Some(pairs) = pairs.iter().map(pair).collect() else {
            return Err(self.fault("a dict's keys with values", "something else"));
        };
        self.pickle.dicts.push(pairs);
        self.stack.push(Value::Dict(self.pickle.dicts.len() - 1));
        Ok(())
    }

    fn append(&mut self, count: usize) -> Parse<()> {
        let items = self.pop_many(count)?;
        match self.stack.last() {
            Some(Value::List(list)) => self.pickle.sequences[*list].extend(items),
            // What a foreign object holds means nothing either.
            Some(Value::Call(_)) if self.rules.foreign => {}
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
            Some(Value::Dict(dict)) => self.pickle.dicts[*dict].extend_from_slice(pairs),
            Some(Value::Call(_)) if self.rules.foreign => {}
            _ => return Err(self.fault("a dict to fill", "something else")),
        }
        Ok(())
    }

    fn push_name(&mut self, module: &'a str, name: &'a str) -> Parse<()> {
        let position = self.rules.names.iter().position(|known| *known == (module, name));
        self.stack.push(match position {
            Some(position) => Value::Name(position),
            None if module == "collections" && ["OrderedDict", "defaultdict"].contains(&name) => {
                Value::DictClass
            }
            None if self.rules.foreign => {
                self.pickle.foreign.push((module, name));
                Value::Foreign(self.pickle.foreign.len() - 1)
            }
            None => return Err(self.refused(module, name)),
        });
        Ok(())
    }

    fn refused(&self, module: &str, name: &str) -> Fault {
        let found = format!("a call of {}", quote(&format!("{module}.{name}")));
        self.fault(self.rules.nothing_but, found)
    }

    fn call(&mut self) -> Parse<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        match (callee, self.pickle.sequence(arguments)) {
            // With what makes missing values, or with pairs, as Python 2 writes them.
            (
                Value::DictClass,
                Some(&[] | &[Value::Foreign(_) | Value::DictClass | Value::None]),
            ) => {
                self.push_dict();
            }
            (Value::DictClass, Some(&[Value::List(pairs)])) => self.push_dict_of(pairs)?,
            (Value::Foreign(index), Some(_)) if !is_class(self.pickle.foreign[index].1) => {
                let (module, name) = self.pickle.foreign[index];
                return Err(self.refused(module, name));
            }
            (Value::Name(_) | Value::Foreign(_), Some(_)) => {
                self.pickle.calls.push(Call { callee, arguments, state: None });
                self.stack.push(Value::Call(self.pickle.calls.len() - 1));
            }
            (Value::Name(_) | Value::Foreign(_) | Value::DictClass, _) => {
                let found = self.pickle.describe(arguments);
                return Err(self.fault("the arguments Python writes", found));
            }
            _ => return Err(self.fault("a name to call", self.pickle.describe(callee))),
        }
        Ok(())
    }

    fn build(&mut self) -> Parse<()> {
        let state = self.pop()?;
        match self.top("an object to give a state")? {
            Value::Call(call) => self.pickle.calls[call].state = Some(state),
            // An OrderedDict's attributes (`_metadata`, the version of each module): not needed.
            Value::Dict(_) => {}
            _ => return Err(self.fault("an object to give a state", "something else")),
        }
        Ok(())
    }

    fn memoise(&mut self, slot: u32) -> Parse<()> {
        let value = self.top("a value to remember")?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Parse<()> {
        let Some(&value) = self.memo.get(&slot) else {
            return Err(self.fault("a value remembered before", format!("memo {slot}")));
        };
        self.stack.push(value);
        Ok(())
    }

    fn line(&mut self) -> Parse<&'a str> {
        let rest = &self.bytes[self.at..];
        let rest = &rest[..rest.len().min(MAX_NAME + 1)];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| {
            self.fault(format!("a name of at most {MAX_NAME} bytes"), "more, or the end")
        })?;
        let name = self.take(length)?;
        self.at += 1;
        self.utf8(name)
    }

    /// The bytes that follow their number, which has `size` bytes, the lowest first.
    fn counted(&mut self, size: usize) -> Parse<&'a [u8]> {
        let number = self.take(size)?.iter().rev();
        let length = number.fold(0, |length: u64, &byte| length << 8 | u64::from(byte));
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self, size: usize) -> Parse<Value<'a>> {
        let bytes = self.counted(size)?;
        Ok(Value::Text(self.utf8(bytes)?))
    }

    /// A string of Python 2, which may hold anything.
    fn string(&mut self, size: usize) -> Parse<Value<'a>> {
        let bytes = self.counted(size)?;
        Ok(std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text))
    }

    fn utf8(&self, bytes: &'a [u8]) -> Parse<&'a str> {
        std::str::from_utf8(bytes).map_err(|_| self.fault("UTF-8 text", "other bytes"))
    }

    /// A little-endian two's complement integer. One that does not fit, such as the state of a generator
    /// of random numbers, is its bytes where it may mean nothing.
    fn long(&mut self) -> Parse<Value<'a>> {
        let bytes = self.counted(1)?;
        if bytes.len() > 8 && self.rules.foreign {
            return Ok(Value::Bytes(bytes));
        }
        if bytes.len() > 8 {
            let found = format!("one of {} bytes", bytes.len());
            return Err(self.fault("an integer of 64 bits", found));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn top(&self, what: &str) -> Parse<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.last().filter(|_| self.stack.len() > floor);
        top.copied().ok_or_else(|| self.fault(what, "an empty stack"))
    }

    fn pop(&mut self) -> Parse<Value<'a>> {
        let value = self.top("a value on the stack")?;
        self.stack.pop();
        Ok(value)
    }

    /// The top of the stack, which may not reach below the last mark.
    fn pop_many(&mut self, count: usize) -> Parse<Vec<Value<'a>>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= floor => Ok(self.stack.split_off(start)),
            _ => Err(self.fault("a value on the stack", "an empty stack")),
        }
    }

    /// Removes the last mark, and says how many values lie above it.
    fn pop_mark(&mut self) -> Parse<usize> {
        let mark = self.marks.pop().ok_or_else(|| self.fault("a mark on the stack", "none"))?;
        Ok(self.stack.len() - mark)
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

/// Whether a name is that of a class, as they are written.
fn is_class(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.trim_start_matches('_').starts_with(|first: char| first.is_ascii_uppercase())
}
