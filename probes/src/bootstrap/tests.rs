use ndarray::{Array2, array};
use vdvae_features::Targets;

use super::*;
use crate::metrics;

/// Labels and noisy scores of 40 groups of 10 alike rows: within a group everything is equal.
fn grouped(seed: u64) -> (Array2<i8>, Array2<f64>, Vec<u64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut labels, mut scores) = (Array2::zeros((400, 2)), Array2::zeros((400, 2)));
    for target in 0..2 {
        for group in 0..40 {
            let label = i8::from(rng.random_bool(0.4));
            let score = f64::from(label) + rng.random_range(-1.5..1.5);
            for row in 10 * group..10 * (group + 1) {
                labels[[row, target]] = label;
                scores[[row, target]] = score;
            }
        }
    }
    (labels, scores, (0..400).map(|row| row / 10).collect())
}

fn resamples(rows: usize, groups: Option<&[u64]>, replicates: usize, seed: u64) -> Resamples {
    Resamples::new(rows, groups, Bootstrap { replicates, seed }).unwrap()
}

fn width(replicated: &Replicated) -> f64 {
    let [low, high] = replicated.interval().unwrap();
    high - low
}

/// The rows of every replicate, each as often as it was drawn.
fn drawn_rows(resamples: &Resamples) -> Vec<Vec<usize>> {
    let rows = |counts: &[Counts], lane: usize| {
        (0..counts.len()).flat_map(|i| vec![i; counts[i][lane] as usize]).collect()
    };
    let lanes = |counts: &[Counts]| (0..LANES).map(|lane| rows(counts, lane)).collect::<Vec<_>>();
    resamples.map(lanes).into_iter().flatten().collect()
}

#[test]
fn weights_are_copies_of_rows() {
    // Missing labels, ties across labels, and rows that are alone with their score.
    let labels = Array2::from_shape_fn((60, 3), |(i, j)| ((i * 7 + j * 5) % 3) as i8 - 1);
    let scores = Array2::from_shape_fn((60, 3), |(i, j)| ((i * 11 + j) % (13 + 30 * j)) as f64);
    let truth = scores.mapv(|s: f64| if s == 3.0 { f64::NAN } else { (s * 0.7).sin() });
    let right: Vec<bool> = (0..60).map(|i| i % 4 == 1).collect();
    let resamples = resamples(60, None, 12, 3);
    let rows = drawn_rows(&resamples);
    let check = |estimator: &dyn Fn() -> Replicated, expected: &dyn Fn(&[usize]) -> f64| {
        let replicated = estimator();
        assert_eq!(replicated.replicates.len(), 12);
        for (found, rows) in replicated.replicates.iter().zip(&rows) {
            assert_eq!(rows.len(), 60);
            // The same numbers added in another order, relative to their size.
            let expected = expected(rows);
            assert!((found.unwrap() - expected).abs() < 1e-12 * expected.abs().max(1.0));
        }
    };
    let auroc = MeanAuroc::new(labels.view(), scores.view());
    check(&|| resamples.replicate(&auroc), &|rows| {
        let of = |j: usize| {
            let labels: Vec<i8> = rows.iter().map(|&i| labels[[i, j]]).collect();
            let scores: Vec<f64> = rows.iter().map(|&i| scores[[i, j]]).collect();
            metrics::auroc(&labels, &scores).unwrap()
        };
        (0..3).map(of).sum::<f64>() / 3.0
    });
    let r2 = MeanR2::new(truth.view(), scores.view());
    check(&|| resamples.replicate(&r2), &|rows| {
        let of = |j: usize| {
            let truth: Vec<f64> = rows.iter().map(|&i| truth[[i, j]]).collect();
            let scores: Vec<f64> = rows.iter().map(|&i| scores[[i, j]]).collect();
            metrics::r2(&truth, &scores).unwrap()
        };
        (0..3).map(of).sum::<f64>() / 3.0
    });
    let accuracy = MeanAccuracy { right: right.clone() };
    check(&|| resamples.replicate(&accuracy), &|rows| {
        rows.iter().filter(|&&i| right[i]).count() as f64 / 60.0
    });
}

#[test]
fn groups_are_drawn_whole_and_widen_the_interval() {
    let (labels, scores, groups) = grouped(5);
    let estimator = MeanAuroc::new(labels.view(), scores.view());
    let by_row = resamples(400, None, 400, 0).replicate(&estimator);
    let by_group = resamples(400, Some(&groups), 400, 0);
    for rows in drawn_rows(&by_group) {
        assert_eq!(rows.len(), 400);
        assert!(rows.chunks(10).all(|ten| ten.iter().all(|row| row / 10 == ten[0] / 10)));
    }
    // Ten equal rows a group: the deviation grows by about the root of ten.
    let by_group = by_group.replicate(&estimator);
    assert_eq!((by_row.units, by_group.units), (400, 40));
    assert!(width(&by_group) > 2.0 * width(&by_row), "{by_row:?} {by_group:?}");
    let [low, high] = by_group.interval().unwrap();
    let value = by_group.value.unwrap();
    assert!(low < value && value < high);
}

#[test]
fn the_same_on_one_thread_and_on_many() {
    let (labels, scores, groups) = grouped(6);
    let estimator = MeanAuroc::new(labels.view(), scores.view());
    let on = |threads, seed| {
        let resamples = resamples(400, Some(&groups), 200, seed);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| resamples.replicate(&estimator))
    };
    assert_eq!(on(1, 9), on(3, 9));
    assert_ne!(on(1, 9), on(1, 10));
    // More replicates begin with those of fewer.
    let more = resamples(400, Some(&groups), 205, 9).replicate(&estimator);
    assert_eq!((more.replicates.len(), &more.replicates[..200]), (205, &on(1, 9).replicates[..]));
}

#[test]
fn paired_differences_cancel_what_is_shared() {
    let (labels, scores, _) = grouped(7);
    let better = &scores + &labels.mapv(|l| 0.2 * f64::from(l));
    let resamples = resamples(400, None, 400, 1);
    let a = resamples.replicate(&MeanAuroc::new(labels.view(), better.view()));
    let b = resamples.replicate(&MeanAuroc::new(labels.view(), scores.view()));
    let paired = a.minus(&b).unwrap();
    assert_eq!(paired.value, a.value.unwrap() - b.value.unwrap());
    let [low, high] = paired.ci95.unwrap();
    assert!(low > 0.0 && paired.p_value.unwrap() < 0.01, "{paired:?}");
    assert!(high - low < 0.7 * width(&a));
    let none = PairedDifference { value: 0.0, ci95: Some([0.0, 0.0]), p_value: Some(1.0) };
    assert_eq!(a.minus(&a), Some(none));
}

#[test]
fn undefined_statistics_have_no_interval() {
    let three = resamples(3, None, 50, 1);
    let one_class =
        MeanAuroc::new(Array2::ones((3, 1)).view(), Array2::from_elem((3, 1), 0.5).view());
    let constant = MeanR2::new(Array2::ones((3, 1)).view(), Array2::from_elem((3, 1), 0.5).view());
    for replicated in [three.replicate(&one_class), three.replicate(&constant)] {
        assert_eq!((replicated.value, replicated.interval()), (None, None));
    }
    let nothing = resamples(0, None, 50, 1).replicate(&MeanAccuracy { right: vec![] });
    assert_eq!((nothing.value, nothing.interval()), (None, None));
    let single = resamples(1, None, 50, 1).replicate(&MeanAccuracy { right: vec![true] });
    assert_eq!((single.value, single.interval()), (Some(1.0), None));
    assert!(Resamples::new(3, Some(&[1, 2]), Bootstrap::default()).is_err());
}

#[test]
fn columns_that_were_not_fitted_are_left_out() {
    let truth = Targets::Binary {
        names: vec!["a".into(), "b".into()],
        values: array![[0, 1], [1, 0], [0, 1]],
    };
    let scores = array![[0.1, f64::NAN], [0.2, f64::NAN], [0.0, f64::NAN]];
    assert_eq!(headline(&truth, scores.view()).unwrap().value(), Some(1.0));
    assert!(headline(&truth, Array2::from_elem((3, 2), f64::NAN).view()).is_none());
}

#[test]
fn accuracy_interval_is_the_binomial_one() {
    let estimator = MeanAccuracy { right: (0..1000).map(|i| i % 4 != 0).collect() };
    let replicated = resamples(1000, None, 2000, 2).replicate(&estimator);
    let [low, high] = replicated.interval().unwrap();
    // 0.75 ± 1.96 sqrt(0.75 · 0.25 / 1000) = 0.75 ± 0.0268; the percentiles of 2000 replicates
    // scatter by about 0.001.
    assert!((low - 0.7232).abs() < 0.004 && (high - 0.7768).abs() < 0.004, "{low} {high}");
}
