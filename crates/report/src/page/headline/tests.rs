use vdvae_probes::ProbeReport;

use super::*;
use crate::{fixture, page::ReportPage};

fn results(rows: &[(Source, Option<&str>, f64, [f64; 2])]) -> Vec<ProbeResult> {
    let base = fixture::report().results.remove(0);
    let result =
        |&(source, layers, value, ci): &(Source, Option<&str>, f64, [f64; 2])| ProbeResult {
            source,
            layers: layers.map(|layers| layers.parse().unwrap()),
            value: Some(value),
            ci95: Some(ci),
            ..base.clone()
        };
    rows.iter().map(result).collect()
}

fn headline(results: Vec<ProbeResult>, comparisons: Vec<Comparison>) -> String {
    let report = ProbeReport { results, comparisons, ..fixture::report() };
    let page = ReportPage::new(&report);
    let view = View::new(&page);
    view.primary().and_then(|panel| find(&view, panel)).map_or_else(String::new, |f| sentence(&f))
}

fn toy_faces() -> Vec<ProbeResult> {
    results(&[
        (Source::Latents, Some("8x8"), 0.943, [0.938, 0.948]),
        (Source::Latents, Some("16x16"), 0.961, [0.957, 0.964]),
        (Source::Latents, Some("all"), 0.979, [0.976, 0.982]),
        (Source::RandomInit, Some("16x16"), 0.965, [0.961, 0.970]),
        (Source::Pixels, None, 0.935, [0.929, 0.940]),
        (Source::ShuffledLabels, Some("16x16"), 0.501, [0.481, 0.520]),
    ])
}

#[test]
fn overlapping_intervals_are_no_finding() {
    assert_eq!(
        headline(toy_faces(), Vec::new()),
        "The 16×16 latents score best of 2 resolutions (mean AUROC 0.961): above pixels and \
         shuffled labels, not separable from random weights."
    );
}

#[test]
fn a_paired_difference_decides_whichever_way_round_it_is() {
    let [best, random] = [1, 3].map(|place: usize| toy_faces()[place].side());
    let mut comparison = Comparison {
        a: best.clone(),
        b: random.clone(),
        difference: -0.004,
        ci95: Some([-0.006, -0.002]),
        p_value: Some(0.01),
    };
    let expected = "The 16×16 latents score best of 2 resolutions (mean AUROC 0.961): above \
                    pixels and shuffled labels, below random weights.";
    assert_eq!(headline(toy_faces(), vec![comparison.clone()]), expected);
    comparison = Comparison {
        a: random,
        b: best,
        difference: 0.004,
        ci95: Some([0.002, 0.006]),
        p_value: Some(0.01),
    };
    assert_eq!(headline(toy_faces(), vec![comparison.clone()]), expected);
    comparison.ci95 = Some([f64::NAN, 0.006]);
    assert!(headline(toy_faces(), vec![comparison]).contains("not separable from random"));
}

#[test]
fn one_selection_is_not_called_the_best() {
    let rows = results(&[
        (Source::Latents, Some("32x32"), 0.816, [0.807, 0.827]),
        (Source::Pixels, None, 0.850, [0.842, 0.858]),
    ]);
    let expected = "The 32×32 latents score a mean AUROC 0.816: below pixels.";
    assert_eq!(headline(rows, Vec::new()), expected);
}

#[test]
fn what_has_no_control_says_so() {
    let rows = results(&[
        (Source::Latents, Some("3"), 0.7, [0.6, 0.8]),
        (Source::Latents, Some("4"), 0.8, [0.7, 0.9]),
    ]);
    assert_eq!(
        headline(rows, Vec::new()),
        "Layer 4 scores best of 2 layers (mean AUROC 0.800); there is no control to compare with."
    );
    assert_eq!(headline(Vec::new(), Vec::new()), "");
}
