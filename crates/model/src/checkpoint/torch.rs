//! From a pickle to weights: which dict, names, strides, and a bound on the memory.

use std::collections::HashSet;

use super::{
    dtype::Dtype,
    fault::Parse,
    objects::{Objects, Storage, View},
    prefix::{self, Networks},
    weights::{Array, Weights},
};
use vdvae_io::pickle::{Pickle, Value};
use vdvae_io::{Fault, quote};

/// Where a state dict may be one level down, in files that hold no network of ours.
const NESTED: [&str; 2] = ["state_dict", "model"];
/// Deepest dict or sequence that is looked into for a network.
const MAX_DEPTH: usize = 6;
/// Entries of a dict or sequence in which an average is looked for.
const MAX_LOOKED_AT: usize = 16;
/// Characters of a name on the way that are kept.
const MAX_NAME: usize = 80;

/// Tensors by name.
type Named<'a, 'o> = Vec<(&'a str, &'o View)>;

/// The search for dicts that hold a network.
struct Search<'a, 'o> {
    pickle: &'o Pickle<'a>,
    objects: &'o Objects<'a>,
    /// Names on the way to the value that is looked into, each with a point.
    path: Vec<String>,
    /// Dicts and sequences that were looked into: a pickle may hold one in many places.
    seen: HashSet<(bool, usize)>,
    /// Each dict, and the names on the way to it.
    found: Vec<(Value<'a>, String)>,
}

impl<'a> Search<'a, '_> {
    fn look(&mut self, value: Value<'a>) {
        let container = match value {
            Value::Dict(index) => (true, index),
            Value::Tuple(index) | Value::List(index) => (false, index),
            _ => return,
        };
        if self.path.len() > MAX_DEPTH || !self.seen.insert(container) {
            return;
        }
        let (pickle, objects) = (self.pickle, self.objects);
        let pairs = pickle.dict(value).unwrap_or_default();
        let names_network = |[key, entry]: &[Value<'a>; 2]| match *key {
            Value::Text(name) => {
                prefix::of_anchor(name).is_some() && objects.tensor(*entry).is_some()
            }
            _ => false,
        };
        if pairs.iter().any(names_network) {
            self.found.push((value, self.path.concat()));
        }
        for [key, entry] in pairs {
            if let Value::Text(name) = *key {
                self.look_below(name, *entry);
            }
        }
        for (index, entry) in pickle.sequence(value).into_iter().flatten().enumerate() {
            self.look_below(&index.to_string(), *entry);
        }
    }

    fn look_below(&mut self, name: &str, value: Value<'a>) {
        self.path.push(name.chars().take(MAX_NAME).chain(['.']).collect());
        self.look(value);
        self.path.pop();
    }
}

/// The tensors of the dict that holds the network, or of the only state dict, in its order; and what
/// to say of others that are left out.
fn named_tensors<'a, 'o>(
    pickle: &'o Pickle<'a>,
    objects: &'o Objects<'a>,
) -> Parse<(Named<'a, 'o>, Vec<String>)> {
    let (path, seen, found) = (Vec::new(), HashSet::new(), Vec::new());
    let mut search = Search { pickle, objects, path, seen, found };
    search.look(pickle.root);
    let mut remarks = Vec::new();
    let root = if search.found.is_empty() {
        let nested = NESTED.iter().filter_map(|key| pickle.lookup(pickle.root, key));
        let root = nested.into_iter().find(|value| pickle.dict(*value).is_some());
        root.unwrap_or(pickle.root)
    } else {
        let (dicts, paths): (Vec<_>, Vec<_>) = search.found.into_iter().unzip();
        let (chosen, remark) = prefix::choose(&paths)?;
        remarks.extend(remark.or_else(|| nameless_average(pickle, objects, &paths)));
        dicts[chosen]
    };
    let Some(pairs) = pickle.dict(root) else {
        let found = pickle.describe(root);
        return Err(Fault::new("pickle", "a dict of tensors by name", found));
    };
    let names = pairs.iter().filter_map(|[key, _]| key.text());
    let (networks, mut beside) = (Networks::among(names), Vec::new());
    let mut named = Vec::with_capacity(pairs.len());
    for [key, value] in pairs {
        let Some(name) = key.text() else {
            return Err(Fault::new("state dict", "names as keys", pickle.describe(*key)));
        };
        let tensor = objects.tensor(*value);
        let is_weight = tensor.is_some_and(|view| objects.storages[view.storage].dtype.is_some());
        if !is_weight && networks.has_beside(name) {
            beside.push(name);
            continue;
        }
        let Some(tensor) = tensor else {
            let position = format!("state dict entry {}", quote(name));
            return Err(Fault::new(position, "a tensor", pickle.describe(*value)));
        };
        named.push((name, tensor));
    }
    if named.is_empty() {
        return Err(Fault::new("state dict", "at least one tensor", "none"));
    }
    remarks.extend(prefix::left_out(&beside));
    Ok((named, remarks))
}

/// What to say of an average whose numbers have no names, as `torch_ema` lists them: beside it, the
/// network is as it was after the last step.
fn nameless_average(
    pickle: &Pickle<'_>,
    objects: &Objects<'_>,
    networks: &[String],
) -> Option<String> {
    if networks.iter().any(|path| prefix::is_average(path)) {
        return None;
    }
    let is_tensor = |value: Value<'_>| objects.tensor(value).is_some();
    let has_tensor = |value: Value<'_>| first_values(pickle, value).any(is_tensor);
    let holds = |value: Value<'_>| has_tensor(value) || first_values(pickle, value).any(has_tensor);
    let mut pairs = pickle.dict(pickle.root)?.iter();
    let average = |[key, value]: &[Value<'_>; 2]| {
        key.text().filter(|name| prefix::is_average(name) && holds(*value)).map(quote)
    };
    let name = pairs.find_map(average)?;
    let taken = quote(networks[0].trim_end_matches('.'));
    Some(format!("`{name}` has no network by names; `{taken}` is taken, which is no average"))
}

/// Values in a dict or sequence, as many as are looked at.
fn first_values<'a>(pickle: &Pickle<'a>, container: Value<'_>) -> impl Iterator<Item = Value<'a>> {
    let pairs = pickle.dict(container).unwrap_or_default().iter().map(|[_, value]| *value);
    let items = pickle.sequence(container).unwrap_or_default().iter().copied();
    pairs.chain(items).take(MAX_LOOKED_AT)
}

/// Reads every storage once and cuts the tensors out of it.
///
/// `file_len` bounds the memory: see [`check_size`].
pub(super) fn assemble<'a>(
    pickle: &Pickle<'a>,
    objects: &Objects<'a>,
    file_len: usize,
    mut read: impl FnMut(&Storage<'a>, Dtype) -> Parse<Vec<f32>>,
) -> Parse<(Weights, Vec<String>)> {
    let (named, remarks) = named_tensors(pickle, objects)?;
    let storages = &objects.storages;
    check_size(file_len, storages, named.iter().map(|(_, view)| *view))?;

    let mut users = vec![Vec::new(); storages.len()];
    for (position, (_, view)) in named.iter().enumerate() {
        users[view.storage].push(position);
    }
    let mut arrays: Vec<Option<Array>> = vec![None; named.len()];
    for (storage, users) in storages.iter().zip(&users) {
        let Some((last, others)) = users.split_last() else { continue };
        let dtype = storage.dtype.ok_or_else(|| {
            let position = format!("state dict entry {}", quote(named[*last].0));
            Fault::new(position, "F64, F32, F16 or BF16", "numbers of another type")
        })?;
        let elements = read(storage, dtype)?;
        for user in others {
            arrays[*user] = Some(cut_out(&elements, named[*user].1));
        }
        arrays[*last] = Some(cut_out_last(elements, named[*last].1));
    }
    let mut weights = Weights::new();
    for ((name, _), array) in named.iter().zip(arrays) {
        let array = array.expect("every tensor has a storage, and every used storage was read");
        if weights.insert(*name, array).is_some() {
            let position = format!("state dict entry {}", quote(name));
            return Err(Fault::new(position, "one tensor of this name", "two"));
        }
    }
    Ok((weights, remarks))
}

/// Refuses files that describe far more numbers than they hold (decompression bombs, one storage
/// shared by endless tensors) before anything is allocated.
fn check_size<'v>(
    file_len: usize,
    storages: &[Storage<'_>],
    views: impl Iterator<Item = &'v View>,
) -> Parse<()> {
    // Float32 weights hardly compress; zeros compress by a thousand, and there are some.
    let limit = file_len.saturating_mul(16).saturating_add(16 << 20);
    let stored = storages.iter().map(Storage::bytes);
    let unpacked = views.map(|view| view.len.checked_mul(size_of::<f32>()));
    let total = stored.chain(unpacked).try_fold(0usize, |sum, bytes| sum.checked_add(bytes?));
    if total.is_some_and(|total| total <= limit) {
        return Ok(());
    }
    let total = total.map_or("more bytes than there are".into(), |total| format!("{total} bytes"));
    let expected = format!("tensors of at most {limit} bytes in a file of {file_len}");
    Err(Fault::new("state dict", expected, total))
}

fn is_contiguous(view: &View) -> bool {
    let mut expected = 1usize;
    view.shape.iter().zip(&view.strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected = expected.saturating_mul(size.max(1)); // of an empty tensor it may be anything
        fits
    })
}

/// As [`cut_out`], but without a copy where the tensor is the whole storage.
fn cut_out_last(elements: Vec<f32>, view: &View) -> Array {
    if view.offset == 0 && view.len == elements.len() && is_contiguous(view) {
        return Array::new(view.shape.clone(), elements);
    }
    cut_out(&elements, view)
}

fn cut_out(elements: &[f32], view: &View) -> Array {
    if view.len == 0 || is_contiguous(view) {
        let start = view.offset.min(elements.len() - view.len);
        return Array::new(view.shape.clone(), elements[start..start + view.len].to_vec());
    }
    let mut data = Vec::with_capacity(view.len);
    let mut index = vec![0; view.shape.len()];
    let mut at = view.offset;
    for _ in 0..view.len {
        data.push(elements[at]);
        // Count up in row-major order, carrying from the last dimension to the first.
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at += view.strides[axis];
            if index[axis] < view.shape[axis] {
                break;
            }
            at -= view.strides[axis] * index[axis];
            index[axis] = 0;
        }
    }
    Array::new(view.shape.clone(), data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> View {
        let len = shape.iter().product();
        View { storage: 0, offset, shape: shape.to_vec(), strides: strides.to_vec(), len }
    }

    #[test]
    fn strides_are_followed() {
        let elements: Vec<f32> = (0..12u8).map(f32::from).collect();
        let cut = |view: View| {
            let array = cut_out(&elements, &view);
            assert_eq!(array, cut_out_last(elements.clone(), &view));
            array.into_data()
        };
        assert_eq!(cut(view(0, &[3, 4], &[4, 1])), elements);
        assert_eq!(cut(view(2, &[2, 2], &[2, 1])), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(cut(view(0, &[2, 3], &[1, 4])), [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(cut(view(1, &[2, 1, 2], &[6, 99, 3])), [1.0, 4.0, 7.0, 10.0]);
        assert_eq!(cut(view(5, &[], &[])), [5.0]);
        assert!(cut(view(12, &[0, 4], &[4, 1])).is_empty());
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_read() {
        let storages = [Storage { key: "0", dtype: Some(Dtype::F32), size: 4, len: 1 << 30 }];
        let error = check_size(1000, &storages, std::iter::empty()).unwrap_err();
        assert!(format!("{error:?}").contains("at most 16793216 bytes in a file of 1000"));
        let views = vec![view(0, &[1 << 20], &[1]); 10];
        check_size(1000, &[], views[..4].iter()).unwrap();
        check_size(1000, &[], views.iter()).unwrap_err();
    }
}
