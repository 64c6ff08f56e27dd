use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vdvae_features::FeatureColumn;

use super::*;
use crate::{Resamples, paired_difference, shuffle_targets};

fn noise(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0))
}

fn table(features: Array2<f32>, targets: Targets) -> FeatureTable {
    let (rows, columns) = features.dim();
    let column = |channel| FeatureColumn { layer: None, resolution: None, channel, cell: 0 };
    FeatureTable {
        features,
        targets,
        keys: (0..rows).map(|row| row.to_string()).collect(),
        groups: None,
        columns: (0..columns).map(column).collect(),
    }
}

/// Two targets: the sign of column 1, and a noisy sign of column 2 of which the first row is
/// missing.
fn planted(rows: usize, seed: u64) -> FeatureTable {
    let mut features = noise(rows, 6, seed);
    // A gap between the two sides of the first target.
    features.column_mut(1).mapv_inplace(|value| value + 0.5f32.copysign(value));
    let extra = noise(rows, 1, seed + 1000);
    let values = Array2::from_shape_fn((rows, 2), |(row, target)| match (row, target) {
        (_, 0) => i8::from(features[[row, 1]] > 0.0),
        (0, _) => -1,
        _ => i8::from(features[[row, 2]] + extra[[row, 0]] > 0.5),
    });
    table(features, Targets::Binary { names: vec!["easy".into(), "noisy".into()], values })
}

fn evaluate(probe: &LinearProbe, make: impl Fn(u64) -> FeatureTable) -> LinearOutcome {
    probe.evaluate(&make(1), &make(2), &make(3)).unwrap()
}

#[test]
fn planted_truth_is_found() {
    for solver in [Solver::Batched, Solver::Linfa] {
        let probe = LinearProbe { solver, ..LinearProbe::default() };
        let outcome = evaluate(&probe, |seed| planted(400, seed));
        let [easy, noisy] = &outcome.per_target[..] else { panic!("{outcome:?}") };
        assert_eq!((easy.auroc, easy.accuracy), (Some(1.0), Some(1.0)), "{easy:?}");
        assert!((0.75..0.95).contains(&noisy.auroc.unwrap()), "{noisy:?}");
        assert!(noisy.accuracy > noisy.base_rate && noisy.converged == Some(true));
        let mean = 0.5 * (easy.auroc.unwrap() + noisy.auroc.unwrap());
        assert!((outcome.value.unwrap() - mean).abs() < 1e-12);
        let [low, high] = outcome.ci95.unwrap();
        assert!(low < mean && mean < high && high - low < 0.06, "{low} {high}");
    }
}

#[test]
fn shuffled_labels_score_at_chance() {
    let outcome =
        evaluate(&LinearProbe::default(), |seed| shuffle_targets(&planted(800, seed), seed));
    let [low, high] = outcome.ci95.unwrap();
    assert!(low < 0.5 && 0.5 < high, "{outcome:?}");
}

#[test]
fn groups_of_test_rows_widen_the_interval() {
    let mut test = planted(60, 3);
    let copies: Vec<usize> = (0..600).map(|row| row / 10).collect();
    test = test.select_rows(&copies);
    let probe = LinearProbe::default();
    let (train, valid) = (planted(400, 1), planted(200, 2));
    let by_row = probe.evaluate(&train, &valid, &test).unwrap();
    test.groups = Some(copies.iter().map(|&row| row as u64).collect());
    let by_group = probe.evaluate(&train, &valid, &test).unwrap();
    assert_eq!(by_row.value, by_group.value);
    let width = |outcome: &LinearOutcome| outcome.ci95.map(|[low, high]| high - low).unwrap();
    assert!(width(&by_group) > 2.0 * width(&by_row));
}

#[test]
fn the_test_rows_choose_nothing() {
    let (train, valid, test) = (planted(300, 1), planted(100, 2), planted(100, 3));
    let probe = LinearProbe::default();
    let full = probe.evaluate(&train, &valid, &test).unwrap();
    let mut other = test.clone();
    other.features *= 1000.0;
    if let Targets::Binary { values, .. } = &mut other.targets {
        values.mapv_inplace(|label| if label < 0 { label } else { 1 - label });
    }
    let moved = probe.evaluate(&train, &valid, &other).unwrap();
    for (a, b) in full.per_target.iter().zip(&moved.per_target) {
        assert_eq!((a.strength, a.converged), (b.strength, b.converged));
    }
    // And each row is scored by itself.
    let half: Vec<usize> = (0..50).collect();
    let parts = probe.evaluate(&train, &valid, &test.select_rows(&half)).unwrap();
    assert_eq!(parts.per_target[0].strength, full.per_target[0].strength);
}

#[test]
fn strength_is_chosen_on_validation_the_stronger_of_equals() {
    // One column only: its weight's size changes no ranking; these weights are too small to move
    // any row across the boundary.
    let one = |seed| {
        let features = noise(200, 1, seed);
        let values = features.mapv(|value| i8::from(value > 0.1));
        table(features, Targets::Binary { names: vec!["only".into()], values })
    };
    let probe = LinearProbe { strengths: vec![1e7, 1e9, 1e8], ..LinearProbe::default() };
    assert_eq!(evaluate(&probe, one).per_target[0].strength, Some(1e9));
    // At ordinary strengths the AUROCs are still equal, but the strongest calls no row positive.
    let only = &evaluate(&LinearProbe::default(), one).per_target[0];
    assert!(only.strength.unwrap() < 1e6 && only.balanced_accuracy.unwrap() > 0.9, "{only:?}");
}

#[test]
fn classes_are_scored_by_top_one() {
    let classes = |seed| {
        let features = noise(600, 5, seed);
        let angle = |row: usize| features[[row, 0]].atan2(features[[row, 1]]) / 6.3 + 0.5;
        let labels = (0..600).map(|row| ((angle(row) * 3.0) as u32).min(2)).collect();
        let names = ["a", "b", "c", "never"].map(String::from).to_vec();
        table(features, Targets::Classes { names, labels })
    };
    let outcome = evaluate(&LinearProbe::default(), classes);
    assert_eq!(outcome.metric, "accuracy");
    assert!(outcome.value.unwrap() > 0.95, "{outcome:?}");
    let never = &outcome.per_target[3];
    assert_eq!((never.auroc, never.accuracy, never.base_rate), (None, Some(1.0), Some(1.0)));
    assert!(outcome.per_target[..3].iter().all(|class| class.auroc.unwrap() > 0.98));
    let refused = LinearProbe { solver: Solver::Linfa, ..LinearProbe::default() }
        .evaluate(&classes(1), &classes(2), &classes(3))
        .unwrap_err();
    assert!(refused.to_string().contains("--solver batched"), "{refused}");
}

#[test]
fn undefined_targets_are_reported_and_left_out_of_the_mean() {
    let with = |seed, missing: bool| {
        let mut table = planted(200, seed);
        if let (true, Targets::Binary { values, .. }) = (missing, &mut table.targets) {
            values.column_mut(0).fill(1);
        }
        table
    };
    let probe = LinearProbe::default();
    // One class in train: nothing to fit.
    let outcome = probe.evaluate(&with(1, true), &with(2, false), &with(3, false)).unwrap();
    let (broken, whole) = (&outcome.per_target[0], &outcome.per_target[1]);
    assert_eq!((broken.auroc, broken.strength, broken.converged), (None, None, None));
    assert!(broken.accuracy.is_none() && broken.base_rate.is_some());
    assert_eq!(outcome.value, whole.auroc);
    // One class in validation: the strength that suits the others. In test: no AUROC.
    let outcome = probe.evaluate(&with(1, false), &with(2, true), &with(3, false)).unwrap();
    assert_eq!(outcome.per_target[0].strength, outcome.per_target[1].strength);
    let outcome = probe.evaluate(&with(1, false), &with(2, false), &with(3, true)).unwrap();
    assert_eq!(outcome.per_target[0].auroc, None);
    assert!(outcome.per_target[0].accuracy.is_some());
    assert_eq!(outcome.value, outcome.per_target[1].auroc);
}

#[test]
fn outcomes_on_the_same_rows_compare_in_pairs() {
    let probe = LinearProbe::default();
    let tables = [1, 2, 3].map(|seed| planted(400, seed));
    let blind = tables.each_ref().map(|table| table.select_columns(|column| column.channel != 2));
    let [whole, blind] =
        [&tables, &blind].map(|[train, valid, test]| probe.evaluate(train, valid, test).unwrap());
    let resamples = Resamples::new(400, None, 500, 1).unwrap();
    let gain = paired_difference(&whole.scores, &blind.scores, &resamples).unwrap();
    assert!((gain.value - (whole.value.unwrap() - blind.value.unwrap())).abs() < 1e-12);
    assert!(gain.ci95.unwrap()[0] > 0.05, "{gain:?}");
}

#[test]
fn mismatched_tables_are_errors() {
    let probe = LinearProbe::default();
    let (train, valid, test) = (planted(50, 1), planted(50, 2), planted(50, 3));
    let failing = |valid: &FeatureTable, test: &FeatureTable| {
        probe.evaluate(&train, valid, test).unwrap_err().to_string()
    };
    let narrow = test.select_columns(|column| column.channel < 3);
    assert_eq!(failing(&valid, &narrow), "test table: expected 6 columns, found 3");
    assert_eq!(
        failing(&valid.select_rows(&[]), &test),
        "valid table: expected at least one row, found none"
    );
    let mut broken = test.clone();
    broken.features[[3, 2]] = f32::NAN;
    assert!(failing(&valid, &broken).starts_with("test table: features of 3: column 2:"));
    let unlabelled = FeatureTable { targets: Targets::None, ..test.clone() };
    assert!(failing(&valid, &unlabelled).contains("kind of targets"));
    let nothing = probe.evaluate(&unlabelled, &unlabelled, &unlabelled).unwrap_err();
    assert_eq!(nothing.to_string(), "train table: expected labels, found none");
    let idle = LinearProbe { strengths: vec![], ..LinearProbe::default() };
    let error = idle.evaluate(&train, &valid, &test).unwrap_err().to_string();
    assert_eq!(error, "strengths: expected at least one, found none");
}
