//! The parity case through the command line: every number of `eval` and `extract` is the
//! reference's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::npy::NpzTensors;
use candle_core::{DType, Device, Tensor};
use support::{add_tiny_model, npy, tiny, vdvae};

/// float32 sums in another order; 1e-5 is usual, and 1e-4 is what the reference promises.
const TOLERANCE: f64 = 1e-4;
const LAYERS: usize = 9;

type Arrays = HashMap<String, Tensor>;

fn expected() -> Arrays {
    candle_core::safetensors::load(tiny().join("expected.safetensors"), &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares relative to the largest expected value.
fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (numbers(found), numbers(expected));
    let scale = expected.iter().fold(1e-12_f64, |max, value| max.max(value.abs()));
    let worst = found.iter().zip(&expected).fold(0.0_f64, |max, (a, b)| max.max((a - b).abs()));
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst} of {scale}");
}

/// A folder with the model in every form and the pictures as images.npy.
fn folder(expected: &Arrays) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    let images = &expected["images"];
    let pixels: Vec<u8> = images.flatten_all().unwrap().to_vec1().unwrap();
    fs::write(folder.path().join("images.npy"), npy("|u1", images.dims(), &pixels)).unwrap();
    folder
}

fn extract(folder: &Path, name: &str, flags: &str) -> Arrays {
    let common = "extract --checkpoint model.safetensors --data npy:images.npy --pool none";
    vdvae(folder, &format!("{common} --out {name} {flags}")).ok();
    let path = folder.join(name);
    match path.extension().unwrap().to_str().unwrap() {
        "npz" => {
            let file = NpzTensors::new(&path).unwrap();
            let names: Vec<String> = file.names().into_iter().cloned().collect();
            names.into_iter().map(|n| (n.clone(), file.get(&n).unwrap().unwrap())).collect()
        }
        "npy" => [(String::new(), Tensor::read_npy(&path).unwrap())].into(),
        _ => candle_core::safetensors::load(&path, &Device::Cpu).unwrap(),
    }
}

#[test]
fn eval_gives_the_likelihood_of_the_reference() {
    let expected = expected();
    let folder = folder(&expected);
    let mean = |name: &str| {
        let values = numbers(&expected[name]);
        values.iter().sum::<f64>() / values.len() as f64
    };
    let near = |found: f64, expected: f64, what: &str| {
        assert!((found / expected - 1.0).abs() < TOLERANCE, "{what}: {found}, not {expected}");
    };
    let models = ["model.safetensors", "model.th --config config.json"];
    for (model, size) in models.into_iter().zip([3, 64]) {
        let flags = format!("--checkpoint {model} --batch-size {size}");
        let json = vdvae(
            folder.path(),
            &format!("eval {flags} --data npy:images.npy --posterior mean --json"),
        );
        let json: serde_json::Value = serde_json::from_str(&json.ok()).unwrap();
        assert_eq!(json["images"], expected["images"].dims()[0]);
        let number = |key: &str| json[key].as_f64().unwrap();
        near(number("nats_per_dim"), mean("elbo"), "nats_per_dim");
        near(number("bits_per_dim"), mean("elbo") / std::f64::consts::LN_2, "bits_per_dim");
        near(number("distortion"), mean("distortion"), "distortion");
        near(number("rate"), mean("rate"), "rate");
        let layers = json["layers"].as_array().unwrap();
        assert_eq!(layers.len(), LAYERS);
        for (index, layer) in layers.iter().enumerate() {
            let kl = &expected[&format!("layer.{index}.kl")];
            let nats = numbers(kl).iter().sum::<f64>() / kl.dims()[0] as f64;
            near(layer["kl_nats"].as_f64().unwrap(), nats, "kl_nats");
            assert_eq!(layer["index"], index);
            assert_eq!(layer["resolution"], kl.dims()[3]);
        }
    }
}

#[test]
fn extract_gives_the_statistics_of_the_reference_in_every_format() {
    let expected = expected();
    let folder = folder(&expected);
    for (statistic, name) in [
        ("mean", "mean"),
        ("log-std", "log_std"),
        ("prior-mean", "prior_mean"),
        ("prior-log-std", "prior_log_std"),
    ] {
        let layer = |index: usize| &expected[&format!("layer.{index}.{name}")];
        let flags = format!("--statistic {statistic} --batch-size 3");
        for file in ["f.npz", "f.safetensors"] {
            let found = extract(folder.path(), file, &flags);
            assert_eq!(found.len(), LAYERS);
            for index in 0..LAYERS {
                let what = format!("{file} layer.{index:03} {statistic}");
                assert_close(&what, &found[&format!("layer.{index:03}")], layer(index));
            }
        }
        let flat: Vec<Tensor> = (0..LAYERS).map(|i| layer(i).flatten_from(1).unwrap()).collect();
        let matrix = Tensor::cat(&flat, 1).unwrap();
        assert_close("f.npy", &extract(folder.path(), "f.npy", &flags)[""], &matrix);
    }
    let found = extract(folder.path(), "a.npz", "--statistic activation");
    let names: Vec<_> = expected.keys().filter(|name| name.starts_with("activations.")).collect();
    assert_eq!(found.len(), names.len());
    for name in names {
        let resolution = name.trim_start_matches("activations.");
        assert_close(name, &found[&format!("activation.{resolution}")], &expected[name]);
    }
}

#[test]
fn every_form_of_a_checkpoint_converts_to_the_same_file() {
    let folder = folder(&expected());
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    vdvae(folder.path(), "convert model-legacy.th legacy.safetensors --config config.json").ok();
    vdvae(folder.path(), "convert model.safetensors again.safetensors").ok();
    assert!(read("legacy.safetensors") == read("model.safetensors"));
    assert!(read("again.safetensors") == read("model.safetensors"));
}
