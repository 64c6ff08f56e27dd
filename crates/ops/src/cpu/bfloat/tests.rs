//! Products on every instruction set of this machine against the same sums in float64.

use std::mem::MaybeUninit;

use half::bf16;

use super::*;
use crate::cpu::im2col::{Grid, im2col_3x3};
use crate::cpu::matrix::Matrix;
use vdvae_io::{InstructionSet, instruction_set};

fn sets() -> impl Iterator<Item = InstructionSet> {
    use InstructionSet::{Amx, Avx2, Avx512, Avx512Bf16, Baseline};
    [Amx, Avx512Bf16, Avx512, Avx2, Baseline].into_iter().filter(|set| *set <= instruction_set())
}

/// Reproducible whole numbers between -8 and 8: sums of their products are exact, in any order.
fn whole(n: usize, phase: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * i + 7 * i + phase * 31) % 17) as f32 - 8.0).collect()
}

/// Reproducible numbers in [-1, 1] that are symmetric in no index.
fn wave(n: usize, phase: f32) -> Vec<f32> {
    (0..n).map(|i| (phase + 1.7 * i as f32 + 0.013 * (i * i % 101) as f32).sin()).collect()
}

fn nearest(x: f32) -> f64 {
    f64::from(bf16::from_f32(x).to_f32())
}

/// Rows, inner dimension and columns: at, below and beside whole tiles.
const SIZES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (16, 32, 16), (33, 31, 17), (70, 100, 48), (32, 64, 32), (5, 33, 70)];

/// `bias + a · b`, of numbers rounded to bfloat16, in float64.
fn expected(a: &[f32], b: &[f32], (rows, k, columns): (usize, usize, usize)) -> Vec<f64> {
    let at = |row: usize, column: usize| {
        (0..k).map(|i| nearest(a[row * k + i]) * nearest(b[i * columns + column])).sum()
    };
    (0..rows * columns).map(|i| at(i / columns, i % columns)).collect()
}

/// The product by the kernels, from a matrix in rows and from its transpose, once and added to
/// itself.
fn products(
    set: InstructionSet,
    a: &[f32],
    b: &[f32],
    size: (usize, usize, usize),
) -> [Vec<f32>; 3] {
    let (rows, k, columns) = size;
    let mut left = Rows::stale(rows, k);
    left.round(set, Matrix::new(a, rows, k, k));
    let transposed: Vec<f32> = (0..columns * k).map(|i| b[i % k * columns + i / k]).collect();
    let of = |matrix: Matrix<'_, f32>, again: bool| {
        let panels = Panels::pack(set, matrix);
        let mut sums = Sums::stale(rows, columns);
        multiply(set, (Left::Rows(&left), rows), &panels, &mut sums, false);
        if again {
            multiply(set, (Left::Rows(&left), rows), &panels, &mut sums, true);
        }
        let mut out = vec![f32::NAN; rows * columns];
        sums.copy_to(&mut out, None, columns);
        out
    };
    let (b, transposed) =
        (Matrix::new(b, k, columns, columns), Matrix::new(&transposed, columns, k, k).transposed());
    [of(b, false), of(transposed, false), of(b, true)]
}

#[test]
fn products_of_whole_numbers_are_exact() {
    for size @ (rows, k, columns) in SIZES {
        let (a, b) = (whole(rows * k, 1), whole(k * columns, 2));
        let expected = expected(&a, &b, size);
        for set in sets() {
            let [by_rows, by_columns, twice] = products(set, &a, &b, size);
            for (i, &e) in expected.iter().enumerate() {
                let what = format!("{set:?} {size:?} element {i}");
                assert_eq!(f64::from(by_rows[i]), e, "{what}");
                assert_eq!(f64::from(by_columns[i]), e, "{what} of a transposed matrix");
                assert_eq!(f64::from(twice[i]), 2.0 * e, "{what} added");
            }
        }
    }
}

#[test]
fn products_of_rounded_numbers_agree_but_for_the_order_of_sums() {
    for size @ (rows, k, columns) in SIZES {
        let (a, b) = (wave(rows * k, 0.1), wave(k * columns, 0.7));
        let expected = expected(&a, &b, size);
        for set in sets() {
            for found in products(set, &a, &b, size).into_iter().take(2) {
                for (f, e) in found.iter().zip(&expected) {
                    assert!(
                        (f64::from(*f) - e).abs() < 1e-6 * k as f64,
                        "{set:?} {size:?}: {f} {e}"
                    );
                }
            }
        }
    }
}

#[test]
fn gradients_of_weights_are_exact_for_whole_numbers() {
    // Pixels in several goes, the last of an odd number; rows and columns beside whole tiles.
    const GOES: [usize; 3] = [64, 64, 37];
    let (rows, columns, stride) = (19, 50, 21);
    let pixels: usize = GOES.iter().sum();
    let (left, right) = (whole(pixels * stride, 3), whole(pixels * columns, 4));
    for set in sets() {
        let mut gradient = WeightGradient::new((rows, columns), 64);
        let mut first = 0;
        for count in GOES {
            // What is left over from before must not be added again.
            let mut all = Rows::stale(64, columns);
            all.data_mut().fill(bf16::NAN);
            all.round(set, Matrix::new(&right[first * columns..], count, columns, columns));
            let left = &left[first * stride..][..count * stride];
            let left: Vec<_> = left.iter().map(|&x| bf16::from_f32(x)).collect();
            gradient.add(set, (&left, stride), Left::Rows(&all), count);
            first += count;
        }
        let mut found = vec![0.0; rows * (columns + 3)];
        add_up(&[gradient], rows, Taps::one(columns), &mut found, columns + 3);
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let sum: f32 = (0..pixels).map(|p| left[p * stride + i] * right[p * columns + j]).sum();
            assert_eq!(found[i * (columns + 3) + j], sum, "{set:?} ({i}, {j})");
        }
    }
}

#[test]
fn numbers_are_rounded_as_bfloat16_is() {
    // Of every exponent but that of denormal numbers, which instructions take for zero.
    let mut x: Vec<f32> = (0..4000).map(|i| f32::from_bits(0x0080_0000 + i * 1_048_573)).collect();
    x.extend([0.0, -0.0, f32::MAX, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0]);
    x.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::from_bits(0x7f80_0001)]);
    for set in sets() {
        let mut rows = Rows::stale(1, x.len());
        rows.round(set, Matrix::new(&x, 1, x.len(), x.len()));
        for (&x, &found) in x.iter().zip(rows.data()) {
            let expected = bf16::from_f32(x);
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && x.is_nan();
            assert!(same || x.is_subnormal(), "{set:?}: {x}: {found}, expected {expected}");
        }
    }
}

#[test]
fn gelu_and_its_slope_are_close_to_the_exact_ones() {
    let x: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 * 1e-4).collect();
    for set in sets() {
        let mut rows = Rows::stale(1, x.len());
        rows.gelu(set, &x, x.len());
        let mut slopes = vec![MaybeUninit::new(0.0f32); x.len()];
        let ones = vec![1.0; x.len()];
        input_gradient_rows(set, &ones, x.len(), &x, x.len(), [None; 2], &mut slopes);
        for ((&x, found), slope) in x.iter().zip(rows.data()).zip(slopes) {
            let wide = f64::from(x);
            let cdf = 0.5 * libm::erfc(-wide * std::f64::consts::FRAC_1_SQRT_2);
            let density = (-0.5 * wide * wide).exp() * 0.398_942_280_401_432_7;
            let (exact, found) = (wide * cdf, found.to_f64());
            // Half a unit in the last place, and the polynomial's own error.
            let most = exact.abs() / 256.0 + 7e-5;
            assert!((found - exact).abs() < most, "{set:?}: gelu({x}): {found}");
            // SAFETY: written when it was made.
            let slope = f64::from(unsafe { slope.assume_init() });
            assert!((slope - cdf - wide * density).abs() < 3e-4, "{set:?}: slope at {x}: {slope}");
        }
        let far = [-1e30, -100.0, 100.0, 1e30, f32::INFINITY, f32::NAN];
        let mut rows = Rows::stale(1, far.len());
        rows.gelu(set, &far, far.len());
        let found: Vec<f32> = rows.data()[..far.len()].iter().map(|x| x.to_f32()).collect();
        assert_eq!(found[..3], [0.0, 0.0, 100.0], "{set:?}");
        assert_eq!(found[3..5], [bf16::from_f32(1e30).to_f32(), f32::INFINITY], "{set:?}");
        assert!(found[5].is_nan(), "{set:?}");
    }
}

/// Neighbourhoods as they lie and copied, in products and in gradients, give what sums over the
/// pixels around each give.
#[test]
fn neighbourhoods_are_those_of_the_pictures() {
    let sizes = [(2, 5, 16, 32), (1, 3, 32, 64), (2, 3, 5, 4), (3, 1, 1, 32), (1, 4, 16, 20)];
    for (n, height, width, channels) in sizes {
        let grid = Grid { n, height, width };
        let x = whole(grid.pixels() * channels, 5);
        let mut lines = Lines::stale(grid, channels, 3);
        let size = lines.size();
        LinesMut::new(lines.lines_mut(), size).write(|line, to| {
            to.fill(bf16::ZERO);
            let pixels = x[line * width * channels..].chunks_exact(channels);
            for (to, pixel) in to.chunks_exact_mut(padded(channels)).zip(pixels) {
                to.iter_mut().zip(pixel).for_each(|(to, &x)| *to = bf16::from_f32(x));
            }
        });
        let mut neighbours = vec![0.0; grid.pixels() * 9 * channels];
        im2col_3x3(grid, (&x, channels), (0, grid.pixels()), &mut neighbours, 9 * channels);
        let (columns, lines_at_once) = (17, height.min(2));
        let weights = whole(9 * channels * columns, 6);
        let upstream = whole(grid.pixels() * columns, 7);
        for set in sets() {
            let of_taps = Matrix::new(&weights, columns, 9 * channels, 9 * channels);
            let panels = Panels::of_taps(set, of_taps, 9);
            let mut scratch = lines.scratch(lines_at_once * width);
            let mut sums = Sums::stale(lines_at_once * width, columns);
            let size = (columns, 9 * padded(channels));
            let mut gradient = WeightGradient::new(size, lines_at_once * width);
            let mut products = vec![];
            for first in (0..n * height).step_by(lines_at_once) {
                let range = first..(first + lines_at_once).min(n * height);
                let count = range.len() * width;
                let left = lines.left(range, &mut scratch);
                multiply(set, (left, count), &panels, &mut sums, false);
                let mut out = vec![0.0; count * columns];
                sums.copy_to(&mut out, None, columns);
                products.extend(out);
                let upstream = &upstream[first * width * columns..][..count * columns];
                let upstream: Vec<_> = upstream.iter().map(|&x| bf16::from_f32(x)).collect();
                gradient.add(set, (&upstream, columns), left, count);
            }
            let of_pixel = |pixel: usize| &neighbours[pixel * 9 * channels..][..9 * channels];
            for (i, &found) in products.iter().enumerate() {
                let weights = &weights[i % columns * 9 * channels..][..9 * channels];
                let sum: f32 = of_pixel(i / columns).iter().zip(weights).map(|(x, w)| x * w).sum();
                assert_eq!(found, sum, "{set:?} {grid:?} {channels}: product {i}");
            }
            for (row, column) in [(0, 0), (16, 9 * channels - 1), (3, 4 * channels), (7, channels)]
            {
                let at = |pixel: usize| upstream[pixel * columns + row] * of_pixel(pixel)[column];
                let sum: f32 = (0..grid.pixels()).map(at).sum();
                let place = column / channels * padded(channels) + column % channels;
                assert_eq!(gradient.at(row, place), sum, "{set:?} {grid:?}: ({row}, {column})");
            }
        }
    }
}
