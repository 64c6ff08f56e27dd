//! The parity cases, which a test program carries with it: those for a GPU run where this
//! repository is not.

#![allow(dead_code, reason = "each test program uses some of these")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{D, DType, Device, Tensor, Var};
use vdvae_model::{Checkpoint, LatentMode, Noise, Parameters, Vdvae, VdvaeConfig, Weights};

/// float32 against float32, summed in another order: 1e-5 of the largest value is usual.
pub(crate) const TOLERANCE: f64 = 1e-4;
pub(crate) const GRADIENT_TOLERANCE: f64 = 1e-3;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) config: VdvaeConfig,
    pub(crate) weights: Weights,
    pub(crate) expected: BTreeMap<String, Tensor>,
}

/// Name and bytes of the files of a case.
type Files = [(&'static str, &'static [u8]); 3];

const TINY: Files = [
    ("config.json", include_bytes!("../fixtures/parity/tiny/config.json")),
    ("model-legacy.th", include_bytes!("../fixtures/parity/tiny/model-legacy.th")),
    ("expected.safetensors", include_bytes!("../fixtures/parity/tiny/expected.safetensors")),
];
const DEEP: Files = [
    ("config.json", include_bytes!("../fixtures/parity/deep/config.json")),
    ("model-legacy.th", include_bytes!("../fixtures/parity/deep/model-legacy.th")),
    ("expected.safetensors", include_bytes!("../fixtures/parity/deep/expected.safetensors")),
];

impl Case {
    pub(crate) fn tiny() -> Self {
        Self::read("tiny", TINY)
    }

    pub(crate) fn deep() -> Self {
        Self::read("deep", DEEP)
    }

    pub(crate) fn all() -> [Self; 2] {
        [Self::tiny(), Self::deep()]
    }

    fn read(name: &'static str, files: Files) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [config, weights, _] = files.map(|(name, bytes)| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        });
        let expected = candle_core::safetensors::load_buffer(files[2].1, &Device::Cpu).unwrap();
        Self {
            name,
            config: VdvaeConfig::read(config).unwrap(),
            weights: Checkpoint::read(weights).unwrap().weights,
            expected: expected.into_iter().collect(),
        }
    }

    pub(crate) fn model(&self, device: &Device) -> Vdvae {
        Vdvae::new(&self.config, &self.weights, device).unwrap()
    }

    pub(crate) fn images(&self) -> Tensor {
        self.expected["images"].clone()
    }

    /// Compares an NHWC tensor with an expected NCHW one, where the case keeps it.
    pub(crate) fn check(&self, name: &str, found: &Tensor, checked: &mut usize) {
        let Some((found, expected)) = self.pair(name, found) else { return };
        assert_close(&format!("{} {name}", self.name), &found, &expected, TOLERANCE);
        *checked += 1;
    }

    /// Activations and every layer's statistics.
    pub(crate) fn check_statistics(&self, device: &Device) {
        let (model, mut checked) = (self.model(device), 0);
        let activations = model.encode(&self.images()).unwrap();
        for (r, activation) in &activations {
            self.check(&format!("activations.{r}"), activation, &mut checked);
        }
        model
            .visit_latents(&activations, LatentMode::PosteriorMean, |layer| {
                let i = layer.index;
                self.check(&format!("layer.{i}.mean"), &layer.mean, &mut checked);
                self.check(&format!("layer.{i}.log_std"), &layer.log_std, &mut checked);
                self.check(&format!("layer.{i}.prior_mean"), &layer.prior_mean, &mut checked);
                self.check(&format!("layer.{i}.prior_log_std"), &layer.prior_log_std, &mut checked);
                self.check(&format!("layer.{i}.kl"), &layer.kl, &mut checked);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert!(checked > 40, "{}: {checked} tensors compared", self.name);
    }

    /// The terms of the likelihood.
    pub(crate) fn check_terms(&self, device: &Device) {
        let model = self.model(device);
        let (terms, px) = model.loss_with(&self.images(), Noise::Zero, |_, _| Ok(())).unwrap();
        let mut checked = 0;
        self.check("px", &px, &mut checked);
        self.check("distortion", &terms.distortion, &mut checked);
        self.check("rate", &terms.rate, &mut checked);
        self.check("elbo", &(&terms.distortion + &terms.rate).unwrap(), &mut checked);
        assert_eq!(checked, 4, "{}", self.name);
    }

    /// Decoding without, and with half of, the latents.
    pub(crate) fn check_decoding(&self, device: &Device) {
        let model = self.model(device);
        let latents = model.extract_latents(&self.images()).unwrap();
        let half = latents.layers().len() / 2;
        let given: Vec<Tensor> =
            latents.layers()[..half].iter().map(|layer| layer.mean.clone()).collect();
        let mut checked = 0;
        for (name, given) in [("uncond.px", &[][..]), ("given_half.px", &given)] {
            let n = self.expected[name].dim(0).unwrap();
            let px = model.decode_output(n, given, Noise::Zero, 1.0).unwrap();
            self.check(name, &px, &mut checked);
        }
        assert_eq!(checked, 2, "{}", self.name);
    }

    /// The gradients of every parameter that the case keeps.
    pub(crate) fn check_gradients(&self, device: &Device) {
        let (parameters, gradients) = self.gradients(device, |model| model);
        let expected = self.expected["grad_norm"].to_dtype(DType::F64).unwrap();
        let expected = expected.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0];
        let norm = norm(&gradients);
        assert!((norm / expected - 1.0).abs() < 1e-4, "{}: norm {norm}", self.name);

        let published = parameters.with_tensors(gradients).unwrap().to_weights().unwrap();
        let mut checked = 0;
        for (name, array) in published.iter() {
            let Some(expected) = self.expected.get(&format!("grad.{name}")) else { continue };
            let found =
                Tensor::from_slice(array.data(), array.shape().to_vec(), &Device::Cpu).unwrap();
            assert_close(&format!("{} {name}", self.name), &found, expected, GRADIENT_TOLERANCE);
            checked += 1;
        }
        assert!(checked > 40, "{}: {checked} gradients compared", self.name);
    }

    /// The flat parameters of a network, changed by `change`, and their gradients on the CPU.
    pub(crate) fn gradients(
        &self,
        device: &Device,
        change: impl FnOnce(Vdvae) -> Vdvae,
    ) -> (Parameters, Vec<Tensor>) {
        let (_, model) = self.trainable(device);
        let (model, images) = (change(model), self.images());
        let weight = 1.0 / images.dim(0).unwrap() as f64;
        let mut gradients = vec![None; model.parameters().tensors().len()];
        let put = |i: usize, gradient: Tensor| {
            assert!(gradients[i].replace(gradient.to_device(&Device::Cpu)?).is_none());
            Ok(())
        };
        model.loss_and_gradients(&images, Noise::Zero, weight, put).unwrap();
        (model.parameters().clone(), gradients.into_iter().map(Option::unwrap).collect())
    }

    /// Candle's own backward pass gives the gradients of the tape.
    pub(crate) fn check_graph(&self) {
        let (variables, model) = self.trainable(&Device::Cpu);
        let images = self.images();
        // The walk back through 79 layers recurses.
        let graph = std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(move || {
                let loss = model.loss(&images, Noise::Zero).unwrap().mean().unwrap();
                loss.backward().unwrap()
            })
            .unwrap()
            .join()
            .unwrap();
        let (_, taped) = self.gradients(&Device::Cpu, |model| model);
        for (variable, taped) in variables.iter().zip(&taped) {
            assert_close(self.name, graph.get(variable).unwrap(), taped, 1e-5);
        }
    }

    /// The network with variables for parameters.
    fn trainable(&self, device: &Device) -> (Vec<Var>, Vdvae) {
        let frozen = self.model(device);
        let variables: Vec<Var> =
            frozen.parameters().tensors().iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors = variables.iter().map(|v| v.as_tensor().clone()).collect();
        let parameters = frozen.parameters().with_tensors(tensors).unwrap();
        (variables, Vdvae::from_parameters(&self.config, parameters, device).unwrap())
    }

    /// What was found, and what is expected, in the same layout and on the CPU.
    pub(crate) fn pair(&self, name: &str, found: &Tensor) -> Option<(Tensor, Tensor)> {
        let expected = self.expected.get(name)?.clone();
        let found = match found.rank() {
            4 => found.permute((0, 3, 1, 2)).unwrap(),
            _ => found.clone(),
        };
        Some((found.to_device(&Device::Cpu).unwrap(), expected))
    }
}

/// Of all tensors together.
pub(crate) fn norm(tensors: &[Tensor]) -> f64 {
    let square = |t: &Tensor| {
        let t = t.to_dtype(DType::F64).unwrap();
        t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    tensors.iter().map(square).sum::<f64>().sqrt()
}

pub(crate) fn largest(t: &Tensor) -> f64 {
    let t = t.to_dtype(DType::F64).unwrap().abs().unwrap().flatten_all().unwrap();
    t.max(D::Minus1).unwrap().to_scalar().unwrap()
}

/// The largest difference, in parts of the largest expected value.
pub(crate) fn difference(name: &str, found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let (a, b) = (found.to_dtype(DType::F64).unwrap(), expected.to_dtype(DType::F64).unwrap());
    let d = (a - &b).unwrap();
    // A maximum may pass over what is not a number; a sum does not.
    let sum: f64 = d.sum_all().unwrap().to_scalar().unwrap();
    assert!(sum.is_finite(), "{name}: not finite");
    largest(&d) / largest(&b).max(1e-30)
}

pub(crate) fn assert_close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let difference = difference(name, found, expected);
    assert!(difference < tolerance, "{name}: differs by {difference:.2e} of its largest value");
}
