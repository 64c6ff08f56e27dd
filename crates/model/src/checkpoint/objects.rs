//! The values a pickled state dict may consist of, and the few names it may call.

use std::collections::HashMap;

use super::dtype::Dtype;
use crate::error::quote;

/// A value; everything larger than a number is an index into a [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

/// The names a pickle may mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch" | "torch.cuda", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch" | "torch.cuda", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch" | "torch.cuda", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch" | "torch.cuda", "BFloat16Storage") => Self::Storage(Dtype::Bf16),
            _ => return None,
        })
    }
}

/// A block of numbers in the file, which tensors are views of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) dtype: Dtype,
    /// Elements.
    pub(super) len: usize,
}

impl Storage<'_> {
    /// Size in the file; None when no file is that large.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.len.checked_mul(self.dtype.size())
    }
}

/// A tensor: which elements of a storage, in which order. All of them lie inside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    /// Elements.
    pub(super) len: usize,
}

/// Every value of a pickle that is more than a number.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    strings: Vec<&'a str>,
    /// Tuples and lists.
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<[Value; 2]>>,
    pub(super) storages: Vec<Storage<'a>>,
    storage_by_key: HashMap<&'a str, usize>,
    pub(super) tensors: Vec<View>,
    /// Values inside sequences and dicts.
    items: usize,
}

impl<'a> Heap<'a> {
    /// A measure of the memory in use: all values, inside containers or not.
    pub(super) fn len(&self) -> usize {
        let objects = self.strings.len() + self.sequences.len() + self.dicts.len();
        objects + self.storages.len() + self.tensors.len() + self.items
    }

    pub(super) fn string(&mut self, text: &'a str) -> Value {
        self.strings.push(text);
        Value::Str(self.strings.len() - 1)
    }

    pub(super) fn tuple(&mut self, items: Vec<Value>) -> Value {
        Value::Tuple(self.sequence(items))
    }

    pub(super) fn list(&mut self, items: Vec<Value>) -> Value {
        Value::List(self.sequence(items))
    }

    fn sequence(&mut self, items: Vec<Value>) -> usize {
        self.items += items.len();
        self.sequences.push(items);
        self.sequences.len() - 1
    }

    pub(super) fn dict(&mut self) -> Value {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    pub(super) fn extend_list(&mut self, list: usize, items: Vec<Value>) {
        self.items += items.len();
        self.sequences[list].extend(items);
    }

    pub(super) fn extend_dict(&mut self, dict: usize, pairs: &[[Value; 2]]) {
        self.items += 2 * pairs.len();
        self.dicts[dict].extend_from_slice(pairs);
    }

    pub(super) fn as_str(&self, value: Value) -> Option<&'a str> {
        if let Value::Str(index) = value { Some(self.strings[index]) } else { None }
    }

    pub(super) fn as_sequence(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(index) | Value::List(index) => Some(&self.sequences[index]),
            _ => None,
        }
    }

    /// Keys and values in the order they were set.
    pub(super) fn as_dict(&self, value: Value) -> Option<&[[Value; 2]]> {
        if let Value::Dict(index) = value { Some(&self.dicts[index]) } else { None }
    }

    /// The value under a text key.
    pub(super) fn lookup(&self, dict: Value, key: &str) -> Option<Value> {
        let pairs = self.as_dict(dict)?;
        pairs.iter().find(|[k, _]| self.as_str(*k) == Some(key)).map(|[_, value]| *value)
    }

    /// What a value is, for messages.
    pub(super) fn describe(&self, value: Value) -> String {
        match value {
            Value::None => "None".into(),
            Value::Bool(value) => format!("{value}"),
            Value::Int(value) => format!("{value}"),
            Value::Float(value) => format!("{value}"),
            Value::Str(index) => format!("the text {}", quote(self.strings[index])),
            Value::Tuple(index) => format!("a tuple of {}", self.sequences[index].len()),
            Value::List(index) => format!("a list of {}", self.sequences[index].len()),
            Value::Dict(index) => format!("a dict of {}", self.dicts[index].len()),
            Value::Global(_) => "a class or function".into(),
            Value::Storage(_) => "a storage".into(),
            Value::Tensor(_) => "a tensor".into(),
        }
    }
}

/// Why an object cannot be built.
pub(super) struct Refused {
    pub(super) expected: String,
    pub(super) found: String,
}

fn refused(expected: &str, found: impl Into<String>) -> Refused {
    Refused { expected: expected.into(), found: found.into() }
}

/// `callee(*arguments)` for the callees in [`Global`], as data.
pub(super) fn construct(
    heap: &mut Heap,
    callee: Value,
    arguments: Value,
) -> Result<Value, Refused> {
    let items = heap.as_sequence(arguments).unwrap_or_default();
    match (callee, items) {
        (Value::Global(Global::OrderedDict), []) => Ok(heap.dict()),
        // Storage, offset, size, stride, requires_grad, hooks, and from PyTorch 1.13 metadata.
        (Value::Global(Global::RebuildTensor), [storage, offset, size, stride, _, _, ..])
            if items.len() <= 7 =>
        {
            let tensor = view(heap, *storage, *offset, *size, *stride)?;
            heap.tensors.push(tensor);
            Ok(Value::Tensor(heap.tensors.len() - 1))
        }
        (Value::Global(Global::RebuildParameter), [tensor @ Value::Tensor(_), _, _]) => Ok(*tensor),
        (Value::Global(global), _) => {
            Err(refused("the arguments PyTorch writes", format!("others, for {global:?}")))
        }
        (other, _) => Err(refused("a name to call", heap.describe(other))),
    }
}

fn view(
    heap: &Heap,
    storage: Value,
    offset: Value,
    size: Value,
    stride: Value,
) -> Result<View, Refused> {
    /// No parameter has more dimensions than a convolution's weight, by far.
    const MAX_RANK: usize = 8;
    let Value::Storage(index) = storage else {
        return Err(refused("a storage under the tensor", heap.describe(storage)));
    };
    let sizes = |value, what: &str| {
        let numbers = heap.as_sequence(value).filter(|items| items.len() <= MAX_RANK);
        let numbers = numbers.and_then(|items| items.iter().map(|item| natural(*item)).collect());
        numbers.ok_or_else(|| refused(what, heap.describe(value)))
    };
    let shape: Vec<usize> = sizes(size, "a tensor's size")?;
    let strides: Vec<usize> = sizes(stride, "a tensor's stride")?;
    let offset =
        natural(offset).ok_or_else(|| refused("a tensor's offset", heap.describe(offset)))?;
    let available = heap.storages[index].len;
    let outside = || {
        let found = format!("size {shape:?}, stride {strides:?}, offset {offset}");
        refused(&format!("a tensor inside its storage of {available} elements"), found)
    };
    let len = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).ok_or_else(outside)?;
    // Distinct elements only: a tensor that repeats some (stride 0) could be larger than the file.
    if shape.len() != strides.len() || len > available {
        return Err(outside());
    }
    let last = shape.iter().zip(&strides).try_fold(offset, |last, (&size, &stride)| {
        last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
    });
    if len > 0 && last.is_none_or(|last| last >= available) {
        return Err(outside());
    }
    Ok(View { storage: index, offset, shape, strides, len })
}

/// The storage that a persistent id names: `('storage', type, key, device, elements[, None])`.
pub(super) fn storage(heap: &mut Heap, id: Value) -> Result<Value, Refused> {
    let refuse = |heap: &Heap| refused("the id of a storage", heap.describe(id));
    let (kind, dtype, key, len) = match heap.as_sequence(id) {
        Some(
            [kind, Value::Global(Global::Storage(dtype)), key, _device, len]
            | [kind, Value::Global(Global::Storage(dtype)), key, _device, len, Value::None],
        ) => (*kind, *dtype, *key, *len),
        _ => return Err(refuse(heap)),
    };
    let (Some("storage"), Some(key), Some(len)) =
        (heap.as_str(kind), heap.as_str(key), natural(len))
    else {
        return Err(refuse(heap));
    };
    let storage = Storage { key, dtype, len };
    let next = heap.storages.len();
    let index = *heap.storage_by_key.entry(key).or_insert(next);
    if index == next {
        heap.storages.push(storage);
    } else if heap.storages[index] != storage {
        let expected = format!("storage {} as described before", quote(key));
        return Err(refused(&expected, format!("{dtype:?} of {len} elements")));
    }
    Ok(Value::Storage(index))
}

fn natural(value: Value) -> Option<usize> {
    if let Value::Int(number) = value { number.try_into().ok() } else { None }
}
