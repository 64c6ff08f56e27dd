//! Few-shot episodes and face verification on features in memory. Ids are rows×columns, then ways,
//! shots, queries and episodes, or folds×pairs; centring and scaling, or fitting the projection,
//! included.

use criterion::Criterion;
use ndarray::Array2;
use vdvae::probes::{
    Classifier, EpisodeConfig, FewShot, Projection, Scorer, Standardiser, Training,
    VerificationScore, sample_pairs, verify,
};

/// The evaluation characters of Omniglot: 659 classes of 20 rows.
const CLASSES: u32 = 659;
const EACH: u32 = 20;
const COLUMNS: usize = 512;

/// Equidistributed in -1..1, and cheap, about a class's own place.
fn features(labels: &[u32], columns: usize) -> Array2<f32> {
    let wave = |row: usize, column: usize| {
        2.0 * ((row + 1) as f64 * f64::sqrt((column + 2) as f64)).fract() - 1.0
    };
    Array2::from_shape_fn((labels.len(), columns), |(row, column)| {
        (wave(row, column) + 0.3 * wave(labels[row] as usize, column + columns)) as f32
    })
}

fn episodes(criterion: &mut Criterion) {
    let labels: Vec<u32> = (0..CLASSES * EACH).map(|row| row / EACH).collect();
    let features = features(&labels, COLUMNS);
    let base = Standardiser::of(features.view()).expect("rows are finite");
    let mut group = criterion.benchmark_group("episodes");
    group.sample_size(10);
    let [knn, logistic] =
        [Classifier::Knn { neighbours: 5 }, Classifier::Logistic { strength: 1.0 }];
    for (classifier, ways, shots, count) in [
        (Classifier::Cl2n, 5, 5, 10_000),
        (Classifier::Cl2n, 20, 1, 600),
        (knn, 5, 5, 600),
        (logistic, 5, 1, 600),
        (logistic, 5, 5, 600),
        (logistic, 20, 5, 600),
    ] {
        let config = EpisodeConfig { ways, shots, queries: 15, seed: 0 };
        let few_shot = FewShot::new(&labels, config, count).expect("enough classes");
        let (rows, name) = (labels.len(), classifier.name());
        let id = format!("{name}/{rows}x{COLUMNS}/{ways}way{shots}shot15query/{count}");
        group.bench_function(id, |bencher| {
            bencher.iter(|| few_shot.evaluate(features.view(), &base, classifier));
        });
    }
    group.finish();
}

fn verification(criterion: &mut Criterion) {
    let identities = |first: u64, people: u64| -> Vec<u64> {
        (0..people * 4).map(|row| first + row / 4).collect()
    };
    let (known, tested) = (identities(0, 1400), identities(10_000, 1900));
    let pairs = sample_pairs(&tested, 10, 600, 0).expect("enough people");
    let mut group = criterion.benchmark_group("verification");
    group.sample_size(10);
    for columns in [512, 2320] {
        let of = |people: &[u64]| {
            features(&people.iter().map(|&person| person as u32).collect::<Vec<_>>(), columns)
        };
        let (train, test) = (of(&known), of(&tested));
        let training = Training { features: train.view(), identities: &known };
        for &score in VerificationScore::ALL {
            let id = format!("{score}/{}+{}x{columns}/10x600", train.nrows(), test.nrows());
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let scorer = Scorer::fit(score, training, &tested, Projection::default())?;
                    verify(&scorer.score(test.view(), &pairs)?, &pairs)
                });
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    episodes(&mut criterion);
    verification(&mut criterion);
    criterion.final_summary();
}
