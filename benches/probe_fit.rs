//! The whole protocol of the linear probe on synthetic features: seven strengths, the refit and
//! the scores. The id is training rows×columns×targets.

use criterion::Criterion;
use ndarray::Array2;
use vdvae::features::{FeatureColumn, FeatureTable, Targets};
use vdvae::probes::{Bootstrap, LinearProbe, evaluate};

const COLUMNS: usize = 256;
const TARGETS: usize = 10;

/// Rows `first` to `first + rows` of an endless table. Each target is the sign of its own two
/// columns and of a third that no probe can see, so that the classes overlap.
fn table(first: usize, rows: usize) -> FeatureTable {
    // Equidistributed in -1..1, and cheap.
    let value = |row: usize, column: usize| {
        let phase = (first + row + 1) as f64 * f64::sqrt((column + 2) as f64);
        (2.0 * phase.fract() - 1.0) as f32
    };
    let target = |row, t| value(row, 2 * t) + value(row, 2 * t + 1) + value(row, COLUMNS + t) > 0.0;
    FeatureTable {
        features: Array2::from_shape_fn((rows, COLUMNS), |(row, column)| value(row, column)),
        targets: Targets::Binary {
            names: (0..TARGETS).map(|t| format!("target {t}")).collect(),
            values: Array2::from_shape_fn((rows, TARGETS), |(row, t)| i8::from(target(row, t))),
        },
        keys: (first..first + rows).map(|row| row.to_string()).collect(),
        groups: None,
        columns: (0..COLUMNS)
            .map(|channel| FeatureColumn { layer: None, resolution: None, channel, cell: 0 })
            .collect(),
    }
}

fn probe_fit(criterion: &mut Criterion) {
    let (train, valid, test) = (table(0, 2000), table(2000, 500), table(2500, 500));
    // The interval is not what is measured.
    let no_interval = Bootstrap { replicates: 0, seed: 0 };
    let probe = LinearProbe::default();
    let mut group = criterion.benchmark_group("probe_fit");
    group.sample_size(10);
    group.bench_function(format!("batched/2000x{COLUMNS}x{TARGETS}"), |bencher| {
        bencher
            .iter(|| evaluate(&probe, &train, &valid, &test, no_interval).expect("the tables fit"));
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    probe_fit(&mut criterion);
    criterion.final_summary();
}
