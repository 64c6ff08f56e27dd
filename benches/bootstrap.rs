//! The paired bootstrap of a mean AUROC: sorting once, then one pass over the rows for each eight
//! replicates. The id is rows×targets×replicates.

use criterion::Criterion;
use ndarray::Array2;
use vdvae::probes::{Bootstrap, MeanAuroc, Resamples};

const ROWS: usize = 20_000;
const TARGETS: usize = 40;
const REPLICATES: usize = 1000;

fn bootstrap(criterion: &mut Criterion) {
    // Equidistributed, and cheap; base rates from 2 to 98 per cent.
    let phase = |row: usize, target: usize| (row + 1) as f64 * f64::sqrt((target + 2) as f64);
    let rate = |target: usize| 0.02 + 0.96 * target as f64 / (TARGETS - 1) as f64;
    let labels = Array2::from_shape_fn((ROWS, TARGETS), |(row, target)| {
        i8::from(phase(row, target).fract() < rate(target))
    });
    let scores = Array2::from_shape_fn((ROWS, TARGETS), |(row, target)| {
        f64::from(labels[[row, target]]) + 3.0 * phase(row, target + TARGETS).fract()
    });
    // Like the votes of neighbours: many rows share a score.
    let tied = scores.mapv(|score| (10.0 * score).round());
    let settings = Bootstrap { replicates: REPLICATES, seed: 0 };
    let resamples = Resamples::new(ROWS, None, settings).expect("few rows");
    let mut group = criterion.benchmark_group("bootstrap");
    group.sample_size(10);
    for (name, scores) in [("auroc", &scores), ("auroc-tied", &tied)] {
        group.bench_function(format!("{name}/{ROWS}x{TARGETS}x{REPLICATES}"), |bencher| {
            bencher.iter(|| {
                resamples.replicate(&MeanAuroc::new(labels.view(), scores.view())).interval()
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    bootstrap(&mut criterion);
    criterion.final_summary();
}
