//! A model's parameters as plain arrays under their published names.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use crate::{Error, Result, VdvaeConfig, WeightProblem, error::shape_text};

/// How many problems [`Weights::check`] lists before it only counts.
pub const MAX_LISTED_PROBLEMS: usize = 20;

/// One tensor: float32 in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

impl Array {
    /// An array of `shape` with its elements in row-major order.
    ///
    /// # Panics
    /// When `data` does not hold exactly as many elements as `shape` says.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        let expected: usize = shape.iter().product();
        assert_eq!(data.len(), expected, "elements of an array of {}", shape_text(&shape));
        Self { shape, data }
    }

    /// Length of every dimension, in PyTorch's order.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements in row-major order, to change.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The elements in row-major order.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

/// Named arrays in a fixed order, under the published names and in the published shapes.
///
/// Two sets are equal when they hold the same arrays under the same names, in whatever order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    arrays: IndexMap<String, Array>,
}

impl Weights {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many arrays there are.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }

    /// How many numbers there are in all.
    pub fn num_parameters(&self) -> usize {
        self.arrays.values().map(|array| array.data.len()).sum()
    }

    /// The array of this name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The array of this name, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Array> {
        self.arrays.get_mut(name)
    }

    /// Adds an array at the end, or replaces the one of the same name and returns it.
    pub fn insert(&mut self, name: impl Into<String>, array: Array) -> Option<Array> {
        self.arrays.insert(name.into(), array)
    }

    /// Takes an array out; the order of the others is kept.
    pub fn remove(&mut self, name: &str) -> Option<Array> {
        self.arrays.shift_remove(name)
    }

    /// Names and arrays, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array))
    }

    /// Moves every array whose name starts with `prefix` into a new set, without the prefix.
    pub fn split_prefix(&mut self, prefix: &str) -> Self {
        let (taken, kept) = std::mem::take(&mut self.arrays)
            .into_iter()
            .partition::<IndexMap<_, _>, _>(|(name, _)| name.starts_with(prefix));
        self.arrays = kept;
        taken.into_iter().map(|(name, array)| (name[prefix.len()..].to_owned(), array)).collect()
    }

    /// Compares names and shapes with those of `config`, both ways.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] that lists every missing, extra and wrong-shaped name in order,
    /// up to [`MAX_LISTED_PROBLEMS`].
    pub fn check(&self, config: &VdvaeConfig) -> Result<()> {
        self.check_from(config, "the weights")
    }

    /// As [`Self::check`]; `file` is named in the error.
    pub(crate) fn check_from(&self, config: &VdvaeConfig, file: &str) -> Result<()> {
        let expected: BTreeMap<String, Vec<usize>> =
            config.parameters().into_iter().map(|spec| (spec.name, spec.shape)).collect();
        let mut problems = Vec::new();
        for (name, array) in self.iter() {
            match expected.get(name) {
                Some(shape) if *shape == array.shape => {}
                Some(shape) => problems.push(WeightProblem::Shape {
                    name: name.to_owned(),
                    expected: shape.clone(),
                    found: array.shape.clone(),
                }),
                None => problems.push(WeightProblem::Extra {
                    name: name.to_owned(),
                    found: array.shape.clone(),
                }),
            }
        }
        let missing = expected.into_iter().filter(|(name, _)| !self.arrays.contains_key(name));
        problems.extend(missing.map(|(name, expected)| WeightProblem::Missing { name, expected }));
        if problems.is_empty() {
            return Ok(());
        }
        let total = problems.len();
        problems.sort_by(|a, b| a.name().cmp(b.name()));
        problems.truncate(MAX_LISTED_PROBLEMS);
        Err(Error::WeightMismatch { file: file.to_owned(), problems, total })
    }

    /// SHA-256 over names, shapes and values, in lower-case hexadecimal.
    ///
    /// For every array in byte order of the names: length of the name, the name, number of
    /// dimensions, every dimension (all numbers as u64), then the values as float32; everything
    /// little-endian. It depends neither on the order of the arrays nor on the file's layout.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        let number = |hash: &mut Sha256, n: usize| hash.update((n as u64).to_le_bytes());
        let sorted: BTreeMap<&str, &Array> = self.iter().collect();
        for (name, array) in sorted {
            number(&mut hash, name.len());
            hash.update(name);
            number(&mut hash, array.shape.len());
            array.shape.iter().for_each(|&size| number(&mut hash, size));
            for bytes in little_endian(&array.data) {
                hash.update(bytes);
            }
        }
        hex(&hash.finalize())
    }
}

impl FromIterator<(String, Array)> for Weights {
    fn from_iter<I: IntoIterator<Item = (String, Array)>>(arrays: I) -> Self {
        Self { arrays: arrays.into_iter().collect() }
    }
}

impl IntoIterator for Weights {
    type Item = (String, Array);
    type IntoIter = indexmap::map::IntoIter<String, Array>;

    fn into_iter(self) -> Self::IntoIter {
        self.arrays.into_iter()
    }
}

/// The bytes of `values` in pieces, so that large arrays are never copied whole.
pub(super) fn little_endian(values: &[f32]) -> impl Iterator<Item = Vec<u8>> {
    const PIECE: usize = 1 << 14;
    values.chunks(PIECE).map(|piece| piece.iter().flat_map(|v| v.to_le_bytes()).collect())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    fn tiny() -> (VdvaeConfig, Weights) {
        let config = Preset::Tiny.config();
        let weights = Weights::initialise(&config, 1);
        (config, weights)
    }

    #[test]
    fn check_lists_every_kind_of_problem_in_order() {
        let (config, mut weights) = tiny();
        weights.check(&config).unwrap();
        weights.remove("decoder.gain");
        weights.insert("decoder.bias", Array::new(vec![24], vec![0.0; 24]));
        weights.insert("zebra", Array::new(vec![], vec![1.0]));
        assert_eq!(
            weights.check(&config).unwrap_err().to_string(),
            "3 tensors in the weights do not fit the configuration: \
             wrong shape decoder.bias: expected (1, 24, 1, 1), found (24); \
             missing decoder.gain: expected (1, 24, 1, 1), found nothing; \
             extra zebra: expected nothing, found ()"
        );
    }

    #[test]
    fn check_lists_no_more_than_it_promises() {
        let (config, _) = tiny();
        let Err(Error::WeightMismatch { problems, total, .. }) = Weights::new().check(&config)
        else {
            panic!("an empty set fits nothing");
        };
        assert_eq!((problems.len(), total), (MAX_LISTED_PROBLEMS, 316));
    }

    #[test]
    fn hash_sees_names_shapes_and_values_but_not_order() {
        let array = |shape: &[usize]| Array::new(shape.to_vec(), vec![1.0, 2.0]);
        let set = |names: [&str; 2], shape: &[usize]| -> Weights {
            names.into_iter().map(|name| (name.to_owned(), array(shape))).collect()
        };
        let hash = set(["a", "b"], &[2]).sha256();
        assert_eq!(hash, set(["b", "a"], &[2]).sha256());
        assert_ne!(hash, set(["a", "c"], &[2]).sha256());
        assert_ne!(hash, set(["a", "b"], &[2, 1]).sha256());
        let mut changed = set(["a", "b"], &[2]);
        changed.get_mut("b").unwrap().data_mut()[1] = -2.0;
        assert_ne!(hash, changed.sha256());
    }

    /// By hand: `printf '\1\0\0\0\0\0\0\0a\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\200?' | sha256sum`.
    #[test]
    fn hash_is_the_documented_one() {
        let weights = Weights::from_iter([("a".to_owned(), Array::new(vec![1], vec![1.0]))]);
        assert_eq!(
            weights.sha256(),
            "d84d13ab7e5c3aefbab46a0226822b8120b5e49e3259fc84fca8e2315c88e66a"
        );
    }

    #[test]
    fn a_prefix_splits_off_a_set() {
        let array = || Array::new(vec![], vec![1.0]);
        let names = ["ema.b", "a", "ema.a"];
        let mut weights: Weights =
            names.map(|name| (name.to_owned(), array())).into_iter().collect();
        let ema = weights.split_prefix("ema.");
        assert_eq!(ema.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(weights.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
    }
}
