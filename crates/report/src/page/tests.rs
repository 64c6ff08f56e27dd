use image::{Rgb, RgbImage};
use vdvae_probes::{Comparison, ProbeReport, ProbeResult, Source};

use super::*;
use crate::fixture;

/// Results of two targets, one of which is not defined: two resolutions, all layers, two layers,
/// a part of the training split, and three controls.
fn report() -> ProbeReport {
    let mut report = fixture::report();
    let pixels = report.results.remove(1);
    let latents = report.results.remove(0);
    let at = |layers: &str, resolution, value| ProbeResult {
        layers: Some(layers.parse().unwrap()),
        resolution,
        value: Some(value),
        ci95: Some([value - 0.0625, value + 0.0625]),
        ..latents.clone()
    };
    let random = ProbeResult { source: Source::RandomInit, ..at("16x16", Some(16), 0.75) };
    let control = |source| ProbeResult { source, ..pixels.clone() };
    report.results = vec![
        at("4x4", Some(4), 0.625),
        at("16x16", Some(16), 0.875),
        at("all", None, 0.9375),
        at("0", Some(4), 0.625),
        at("1", Some(16), 0.8125),
        at("first:1", None, 0.625),
        at("first:2", None, 0.875),
        ProbeResult {
            train_fraction: 0.125,
            n_train: 10,
            label_seed: Some(3),
            ..at("16x16", Some(16), 0.6875)
        },
        random,
        ProbeResult { value: Some(0.5), ci95: Some([0.375, 0.625]), ..control(Source::Pixels) },
        control(Source::Pca),
    ];
    report.comparisons = vec![Comparison {
        a: report.results[1].side(),
        b: report.results[8].side(),
        difference: 0.125,
        ci95: Some([0.0625, 0.1875]),
        p_value: Some(0.0005),
    }];
    report
}

fn example() -> Example {
    let picture = |shade| RgbImage::from_pixel(2, 2, Rgb([shade, 128, 255]));
    let answer = |target: &str, probability, truth| Answer {
        target: target.into(),
        probability: Some(probability),
        truth: Some(truth),
    };
    Example {
        image: picture(0),
        key: "test/000000.png".into(),
        answers: vec![answer("Smiling", 0.75, true), answer("Hat, red", 0.25, true)],
        neighbours: vec![Neighbour {
            image: picture(64),
            key: "train/7".into(),
            similarity: 0.875,
        }],
    }
}

fn page(report: &ProbeReport) -> ReportPage<'_> {
    let layer = |index, resolution, kl_nats| LayerKl { index, resolution, kl_nats };
    ReportPage {
        layers: vec![layer(0, 4, 12.5), layer(1, 16, 37.5)],
        roc: vec![RocCurve {
            name: "Smiling".into(),
            source: Source::Latents,
            points: vec![[0.0, 0.0], [0.0, 0.5], [0.5, 1.0], [1.0, 1.0]],
            auroc: Some(0.875),
        }],
        pictures: vec![example()],
        provenance: vec![("Weights".into(), "builtin, sha256 abc".into())],
        command: "vdvae-probe --task celeba-attrs --layer all".into(),
        ..ReportPage::new(report)
    }
}

/// To accept another page: `INSTA_UPDATE=always cargo test -p vdvae-report`, and read the change.
#[test]
fn a_page_of_fixed_numbers() {
    let text = render_page(&page(&report())).replace("><", ">\n<");
    // The style sheet has a file of its own, and the bytes of a picture belong to its encoder.
    let text = text.replace(STYLE, "…");
    let mut parts = text.split("base64,");
    let mut shown = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find('"').unwrap();
        shown += &format!("base64,…{}", &part[end..]);
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_file_is_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let report = report();
    write_page(&path, &page(&report)).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), render_page(&page(&report)));
}
