use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, ArrayView2, Axis, array, s};

use super::*;
use crate::{Error, Result};

/// Fits jobs that all have two classes.
fn fit_all(design: &Design, jobs: &[Job<'_>], settings: Settings) -> Vec<Fit> {
    let fits = fit(design, jobs, Solver::Batched, settings).unwrap();
    fits.into_iter().map(Option::unwrap).collect()
}

/// The data of the golden values: 60 rows of 4 columns, the last the negative of the first.
fn golden_design() -> Design {
    let value = |(i, j): (usize, usize)| ((i * (7 + 3 * j) + 5 * j * j) % 23) as f64;
    Design::new(&[Array2::from_shape_fn((60, 4), |at| (value(at) - 11.0) / 8.0).view()]).unwrap()
}

fn labels(text: &str) -> Vec<i8> {
    text.bytes().map(|digit| (digit - b'0') as i8).collect()
}

const BINARY: &str = "001101100100011010110010001000101001100100001001110010010110";
const CLASSES: &str = "020222202020220202002020201202020000201101120101112120111012";

/// A tolerance at which optima agree with scikit-learn's at `tol=1e-12` to six digits.
const TIGHT: Settings = Settings { tolerance: 1e-9, max_iterations: 1000 };

fn job(response: Response<'_>, strength: f64) -> Job<'_> {
    Job { response, strength, start: None }
}

fn assert_close(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64) {
    assert_eq!(found.dim(), expected.dim());
    let error = (found - expected).iter().fold(0.0, |most: f64, e| most.max(e.abs()));
    assert!(error < tolerance, "{error}: {found} {expected}");
}

/// scikit-learn 1.9.1, `LogisticRegression(C=1 / strength, tol=1e-12, max_iter=10000).fit(X, y)`
/// with `X[i, j] = ((i * (7 + 3 * j) + 5 * j * j) % 23 - 11) / 8` and `y` as above.
#[test]
fn binary_optimum_is_that_of_scikit_learn() {
    let golden = [
        (0.1, [1.0602970469657924, -1.0560369514402943, 0.5754071378120109], -0.6096977970198988),
        (1.0, [0.8947119469764292, -0.8120973882627986, 0.4344699610614981], -0.5410180044107773),
        (
            100.0,
            [0.11349550219560671, -0.050639276741342505, 0.0325727752555918],
            -0.3397359346523266,
        ),
    ];
    let (design, y) = (golden_design(), labels(BINARY));
    for solver in [Solver::Batched, Solver::Linfa] {
        let jobs = golden.map(|(strength, ..)| job(Response::Binary(&y), strength));
        let fits = fit(&design, &jobs, solver, TIGHT).unwrap();
        for (fit, (_, w, b)) in fits.into_iter().zip(golden) {
            let fit = fit.unwrap();
            assert_close(&fit.weights, &array![[w[0], w[1], w[2], -w[0]]], 1e-6);
            assert!((fit.intercept[0] - b).abs() < 1e-6);
        }
    }
}

/// As above with the labels of three classes.
#[test]
fn softmax_optimum_is_that_of_scikit_learn() {
    let weak = array![
        [-0.46425878436824713, -2.149122651499418, 0.46927359695240695, 0.46425878436824713],
        [0.32478791823358194, -0.14454535894090184, -0.21591721086974713, -0.32478791823358194],
        [0.13947086613466297, 2.29366801044032, -0.2533563860826591, -0.13947086613466297],
    ];
    let strong = array![
        [-0.19647736890846743, -0.637130120283328, 0.22682585527680083, 0.19647736890846743],
        [0.17004979457246158, -0.0574883971974107, 0.03713863873442349, -0.17004979457246158],
        [0.0264275743360058, 0.6946185174807387, -0.26396449401122424, -0.0264275743360058],
    ];
    let design = golden_design();
    let y: Vec<u32> = labels(CLASSES).into_iter().map(|label| label as u32).collect();
    let response = Response::Classes { labels: &y, classes: 3 };
    let jobs = [job(response, 0.1), job(response, 10.0)];
    let fits = fit(&design, &jobs, Solver::Batched, TIGHT).unwrap();
    let intercepts = [
        [-0.12661594404080323, 0.27303091582447797, -0.1464149717836779],
        [0.15223624833855265, -0.2295327807590343, 0.07729653242048157],
    ];
    for ((fit, weights), intercept) in fits.into_iter().zip([weak, strong]).zip(intercepts) {
        let fit = fit.unwrap();
        assert!(fit.converged);
        assert_close(&fit.weights, &weights, 1e-6);
        assert_close(&fit.intercept.insert_axis(Axis(0)), &array![intercept], 1e-6);
    }
}

/// A class without rows changes nothing for the others and is never predicted.
#[test]
fn an_absent_class_is_never_predicted() {
    let design = golden_design();
    let y: Vec<u32> = labels(CLASSES).into_iter().map(|label| label as u32).collect();
    let spread: Vec<u32> = y.iter().map(|&label| 2 * label).collect();
    let fit_of = |labels: &[u32], classes| {
        let response = Response::Classes { labels, classes };
        let fits = fit(&design, &[job(response, 1.0)], Solver::Batched, TIGHT).unwrap();
        fits.into_iter().next().unwrap().unwrap()
    };
    let (three, five) = (fit_of(&y, 3), fit_of(&spread, 5));
    assert_eq!(five.weights.select(Axis(0), &[0, 2, 4]), three.weights);
    let decision = five.decision(design.features().unwrap().view());
    assert!(decision.column(1).iter().all(|&value| value == f64::NEG_INFINITY));
    let found = decision.select(Axis(1), &[0, 2, 4]);
    // Products of other shapes add in another order.
    assert_close(&found, &three.decision(design.features().unwrap().view()), 1e-12);
}

/// Gradient of the objective written out, independent of the solver's code.
fn gradient(design: &Design, y: &[i8], strength: f64, fit: &Fit) -> f64 {
    let mut gradient = vec![0.0; design.columns() + 1];
    for (row, &label) in design.features().unwrap().rows().into_iter().zip(y) {
        if label < 0 {
            continue;
        }
        let z: f64 =
            fit.intercept[0] + row.iter().zip(fit.weights.row(0)).map(|(x, w)| x * w).sum::<f64>();
        let residual = 1.0 / (1.0 + (-z).exp()) - f64::from(label);
        let row = row.iter().chain([&1.0]);
        gradient.iter_mut().zip(row).for_each(|(g, x)| *g += residual * x);
    }
    gradient.iter_mut().zip(fit.weights.row(0)).for_each(|(g, w)| *g += strength * w);
    gradient.iter().map(|g| g * g).sum::<f64>().sqrt()
}

/// Pseudo-random rows, wider than one Cholesky block, of very different scales.
fn wide(rows: usize, columns: usize) -> (Design, Vec<i8>) {
    let noise = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * j) as f64 * 0.618).sin();
    let features =
        Array2::from_shape_fn((rows, columns), |(i, j)| noise(i, j) * 10f64.powi(j as i32 % 5 - 2));
    let y = (0..rows).map(|i| i8::from(noise(i, 2) + noise(i, 7) + noise(i, 9999) > 1.0)).collect();
    (Design::new(&[features.view()]).unwrap(), y)
}

#[test]
fn batched_reaches_a_stationary_point_whatever_the_scale() {
    let (design, y) = wide(300, 120);
    let masked: Vec<i8> =
        y.iter().enumerate().map(|(i, &l)| if i % 3 == 0 { -1 } else { l }).collect();
    let strengths = [1e-3, 1.0, 1e3, 1e6];
    for labels in [&y, &masked] {
        let jobs = strengths.map(|strength| job(Response::Binary(labels), strength));
        let fits = fit(&design, &jobs, Solver::Batched, TIGHT).unwrap();
        for (fit, strength) in fits.into_iter().zip(strengths) {
            let fit = fit.unwrap();
            assert!(fit.converged, "{strength}: {fit:?}");
            let zero = Fit { weights: Array2::zeros((1, 120)), ..fit.clone() };
            let share =
                gradient(&design, labels, strength, &fit) / gradient(&design, labels, 0.0, &zero);
            // The yardstick there has another intercept; a factor of a hundred covers it.
            assert!(share < 1e-7, "{strength}: {share}");
        }
    }
}

#[test]
fn solvers_agree_and_rare_classes_keep_their_sign() {
    let (design, y) = wide(300, 12);
    let inverted: Vec<i8> = y.iter().map(|&label| 1 - label).collect();
    let masked: Vec<i8> =
        y.iter().enumerate().map(|(i, &l)| if i % 4 == 0 { -1 } else { l }).collect();
    for labels in [&y, &inverted, &masked] {
        let decide = |solver| {
            let jobs = [job(Response::Binary(labels), 10.0)];
            let fits = fit(&design, &jobs, solver, TIGHT).unwrap();
            fits[0].as_ref().unwrap().decision(design.features().unwrap().view())
        };
        assert_close(&decide(Solver::Batched), &decide(Solver::Linfa), 1e-5);
    }
}

#[test]
fn masked_rows_are_as_if_they_were_not_there() {
    let (design, y) = wide(200, 10);
    let keep: Vec<usize> = (0..200).filter(|i| i % 5 != 0).collect();
    let masked: Vec<i8> =
        y.iter().enumerate().map(|(i, &l)| if i % 5 == 0 { -1 } else { l }).collect();
    let fewer = Design::new(&[design.features().unwrap().select(Axis(0), &keep).view()]).unwrap();
    let kept: Vec<i8> = keep.iter().map(|&i| y[i]).collect();
    let fit_of = |design: &Design, labels: &[i8]| {
        let jobs = [job(Response::Binary(labels), 1.0)];
        fit(design, &jobs, Solver::Batched, TIGHT).unwrap().remove(0).unwrap()
    };
    assert_close(&fit_of(&design, &masked).weights, &fit_of(&fewer, &kept).weights, 1e-6);
}

#[test]
fn a_warm_start_ends_where_a_cold_one_does_and_sooner() {
    let (design, y) = wide(300, 40);
    let run = |start: Option<&Fit>, strength| {
        let jobs = [Job { response: Response::Binary(&y), strength, start }];
        fit(&design, &jobs, Solver::Batched, TIGHT).unwrap().remove(0).unwrap()
    };
    let near = run(None, 0.12);
    let (cold, warm) = (run(None, 0.1), run(Some(&near), 0.1));
    assert_close(&warm.weights, &cold.weights, 1e-5 * cold.weights[[0, 0]].abs().max(1.0));
    assert!(warm.iterations < cold.iterations, "{warm:?} {cold:?}");
}

#[test]
fn separable_and_constant_columns_converge() {
    let features = Array2::from_shape_fn((50, 3), |(i, j)| match j {
        0 => 1e4 * (i as f64 - 24.5),
        1 => 0.0,
        _ => 1.0,
    });
    let design = Design::new(&[features.view()]).unwrap();
    let y: Vec<i8> = (0..50).map(|i| i8::from(i > 24)).collect();
    let jobs = [1e-6, 1.0].map(|strength| job(Response::Binary(&y), strength));
    for fit in fit(&design, &jobs, Solver::Batched, Settings::default()).unwrap() {
        let fit = fit.unwrap();
        assert!(fit.converged, "{fit:?}");
        assert!(fit.weights.iter().all(|w| w.is_finite()) && fit.weights[[0, 0]] > 0.0);
        assert!(fit.weights[[0, 1]] == 0.0);
    }
}

#[test]
fn a_fit_that_gives_up_says_so() {
    let (design, y) = wide(300, 120);
    let hurried = Settings { tolerance: 1e-9, max_iterations: 2 };
    let jobs = [job(Response::Binary(&y), 1e-3), job(Response::Binary(&y), 1e9)];
    let fits = fit(&design, &jobs, Solver::Batched, hurried).unwrap();
    let weak = fits[0].as_ref().unwrap();
    assert!(!weak.converged && weak.gradient_norm > 1e-9 && weak.iterations == Some(2));
    let linfa = fit(&design, &jobs[..1], Solver::Linfa, hurried).unwrap().remove(0).unwrap();
    assert!(!linfa.converged && linfa.gradient_norm > 1e-9);
}

#[test]
fn one_class_is_undefined_and_bad_input_an_error() {
    let design = golden_design();
    let (ones, y) = (vec![1i8; 60], labels(BINARY));
    let mut missing = vec![-1i8; 60];
    missing[3] = 0;
    let jobs = [&ones, &y, &missing].map(|labels| job(Response::Binary(labels), 1.0));
    for solver in [Solver::Batched, Solver::Linfa] {
        let fits = fit(&design, &jobs, solver, TIGHT).unwrap();
        assert_eq!(fits.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    }
    let failing = |job| fit(&design, &[job], Solver::Batched, TIGHT).unwrap_err().to_string();
    for strength in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(failing(job(Response::Binary(&y), strength)).starts_with("strength: expected"));
    }
    assert_eq!(
        failing(job(Response::Binary(&y[1..]), 1.0)),
        "logistic regression: labels: expected 60, found 59"
    );
    let classes = Response::Classes { labels: &[7; 60], classes: 3 };
    assert!(failing(job(classes, 1.0)).contains("7 of 3"));
    let classes = Response::Classes { labels: &[[0, 1]; 30].concat(), classes: 2 };
    let unsupported = fit(&design, &[job(classes, 1.0)], Solver::Linfa, TIGHT).unwrap_err();
    assert!(unsupported.to_string().contains("use batched"), "{unsupported}");
}

#[test]
fn linfa_fits_of_nothing_are_errors() {
    // All columns constant: the best weights are zero, which linfa also returns when it fails.
    let design = Design::new(&[Array2::zeros((60, 2)).view()]).unwrap();
    let y = labels(BINARY);
    let jobs = [job(Response::Binary(&y), 1.0)];
    let error = fit(&design, &jobs, Solver::Linfa, TIGHT).unwrap_err().to_string();
    assert!(error.contains("linfa-logistic at strength 1"), "{error}");
}

/// Five strengths of three targets with rows missing: enough columns for float32 passes.
fn many(y: &[i8]) -> (Vec<Vec<i8>>, [f64; 5]) {
    let mask = |k: usize| {
        let label = |(i, &label): (usize, &i8)| if (i + k).is_multiple_of(7) { -1 } else { label };
        y.iter().enumerate().map(label).collect()
    };
    ((0..3).map(mask).collect(), [1e-2, 0.1, 1.0, 10.0, 1e4])
}

#[test]
fn many_columns_end_where_each_does_alone() {
    let (design, y) = wide(2000, 40);
    let (targets, strengths) = many(&y);
    let jobs: Vec<Job<'_>> = targets
        .iter()
        .flat_map(|y| strengths.map(|strength| job(Response::Binary(y), strength)))
        .collect();
    let features = design.features().unwrap();
    let scale = fit_all(&design, &jobs, TIGHT).into_iter().zip(&jobs).map(|(together, job)| {
        assert!(together.converged, "{together:?}");
        let alone = fit_all(&design, &[*job], TIGHT).remove(0);
        let found = together.decision(features.view());
        assert_close(&found, &alone.decision(features.view()), 1e-6);
        found.iter().fold(0.0, |most: f64, z| most.max(z.abs()))
    });
    // Decisions worth comparing.
    assert!(scale.fold(0.0, f64::max) > 1.0);
}

#[test]
fn columns_far_from_zero_keep_their_digits() {
    let (design, y) = wide(2000, 12);
    let (targets, strengths) = many(&y);
    let moved = &design.features().unwrap() + 1e5;
    let moved = Design::new(&[moved.view()]).unwrap();
    let jobs: Vec<Job<'_>> = targets
        .iter()
        .flat_map(|y| strengths.map(|strength| job(Response::Binary(y), strength)))
        .collect();
    let (here, there) = (fit_all(&design, &jobs, TIGHT), fit_all(&moved, &jobs, TIGHT));
    for (here, there) in here.into_iter().zip(there) {
        assert!(there.converged, "{there:?}");
        let found = there.decision(moved.features().unwrap().view());
        // Weights of norm 1 and features of 1e5 leave 1e-11 of the decision values; the rest is
        // the tolerance.
        assert_close(&found, &here.decision(design.features().unwrap().view()), 1e-4);
    }
}

/// Rows that are made when they are asked for, and how they were asked for.
struct Made {
    rows: usize,
    widest: &'static AtomicUsize,
    /// Reading fails from this row on.
    lost: usize,
}

impl RowBlocks for Made {
    fn shape(&self) -> (usize, usize) {
        (self.rows, 6)
    }

    fn read<'a>(
        &'a self,
        rows: Range<usize>,
        buffer: &'a mut Array2<f64>,
    ) -> Result<ArrayView2<'a, f64>> {
        if rows.end > self.lost {
            return Err(Error::Rows { source: "the disk is gone".into() });
        }
        self.widest.fetch_max(rows.len(), Ordering::Relaxed);
        *buffer = made(rows);
        Ok(buffer.view())
    }
}

fn made(rows: Range<usize>) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), 6), |(i, j)| {
        (((rows.start + i) * (j + 3)) as f64 * 0.7).sin() + (j as f64)
    })
}

#[test]
fn streamed_rows_give_the_same_fit_block_by_block() {
    static WIDEST: AtomicUsize = AtomicUsize::new(0);
    // More rows than the spans hold in one block each.
    let rows = 40 * BLOCK_ROWS + 7;
    let all = made(0..rows);
    let y: Vec<i8> = all
        .rows()
        .into_iter()
        .enumerate()
        .map(|(i, x)| i8::from(x[1] + x[2] > 2.9 + (i % 3) as f64))
        .collect();
    let classes: Vec<u32> = y.iter().zip(0..).map(|(&y, i)| y as u32 + 2 * (i % 2)).collect();
    let strengths = [0.1, 0.5, 1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5];
    let binary = strengths.map(|strength| job(Response::Binary(&y), strength));
    let softmax = [0.1, 1e3]
        .map(|strength| job(Response::Classes { labels: &classes, classes: 4 }, strength));
    let memory = Design::new(&[all.view()]).unwrap();
    let streamed = Design::streamed(Made { rows, widest: &WIDEST, lost: rows });
    for jobs in [&binary[..], &softmax] {
        let fits = fit_all(&streamed, jobs, Settings::default());
        assert_eq!(fits, fit_all(&memory, jobs, Settings::default()));
        assert!(fits.iter().all(|fit| fit.converged));
    }
    let widest = WIDEST.load(Ordering::Relaxed);
    assert!((1..=BLOCK_ROWS).contains(&widest), "{widest}");

    let broken = Design::streamed(Made { rows, widest: &WIDEST, lost: rows - 1 });
    let error = fit(&broken, &binary, Solver::Batched, Settings::default()).unwrap_err();
    assert_eq!(error.to_string(), "features: the disk is gone");
}

/// Newton's method on the softmax objective written out, with the Hessian of all classes.
fn newton(x: &Array2<f64>, labels: &[u32], classes: usize, strength: f64) -> Array2<f64> {
    let p = x.ncols() + 1;
    let size = classes * p;
    let mut parameters = Array2::<f64>::zeros((classes, p));
    for _ in 0..60 {
        let mut gradient = Array2::<f64>::zeros((classes, p));
        let mut hessian = Array2::<f64>::zeros((size, size));
        for (row, &label) in x.rows().into_iter().zip(labels) {
            let row: Vec<f64> = row.iter().copied().chain([1.0]).collect();
            let score = |c: usize| parameters.row(c).iter().zip(&row).map(|(w, x)| w * x).sum();
            let mut shares: Vec<f64> = (0..classes).map(score).collect();
            softmax(&mut shares);
            for a in 0..classes {
                let residual = shares[a] - f64::from(u8::from(a == label as usize));
                for i in 0..p {
                    gradient[[a, i]] += residual * row[i];
                    for b in 0..classes {
                        let weight = shares[a] * (f64::from(u8::from(a == b)) - shares[b]);
                        for j in 0..p {
                            hessian[[a * p + i, b * p + j]] += weight * row[i] * row[j];
                        }
                    }
                }
            }
        }
        for a in 0..classes {
            for i in 0..p - 1 {
                gradient[[a, i]] += strength * parameters[[a, i]];
                hessian[[a * p + i, a * p + i]] += strength;
            }
            // A constant in all intercepts is free; this keeps it where it is.
            hessian[[a * p + p - 1, a * p + p - 1]] += 1e-6;
        }
        let mut step = gradient.into_shape_with_order((size, 1)).unwrap();
        cholesky::Cholesky::new(hessian).solve(step.view_mut());
        parameters -= &step.into_shape_with_order((classes, p)).unwrap();
    }
    parameters
}

#[test]
fn softmax_ends_where_newton_does() {
    let rows = 400;
    let x = made(0..rows);
    let labels: Vec<u32> = (0..rows)
        .map(|i| if i % 5 == 0 { (i % 4) as u32 } else { (x[[i, 0]] + x[[i, 1]] + 1.0) as u32 % 4 })
        .collect();
    let design = Design::new(&[x.view()]).unwrap();
    let response = Response::Classes { labels: &labels, classes: 4 };
    let strengths = [1e-2, 1.0, 10.0, 1e3];
    let jobs = strengths.map(|strength| job(response, strength));
    for (fit, strength) in fit_all(&design, &jobs, TIGHT).into_iter().zip(strengths) {
        assert!(fit.converged, "{fit:?}");
        let expected = newton(&x, &labels, 4, strength);
        assert_close(&fit.weights, &expected.slice(s![.., ..6]).to_owned(), 1e-6);
        let mean = expected.column(6).mean().unwrap();
        for (found, expected) in fit.intercept.iter().zip(expected.column(6)) {
            assert!((found - (expected - mean)).abs() < 1e-5, "{strength}: {found} {expected}");
        }
    }
}

#[test]
fn separable_classes_converge_in_float32_too() {
    let x = Array2::from_shape_fn((500, 30), |(i, j)| ((i * (j + 2)) as f64 * 0.37).sin());
    let y: Vec<i8> = x.rows().into_iter().map(|x| i8::from(x[0] > 0.0)).collect();
    let design = Design::new(&[x.view()]).unwrap();
    let strengths: Vec<f64> = (0..12).map(|at| 10f64.powi(at - 7)).collect();
    let jobs: Vec<Job<'_>> =
        strengths.iter().map(|&strength| job(Response::Binary(&y), strength)).collect();
    let fits = fit_all(&design, &jobs, Settings::default());
    for (fit, strength) in fits.iter().zip(strengths) {
        assert!(fit.converged, "{strength}: {fit:?}");
    }
    let right =
        fits[0].decision(x.view()).iter().zip(&y).filter(|(z, y)| (**z > 0.0) == (**y > 0)).count();
    assert_eq!(right, 500);
}

#[test]
fn solver_names_round_trip() {
    for solver in [Solver::Batched, Solver::Linfa] {
        assert_eq!(solver.to_string().parse::<Solver>().unwrap(), solver);
    }
    let error = "newton".parse::<Solver>().unwrap_err().to_string();
    assert_eq!(error, "solver: expected one of batched, linfa, found \"newton\"");
}
