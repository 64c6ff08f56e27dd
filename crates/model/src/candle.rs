//! The network for users of candle: built from named variables, trainable, and as a module.
//!
//! Parameters have their published names and shapes on this side, too. The network lays them out
//! anew, one flat tensor a block, when it is built.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Module, VarBuilder, VarMap};

use crate::checkpoint::Array;
use crate::params::{Parameters, Slot};
use crate::{Error, Result, Vdvae, VdvaeConfig, WeightProblem, Weights};

impl Weights {
    /// Variables on a device, under the published names and in the published shapes.
    ///
    /// # Errors
    /// Where they do not fit the device's memory.
    pub fn to_var_map(&self, device: &Device) -> Result<VarMap> {
        let map = VarMap::new();
        let mut variables = map.data().lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (name, array) in self.iter() {
            let tensor = Tensor::from_slice(array.data(), array.shape(), device)?;
            variables.insert(name.to_owned(), Var::from_tensor(&tensor)?);
        }
        drop(variables);
        Ok(map)
    }

    /// The values of variables, in order of name: to write them with the network's configuration
    /// ([`write_safetensors`](crate::write_safetensors)).
    ///
    /// # Errors
    /// Where a variable is not float32, or cannot be read from its device.
    pub fn from_var_map(map: &VarMap) -> Result<Self> {
        let variables = map.data().lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let sorted: BTreeMap<_, _> = variables.iter().collect();
        let array = |(name, variable): (&String, &Var)| {
            let data = variable.flatten_all()?.to_vec1()?;
            Ok((name.clone(), Array::new(variable.dims().to_vec(), data)))
        };
        sorted.into_iter().map(array).collect()
    }
}

impl Vdvae {
    /// A network whose parameters are the variables of a map, which must be exactly those that
    /// `config` asks for. Candle's gradients of [`Self::loss`] reach the variables.
    ///
    /// The network has the values that the variables have now: after a step of an optimizer it is to
    /// be built again, which takes a copy of the parameters. [`Self::with_variables`] makes a network
    /// that changes with its variables.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vdvae_model::{Noise, Preset, Vdvae, Weights};
    ///
    /// let (config, device) = (Preset::Tiny.config(), Device::Cpu);
    /// let map = Weights::initialise(&config, 0).to_var_map(&device)?;
    /// let model = Vdvae::from_var_map(&config, &map, &device)?;
    ///
    /// let images = Tensor::zeros((1, 16, 16, 3), DType::U8, &device)?;
    /// let gradients = model.loss(&images, Noise::Zero)?.mean()?.backward()?;
    /// assert!(map.all_vars().iter().any(|variable| gradients.get(variable).is_some()));
    /// # Ok::<(), vdvae_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] where names or shapes differ; otherwise as [`Self::new`].
    pub fn from_var_map(config: &VdvaeConfig, map: &VarMap, device: &Device) -> Result<Self> {
        Weights::from_var_map(map)?.check(config)?;
        Self::from_var_builder(config, &VarBuilder::from_varmap(map, DType::F32, device))
    }

    /// A network whose parameters come from candle's builder, under the published names after the
    /// builder's prefix. As [`Self::from_var_map`], but a builder does not tell which names it has
    /// beyond those asked for.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] with the first name that is missing, [`Error::Candle`] where a shape
    /// differs, [`Error::NotFinite`], and whatever [`VdvaeConfig::validate`] finds wrong.
    pub fn from_var_builder(config: &VdvaeConfig, builder: &VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        let parameters = Parameters::from_named(config, |slot| {
            let Slot { name, shape, .. } = slot;
            // A builder over variables would make one of zeros.
            if !builder.contains_tensor(name) {
                return Err(missing(name, shape));
            }
            Ok(builder.get(shape.as_slice(), name)?.to_dtype(DType::F32)?)
        })?;
        parameters.to_weights()?.check_finite("the variables")?;
        Self::from_parameters(config, parameters, builder.device())
    }

    /// The same network with variables in place of its parameters, one flat variable for each of
    /// [`Parameters::units`]: it changes with them, and [`Self::loss_and_gradients`] and candle's
    /// backward pass give their gradients.
    ///
    /// # Errors
    /// Where the variables do not fit the device's memory.
    pub fn with_variables(self) -> Result<(Self, Vec<Var>)> {
        let tensors = self.parameters().tensors();
        let variables = tensors.iter().map(Var::from_tensor).collect::<Result<Vec<_>, _>>()?;
        let shared = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let parameters = self.parameters().with_tensors(shared)?;
        let network = Self::from_parameters(self.config(), parameters, self.device())?;
        let network = network.with_precision(self.precision())?.with_exact(self.exact());
        let network = network.with_recompute(self.recompute());
        Ok((network, variables))
    }

    /// The bottom-up path alone.
    pub fn bottom_up(&self) -> BottomUp {
        BottomUp(self.clone())
    }
}

fn missing(name: &str, expected: &[usize]) -> Error {
    let (name, expected) = (name.to_owned(), expected.to_vec());
    let problems = vec![WeightProblem::Missing { name, expected }];
    Error::WeightMismatch { file: "the variables".to_owned(), problems, total: 1 }
}

/// The bottom-up path of a network as one of candle's modules: u8 (N, H, W, 3) → (N, D), the last
/// activation of the encoder, in float32. To put a head on it:
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{Module, VarBuilder, VarMap, linear, seq};
/// use vdvae_model::Vdvae;
///
/// let device = Device::Cpu;
/// let model = Vdvae::builtin(&device)?;
/// let map = VarMap::new();
/// let head = linear(48, 10, VarBuilder::from_varmap(&map, DType::F32, &device))?;
/// let classifier = seq().add(model.bottom_up()).add(head);
/// let images = Tensor::zeros((2, 32, 32, 3), DType::U8, &device)?;
/// assert_eq!(classifier.forward(&images)?.dims(), [2, 10]);
/// # Ok::<(), vdvae_model::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BottomUp(Vdvae);

impl Module for BottomUp {
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let activations = self.0.encode(images).map_err(|error| match error {
            Error::Candle(error) => error,
            other => candle_core::Error::wrap(other),
        })?;
        let (_, last) = activations.first_key_value().expect("an encoder has an activation");
        last.flatten_from(1)?.to_dtype(DType::F32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Noise, Preset};

    const NOISE: Noise = Noise::Seeded { seed: 5, first: 0 };

    fn images() -> Tensor {
        let bytes: Vec<u8> = (0..2 * 768).map(|i| (i * 37 % 253) as u8).collect();
        Tensor::from_vec(bytes, (2, 16, 16, 3), &Device::Cpu).unwrap()
    }

    fn terms(model: &Vdvae) -> [Vec<f32>; 2] {
        let terms = model.loss(&images(), NOISE).unwrap();
        [terms.distortion, terms.rate].map(|term| term.to_vec1().unwrap())
    }

    #[test]
    fn a_map_gives_the_network_of_the_weights() {
        let (config, device) = (Preset::Tiny.config(), Device::Cpu);
        let weights = Weights::initialise(&config, 1);
        let map = weights.to_var_map(&device).unwrap();
        assert_eq!(Weights::from_var_map(&map).unwrap(), weights);
        let expected = Vdvae::new(&config, &weights, &device).unwrap();
        let found = Vdvae::from_var_map(&config, &map, &device).unwrap();
        assert_eq!(found.parameters().to_weights().unwrap(), weights);
        assert_eq!(terms(&found), terms(&expected));
        let prefixed: std::collections::HashMap<String, Tensor> = weights
            .iter()
            .map(|(name, a)| (format!("vae.{name}"), (a.data(), a.shape())))
            .map(|(name, (data, shape))| (name, Tensor::from_slice(data, shape, &device).unwrap()))
            .collect();
        let builder = VarBuilder::from_tensors(prefixed, DType::F32, &device).pp("vae");
        let found = Vdvae::from_var_builder(&config, &builder).unwrap();
        assert_eq!(terms(&found), terms(&expected));
    }

    /// Candle's graph from the loss to named variables, and the tape to flat ones.
    #[test]
    fn gradients_reach_the_variables_of_a_map() {
        let (config, device) = (Preset::Tiny.config(), Device::Cpu);
        let weights = Weights::initialise(&config, 1);
        let map = weights.to_var_map(&device).unwrap();
        let named = Vdvae::from_var_map(&config, &map, &device).unwrap();
        let loss = named.loss(&images(), NOISE).unwrap().mean().unwrap();
        let gradients = loss.backward().unwrap();

        let (flat, _) = Vdvae::new(&config, &weights, &device).unwrap().with_variables().unwrap();
        let tensors = flat.parameters().tensors();
        let mut expected: Vec<Tensor> = tensors.iter().map(|t| t.zeros_like().unwrap()).collect();
        let put = |i: usize, gradient: Tensor| {
            expected[i] = gradient;
            Ok(())
        };
        flat.loss_and_gradients(&images(), NOISE, 0.5, put).unwrap();
        let expected = flat.parameters().with_tensors(expected).unwrap().to_weights().unwrap();
        for (name, variable) in map.data().lock().unwrap().iter() {
            let expected = expected.get(name).unwrap().data();
            let found = gradients.get(variable).map(|g| g.flatten_all().unwrap().to_vec1::<f32>());
            let found = found.map_or_else(|| vec![0.0; expected.len()], Result::unwrap);
            let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
            // Sums in another order.
            let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-4 * largest);
            assert!(close, "{name}");
        }
    }

    #[test]
    fn names_are_compared_both_ways() {
        let (config, device) = (Preset::Tiny.config(), Device::Cpu);
        let mut weights = Weights::initialise(&config, 1);
        let gain = weights.remove("decoder.gain").unwrap();
        let map = weights.to_var_map(&device).unwrap();
        let error = Vdvae::from_var_map(&config, &map, &device).unwrap_err().to_string();
        assert!(error.contains("missing decoder.gain"), "{error}");
        let builder = VarBuilder::from_varmap(&map, DType::F32, &device);
        let error = Vdvae::from_var_builder(&config, &builder).unwrap_err().to_string();
        assert!(error.starts_with("1 tensor in the variables") && error.contains("decoder.gain"));
        weights.insert("decoder.gain", gain.clone());
        weights.insert("zebra", gain);
        let map = weights.to_var_map(&device).unwrap();
        let error = Vdvae::from_var_map(&config, &map, &device).unwrap_err().to_string();
        assert!(error.contains("extra zebra"), "{error}");
    }

    #[test]
    fn variables_that_are_not_finite_are_refused() {
        let (config, device) = (Preset::Tiny.config(), Device::Cpu);
        let mut weights = Weights::initialise(&config, 1);
        weights.get_mut("decoder.gain").unwrap().data_mut()[0] = f32::NAN;
        let map = weights.to_var_map(&device).unwrap();
        let error = Vdvae::from_var_map(&config, &map, &device).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    }

    #[test]
    fn variables_keep_how_the_network_computes() {
        let (config, weights) =
            (Preset::Tiny.config(), Weights::initialise(&Preset::Tiny.config(), 1));
        let model = Vdvae::new(&config, &weights, &Device::Cpu).unwrap();
        let (model, _) = model.with_exact(true).with_recompute(true).with_variables().unwrap();
        assert!(model.exact() && model.recompute());
    }

    #[test]
    fn the_bottom_up_path_is_the_encoders() {
        let config = Preset::Tiny.config();
        let model = Vdvae::new(&config, &Weights::initialise(&config, 0), &Device::Cpu).unwrap();
        let found = model.bottom_up().forward(&images()).unwrap();
        let expected = model.encode(&images()).unwrap()[&1].flatten_from(1).unwrap();
        assert_eq!(found.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap());
        assert_eq!(found.dims(), [2, 24]);
    }
}
