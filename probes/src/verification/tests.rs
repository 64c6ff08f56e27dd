use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::fixture::noise;
use crate::metrics;

/// `people` of `each` rows, numbered from `first`.
fn identities(first: u64, people: u64, each: u64) -> Vec<u64> {
    (0..people * each).map(|row| first + row / each).collect()
}

/// A person is told by column 3 alone, whose spread between people is small beside what varies
/// within them in the other columns.
fn faces(identities: &[u64], columns: usize, seed: u64) -> Array2<f32> {
    let mut features = noise(identities.len(), columns, seed);
    // What varies is shared by all columns but one, so that standardising does not help.
    let shared = noise(identities.len(), 4, seed + 1);
    for (row, &identity) in identities.iter().enumerate() {
        let mut person = ChaCha8Rng::seed_from_u64(identity);
        for column in 0..columns {
            features[[row, column]] = 0.05 * features[[row, column]] + shared[[row, column % 4]];
        }
        features[[row, 3]] = person.random_range(-1.0..1.0) + 0.02 * features[[row, 3]];
    }
    features
}

fn random_scores(pairs: &[Vec<Pair>], signal: f64, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Rounded, so that there are ties.
    let mut score = |pair: &Pair| {
        let shift = if pair.same { signal } else { 0.0 };
        ((shift + rng.random_range(0.0..1.0)) * 50.0_f64).round() / 50.0
    };
    pairs.iter().map(|fold| fold.iter().map(&mut score).collect()).collect()
}

/// `(same, different)` pairs in each fold.
fn plain_pairs(folds: &[(usize, usize)]) -> Vec<Vec<Pair>> {
    let fold = |&(same, different): &(usize, usize)| {
        let pair = |at| Pair { a: 2 * at, b: 2 * at + 1, same: at < same };
        (0..same + different).map(pair).collect()
    };
    folds.iter().map(fold).collect()
}

#[test]
fn accuracies_are_those_of_a_search_over_all_thresholds() {
    let pairs = plain_pairs(&[(30, 20), (10, 30), (25, 25), (1, 40)]);
    for signal in [0.0, 0.3, 0.8] {
        let scores = random_scores(&pairs, signal, 4);
        let found = verify(&scores, &pairs).unwrap();
        for fold in 0..pairs.len() {
            let right = |threshold: f64, folds: &dyn Fn(usize) -> bool| -> usize {
                let mut right = 0;
                for fold in (0..pairs.len()).filter(|&fold| folds(fold)) {
                    let told = scores[fold].iter().zip(&pairs[fold]);
                    right += told.filter(|(s, pair)| (**s >= threshold) == pair.same).count();
                }
                right
            };
            let others = |other: usize| other != fold;
            // Every threshold that can make a difference; scores are multiples of 0.02.
            let candidates = (-1..100).map(|step| f64::from(step) / 50.0 + 0.01);
            let most = candidates.map(|threshold| right(threshold, &others)).max().unwrap();
            assert_eq!(right(found.thresholds[fold], &others), most, "{signal} {fold}");
            let own = right(found.thresholds[fold], &|other| other == fold);
            assert_eq!(found.fold_accuracies[fold], own as f64 / pairs[fold].len() as f64);
        }
        let mean = found.fold_accuracies.iter().sum::<f64>() / 4.0;
        let squares: f64 = found.fold_accuracies.iter().map(|a| (a - mean).powi(2)).sum();
        // Float64 sums of four numbers.
        assert!((found.accuracy - mean).abs() < 1e-12);
        assert!((found.standard_error - (squares / 3.0).sqrt() / 2.0).abs() < 1e-12);
        let each: Vec<_> = (0..4).map(|_| scores.clone()).collect();
        assert_eq!(verify_each(&each, &pairs).unwrap(), found);
        let labels: Vec<i8> = pairs.iter().flatten().map(|pair| i8::from(pair.same)).collect();
        assert_eq!(found.auc, metrics::auroc(&labels, &scores.concat()));
    }
}

#[test]
fn a_gap_is_split_in_the_middle() {
    let pairs = plain_pairs(&[(2, 2), (2, 2)]);
    let scores = vec![vec![5.0, 4.0, 2.0, 1.0]; 2];
    let found = verify(&scores, &pairs).unwrap();
    assert_eq!((found.accuracy, found.standard_error), (1.0, 0.0));
    assert_eq!(found.thresholds, [3.0, 3.0]);
    // All the same, all different: thresholds below and above all scores.
    let same = verify(&[vec![1.0, 2.0], vec![1.0, 3.0]], &plain_pairs(&[(2, 0), (2, 0)])).unwrap();
    assert_eq!((same.accuracy, same.auc, same.roc), (1.0, None, vec![]));
    assert_eq!(same.tar_at_far, [(0.1, None), (0.01, None)]);
    let pairs = plain_pairs(&[(0, 2), (0, 2)]);
    let different = verify(&[vec![1.0, 2.0], vec![1.0, 2.0]], &pairs).unwrap();
    assert_eq!(different.accuracy, 1.0);
    assert!(different.thresholds[0] > 2.0);
    // Neighbouring floats have no middle.
    let close = vec![vec![1f64.next_up(), 1.0]; 2];
    assert_eq!(verify(&close, &plain_pairs(&[(1, 1), (1, 1)])).unwrap().accuracy, 1.0);
}

#[test]
fn the_curve_has_the_area_and_few_points() {
    for (signal, seed) in [(0.0, 1), (0.4, 2)] {
        let pairs = plain_pairs(&[(700, 900), (500, 800)]);
        let mut scores = random_scores(&pairs, signal, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        scores.iter_mut().flatten().for_each(|score| *score += rng.random_range(0.0..0.01));
        let found = verify(&scores, &pairs).unwrap();
        assert!(found.roc.len() <= 200, "{}", found.roc.len());
        assert_eq!((found.roc[0], found.roc.last()), ([0.0, 0.0], Some(&[1.0, 1.0])));
        let mut area = 0.0;
        for pair in found.roc.windows(2) {
            let [[x, y], [u, v]] = [pair[0], pair[1]];
            assert!(u >= x && v >= y);
            area += (u - x) * (v + y) / 2.0;
        }
        // Steps of a hundredth: a triangle of half its square is missed or added by each.
        assert!((area - found.auc.unwrap()).abs() < 0.005, "{area} {:?}", found.auc);
    }
}

#[test]
fn discriminants_find_what_cosines_do_not() {
    let (known, tested) = (identities(0, 150, 6), identities(1000, 60, 5));
    let (train, test) = (faces(&known, 12, 1), faces(&tested, 12, 2));
    let training = Training { features: train.view(), identities: &known };
    let pairs = sample_pairs(&tested, 5, 60, 0).unwrap();
    let accuracy = |score| {
        let scorer = Scorer::fit(score, training, &tested, Projection::default()).unwrap();
        let scores = scorer.score(test.view(), &pairs).unwrap();
        (verify(&scores, &pairs).unwrap().auc.unwrap(), scorer.dimensions())
    };
    let (cosine, columns) = accuracy(VerificationScore::Cosine);
    let euclidean = accuracy(VerificationScore::Euclidean).0;
    assert_eq!(columns, 12);
    let settings = Projection { discriminants: 1, ..Projection::default() };
    let lda = Scorer::fit(VerificationScore::Lda, training, &tested, settings).unwrap();
    assert_eq!(lda.dimensions(), 1);
    let scores = lda.score(test.view(), &pairs).unwrap();
    // One dimension: a unit row is its sign, so that half of the impostors look the same.
    let one = verify(&scores, &pairs).unwrap();
    let genuine = scores.iter().flatten().zip(pairs.iter().flatten()).filter(|(_, p)| p.same);
    let alike = genuine.filter(|(score, _)| **score > 0.0).count();
    assert!(alike as f64 > 0.9 * 150.0, "{alike}");
    assert!(one.auc.unwrap() > cosine.max(euclidean) + 0.05, "{:?} {cosine} {euclidean}", one.auc);
}

#[test]
fn whitened_rows_have_unit_variance_of_many_columns_too() {
    for columns in [12, 800] {
        let known = identities(0, 100, 3);
        let mut train = faces(&known, columns, 1);
        train += &(noise(300, columns, 9) * 0.1);
        let training = Training { features: train.view(), identities: &known };
        let settings = Projection { components: 5, shrinkage: 0.0, ..Projection::default() };
        let standardiser = crate::Standardiser::of(train.view()).unwrap();
        let basis = projection::whitening(training.features, &standardiser, settings).unwrap();
        let rows = standardiser.apply(train.view()).unwrap().dot(&basis);
        let covariance = rows.t().dot(&rows) / 300.0;
        assert_eq!(covariance.dim(), (5, 5));
        for ((i, j), value) in covariance.indexed_iter() {
            let expected = if i == j { 1.0 } else { 0.0 };
            // Many columns go through products in float32.
            let tolerance = if columns > 100 { 1e-4 } else { 1e-9 };
            assert!((value - expected).abs() < tolerance, "{columns}: {i} {j} {value}");
        }
    }
}

#[test]
fn a_shared_identity_is_refused() {
    let (known, mut tested) = (identities(0, 10, 3), identities(100, 10, 3));
    let train = faces(&known, 5, 1);
    let training = Training { features: train.view(), identities: &known };
    for &score in VerificationScore::ALL {
        assert_eq!(score.to_string().parse::<VerificationScore>().unwrap(), score);
        tested[17] = 105;
        Scorer::fit(score, training, &tested, Projection::default()).unwrap();
        tested[17] = 7;
        let error = Scorer::fit(score, training, &tested, Projection::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "training identities: expected none of those in the test pairs, found 7 in both"
        );
    }
}

#[test]
fn sampled_pairs_keep_their_promises() {
    // Of people with 1, 2, 3, … rows.
    let mut identities = Vec::new();
    for person in 0..120u64 {
        identities.extend(std::iter::repeat_n(person * 31, 1 + (person % 7) as usize));
    }
    let pairs = sample_pairs(&identities, 4, 80, 3).unwrap();
    assert_eq!(pairs, sample_pairs(&identities, 4, 80, 3).unwrap());
    assert_ne!(pairs, sample_pairs(&identities, 4, 80, 4).unwrap());
    let mut seen = BTreeSet::new();
    let mut fold_of = BTreeMap::new();
    for (fold, pairs) in pairs.iter().enumerate() {
        assert_eq!(pairs.iter().filter(|pair| pair.same).count(), 40);
        assert_eq!(pairs.len(), 80);
        for pair in pairs {
            let [a, b] = [pair.a, pair.b].map(|row| identities[row]);
            assert!(pair.same == (a == b) && pair.a != pair.b);
            assert!(seen.insert([pair.a.min(pair.b), pair.a.max(pair.b)]), "{pair:?} twice");
            for identity in [a, b] {
                assert_eq!(*fold_of.entry(identity).or_insert(fold), fold, "{identity}");
            }
        }
    }
    let genuine = |person: u64| {
        let own = pairs.iter().flatten().filter(|pair| pair.same);
        own.filter(|pair| identities[pair.a] == person).count()
    };
    let counts: Vec<usize> =
        (0..120).filter(|person| person % 7 > 0).map(|person| genuine(person * 31)).collect();
    // 160 pairs of 103 people: one or two each, where two rows have but one.
    assert!(counts.iter().all(|count| (1..=2).contains(count)), "{counts:?}");
}

#[test]
fn every_pair_there_is_can_be_asked_for() {
    // Two folds of two people of three rows: 6 pairs within, 9 between.
    let identities = identities(5, 4, 3);
    let pairs = sample_pairs(&identities, 2, 12, 0).unwrap();
    for pairs in &pairs {
        let same: BTreeSet<_> = pairs.iter().filter(|pair| pair.same).collect();
        assert_eq!((same.len(), pairs.len()), (6, 12));
    }
    let error = |folds, count| sample_pairs(&identities, folds, count, 0).unwrap_err().to_string();
    assert_eq!(
        error(2, 14),
        "verification: expected at least 7 pairs of one identity in every fold, found 6 in fold 0 \
         (12 pairs a fold would fit all)"
    );
    assert_eq!(
        error(4, 6),
        "verification: expected at least 3 pairs of two identities in every fold, found 0 in fold 0"
    );
    assert_eq!(error(1, 4), "folds: expected at least 2, found 1");
    assert_eq!(error(2, 5), "pairs of a fold: expected an even number above 0, found 5");
    assert_eq!(error(2, 0), "pairs of a fold: expected an even number above 0, found 0");
    assert!(sample_pairs(&[], 2, 2, 0).is_err());
}

#[test]
fn what_cannot_be_verified_is_one_line() {
    let pairs = plain_pairs(&[(1, 1), (1, 1)]);
    let error =
        |scores: &[Vec<f64>], pairs: &[Vec<Pair>]| verify(scores, pairs).unwrap_err().to_string();
    let nan = [vec![1.0, 2.0], vec![0.0, f64::NAN]];
    assert_eq!(
        error(&nan, &pairs),
        "verification scores: expected finite numbers, found NaN in fold 1, pair 1"
    );
    assert_eq!(error(&[vec![1.0, 2.0]], &pairs[..1]), "folds: expected at least 2, found 1");
    let short = error(&[vec![1.0, 2.0], vec![1.0]], &pairs);
    assert_eq!(short, "verification: scores of fold 1: expected 2, found 1");
    let empty = error(&[vec![1.0, 2.0], vec![]], &[pairs[0].clone(), vec![]]);
    assert_eq!(
        empty,
        "verification: expected at least one pair in every fold, found none in fold 1"
    );
    let known = identities(0, 4, 2);
    let mut train = noise(8, 3, 1);
    let fit = |train: &Array2<f32>, known: &[u64], score, projection| {
        let training = Training { features: train.view(), identities: known };
        Scorer::fit(score, training, &[99], projection).map_err(|error| error.to_string())
    };
    let default = Projection::default();
    let lda = VerificationScore::Lda;
    assert_eq!(
        fit(&train, &[0, 0, 1, 2, 3, 4, 5, 6], lda, default).unwrap_err(),
        "verification: expected at least two training identities of several pictures each, found 1 of 7"
    );
    let equal = fit(&Array2::ones((8, 3)), &known, VerificationScore::Whitened, default);
    assert!(equal.unwrap_err().contains("training features that differ, found 8 equal rows"));
    assert!(fit(&train, &known[1..], lda, default).unwrap_err().contains("expected 8, found 7"));
    let shrunk = fit(&train, &known, lda, Projection { shrinkage: f64::NAN, ..default });
    assert_eq!(shrunk.unwrap_err(), "shrinkage: expected 0 to 1, found NaN");
    let none = fit(&train, &known, lda, Projection { components: 0, ..default });
    assert_eq!(none.unwrap_err(), "components: expected at least 1, found 0");
    let scorer = fit(&train, &known, lda, default).unwrap();
    let beyond = [vec![Pair { a: 0, b: 8, same: true }]];
    let found = scorer.score(train.view(), &beyond).unwrap_err().to_string();
    assert_eq!(found, "row of a pair: expected an index below the number of rows, found 8 of 8");
    assert!(scorer.score(train.slice(s![.., ..2]), &pairs).is_err());
    train[[5, 1]] = f32::INFINITY;
    let infinite = fit(&train, &known, lda, default).unwrap_err();
    assert_eq!(infinite, "training features: expected finite numbers, found inf in row 5");
}

#[test]
fn results_round_trip() {
    let (known, tested) = (identities(0, 10, 3), identities(100, 20, 3));
    let (train, test) = (faces(&known, 5, 1), faces(&tested, 5, 2));
    let training = Training { features: train.view(), identities: &known };
    let score = VerificationScore::Whitened;
    let scorer = Scorer::fit(score, training, &tested, Projection::default()).unwrap();
    let pairs = sample_pairs(&tested, 2, 20, 0).unwrap();
    let verification = verify(&scorer.score(test.view(), &pairs).unwrap(), &pairs).unwrap();
    let result = verification.result(score, &scorer, &pairs);
    let json = serde_json::to_value(&result).unwrap();
    let info = &json["verification"];
    assert_eq!((json["probe"].as_str(), info["pairs"].as_u64()), (Some("whitened"), Some(40)));
    assert_eq!(info["tar_at_far"][1], serde_json::json!([0.01, null]));
    assert_eq!(serde_json::from_value::<crate::ProbeResult>(json).unwrap(), result);
}
