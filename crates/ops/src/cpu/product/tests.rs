//! Every float32 path, on every instruction set this machine has, against float64.

use super::*;

/// Reproducible numbers in [-1, 1] that are symmetric in no index.
fn wave(n: usize, phase: f64) -> (Vec<f32>, Vec<f64>) {
    let value = |i: usize| (phase + 1.7 * i as f64 + 0.013 * (i * i % 101) as f64).sin();
    let narrow: Vec<f32> = (0..n).map(|i| value(i) as f32).collect();
    let wide = narrow.iter().map(|&v| f64::from(v)).collect();
    (narrow, wide)
}

fn sets() -> impl Iterator<Item = InstructionSet> {
    use InstructionSet::{Avx2, Avx512, Baseline};
    [Avx512, Avx2, Baseline].into_iter().filter(|set| *set <= instruction_set())
}

const DIRECT: Arithmetic = Arithmetic { exact: true, bf16: false, tf32: false };
const FAST: Arithmetic = Arithmetic { exact: false, bf16: false, tf32: false };
const BF16: Arithmetic = Arithmetic { exact: false, bf16: true, tf32: false };

/// Ways to compute, and how far their results may be off.
fn ways() -> [(Arithmetic, f64); 3] {
    // Winograd's transforms lose a few bits; numbers in bfloat16 have eight.
    [(DIRECT, 2e-6), (FAST, 5e-6), (BF16, 1e-2)]
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*f) - e).abs() / largest;
        assert!(difference < tolerance, "{what}: element {i}: {f} and {e}");
    }
}

/// Channel counts below, at and beside whole registers; pixels beside whole blocks.
const PRODUCTS: [(usize, usize, usize); 5] =
    [(1, 5, 3), (33, 16, 48), (130, 7, 50), (300, 96, 33), (64, 40, 129)];

type ProductBy =
    fn(InstructionSet, &[Operand<'_, f32>], Option<&[f32]>, usize, Out<'_, f32>, Finish<'_, f32>);

#[test]
fn products_of_two_operands() {
    for (pixels, input, output) in PRODUCTS {
        let (x, x64) = wave(pixels * input, 0.1);
        let (y, y64) = wave(pixels * (input + 2), 0.4);
        let (w, w64) = wave(output * input, 0.7);
        let (v, v64) = wave(input * output, 0.9);
        let (b, b64) = wave(output, 1.1);
        let mut expected = vec![0.0; pixels * output];
        let stride = input + 2;
        let operands = [
            (
                Rows::Gelu { x: &x64, channels: input },
                Matrix::new(&w64, output, input, input).transposed().into(),
            ),
            (
                Rows::Plain { x: &y64, channels: input, stride },
                Matrix::new(&v64, input, output, output).into(),
            ),
        ];
        f64::product(
            &operands,
            Some(&b64),
            output,
            Out::Held(&mut expected),
            DIRECT,
            &|first, block| {
                block.iter_mut().for_each(|v| *v += first as f64);
            },
        );
        let operands = [
            (
                Rows::Gelu { x: &x, channels: input },
                Matrix::new(&w, output, input, input).transposed().into(),
            ),
            (
                Rows::Plain { x: &y, channels: input, stride },
                Matrix::new(&v, input, output, output).into(),
            ),
        ];
        for set in sets() {
            let finish = |first, block: &mut [f32]| {
                block.iter_mut().for_each(|v| *v += first as f32);
            };
            let by_either: [(ProductBy, f64); 2] = [(product_f32, 2e-6), (product_bf16, 1e-2)];
            for (by, tolerance) in by_either {
                let mut found = vec![f32::NAN; pixels * output];
                by(set, &operands, Some(&b), output, Out::Held(&mut found), &finish);
                let what = format!("{set:?} {pixels}×{input}×{output} to {tolerance}");
                assert_close(&found, &expected, tolerance, &what);
                let (mut new, size) = (vec![], found.len());
                by(set, &operands, Some(&b), output, Out::New(&mut new, size), &finish);
                assert_eq!(new, found);
            }
        }
    }
}

/// Pictures with and without whole tiles; the last two suit Winograd.
const CONVOLUTIONS: [(Grid, usize, usize); 5] = [
    (Grid { n: 2, height: 5, width: 3 }, 3, 7),
    (Grid { n: 1, height: 8, width: 8 }, 16, 16),
    (Grid { n: 3, height: 9, width: 16 }, 5, 18),
    (Grid { n: 17, height: 8, width: 8 }, 16, 32),
    (Grid { n: 2, height: 16, width: 32 }, 48, 16),
];

#[test]
fn convolutions_both_ways() {
    for (grid, input, output) in CONVOLUTIONS {
        let (weights, weights64) = wave(output * 9 * input, 0.3);
        for direction in [Direction::Forward, Direction::Backward] {
            let reference = Convolution {
                grid,
                weights: &weights64[..],
                input,
                output,
                direction,
                packed: None,
                arithmetic: DIRECT,
            };
            let (read, written) = reference.channels();
            let (x, x64) = wave(grid.pixels() * read, 0.6);
            let (b, b64) = wave(written, 0.8);
            let mut expected = vec![0.0; grid.pixels() * written];
            let nothing = |_: usize, _: &mut [f64]| ();
            f64::convolve(reference, &x64, Some(&b64), &mut expected, &nothing);
            for set in sets() {
                for (arithmetic, tolerance) in ways() {
                    let mut found = vec![f32::NAN; expected.len()];
                    let finish = |_: usize, block: &mut [f32]| {
                        assert!(block.iter().all(|v| v.is_finite()), "finished before it is whole");
                    };
                    let convolution = Convolution {
                        grid,
                        weights: &weights[..],
                        input,
                        output,
                        direction,
                        packed: None,
                        arithmetic,
                    };
                    let by = if arithmetic.bf16 { convolve_bf16 } else { convolve_f32 };
                    by(set, convolution, &x, Some(&b), &mut found, &finish);
                    let what = format!("{set:?} {grid:?} {direction:?} {arithmetic:?}");
                    assert_close(&found, &expected, tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn weight_gradients() {
    for (grid, input, output) in CONVOLUTIONS {
        let (x, x64) = wave(grid.pixels() * input, 0.2);
        let (u, u64) = wave(grid.pixels() * output, 0.5);
        let size = output * 9 * input;
        let mut expected = vec![0.0; size];
        let rows = Rows::Neighbours { grid, x: &x64, channels: input };
        f64::weight_gradient(&rows, &u64, output, (&mut expected, 9 * input), DIRECT);
        for set in sets() {
            for (arithmetic, tolerance) in ways() {
                let mut found = vec![f32::NAN; size];
                let rows = Rows::Neighbours { grid, x: &x, channels: input };
                let by = if arithmetic.bf16 { weight_gradient_bf16 } else { weight_gradient_f32 };
                by((set, arithmetic), &rows, &u, output, (&mut found, 9 * input));
                let what = format!("{set:?} {grid:?} {arithmetic:?}");
                assert_close(&found, &expected, tolerance, &what);
            }
        }
    }
}

#[test]
fn weight_gradients_of_strided_rows() {
    for (pixels, input, output) in PRODUCTS {
        let (x, x64) = wave(pixels * input, 0.2);
        let (u, u64) = wave(pixels * output, 0.5);
        let stride = input + 3;
        let mut expected = vec![7.0; output * stride];
        let rows = Rows::Gelu { x: &x64, channels: input };
        f64::weight_gradient(&rows, &u64, output, (&mut expected, stride), DIRECT);
        for set in sets() {
            for (arithmetic, tolerance) in ways() {
                let mut found = vec![7.0f32; output * stride];
                let rows = Rows::Gelu { x: &x, channels: input };
                let by = if arithmetic.bf16 { weight_gradient_bf16 } else { weight_gradient_f32 };
                by((set, arithmetic), &rows, &u, output, (&mut found, stride));
                let what = format!("{set:?} {pixels}×{input}×{output} {arithmetic:?}");
                assert_close(&found, &expected, tolerance, &what);
                assert_eq!(found[input], 7.0, "what lies between rows stays");
            }
        }
    }
}

#[test]
fn the_same_threads_give_the_same_bits() {
    let (grid, input, output) = CONVOLUTIONS[4];
    let (x, _) = wave(grid.pixels() * input, 0.2);
    let (u, _) = wave(grid.pixels() * output, 0.5);
    let run = || {
        let mut gradient = vec![0.0f32; output * 9 * input];
        let rows = Rows::Neighbours { grid, x: &x, channels: input };
        f32::weight_gradient(&rows, &u, output, (&mut gradient, 9 * input), FAST);
        gradient
    };
    assert!((0..5).all(|_| run() == run()));
}
