//! What the built-in task asks for is in its pictures.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use vdvae_datasets::{Preparation, Split, ToyFaces};
use vdvae_features::{Extraction, FeatureSource};
use vdvae_probes::{Bootstrap, RidgeProbe, evaluate};

/// An attribute that cannot be read at 32×32 teaches nothing: without nuisance, a linear probe of
/// the pixels reads every one of people it has not seen.
#[test]
fn every_attribute_is_linear_in_studio_pictures() {
    let faces = ToyFaces::new(0).in_studio();
    let [train, valid, test] = Split::ALL.map(|split| {
        let extraction = Extraction::new(&faces, split, Preparation::new(32));
        extraction.table(FeatureSource::Pixels).unwrap()
    });
    let probe = RidgeProbe { strengths: vec![300.0] };
    let bootstrap = Bootstrap { replicates: 1, seed: 0 };
    let result = evaluate(&probe, &train, &valid, &test, bootstrap).unwrap().result;
    assert_eq!(result.per_target.len(), 24);
    for target in &result.per_target {
        let auroc = target.auroc.unwrap();
        assert!(auroc > 0.8, "{}: {auroc}", target.target);
    }
}
