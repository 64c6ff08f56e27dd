//! Parameters in memory: one flat tensor for each block or other unit of the network.
//!
//! A unit's tensor is what an operator of [`vdvae_ops`] takes and what the optimizer walks over;
//! the table beside it says where each published parameter lies in it. Published convolutions are
//! (output, input, height, width) and are stored (output, height, width, input); learned biases
//! are (1, channels, height, width) and are stored (height, width, channels). Converted here,
//! once, in both directions.

use candle_core::{Device, Tensor};
use vdvae_ops::{BlockShape, BlockWeights};

use crate::checkpoint::{Array, Weights};
use crate::config::{ParameterSpec, VdvaeConfig};
use crate::{Error, Result};

/// One published parameter inside a unit's flat tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Published name, such as `decoder.dec_blocks.3.enc.c2.weight`.
    pub name: String,
    /// Published shape.
    pub shape: Vec<usize>,
    /// First element in the unit's flat tensor.
    pub offset: usize,
}

impl Slot {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A block, convolution, learned bias or the output's gain and bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What the published names of its parameters have in common.
    pub name: String,
    /// Its parameters, in the order in which they lie in the flat tensor.
    pub slots: Vec<Slot>,
}

impl Unit {
    /// Numbers in the flat tensor.
    pub fn parameters(&self) -> usize {
        self.slots.iter().map(Slot::len).sum()
    }
}

/// The name shared by the parameters of one unit.
fn unit_name(parameter: &str) -> String {
    const GAIN_AND_BIAS: &str = "decoder.gain_bias";
    if matches!(parameter, "decoder.gain" | "decoder.bias") {
        return GAIN_AND_BIAS.to_string();
    }
    let name = parameter.trim_end_matches(".weight").trim_end_matches(".bias");
    let stem = [".c1", ".c2", ".c3", ".c4"].iter().find_map(|c| name.strip_suffix(c));
    stem.unwrap_or(name).to_string()
}

/// The units of a network, in published order.
pub fn units(config: &VdvaeConfig) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for ParameterSpec { name, shape } in config.parameters() {
        let unit = unit_name(&name);
        let index = units.iter().position(|u| u.name == unit).unwrap_or_else(|| {
            units.push(Unit { name: unit, slots: vec![] });
            units.len() - 1
        });
        let offset = units[index].parameters();
        units[index].slots.push(Slot { name, shape, offset });
    }
    units
}

/// Flat tensors of all units.
#[derive(Debug, Clone)]
pub struct Parameters {
    units: Vec<Unit>,
    tensors: Vec<Tensor>,
    /// Whether nothing else can write to the tensors.
    frozen: bool,
}

impl Parameters {
    /// Lays out published weights, which must be exactly those of `config`.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] where they are not, [`Error::Candle`] where they do not fit the
    /// device's memory.
    pub fn from_weights(config: &VdvaeConfig, weights: &Weights, device: &Device) -> Result<Self> {
        weights.check(config)?;
        Self::from_named(config, |slot| {
            let array = weights.get(&slot.name).expect("checked above");
            Ok(Tensor::from_slice(&array.data, &array.shape[..], device)?)
        })
    }

    /// Lays out tensors that `named` gives, in published shapes. Where they are variables, gradients
    /// reach them.
    pub(crate) fn from_named(
        config: &VdvaeConfig,
        mut named: impl FnMut(&Slot) -> Result<Tensor>,
    ) -> Result<Self> {
        let units = units(config);
        let mut flat = |slot: &Slot| {
            let tensor = named(slot)?;
            let stored = match tensor.rank() {
                4 => tensor.permute((0, 2, 3, 1))?,
                _ => tensor,
            };
            Ok(stored.contiguous()?.flatten_all()?)
        };
        let unit = |unit: &Unit| {
            let parts = unit.slots.iter().map(&mut flat).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::cat(&parts, 0)?)
        };
        let tensors = units.iter().map(unit).collect::<Result<Vec<_>>>()?;
        let frozen = !tensors.iter().any(Tensor::track_op);
        Ok(Self { units, tensors, frozen })
    }

    /// The same units with other tensors, one a unit: variables to train, say, or another average.
    ///
    /// # Errors
    /// [`Error::Units`] where number or sizes differ.
    pub fn with_tensors(&self, tensors: Vec<Tensor>) -> Result<Self> {
        let matches = tensors.len() == self.tensors.len()
            && tensors.iter().zip(&self.units).all(|(t, u)| t.dims() == [u.parameters()]);
        if !matches {
            return Err(Error::Units { expected: self.units.len(), found: tensors.len() });
        }
        Ok(Self { units: self.units.clone(), tensors, frozen: false })
    }

    /// Weights under published names, in published shapes and order.
    ///
    /// # Errors
    /// Where a tensor cannot be read from its device.
    pub fn to_weights(&self) -> Result<Weights> {
        let mut weights = Weights::default();
        for (unit, tensor) in self.units.iter().zip(&self.tensors) {
            let flat = tensor.to_device(&Device::Cpu)?;
            for slot in &unit.slots {
                let stored = flat.narrow(0, slot.offset, slot.len())?;
                let published = match slot.shape[..] {
                    [outer, channels, height, width] => {
                        stored.reshape((outer, height, width, channels))?.permute((0, 3, 1, 2))?
                    }
                    _ => stored,
                };
                let data = published.flatten_all()?.to_vec1()?;
                weights.insert(slot.name.clone(), Array { shape: slot.shape.clone(), data });
            }
        }
        Ok(weights)
    }

    /// The layout.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// One flat tensor a unit, in the order of [`Self::units`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The flat tensor of a unit of this configuration.
    pub(crate) fn unit(&self, name: &str) -> Tensor {
        let index = self.units.iter().position(|u| u.name == name);
        self.tensors[index.unwrap_or_else(|| panic!("unit {name} is part of the layout"))].clone()
    }

    /// The weights of a block of this configuration.
    pub(crate) fn block(&self, name: &str, shape: BlockShape) -> BlockWeights {
        match self.frozen {
            true => BlockWeights::frozen(shape, self.unit(name)),
            false => BlockWeights::new(shape, self.unit(name)),
        }
    }
}
