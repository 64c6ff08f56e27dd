//! A report of fixed numbers for the tests of this crate.

use vdvae_probes::{DataInfo, ModelInfo, ProbeReport, ProbeResult, Source, TargetResult};

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
        layers: Some("32x32".into()),
        resolution: Some(32),
        columns: 512,
        matched_columns: None,
        train_fraction: 1.0,
        n_train: 80,
        label_seed: None,
        probe: "logistic".into(),
        solver: "batched".into(),
        metric: "auroc".into(),
        value: Some(0.75),
        ci95: Some([0.7, 0.8125]),
        selectivity: Some(0.25),
        converged: true,
        per_target: vec![
            target("Smiling", [0.75, 0.5, 0.625, 0.875, 0.5].map(Some), Some(100.0)),
            target("Hat, red", [None, None, None, Some(1.0), Some(1.0)], None),
        ],
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
        data: DataInfo { name: "celeba".into(), n_train: 80, n_valid: 10, n_test: 10 },
        seed: 7,
        results: vec![latents, pixels],
        comparisons: vec![],
    }
}
