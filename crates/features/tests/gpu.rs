//! Features read on a GPU beside those read on the CPU. Run by
//! `cargo test --release --workspace --features cuda,cudnn --test gpu`; `VDVAE_GPU` is the number of
//! the GPU, the first where it is not set.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../model/tests/support/gpu.rs"]
mod gpu;

use candle_core::Device;
use ndarray::Array2;
use vdvae_datasets::{OnBadImage, Preparation, Split, ToyFaces};
use vdvae_features::{
    Extraction, FeatureCache, FeatureSource, FeatureSpec, LayerSelection, Pooling, Statistic,
};
use vdvae_model::{Precision, Preset, Vdvae, Weights};

use gpu::gpu;

fn network(device: &Device) -> Vdvae {
    let config = Preset::Tiny.config();
    Vdvae::new(&config, &Weights::initialise(&config, 0), device).unwrap()
}

fn extraction(faces: &ToyFaces) -> Extraction<'_> {
    Extraction {
        dataset: faces,
        split: Split::Valid,
        preparation: Preparation::new(16),
        on_bad_image: OnBadImage::Fail,
        batch_size: 8,
    }
}

fn source(model: &Vdvae, spec: FeatureSpec) -> FeatureSource<'_> {
    FeatureSource::Latents { model, spec, layers: LayerSelection::All }
}

fn features(model: &Vdvae, spec: FeatureSpec) -> Array2<f32> {
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let mut tables = extraction(&faces).run(&[source(model, spec)], |_| ()).unwrap().tables;
    tables.remove(0).features
}

#[test]
fn gpu_features_are_those_of_the_cpu() {
    let gpu = gpu();
    let (there, here) = (network(&gpu.device), network(&Device::Cpu));
    for statistic in [
        Statistic::Mean,
        Statistic::PriorMean,
        Statistic::LogStd,
        Statistic::PriorLogStd,
        Statistic::State,
        Statistic::Activation,
    ] {
        for pooling in [Pooling::None, Pooling::MEAN, Pooling::Grid(4), Pooling::Grid(3)] {
            let spec = FeatureSpec { statistic, pooling, ..FeatureSpec::default() };
            let (found, expected) = (features(&there, spec), features(&here, spec));
            assert_eq!(found.dim(), expected.dim());
            let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-4 * largest, "{statistic} {pooling}: {a} {b}");
            }
        }
    }
}

#[test]
fn gpu_features_have_entries_of_their_own_in_the_cache() {
    let gpu = gpu();
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::open(folder.path()).unwrap();
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let reused = |model: &Vdvae| {
        let sources = [("network", source(model, FeatureSpec::default()))];
        let sources = cache.sources(&sources).unwrap();
        sources.get_or_extract(&extraction(&faces), |_| ()).unwrap().1.reused
    };
    let bf16 = network(&gpu.device).with_precision(Precision::Bf16).unwrap();
    for model in [network(&Device::Cpu), network(&gpu.device), bf16] {
        assert_eq!((reused(&model), reused(&model)), (0, 1));
    }
}
