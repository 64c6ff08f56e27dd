use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array1, Array2, Axis};
use rayon::ThreadPoolBuilder;
use vdvae_features::LayerSelection;

use super::*;
use crate::Standardiser;
use crate::fixture::noise;
use crate::{Origin, Source};

const ALL: [Classifier; 4] = [
    Classifier::Cl2n,
    Classifier::Centroid,
    Classifier::Knn { neighbours: 3 },
    Classifier::Logistic { strength: 1.0 },
];

fn labels(classes: u32, each: u32) -> Vec<u32> {
    (0..classes * each).map(|row| row % classes).collect()
}

fn config(ways: usize, shots: usize, queries: usize, seed: u64) -> EpisodeConfig {
    EpisodeConfig { ways, shots, queries, seed }
}

/// Rows of noise, moved by a direction of their class.
fn planted(labels: &[u32], columns: usize, distance: f32) -> Array2<f32> {
    let classes = labels.iter().max().unwrap() + 1;
    let centres = noise(classes as usize, columns, 77) * distance;
    let mut features = noise(labels.len(), columns, 5) + 3.0;
    for (mut row, &label) in features.rows_mut().into_iter().zip(labels) {
        row += &centres.row(label as usize);
    }
    features
}

fn mean_of(columns: usize) -> Standardiser {
    let mean = Array1::from_shape_fn(columns, |column| 3.0 + 0.1 * (column as f64).sin());
    Standardiser { mean, deviation: Array1::from_shape_fn(columns, |column| 1.0 + column as f64) }
}

#[test]
fn episodes_hold_what_they_should() {
    let labels: Vec<u32> = (0..300).map(|row| (row * row / 7) % 11 + 40).collect();
    let sampler = EpisodeSampler::new(&labels, config(5, 2, 6, 3)).unwrap();
    assert_eq!((sampler.rows(), sampler.config()), (300, config(5, 2, 6, 3)));
    for index in 0..50 {
        let episode = sampler.episode(index);
        episode.validate().unwrap();
        assert_eq!(episode.classes.iter().collect::<BTreeSet<_>>().len(), 5);
        assert_eq!((episode.support.len(), episode.query.len()), (10, 30));
        let rows: BTreeSet<_> = episode.support.iter().chain(&episode.query).collect();
        assert_eq!(rows.len(), 40, "no row twice");
        for (rows, ways, each) in
            [(&episode.support, &episode.support_ways, 2), (&episode.query, &episode.query_ways, 6)]
        {
            let mut counts = [0; 5];
            for (&row, &way) in rows.iter().zip(ways) {
                assert_eq!(labels[row], episode.classes[way as usize]);
                counts[way as usize] += 1;
            }
            assert_eq!(counts, [each; 5]);
        }
    }
}

#[test]
fn episodes_are_pure_in_seed_and_number() {
    let labels = labels(30, 20);
    let sampler = |seed| EpisodeSampler::new(&labels, config(5, 1, 15, seed)).unwrap();
    let backwards: Vec<_> = (0..20).rev().map(|index| sampler(7).episode(index)).collect();
    let one = sampler(7);
    for (index, episode) in (0..20).rev().zip(backwards) {
        assert_eq!(one.episode(index), episode);
        assert_ne!(one.episode(index + 1), episode);
        assert_ne!(sampler(8).episode(index), episode);
    }
}

#[test]
fn classes_and_rows_are_drawn_uniformly() {
    let (classes, each, episodes) = (20u32, 10u32, 4000u64);
    let labels = labels(classes, each);
    let sampler = EpisodeSampler::new(&labels, config(5, 1, 4, 1)).unwrap();
    let (mut drawn, mut labelled) = (BTreeMap::new(), vec![0u32; labels.len()]);
    let mut first = BTreeMap::new();
    for episode in (0..episodes).map(|index| sampler.episode(index)) {
        *first.entry(episode.classes[0]).or_insert(0) += 1;
        episode.classes.iter().for_each(|class| *drawn.entry(*class).or_insert(0) += 1);
        episode.support.iter().for_each(|&row| labelled[row] += 1);
    }
    // Binomial counts: five standard deviations miss once in a million.
    let check = |count: u32, share: f64| {
        let (expected, n) = (share * episodes as f64, episodes as f64);
        let limit = 5.0 * (n * share * (1.0 - share)).sqrt();
        assert!((f64::from(count) - expected).abs() < limit, "{count} {expected}");
    };
    assert_eq!(drawn.len(), classes as usize);
    drawn.values().for_each(|&count| check(count, 0.25));
    first.values().for_each(|&count| check(count, 0.05));
    labelled.into_iter().for_each(|count| check(count, 0.25 / f64::from(each)));
}

/// Rows as they are.
fn plain(columns: usize) -> Standardiser {
    Standardiser { mean: Array1::zeros(columns), deviation: Array1::ones(columns) }
}

/// Everything from its definition, in float64, one row at a time.
fn brute_force(
    features: &Array2<f32>,
    base: &Standardiser,
    episode: &Episode,
    classifier: Classifier,
) -> f64 {
    let prepared = |row: usize| {
        let centred = (features.row(row).mapv(f64::from) - &base.mean) / &base.deviation;
        let length = centred.dot(&centred).sqrt();
        if classifier == Classifier::Centroid { centred } else { centred / length }
    };
    let support: Vec<(Array1<f64>, u32)> = episode
        .support
        .iter()
        .zip(&episode.support_ways)
        .map(|(&row, &way)| (prepared(row), way))
        .collect();
    let answer = |query: &Array1<f64>| -> usize {
        let score = |way: usize| -> f64 {
            let own: Vec<_> = support.iter().filter(|(_, w)| *w as usize == way).collect();
            if let Classifier::Knn { neighbours } = classifier {
                let mut cosines: Vec<_> =
                    support.iter().map(|(row, way)| (row.dot(query), *way as usize)).collect();
                cosines.sort_by(|a, b| b.0.total_cmp(&a.0));
                let votes = cosines[..neighbours].iter().filter(|(_, w)| *w == way);
                return votes.map(|(cosine, _)| (cosine / 0.07).exp()).sum();
            }
            let rows: Vec<_> = own.iter().map(|(row, _)| row.view()).collect();
            let centroid = ndarray::stack(Axis(0), &rows).unwrap().mean_axis(Axis(0)).unwrap();
            -(&centroid - query).mapv(|gap| gap * gap).sum()
        };
        let scores: Vec<f64> = (0..episode.classes.len()).map(score).collect();
        (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
    };
    let queries = episode.query.iter().zip(&episode.query_ways);
    let right = queries.filter(|&(&row, &way)| answer(&prepared(row)) == way as usize).count();
    right as f64 / episode.query.len() as f64
}

#[test]
fn accuracies_are_those_of_a_plain_implementation() {
    let labels = labels(9, 12);
    for (columns, ways, shots) in [(5, 5, 1), (33, 3, 3), (48, 7, 4)] {
        let (features, mean) = (planted(&labels, columns, 0.6), mean_of(columns));
        let few_shot = FewShot::new(&labels, config(ways, shots, 6, 2), 40).unwrap();
        for classifier in &ALL[..3] {
            let scores = few_shot.evaluate(features.view(), &mean, *classifier).unwrap();
            let episodes: Vec<_> = (0..40).map(|i| few_shot.sampler().episode(i)).collect();
            let expected: Vec<f64> =
                episodes.iter().map(|e| brute_force(&features, &mean, e, *classifier)).collect();
            assert_eq!(scores.accuracies, expected, "{classifier} {columns}");
            let given = score_episodes(features.view(), &mean, &episodes, *classifier).unwrap();
            assert_eq!(given, scores);
            let average = expected.iter().sum::<f64>() / 40.0;
            let squares: f64 = expected.iter().map(|a| (a - average).powi(2)).sum();
            let half = 1.96 * (squares / 39.0).sqrt() / 40f64.sqrt();
            // Float64 sums in another order.
            assert!((scores.mean() - average).abs() < 1e-12);
            assert!((scores.half_width().unwrap() - half).abs() < 1e-12);
            let [low, high] = scores.ci95().unwrap();
            assert!((high - low - 2.0 * half).abs() < 1e-12 && scores.mean() < 1.0);
        }
    }
}

#[test]
fn accuracies_do_not_depend_on_threads() {
    let labels = labels(8, 20);
    let features = planted(&labels, 20, 0.4);
    let few_shot = FewShot::new(&labels, config(5, 2, 15, 9), 60).unwrap();
    for classifier in ALL {
        let on = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| few_shot.evaluate(features.view(), &mean_of(20), classifier)).unwrap()
        };
        let [one, two, three] = [1, 2, 3].map(on);
        assert!(one == two && two == three, "{classifier}");
    }
}

#[test]
fn planted_classes_are_found_and_noise_is_not() {
    let labels = labels(10, 20);
    let few_shot = FewShot::new(&labels, config(5, 1, 15, 0), 600).unwrap();
    for classifier in ALL {
        let far = planted(&labels, 30, 40.0);
        let scores = few_shot.evaluate(far.view(), &mean_of(30), classifier).unwrap();
        assert_eq!(scores.mean(), 1.0, "{classifier}");
        let scores = few_shot.evaluate(noise(200, 30, 1).view(), &plain(30), classifier).unwrap();
        // 600 episodes share 200 rows, so that the interval is a little narrow: half as much more.
        let gap = (scores.mean() - 0.2).abs();
        assert!(gap < 1.5 * scores.half_width().unwrap(), "{classifier}: {}", scores.mean());
        assert_eq!(scores.converged, classifier.strength().map(|_| true));
    }
}

#[test]
fn features_without_information_answer_the_first_way() {
    let labels = labels(5, 20);
    let few_shot = FewShot::new(&labels, config(5, 1, 15, 0), 20).unwrap();
    let same = Array2::from_elem((100, 4), 7.0);
    let huge = planted(&labels, 4, 9.0) * 1e30;
    for classifier in ALL {
        let base = Standardiser::of(same.view()).unwrap();
        let scores = few_shot.evaluate(same.view(), &base, classifier).unwrap();
        assert_eq!(scores.accuracies, [0.2; 20], "{classifier}");
        // The scale of the features changes nothing, even where their squares overflow.
        let base = Standardiser::of(huge.view()).unwrap();
        let scores = few_shot.evaluate(huge.view(), &base, classifier).unwrap();
        assert!(scores.mean() > 0.5, "{classifier}: {}", scores.mean());
    }
}

#[test]
fn columns_of_large_units_decide_only_where_columns_are_centred_alone() {
    let labels = labels(10, 20);
    let few_shot = FewShot::new(&labels, config(5, 1, 15, 0), 100).unwrap();
    let mut features = planted(&labels, 12, 9.0);
    // A layer of noise in units a thousand times as large, and a column that base rows do not vary in.
    let loud = noise(200, 2, 5) * 1e4;
    features = ndarray::concatenate![Axis(1), features, loud];
    let base = features.clone();
    let constant = Array2::zeros((200, 1));
    let base = ndarray::concatenate![Axis(1), base, constant];
    let features = ndarray::concatenate![Axis(1), features, noise(200, 1, 6)];
    let score = |base: Standardiser| {
        few_shot.evaluate(features.view(), &base, Classifier::Cl2n).unwrap().mean()
    };
    let (scaled, centred) = (
        score(Standardiser::of(base.view()).unwrap()),
        score(Standardiser::centring(base.view()).unwrap()),
    );
    assert!(scaled > 0.9 && centred < 0.4, "{scaled} {centred}");
}

#[test]
fn published_runs_are_scored_by_their_truth() {
    let features =
        Array2::from_shape_fn(
            (8, 4),
            |(row, column)| {
                if row % 4 == column { 1.0 } else { 0.01 * row as f32 }
            },
        );
    // Queries 4..8 look like rows 0..4, in order.
    let run = |truth: &[usize]| Episode::one_shot(vec![0, 1, 2, 3], vec![4, 5, 6, 7], truth);
    let episodes = [run(&[0, 1, 2, 3]).unwrap(), run(&[0, 1, 3, 2]).unwrap()];
    let zero = plain(4);
    for classifier in ALL {
        let scores = score_episodes(features.view(), &zero, &episodes, classifier).unwrap();
        assert_eq!(scores.accuracies, [1.0, 0.5], "{classifier}");
    }
    let scores = score_episodes(features.view(), &zero, &episodes, Classifier::Cl2n).unwrap();
    let result = EvaluatedEpisodes::published([4, 1], Classifier::Cl2n, scores).result;
    let info = result.few_shot.unwrap();
    assert_eq!((info.seed, info.ways, info.shots, info.episodes), (None, 4, 1, 2));
}

#[test]
fn differences_are_paired() {
    let scores =
        |accuracies: &[f64]| EpisodeScores { accuracies: accuracies.into(), converged: None };
    let a = scores(&[0.5, 0.9, 0.3, 0.7]);
    let difference = a.minus(&scores(&[0.4, 0.9, 0.1, 0.6]));
    // Differences 0.1, 0, 0.2, 0.1: mean 0.1, standard deviation 0.0816497, error 0.0408248;
    // scipy.stats.norm.sf(0.1 / 0.0408248) · 2 = 0.0143059.
    assert!((difference.value - 0.1).abs() < 1e-12);
    let [low, high] = difference.ci95.unwrap();
    assert!((low - 0.019_983_4).abs() < 1e-6 && (high - 0.180_016_6).abs() < 1e-6);
    assert!((difference.p_value.unwrap() - 0.014_305_9).abs() < 1e-6);
    assert_eq!(a.minus(&a).p_value, Some(1.0));
    assert_eq!(scores(&[1.0, 1.0]).minus(&scores(&[0.0, 0.0])).p_value, None);
    let single = scores(&[0.5]);
    assert_eq!((single.ci95(), single.minus(&single).ci95), (None, None));
}

#[test]
fn results_compare_and_round_trip() {
    let labels = labels(8, 20);
    let few_shot = FewShot::new(&labels, config(5, 1, 15, 4), 50).unwrap();
    let evaluate = |distance, source, resolution: Option<usize>| {
        let features = planted(&labels, 16, distance);
        let scores = few_shot.evaluate(features.view(), &mean_of(16), Classifier::Cl2n).unwrap();
        let origin = Origin {
            source,
            layers: resolution.map(LayerSelection::Resolution),
            resolution,
            columns: 16,
            matched_columns: None,
            train_fraction: 1.0,
            label_seed: None,
            network_seed: None,
        };
        EvaluatedEpisodes::sampled(&few_shot, Classifier::Cl2n, scores).with_origin(origin)
    };
    let evaluated = [
        evaluate(2.0, Source::Latents, Some(4)),
        evaluate(0.5, Source::Latents, Some(8)),
        evaluate(0.0, Source::Pixels, None),
    ];
    let result = &evaluated[0].result;
    let json = serde_json::to_value(result).unwrap();
    let info = serde_json::json!({
        "ways": 5, "shots": 1, "queries": 15, "episodes": 50, "seed": 4, "neighbours": null,
        "strength": null,
    });
    for (field, value) in [
        ("few_shot", info),
        ("probe", "cl2n".into()),
        ("source", "latents".into()),
        ("layers", "4x4".into()),
        ("resolution", 4.into()),
        ("columns", 16.into()),
    ] {
        assert_eq!(json[field], value, "{field}");
    }
    assert_eq!(serde_json::from_value::<crate::ProbeResult>(json).unwrap(), *result);
    let comparisons = compare_episodes(&evaluated);
    // Each resolution less pixels, and the worse one less the better one.
    let layers = |c: &crate::Comparison| (c.a.layers, c.b.layers);
    let found: Vec<_> = comparisons.iter().map(layers).collect();
    let [coarse, fine] = [4, 8].map(|r| Some(LayerSelection::Resolution(r)));
    assert_eq!(found, [(coarse, None), (fine, None), (fine, coarse)]);
    assert!(comparisons[0].ci95.unwrap()[0] > 0.0 && comparisons[2].difference < 0.0);
}

#[test]
fn what_cannot_be_sampled_is_one_line() {
    let labels = labels(6, 10);
    let error = |ways, shots, queries| {
        EpisodeSampler::new(&labels, config(ways, shots, queries, 0)).unwrap_err().to_string()
    };
    assert_eq!(error(1, 1, 1), "ways: expected at least 2, found 1");
    assert_eq!(error(0, 1, 1), "ways: expected at least 2, found 0");
    assert_eq!(error(5, 0, 1), "shots: expected at least 1, found 0");
    assert_eq!(error(5, 1, 0), "queries: expected at least 1, found 0");
    assert_eq!(
        error(7, 1, 9),
        "episodes: expected at least 7 classes of 10 pictures or more (1 labelled, 9 queries), \
         found 6 of 6 classes"
    );
    assert!(error(5, usize::MAX, 15).ends_with("found 0 of 6 classes"));
    let none = FewShot::new(&labels, config(5, 1, 9, 0), 0).unwrap_err();
    assert_eq!(none.to_string(), "episodes: expected at least 1, found 0");
    for classifier in ALL {
        assert_eq!(classifier.to_string().parse::<Classifier>().unwrap().name(), classifier.name());
    }
    assert!("svm".parse::<Classifier>().is_err());
}

#[test]
fn what_cannot_be_scored_is_one_line() {
    let labels = labels(6, 10);
    let few_shot = FewShot::new(&labels, config(5, 1, 9, 0), 3).unwrap();
    let mut features = noise(60, 4, 1);
    let zero = plain(4);
    let error = |features: &Array2<f32>, base: &Standardiser, classifier| {
        few_shot.evaluate(features.view(), base, classifier).unwrap_err().to_string()
    };
    let knn = Classifier::Knn { neighbours: 0 };
    assert_eq!(error(&features, &zero, knn), "neighbours: expected at least 1, found 0");
    let strength = error(&features, &zero, Classifier::Logistic { strength: 0.0 });
    assert_eq!(strength, "strength: expected a finite number above 0, found 0");
    let other = error(&noise(59, 4, 1), &zero, Classifier::Cl2n);
    assert_eq!(other, "feature rows: expected 60, found 59");
    let base = error(&features, &plain(3), Classifier::Cl2n);
    assert_eq!(base, "columns of the base rows: expected 4, found 3");
    features[[7, 2]] = f32::NAN;
    let nan = error(&features, &zero, Classifier::Cl2n);
    assert_eq!(nan, "features: expected finite numbers, found NaN in row 7");
    let base = Standardiser::of(features.view()).unwrap();
    let nan = error(&noise(60, 4, 1), &base, Classifier::Cl2n);
    assert_eq!(nan, "base mean: expected finite numbers, found NaN in column 2");
    assert!(Standardiser::centring(Array2::zeros((0, 4)).view()).is_err());
    let run = |support: &[usize], query: &[usize], truth: &[usize]| {
        let episode = Episode::one_shot(support.into(), query.into(), truth)?;
        score_episodes(noise(60, 4, 1).view(), &plain(4), &[episode], Classifier::Cl2n)
    };
    for (support, query, truth, expected) in [
        (
            &[0, 1][..],
            &[2][..],
            &[2][..],
            "ways of the queries: expected indices below the number of classes, found 2",
        ),
        (&[0, 1], &[2], &[0, 1], "ways of the queries: expected 1, found 2"),
        (
            &[0, 1],
            &[1],
            &[0],
            "episodes: expected queries that are not labelled, found row 1 in both",
        ),
        (&[0], &[1], &[0], "ways: expected at least 2, found 1"),
        (&[0, 1], &[], &[], "queries: expected at least 1, found 0"),
        (
            &[0, 60],
            &[1],
            &[0],
            "row of an episode: expected an index below the number of rows, found 60 of 60",
        ),
    ] {
        assert_eq!(run(support, query, truth).unwrap_err().to_string(), expected);
    }
}
