//! The stack machine whose programs pickles are; what would import or call leaves a record instead.

use std::collections::HashMap;
use std::ops::Range;

use super::{Id, Value};

/// Most instructions; the published files have about 50,000 for 10,000 pictures.
const MAX_INSTRUCTIONS: usize = 1 << 20;
const UNDERFLOW: &str = "an empty stack";

/// Runs a program: all its values, and the position of its result.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Value>, Id), String> {
    let mut machine = Machine { bytes, ..Machine::default() };
    let root = machine.run()?;
    Ok((machine.values, root))
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

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
