//! A model's parameters as plain arrays under their published names.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use super::dtype::Dtype;
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
        let mut problems = self.problems(config);
        if problems.is_empty() {
            return Ok(());
        }
        let total = problems.len();
        problems.truncate(MAX_LISTED_PROBLEMS);
        Err(Error::WeightMismatch { file: file.to_owned(), problems, total })
    }

    /// Every way in which names and shapes differ from those of `config`, in order of name.
    pub(super) fn problems(&self, config: &VdvaeConfig) -> Vec<WeightProblem> {
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
        problems.sort_by(|a, b| a.name().cmp(b.name()));
        problems
    }

    /// Fails where a number is not finite; `file` is named in the error.
    pub(crate) fn check_finite(&self, file: &str) -> Result<()> {
        match self.not_finite() {
            None => Ok(()),
            Some(found) => Err(Error::NotFinite { file: file.to_owned(), found }),
        }
    }

    /// The first number that is not finite, as `decoder.gain[3] is NaN`, and how many there are; None
    /// where all are.
    pub fn not_finite(&self) -> Option<String> {
        let bad = |array: &Array| array.data.iter().filter(|value| !value.is_finite()).count();
        let (name, array) = self.iter().find(|(_, array)| bad(array) > 0)?;
        let count: usize = self.arrays.values().map(bad).sum();
        let at = array.data.iter().position(|value| !value.is_finite())?;
        Some(format!("{name}[{at}] is {}, one of {count}", array.data[at]))
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
            for bytes in little_endian(&array.data, Dtype::F32) {
                hash.update(bytes);
            }
        }
        vdvae_io::hex(hash.finalize())
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
pub(super) fn little_endian(values: &[f32], dtype: Dtype) -> impl Iterator<Item = Vec<u8>> {
    const PIECE: usize = 1 << 14;
    values.chunks(PIECE).map(move |piece| dtype.encode(piece))
}
