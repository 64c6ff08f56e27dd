//! The network against numbers computed by the published architecture in PyTorch.
//!
//! `fixtures/parity/*` hold random weights as PyTorch stores them, and what they give: activations,
//! every layer's statistics, the likelihood's terms, decoding with no and with half of the latents
//! given, and gradients. `tiny` is whole; `deep` (79 layers) keeps a part of its numbers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use candle_core::{D, DType, Device, Tensor, Var};
use vdvae_model::{Array, Checkpoint, LatentMode, Noise, Vdvae, VdvaeConfig, Weights};

/// float32 against float32, summed in another order: 1e-5 of the largest value is usual.
const TOLERANCE: f64 = 1e-4;
const GRADIENT_TOLERANCE: f64 = 1e-3;

struct Case {
    name: &'static str,
    config: VdvaeConfig,
    weights: Weights,
    expected: BTreeMap<String, Tensor>,
}

impl Case {
    fn read(name: &'static str) -> Self {
        let folder =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity").join(name);
        let config = VdvaeConfig::read(folder.join("config.json")).unwrap();
        let weights = Checkpoint::read(folder.join("model-legacy.th")).unwrap().weights;
        let expected = folder.join("expected.safetensors");
        let expected = candle_core::safetensors::load(expected, &Device::Cpu).unwrap();
        Self { name, config, weights, expected: expected.into_iter().collect() }
    }

    fn all() -> [Self; 2] {
        [Self::read("tiny"), Self::read("deep")]
    }

    fn model(&self) -> Vdvae {
        Vdvae::new(&self.config, &self.weights, &Device::Cpu).unwrap()
    }

    fn images(&self) -> Tensor {
        self.expected["images"].clone()
    }

    /// Compares an NHWC tensor with an expected NCHW one, where the case keeps it.
    fn check(&self, name: &str, found: &Tensor, checked: &mut usize) {
        let Some(expected) = self.expected.get(name) else { return };
        let found = match found.rank() {
            4 => found.permute((0, 3, 1, 2)).unwrap(),
            _ => found.clone(),
        };
        assert_close(&format!("{} {name}", self.name), &found, expected, TOLERANCE);
        *checked += 1;
    }
}

fn largest(t: &Tensor) -> f64 {
    let t = t.to_dtype(DType::F64).unwrap().abs().unwrap().flatten_all().unwrap();
    t.max(D::Minus1).unwrap().to_scalar().unwrap()
}

fn assert_close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let (a, b) = (found.to_dtype(DType::F64).unwrap(), expected.to_dtype(DType::F64).unwrap());
    let difference = largest(&(a - &b).unwrap()) / largest(&b).max(1e-30);
    assert!(difference < tolerance, "{name}: differs by {difference:.2e} of its largest value");
}

#[test]
fn activations_and_every_layers_statistics() {
    for case in Case::all() {
        let (model, mut checked) = (case.model(), 0);
        let activations = model.encode(&case.images()).unwrap();
        for (r, activation) in &activations {
            case.check(&format!("activations.{r}"), activation, &mut checked);
        }
        model
            .visit_latents(&activations, LatentMode::PosteriorMean, |layer| {
                let i = layer.index;
                case.check(&format!("layer.{i}.mean"), &layer.mean, &mut checked);
                case.check(&format!("layer.{i}.log_std"), &layer.log_std, &mut checked);
                case.check(&format!("layer.{i}.prior_mean"), &layer.prior_mean, &mut checked);
                case.check(&format!("layer.{i}.prior_log_std"), &layer.prior_log_std, &mut checked);
                case.check(&format!("layer.{i}.kl"), &layer.kl, &mut checked);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert!(checked > 40, "{}: {checked} tensors compared", case.name);
    }
}

#[test]
fn likelihood_terms() {
    for case in Case::all() {
        let (terms, px) =
            case.model().loss_with(&case.images(), Noise::Zero, |_, _| Ok(())).unwrap();
        let mut checked = 0;
        case.check("px", &px, &mut checked);
        case.check("distortion", &terms.distortion, &mut checked);
        case.check("rate", &terms.rate, &mut checked);
        case.check("elbo", &(&terms.distortion + &terms.rate).unwrap(), &mut checked);
        assert_eq!(checked, 4, "{}", case.name);
    }
}

#[test]
fn decoding_without_and_with_given_latents() {
    for case in Case::all() {
        let model = case.model();
        let latents = model.extract_latents(&case.images()).unwrap();
        let half = latents.layers().len() / 2;
        let given: Vec<Tensor> =
            latents.layers()[..half].iter().map(|layer| layer.mean.clone()).collect();
        let mut checked = 0;
        for (name, given) in [("uncond.px", &[][..]), ("given_half.px", &given)] {
            let n = case.expected[name].dim(0).unwrap();
            let px = model.decode_output(n, given, Noise::Zero, 1.0).unwrap();
            case.check(name, &px, &mut checked);
        }
        assert_eq!(checked, 2, "{}", case.name);
    }
}

#[test]
fn gradients_of_every_parameter() {
    for case in Case::all() {
        let frozen = case.model();
        let variables: Vec<Var> =
            frozen.parameters().tensors().iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors = |vars: &[Var]| vars.iter().map(|v| v.as_tensor().clone()).collect();
        let parameters = frozen.parameters().with_tensors(tensors(&variables)).unwrap();
        let model = Vdvae::from_parameters(&case.config, parameters.clone(), &Device::Cpu).unwrap();
        let images = case.images();
        // The walk back through 79 layers recurses.
        let gradients = std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(move || {
                let loss = model.loss(&images, Noise::Zero).unwrap().mean().unwrap();
                loss.backward().unwrap()
            })
            .unwrap()
            .join()
            .unwrap();
        let gradients: Vec<Tensor> =
            variables.iter().map(|v| gradients.get(v).unwrap().clone()).collect();
        let square = |t: &Tensor| {
            let t = t.to_dtype(DType::F64).unwrap();
            t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
        };
        let norm = gradients.iter().map(square).sum::<f64>().sqrt();
        let expected = case.expected["grad_norm"].to_dtype(DType::F64).unwrap();
        let expected = expected.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0];
        assert!((norm / expected - 1.0).abs() < 1e-4, "{}: norm {norm}", case.name);

        let published = parameters.with_tensors(gradients).unwrap().to_weights().unwrap();
        let mut checked = 0;
        for (name, array) in published.iter() {
            let Some(expected) = case.expected.get(&format!("grad.{name}")) else { continue };
            let found =
                Tensor::from_slice(array.data(), array.shape().to_vec(), &Device::Cpu).unwrap();
            assert_close(&format!("{} {name}", case.name), &found, expected, GRADIENT_TOLERANCE);
            checked += 1;
        }
        assert!(checked > 40, "{}: {checked} gradients compared", case.name);
    }
}

#[test]
fn parameters_round_trip_through_their_layout() {
    for case in Case::all() {
        let back = case.model().parameters().to_weights().unwrap();
        let sorted = |weights: &Weights| {
            let mut all: Vec<(String, Array)> =
                weights.iter().map(|(name, array)| (name.to_string(), array.clone())).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        assert!(sorted(&back) == sorted(&case.weights), "{}", case.name);
    }
}

#[test]
fn samples_do_not_depend_on_the_batch() {
    let case = Case::read("tiny");
    let (model, images) = (case.model(), case.images());
    let draw = |images: &Tensor, first| {
        let mode = LatentMode::PosteriorSample { seed: 5, first };
        let latents = model.extract_latents_with(images, mode).unwrap();
        latents.layers().last().unwrap().z.clone()
    };
    let together = draw(&images, 0);
    let second = draw(&images.narrow(0, 1, 1).unwrap().contiguous().unwrap(), 1);
    assert_close("second image", &second, &together.narrow(0, 1, 1).unwrap(), 1e-5);
    let other = draw(&images.narrow(0, 1, 1).unwrap().contiguous().unwrap(), 2);
    let difference = largest(&(other - second).unwrap());
    assert!(difference > 1e-2, "another image number gives another sample");
}

/// Runs the tests above in a process for each narrower instruction set that this machine has.
#[test]
fn every_instruction_set_matches() {
    const VARIABLE: &str = "VDVAE_INSTRUCTION_SET";
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    for set in ["avx2", "baseline"] {
        let test = |filter| {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let run = child.env(VARIABLE, set).args([filter, "--exact"]).output().unwrap();
            let text = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
            (run.status.success(), text.into_owned())
        };
        for name in ["activations_and_every_layers_statistics", "gradients_of_every_parameter"] {
            let (passed, text) = test(name);
            let missing =
                set == "avx2" && text.contains("VDVAE_INSTRUCTION_SET: expected baseline");
            assert!((passed && text.contains("1 passed")) || missing, "{set} {name}: {text}");
        }
    }
}
