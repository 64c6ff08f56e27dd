//! A report of fixed numbers for the tests of this crate.

use vdvae_features::{FeatureSpec, LayerSelection};
use vdvae_probes::{
    DataInfo, EpisodeInfo, Metric, ModelInfo, ProbeReport, ProbeResult, Source, TargetResult,
    VerificationInfo,
};

fn target(name: &str, scores: [Option<f64>; 5], strength: Option<f64>) -> TargetResult {
    let [auroc, average_precision, balanced_accuracy, accuracy, base_rate] = scores;
    TargetResult {
        target: name.into(),
        auroc,
        average_precision,
        balanced_accuracy,
        accuracy,
        base_rate,
        strength,
        converged: strength.map(|_| true),
        ..TargetResult::default()
    }
}

/// Latents with one defined target of two, and pixels with none.
pub(crate) fn report() -> ProbeReport {
    let latents = ProbeResult {
        source: Source::Latents,
        layers: Some(LayerSelection::Resolution(32)),
        resolution: Some(32),
        columns: 512,
        matched_columns: None,
        train_fraction: 1.0,
        n_train: 80,
        label_seed: None,
        probe: "logistic".into(),
        solver: "batched".into(),
        metric: Metric::Auroc,
        value: Some(0.75),
        ci95: Some([0.7, 0.8125]),
        selectivity: Some(0.25),
        converged: true,
        per_target: vec![
            target("Smiling", [0.75, 0.5, 0.625, 0.875, 0.5].map(Some), Some(100.0)),
            target("Hat, red", [None, None, None, Some(1.0), Some(1.0)], None),
        ],
        ..ProbeResult::default()
    };
    let pixels = ProbeResult {
        source: Source::Pixels,
        layers: None,
        resolution: None,
        columns: 3072,
        value: None,
        ci95: None,
        selectivity: None,
        per_target: vec![target("Smiling", [None; 5], None)],
        ..latents.clone()
    };
    ProbeReport {
        task: "celeba-attrs".into(),
        model: ModelInfo {
            name: "builtin".into(),
            sha256: Some("abc".into()),
            config: serde_json::json!({"width": 96}),
        },
        data: DataInfo {
            name: "celeba".into(),
            n_train: 80,
            n_valid: 10,
            n_test: 10,
            remarks: vec![],
        },
        features: FeatureSpec::default(),
        seed: 7,
        results: vec![latents, pixels],
        comparisons: vec![],
        leaks: vec![],
    }
}

/// Episodes on two resolutions of latents, and on pixels.
pub(crate) fn few_shot() -> ProbeReport {
    let info = EpisodeInfo {
        ways: 5,
        shots: 1,
        queries: 15,
        episodes: 600,
        seed: Some(7),
        neighbours: None,
        strength: None,
    };
    let at = |source, layers, resolution, value| ProbeResult {
        source,
        layers,
        resolution,
        columns: 512,
        train_fraction: 1.0,
        probe: "cl2n".into(),
        solver: "closed-form".into(),
        metric: Metric::Accuracy,
        value: Some(value),
        ci95: Some([value - 0.015625, value + 0.015625]),
        converged: true,
        few_shot: Some(info.clone()),
        ..ProbeResult::default()
    };
    ProbeReport {
        task: "omniglot-5way-1shot".into(),
        results: vec![
            at(Source::Latents, Some(LayerSelection::Resolution(4)), Some(4), 0.5),
            at(Source::Latents, Some(LayerSelection::All), None, 0.625),
            at(Source::Pixels, None, None, 0.53125),
        ],
        ..report()
    }
}

/// Pairs of faces, scored by latents.
pub(crate) fn verification() -> ProbeReport {
    let result = ProbeResult {
        source: Source::Latents,
        layers: Some(LayerSelection::All),
        columns: 512,
        train_fraction: 1.0,
        probe: "cosine".into(),
        solver: "closed-form".into(),
        metric: Metric::Accuracy,
        value: Some(0.75),
        ci95: Some([0.6875, 0.8125]),
        converged: true,
        per_target: vec![TargetResult {
            target: "same person".into(),
            auroc: Some(0.875),
            accuracy: Some(0.75),
            ..TargetResult::default()
        }],
        verification: Some(VerificationInfo {
            dimensions: 512,
            pairs: 6000,
            standard_error: 0.03125,
            tar_at_far: vec![(0.1, Some(0.75)), (0.01, None)],
            fold_accuracies: vec![0.75; 10],
            thresholds: vec![0.5; 10],
            roc: vec![[0.0, 0.0], [0.5, 1.0], [1.0, 1.0]],
        }),
        ..ProbeResult::default()
    };
    ProbeReport { task: "lfw-verification".into(), results: vec![result], ..report() }
}
