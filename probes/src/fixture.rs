//! Small tables for the tests of this crate.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vdvae_features::{FeatureColumn, FeatureTable, Targets};

/// Uniform in -1..1.
pub(crate) fn noise(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0))
}

/// A fair coin a row.
pub(crate) fn coins(rows: usize, seed: u64) -> Targets {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = Array2::from_shape_simple_fn((rows, 1), || i8::from(rng.random_bool(0.5)));
    Targets::Binary { names: vec!["coin".into()], values }
}

pub(crate) fn table(features: Array2<f32>, targets: Targets) -> FeatureTable {
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
pub(crate) fn planted(rows: usize, seed: u64) -> FeatureTable {
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

/// Three classes far apart in two columns beside three of noise, and a fourth that never occurs.
pub(crate) fn classes(rows: usize, seed: u64) -> FeatureTable {
    let mut features = noise(rows, 5, seed);
    let labels: Vec<u32> = (0..rows as u32).map(|row| (row * row + row / 3) % 3).collect();
    for (mut row, &label) in features.rows_mut().into_iter().zip(&labels) {
        let angle = f32::from(label as u8) * 2.1;
        row[0] += 4.0 * angle.cos();
        row[1] += 4.0 * angle.sin();
    }
    let names = ["a", "b", "c", "never"].map(String::from).to_vec();
    table(features, Targets::Classes { names, labels })
}

/// A linear function of two columns and one that no column tells; the first row of the former is
/// missing.
pub(crate) fn reals(rows: usize, seed: u64) -> FeatureTable {
    let features = noise(rows, 4, seed);
    let hidden = noise(rows, 1, seed + 1000);
    let values = Array2::from_shape_fn((rows, 2), |(row, target)| match (row, target) {
        (0, 0) => f64::NAN,
        (_, 0) => f64::from(3.0 * features[[row, 0]] - features[[row, 3]] + 7.0),
        _ => hidden[[row, 0]].into(),
    });
    table(features, Targets::Real { names: vec!["told".into(), "hidden".into()], values })
}

/// Waves that other programs can compute too: `sin(a · row + b · column² + c)` in float32.
pub(crate) fn waves(rows: usize, columns: usize, [a, b, c]: [f64; 3]) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        (a * i as f64 + b * (j * j) as f64 + c).sin() as f32
    })
}
