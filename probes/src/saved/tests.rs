use std::fs;

use super::*;
use crate::fixture::{classes, planted, reals};
use crate::{CentroidProbe, LinearProbe, Probe, RidgeProbe};

fn features() -> FeatureInfo {
    FeatureInfo {
        network: "model.safetensors".into(),
        sha256: "ab".repeat(32),
        layers: LayerSelection::First(2),
        statistic: Statistic::Mean,
        pooling: Pooling::Grid(4),
        seed: u64::MAX,
        samples: 3,
    }
}

fn saved(probe: &dyn Probe, tables: [&vdvae_features::FeatureTable; 2]) -> (Fitted, SavedProbe) {
    let fitted = probe.fit(tables[0], tables[1]).unwrap();
    let saved = SavedProbe::new(&fitted, "task".into(), features(), tables[0].view()).unwrap();
    (fitted, saved)
}

#[test]
fn what_is_written_reads_back_and_predicts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.safetensors");
    let mut one_value = planted(60, 1);
    if let Targets::Binary { values, .. } = &mut one_value.targets {
        values.column_mut(0).fill(1);
    }
    let cases: [(&dyn Probe, _, _); 4] = [
        (&LinearProbe::default(), one_value, planted(60, 2)),
        (&LinearProbe::default(), classes(60, 1), classes(60, 2)),
        (&RidgeProbe::default(), classes(60, 1), classes(60, 2)),
        (&RidgeProbe::default(), reals(60, 1), reals(60, 2)),
    ];
    for (probe, train, valid) in cases {
        let (fitted, saved) = saved(probe, [&train, &valid]);
        saved.save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let loaded = SavedProbe::load(&path).unwrap();
        assert_eq!(loaded.info, saved.info);
        for target in &saved.info.targets {
            assert_eq!(loaded.pattern(target), saved.pattern(target));
        }
        assert_eq!(loaded.pattern("none such"), None);
        loaded.save(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        let scores = fitted.predict(valid.view()).unwrap();
        let predictions = loaded.predict(valid.view()).unwrap();
        for (prediction, score) in predictions.iter().zip(&scores) {
            assert_eq!(prediction.score, (!score.is_nan()).then_some(*score));
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn probabilities_are_those_of_the_objective() {
    let (train, valid) = (planted(60, 1), planted(60, 2));
    let (_, binary) = saved(&LinearProbe::default(), [&train, &valid]);
    for prediction in binary.predict(valid.view()).unwrap() {
        let [score, probability] = [prediction.score.unwrap(), prediction.probability.unwrap()];
        assert!((probability.ln() - (1.0 - probability).ln() - score).abs() < 1e-6);
    }
    let (train, valid) = (classes(60, 1), classes(60, 2));
    let (_, softmax) = saved(&LinearProbe::default(), [&train, &valid]);
    for row in softmax.predict(valid.view()).unwrap().rows() {
        let sum: f64 = row.iter().map(|prediction| prediction.probability.unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }
    let (_, ridge) = saved(&RidgeProbe::default(), [&train, &valid]);
    assert!(ridge.predict(valid.view()).unwrap().iter().all(|p| p.probability.is_none()));
}

#[test]
fn what_is_no_probe_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.safetensors");
    let (train, valid) = (planted(60, 1), planted(60, 2));
    saved(&LinearProbe::default(), [&train, &valid]).1.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let failing = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let line = SavedProbe::load(&path).unwrap_err().to_string();
        assert!(line.starts_with(&path.display().to_string()) && !line.contains('\n'), "{line}");
        assert!(line.len() < 600, "{line}");
        line
    };
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        assert!(failing(&whole[..length]).contains("expected a whole safetensors file"));
    }
    // Every bit counts: of the weights, and of the words.
    let mut flipped = whole.clone();
    flipped[whole.len() - 9] ^= 1;
    assert!(failing(&flipped).contains("expected content with hash"));
    let edit = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    assert!(failing(&edit("first:2", "first:3")).contains("expected content with hash"));
    assert!(failing(&edit("vdvae-probe", "vdvae_probe")).contains("metadata `vdvae-probe`"));
    assert!(failing(&edit("\"weights\"", "\"weighty\"")).contains("expected tensors deviation"));
    assert!(failing(&edit("F64", "I64")).contains("F64"));
    assert!(failing(b"not a probe at all, but a text").contains("whole safetensors file"));
    let mut huge = u64::MAX.to_le_bytes().to_vec();
    huge.extend_from_slice(&[b' '; 64]);
    assert!(failing(&huge).contains("whole safetensors file"));
    assert!(SavedProbe::load(folder.path()).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn a_bank_of_rows_is_not_saved() {
    let train = planted(60, 1);
    let fitted = CentroidProbe.fit(&train, &planted(60, 2)).unwrap();
    let error = SavedProbe::new(&fitted, "task".into(), features(), train.view()).unwrap_err();
    assert_eq!(error.to_string(), "probe centroid: cannot be saved; use logistic or ridge");
}
