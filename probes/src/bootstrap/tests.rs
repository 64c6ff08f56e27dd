use ndarray::Array2;

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

fn width(interval: Option<[f64; 2]>) -> f64 {
    let [low, high] = interval.unwrap();
    high - low
}

#[test]
fn weights_are_copies_of_rows() {
    let labels = Array2::from_shape_fn((60, 3), |(i, j)| ((i * 7 + j * 5) % 3) as i8 - 1);
    let scores = Array2::from_shape_fn((60, 3), |(i, j)| ((i * 11 + j) % 13) as f64);
    let statistic = MeanAuroc::new(labels.view(), scores.view());
    let resamples = Resamples::new(60, None, 5, 3).unwrap();
    for counts in resamples.map(<[u32]>::to_vec) {
        assert_eq!(counts.iter().sum::<u32>(), 60);
        let rows: Vec<usize> = (0..60).flat_map(|i| vec![i; counts[i] as usize]).collect();
        let expected: f64 = (0..3)
            .map(|j| {
                let labels: Vec<i8> = rows.iter().map(|&i| labels[[i, j]]).collect();
                let scores: Vec<f64> = rows.iter().map(|&i| scores[[i, j]]).collect();
                metrics::auroc(&labels, &scores).unwrap() / 3.0
            })
            .sum();
        // The same whole numbers divided in another order.
        assert!((statistic.weighted(&counts).unwrap() - expected).abs() < 1e-14);
    }
}

#[test]
fn groups_are_drawn_whole_and_widen_the_interval() {
    let (labels, scores, groups) = grouped(5);
    let statistic = MeanAuroc::new(labels.view(), scores.view());
    let by_row = Resamples::new(400, None, 400, 0).unwrap();
    let by_group = Resamples::new(400, Some(&groups), 400, 0).unwrap();
    for counts in by_group.map(<[u32]>::to_vec) {
        assert!(counts.chunks(10).all(|group| group.iter().all(|&c| c == group[0])));
    }
    // Ten equal rows a group: the deviation grows by about the root of ten.
    let (rows, groups) = (interval(&statistic, &by_row), interval(&statistic, &by_group));
    assert!(width(groups) > 2.0 * width(rows), "{rows:?} {groups:?}");
    let [low, high] = groups.unwrap();
    let value = statistic.value().unwrap();
    assert!(low < value && value < high);
}

#[test]
fn the_same_on_one_thread_and_on_many() {
    let (labels, scores, groups) = grouped(6);
    let statistic = MeanAuroc::new(labels.view(), scores.view());
    let on = |threads, seed| {
        let resamples = Resamples::new(400, Some(&groups), 200, seed).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| interval(&statistic, &resamples)).unwrap()
    };
    assert_eq!(on(1, 9), on(3, 9));
    assert_ne!(on(1, 9), on(1, 10));
}

#[test]
fn paired_differences_cancel_what_is_shared() {
    let (labels, scores, _) = grouped(7);
    let better = &scores + &labels.mapv(|l| 0.2 * f64::from(l));
    let a = MeanAuroc::new(labels.view(), better.view());
    let b = MeanAuroc::new(labels.view(), scores.view());
    let resamples = Resamples::new(400, None, 400, 1).unwrap();
    let paired = paired_difference(&a, &b, &resamples).unwrap();
    assert_eq!(paired.value, a.value().unwrap() - b.value().unwrap());
    assert!(paired.ci95.unwrap()[0] > 0.0);
    assert!(width(paired.ci95) < 0.7 * width(interval(&a, &resamples)));
    let none = paired_difference(&a, &a, &resamples).unwrap();
    assert_eq!(none, PairedDifference { value: 0.0, ci95: Some([0.0, 0.0]) });
}

#[test]
fn undefined_statistics_have_no_interval() {
    let resamples = Resamples::new(3, None, 50, 1).unwrap();
    let one_class =
        MeanAuroc::new(Array2::ones((3, 1)).view(), Array2::from_elem((3, 1), 0.5).view());
    assert_eq!((one_class.value(), interval(&one_class, &resamples)), (None, None));
    let nothing = MeanAccuracy { right: vec![] };
    let resamples = Resamples::new(0, None, 50, 1).unwrap();
    assert_eq!((nothing.value(), interval(&nothing, &resamples)), (None, None));
    assert!(Resamples::new(3, Some(&[1, 2]), 1, 1).is_err());
}

#[test]
fn accuracy_interval_is_the_binomial_one() {
    let statistic = MeanAccuracy { right: (0..1000).map(|i| i % 4 != 0).collect() };
    let [low, high] = interval(&statistic, &Resamples::new(1000, None, 2000, 2).unwrap()).unwrap();
    // 0.75 ± 1.96 sqrt(0.75 · 0.25 / 1000) = 0.75 ± 0.0268; the percentiles of 2000 replicates
    // scatter by about 0.001.
    assert!((low - 0.7232).abs() < 0.004 && (high - 0.7768).abs() < 0.004, "{low} {high}");
}

#[test]
fn percentiles_interpolate() {
    let values = (0..=100).map(|i| Some(f64::from(i))).chain([None]).collect();
    // numpy.percentile(range(101), [2.5, 97.5])
    assert_eq!(percentiles(values), Some([2.5, 97.5]));
    assert_eq!(percentiles(vec![None]), None);
}
