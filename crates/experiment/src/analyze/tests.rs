use candle_core::Device;
use vdvae_datasets::ToyFaces;
use vdvae_probes::{Bootstrap, RidgeProbe};

use super::*;

fn analysis<'a>(model: &'a Vdvae, data: &'a ToyFaces) -> Analysis<'a> {
    Analysis {
        model,
        data,
        split: Split::Test,
        preparation: Preparation::new(model.config().image_size),
        on_bad_image: OnBadImage::Fail,
        pictures: 12,
        decoded: 5,
        batch_size: 4,
        seed: 3,
    }
}

#[test]
fn a_network_is_looked_at_layer_by_layer() {
    let model = Vdvae::builtin(&Device::Cpu).unwrap();
    let faces = ToyFaces::with_people(0, [1, 1, 2]);
    let plain = analysis(&model, &faces);
    let report = plain.run(|_| ()).unwrap();
    assert_eq!((report.images, report.decoded, report.layers.len()), (12, 5, 20));

    // The same KL as evaluation has, with the same noise.
    let batches = Batches::new(&faces, Split::Test, plain.preparation).evenly_spaced(12).size(12);
    let pixels = batches.map(|batch| Ok::<_, Error>(model.pixels(batch.unwrap().pixels)?));
    let pixels = pixels.collect::<Result<Vec<_>>>().unwrap();
    let noise = Noise::Seeded { seed: 3, first: 0 };
    let means = model.evaluate(pixels.iter().cloned().map(Ok::<_, Error>), noise).unwrap();
    for (layer, kl) in report.layers.iter().zip(&means.kl_nats) {
        assert!((layer.kl_nats - kl).abs() < 1e-3 * kl.max(1e-3), "layer {}", layer.index);
    }
    assert!((report.kl_nats - means.kl_nats.iter().sum::<f64>()).abs() < 1e-3 * report.kl_nats);

    // All layers given: the evidence lower bound of the pictures that were decoded.
    let few = pixels[0].narrow(0, 0, 5).unwrap();
    let bound = model.evaluate([Ok::<_, Error>(few)], noise).unwrap();
    let last = report.layers[19].depth.unwrap();
    assert!(
        (last.rate + last.distortion - bound.bits_per_dim()).abs() < 1e-4,
        "{last:?} {bound:?}"
    );
    // What is not sent costs distortion.
    let first = report.layers[0].depth.unwrap();
    assert!(first.distortion > last.distortion && first.rate < last.rate);

    for layer in &report.layers {
        assert!(layer.active <= layer.dimensions && layer.dimensions_95 <= layer.dimensions);
        let reliability = layer.reliability.unwrap();
        assert!((-1.0..=1.0).contains(&reliability), "{reliability}");
    }
    let dimensions: usize = report.layers.iter().map(|layer| layer.dimensions_95).sum();
    assert_eq!(report.dimensions_95, dimensions);
    assert!((1..report.dimensions).contains(&dimensions));

    // Neither batches nor threads change a digit that is printed.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let other = Analysis { batch_size: 5, ..analysis(&model, &faces) };
    let other = pool.install(|| other.run(|_| ())).unwrap();
    for (a, b) in report.layers.iter().zip(&other.layers) {
        assert!((a.kl_nats - b.kl_nats).abs() < 1e-3 * a.kl_nats.max(1e-3));
        assert!((a.reliability.unwrap() - b.reliability.unwrap()).abs() < 1e-3);
        assert_eq!((a.active, a.dimensions_95), (b.active, b.dimensions_95));
    }
}

#[test]
fn pictures_need_not_be_decoded_and_must_be_there() {
    let model = Vdvae::builtin(&Device::Cpu).unwrap();
    let faces = ToyFaces::with_people(0, [1, 1, 1]);
    let report = Analysis { pictures: 1, decoded: 0, ..analysis(&model, &faces) };
    let report = report.run(|_| ()).unwrap();
    assert!(report.layers.iter().all(|l| l.depth.is_none() && l.reliability.is_none()));
    let none = Analysis { pictures: 0, ..analysis(&model, &faces) };
    assert!(none.run(|_| ()).unwrap_err().to_string().contains("at least 1"));
    let empty = ToyFaces::with_people(0, [1, 1, 0]);
    let error = analysis(&model, &empty).run(|_| ()).unwrap_err().to_string();
    assert!(error.contains("split `test` is empty"), "{error}");
}

#[test]
fn a_layer_adds_what_those_above_do_not_foretell() {
    let model = Vdvae::builtin(&Device::Cpu).unwrap();
    let faces = ToyFaces::with_people(0, [3, 2, 2]);
    let bootstrap = Bootstrap { replicates: 20, seed: 0 };
    let plain = analysis(&model, &faces);
    let scores = layer_scores(&plain, &RidgeProbe::default(), bootstrap, |_| ()).unwrap();
    assert_eq!(scores.len(), 20);
    // Nothing foretells the first layer: its prior mean is the same for all pictures.
    assert_eq!(scores[0].prior.value, Some(0.5));
    for layer in &scores {
        let (posterior, prior) = (layer.posterior.value.unwrap(), layer.prior.value.unwrap());
        assert!((layer.born.value.unwrap() - (posterior - prior)).abs() < 1e-12);
        assert!(layer.random.value.is_some() && layer.born.ci95.is_some());
    }
}
