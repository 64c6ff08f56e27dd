//! Logistic regressions on synthetic features: targets × strengths together, and one alone. The id
//! is rows×columns, then targets×strengths.

use criterion::Criterion;
use ndarray::Array2;
use vdvae::probes::logistic::{Design, Job, Response, Settings, Solver, fit};

const COLUMNS: usize = 256;

/// Equidistributed in -1..1, and cheap.
fn value(row: usize, column: usize) -> f64 {
    2.0 * ((row + 1) as f64 * f64::sqrt((column + 2) as f64)).fract() - 1.0
}

/// Each target is the sign of its own two columns and of a third that no fit can see, so that the
/// classes overlap.
fn labels(rows: usize, target: usize) -> Vec<i8> {
    let sum = |row, t| value(row, 2 * t) + value(row, 2 * t + 1) + value(row, COLUMNS + t);
    (0..rows).map(|row| i8::from(sum(row, target) > 0.0)).collect()
}

fn probe_fit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("probe_fit");
    group.sample_size(10);
    for (rows, targets, strengths) in [(2000, 10, 7), (20_000, 1, 1)] {
        let features = Array2::from_shape_fn((rows, COLUMNS), |(row, column)| value(row, column));
        let design = Design::new(&[features.view()]).expect("one block has one width");
        let labels: Vec<Vec<i8>> = (0..targets).map(|target| labels(rows, target)).collect();
        let strengths: Vec<f64> = (0..strengths).map(|at| 10f64.powi(at - 2)).collect();
        let job =
            |labels, strength| Job { response: Response::Binary(labels), strength, start: None };
        let jobs: Vec<Job<'_>> = labels
            .iter()
            .flat_map(|labels| strengths.iter().map(move |&strength| job(labels, strength)))
            .collect();
        let id = format!("batched/{rows}x{COLUMNS}/{targets}x{}", strengths.len());
        group.bench_function(id, |bencher| {
            bencher.iter(|| fit(&design, &jobs, Solver::Batched, Settings::default()));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    probe_fit(&mut criterion);
    criterion.final_summary();
}
