//! What a pickled state dict consists of: storages, and tensors that are views of them.

use std::collections::HashMap;

use vdvae_io::pickle::{Call, Pickle, PickleRules, Value};
use vdvae_io::{Fault, quote};

use super::dtype::Dtype;
use super::fault::Parse;

const REBUILD_TENSOR: usize = 0;
const REBUILD_PARAMETER: usize = 1;

/// The functions a pickle may call. Those after the first two make what no tensor of a network is
/// made of, such as the settings of a training, and mean nothing.
const NAMES: [(&str, &str); 27] = [
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "device"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
    ("__builtin__", "set"),
    ("builtins", "set"),
    ("__builtin__", "frozenset"),
    ("builtins", "frozenset"),
    ("__builtin__", "bytearray"),
    ("builtins", "bytearray"),
    ("__builtin__", "complex"),
    ("builtins", "complex"),
    ("__builtin__", "slice"),
    ("builtins", "slice"),
    ("__builtin__", "xrange"),
    ("builtins", "range"),
    ("collections", "deque"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
];

/// PyTorch writes protocol 2, or the one that it is asked for.
pub(super) const RULES: PickleRules<'_> = PickleRules {
    names: &NAMES,
    foreign: true,
    nothing_but: "nothing but tensors (code in a checkpoint is never run)",
    protocol: 5,
};

/// Numbers of a storage, by the name of its class: their type, where they may be those of a
/// parameter, and their size in bytes.
fn numbers(module: &str, class: &str) -> Option<(Option<Dtype>, usize)> {
    if !matches!(module, "torch" | "torch.cuda") {
        return None;
    }
    let float = |dtype: Dtype| Some((Some(dtype), dtype.size()));
    match class {
        "DoubleStorage" => float(Dtype::F64),
        "FloatStorage" => float(Dtype::F32),
        "HalfStorage" => float(Dtype::F16),
        "BFloat16Storage" => float(Dtype::Bf16),
        "ByteStorage" | "CharStorage" | "BoolStorage" => Some((None, 1)),
        "ShortStorage" => Some((None, 2)),
        "IntStorage" => Some((None, 4)),
        "LongStorage" | "ComplexFloatStorage" => Some((None, 8)),
        "ComplexDoubleStorage" => Some((None, 16)),
        _ => None,
    }
}

/// A block of numbers in the file, which tensors are views of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    /// None where its numbers are not those of a parameter.
    pub(super) dtype: Option<Dtype>,
    /// Bytes of one element.
    pub(super) size: usize,
    /// Elements.
    pub(super) len: usize,
}

impl Storage<'_> {
    /// Size in the file; None when no file is that large.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.len.checked_mul(self.size)
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

/// The storages and tensors of a pickle.
pub(super) struct Objects<'a> {
    pub(super) storages: Vec<Storage<'a>>,
    /// One for every call of the pickle, where it makes a tensor.
    tensors: Vec<Option<View>>,
}

impl<'a> Objects<'a> {
    /// Reads every persistent id as a storage and every call of PyTorch's as a tensor.
    pub(super) fn of(pickle: &Pickle<'a>) -> Parse<Self> {
        let mut storages: Vec<Storage> = Vec::new();
        let mut by_key = HashMap::new();
        let mut of_id = Vec::with_capacity(pickle.persistent.len());
        for id in &pickle.persistent {
            let storage = storage(pickle, *id)?;
            let index = *by_key.entry(storage.key).or_insert(storages.len());
            if index == storages.len() {
                storages.push(storage);
            } else if storages[index] != storage {
                let position = format!("storage {}", quote(storage.key));
                let found = format!("{} elements of {} bytes", storage.len, storage.size);
                return Err(Fault::new(position, "what was described before", found));
            }
            of_id.push(index);
        }
        let mut objects = Self { storages, tensors: Vec::with_capacity(pickle.calls.len()) };
        for call in &pickle.calls {
            let tensor = objects.build(pickle, &of_id, *call)?;
            objects.tensors.push(tensor);
        }
        Ok(objects)
    }

    /// The tensor that a value is.
    pub(super) fn tensor(&self, value: Value<'_>) -> Option<&View> {
        if let Value::Call(call) = value { self.tensors.get(call)?.as_ref() } else { None }
    }

    fn build(&self, pickle: &Pickle<'a>, of_id: &[usize], call: Call<'a>) -> Parse<Option<View>> {
        let items = pickle.sequence(call.arguments).unwrap_or_default();
        match (call.callee, items) {
            // Storage, offset, size, stride, requires_grad, hooks, and from PyTorch 1.13 metadata.
            (Value::Name(REBUILD_TENSOR), [storage, offset, size, stride, _, _, metadata @ ..])
                if items.len() <= 7 =>
            {
                // `neg` and `conj`: the numbers mean their opposites.
                let pairs = metadata.first().and_then(|metadata| pickle.dict(*metadata));
                if let Some([name, _]) = pairs.and_then(|pairs| pairs.first()) {
                    let found = format!("{} in its metadata", pickle.describe(*name));
                    return Err(refused("numbers that mean themselves", found));
                }
                let Value::Persistent(id) = *storage else {
                    let found = pickle.describe(*storage);
                    return Err(refused("a storage under the tensor", found));
                };
                let index = of_id[id];
                view(pickle, (index, self.storages[index].len), *offset, *size, *stride).map(Some)
            }
            (Value::Name(REBUILD_PARAMETER), [tensor, _, _]) if self.tensor(*tensor).is_some() => {
                Ok(self.tensor(*tensor).cloned())
            }
            (Value::Foreign(_), _) => Ok(None),
            (Value::Name(other), _) if other > REBUILD_PARAMETER => Ok(None),
            _ => {
                let found = format!("others ({})", pickle.describe(call.arguments));
                Err(refused("the arguments PyTorch writes", found))
            }
        }
    }
}

fn refused(expected: &str, found: impl Into<String>) -> Fault {
    Fault::new("a tensor of the state dict", expected, found)
}

/// A view of the storage of this index and so many elements.
fn view(
    pickle: &Pickle<'_>,
    (storage, available): (usize, usize),
    offset: Value<'_>,
    size: Value<'_>,
    stride: Value<'_>,
) -> Parse<View> {
    /// No parameter has more dimensions than a convolution's weight, by far.
    const MAX_RANK: usize = 8;
    let sizes = |value, what: &str| {
        let numbers = pickle.sequence(value).filter(|items| items.len() <= MAX_RANK);
        let numbers = numbers.and_then(|items| items.iter().map(|item| natural(*item)).collect());
        numbers.ok_or_else(|| refused(what, pickle.describe(value)))
    };
    let shape: Vec<usize> = sizes(size, "a tensor's size")?;
    let strides: Vec<usize> = sizes(stride, "a tensor's stride")?;
    let offset =
        natural(offset).ok_or_else(|| refused("a tensor's offset", pickle.describe(offset)))?;
    let outside = || {
        let found = format!("size {shape:?}, stride {strides:?}, offset {offset}");
        refused(&format!("a tensor inside its storage of {available} elements"), found)
    };
    let len = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).ok_or_else(outside)?;
    if shape.len() != strides.len() {
        return Err(outside());
    }
    let last = shape.iter().zip(&strides).try_fold(offset, |last, (&size, &stride)| {
        last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
    });
    if len > 0 && last.is_none_or(|last| last >= available) {
        return Err(outside());
    }
    Ok(View { storage, offset, shape, strides, len })
}

/// The storage that a persistent id names: `('storage', type, key, device, elements[, None])`.
fn storage<'a>(pickle: &Pickle<'a>, id: Value<'a>) -> Parse<Storage<'a>> {
    if let Some(
        [Value::Text("storage"), Value::Foreign(class), Value::Text(key), _device, len]
        | [
            Value::Text("storage"),
            Value::Foreign(class),
            Value::Text(key),
            _device,
            len,
            Value::None,
        ],
    ) = pickle.sequence(id)
        && let (module, class) = pickle.foreign[*class]
        && let (Some((dtype, size)), Some(len)) = (numbers(module, class), natural(*len))
    {
        return Ok(Storage { key, dtype, size, len });
    }
    let found = match pickle.sequence(id) {
        Some(items) => {
            let items: Vec<String> = items.iter().take(6).map(|i| pickle.describe(*i)).collect();
            items.join(", ")
        }
        None => pickle.describe(id),
    };
    Err(refused("the id of a storage", found))
}

fn natural(value: Value<'_>) -> Option<usize> {
    if let Value::Int(number) = value { number.try_into().ok() } else { None }
}
