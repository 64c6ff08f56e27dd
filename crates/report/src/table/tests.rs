use super::*;
use crate::fixture;

#[test]
fn results_of_fixed_numbers() {
    let expected = "\
source   layers  columns  mean AUROC    95% interval  selectivity  avg prec  bal acc  accuracy
latents  32x32       512       0.750  [0.700, 0.812]       +0.250     0.500    0.625     0.938
pixels   -          3072           -               -            -         -        -         -
undefined, one value in train or test: Hat, red, Smiling
";
    assert_eq!(results_table(&fixture::report().results), expected);
}

#[test]
fn a_report_says_what_it_measured_and_explains_the_controls_it_has() {
    let text = report_table(&fixture::report());
    let table = results_table(&fixture::report().results);
    let expected = format!(
        "celeba-attrs with model builtin: 80 train, 10 valid, 10 test pictures\n\n{table}\n\
         scores on test, means over the targets; AUROC of 0.5 is chance; intervals are 95% \
         bootstrap\n\
         control pixels: what the network sees, without the network\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn names_do_not_control_the_terminal() {
    let mut report = fixture::report();
    report.task = "folder:a\u{1b}[2J".to_owned();
    report.results[0].per_target[0].target = "re\u{1b}[31md\nx".to_owned();
    report.results[0].per_target[0].converged = Some(false);
    let text = report_table(&report) + &targets_table(&report.results[0]);
    assert!(text.starts_with("folder:a\\u{1b}[2J with model"), "{text}");
    assert!(text.contains("\nnot converged: latents 32x32: re\\u{1b}[31md\\nx\n"), "{text}");
    assert!(text.contains("\nre\\u{1b}[31md\\nx  0.750"), "{text}");
}

#[test]
fn fits_that_did_not_converge_are_named() {
    let mut result = fixture::report().results.remove(0);
    result.per_target[0].converged = Some(false);
    let text = results_table(std::slice::from_ref(&result));
    assert!(text.contains("\nnot converged: latents 32x32: Smiling\n"), "{text}");
    let expected = "\
target    AUROC  avg prec  bal acc  accuracy  base rate  strength
Smiling   0.750     0.500    0.625     0.875      0.500       1e2  not converged
Hat, red      -         -        -     1.000      1.000         -
";
    assert_eq!(targets_table(&result), expected);
}

#[test]
fn choices_at_an_end_of_the_strengths_are_counted() {
    let mut results = fixture::report().results;
    results[0].per_target[0].strength_edge = Some(StrengthEdge::Smallest);
    results.push(ProbeResult { source: Source::RandomInit, ..results[0].clone() });
    results
        .push(ProbeResult { source: Source::RandomInit, ..fixture::report().results[0].clone() });
    results[3].per_target[1].strength = Some(1e6);
    results[3].per_target[1].strength_edge = Some(StrengthEdge::Largest);
    let text = results_table(&results);
    let smallest = "targets that chose the smallest strength: latents 1 of 1, random-init 1 of 3";
    let largest = "targets that chose the largest strength: random-init 1 of 3";
    assert!(text.contains(&format!("\n{smallest}\n{largest}\n")), "{text}");
}

#[test]
fn classes_are_headed_by_accuracy() {
    let mut result = fixture::report().results.remove(0);
    result.metric = Metric::Accuracy;
    result.selectivity = None;
    result.per_target[0].recall = Some(0.25);
    result.per_target[1].recall = Some(0.75);
    let expected = "\
source   layers  columns  accuracy    95% interval  AUROC  avg prec  bal acc
latents  32x32       512     0.750  [0.700, 0.812]  0.750     0.500    0.500
undefined, one value in train or test: Hat, red
";
    assert_eq!(results_table(std::slice::from_ref(&result)), expected);
    let expected = "\
target    AUROC  avg prec  recall  1-vs-rest acc  base rate  strength
Smiling   0.750     0.500   0.250          0.875      0.500       1e2
Hat, red      -         -   0.750          1.000      1.000         -
";
    assert_eq!(targets_table(&result), expected);
}

#[test]
fn real_targets_are_headed_by_r2() {
    let mut result = fixture::report().results.remove(0);
    result.metric = Metric::R2;
    result.selectivity = None;
    result.probe = "knn".into();
    result.per_target.truncate(1);
    let target = &mut result.per_target[0];
    (target.r2, target.pearson, target.spearman) = (Some(0.5), Some(0.75), Some(0.625));
    target.neighbours = Some(20);
    let expected = "\
source   layers  columns  probe  mean R²    95% interval  pearson  spearman
latents  32x32       512  knn      0.750  [0.700, 0.812]    0.750     0.625
";
    assert_eq!(results_table(std::slice::from_ref(&result)), expected);
    let expected = "\
target      R²  pearson  spearman  neighbours
Smiling  0.500    0.750     0.625          20
";
    assert_eq!(targets_table(&result), expected);
}

#[test]
fn label_seeds_are_averaged() {
    let whole = fixture::report().results.remove(0);
    let drawn = |seed, shift| ProbeResult {
        train_fraction: 0.1,
        n_train: 8,
        label_seed: Some(seed),
        value: Some(0.5 + shift),
        ci95: Some([0.25 + shift, 0.75 + shift]),
        per_target: vec![],
        selectivity: None,
        ..whole.clone()
    };
    let text = results_table(&[
        drawn(0, 0.0),
        drawn(1, 0.25),
        ProbeResult { selectivity: None, per_target: vec![], ..whole.clone() },
    ]);
    let expected = "\
source   layers  columns  train rows  seeds  mean AUROC    95% interval  avg prec  bal acc  accuracy
latents  32x32       512           8      2       0.625  [0.375, 0.875]         -        -         -
latents  32x32       512          80      -       0.750  [0.700, 0.812]         -        -         -
";
    assert_eq!(text, expected);
}

#[test]
fn comparisons_of_fixed_numbers() {
    let side = |source, layers| Compared {
        source,
        layers,
        probe: "logistic".into(),
        matched_columns: None,
        train_fraction: 1.0,
        labels: None,
    };
    let one = Comparison {
        a: side(Source::Latents, Some(vdvae_features::LayerSelection::Resolution(32))),
        b: side(Source::Pixels, None),
        difference: -0.0125,
        ci95: Some([-0.025, 0.0]),
        p_value: Some(0.04),
    };
    let matched = Compared { matched_columns: Some(64), probe: "knn".into(), ..one.a.clone() };
    let other = Comparison { a: matched, ci95: None, p_value: None, ..one.clone() };
    let expected = "\
difference of                     and                         95% interval      p
latents 32x32                     pixels            -0.013  [-0.025, +0.000]  0.040
latents 32x32 (64 columns) knn    pixels            -0.013                 -      -
";
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&comparisons_table(&[one.clone(), other])), squeeze(expected));
    let many = comparisons_table(&vec![one; MOST_COMPARISONS + 3]);
    assert!(many.ends_with("and 3 more in results.json\n"), "{many}");
}
