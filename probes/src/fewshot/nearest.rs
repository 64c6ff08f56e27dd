//! Products of one row with a bank of rows, and centroids.

use pulp::Simd;

use super::episode::Episode;
use super::rows::Rows;

/// Rows of the bank whose sums stand in registers together.
const TOGETHER: usize = 5;

/// `products[i] = row · bank[i]`.
///
/// # Shapes
/// `row`: `(width)`, whole registers; `bank`: `(count, width)`; `products`: `(count)`.
#[inline(always)]
pub(super) fn products<S: Simd>(simd: S, row: &[f32], bank: &[f32], products: &mut [f32]) {
    let blocks = bank.chunks(TOGETHER * row.len()).zip(products.chunks_mut(TOGETHER));
    for (bank, products) in blocks {
        match products.len() {
            1 => block::<S, 1>(simd, row, bank, products),
            2 => block::<S, 2>(simd, row, bank, products),
            3 => block::<S, 3>(simd, row, bank, products),
            4 => block::<S, 4>(simd, row, bank, products),
            _ => block::<S, TOGETHER>(simd, row, bank, products),
        }
    }
}

#[inline(always)]
fn block<S: Simd, const COUNT: usize>(simd: S, row: &[f32], bank: &[f32], products: &mut [f32]) {
    let width = row.len();
    let (row, _) = S::as_simd_f32s(row);
    let bank: [&[S::f32s]; COUNT] = std::array::from_fn(|other| {
        let (other, _) = S::as_simd_f32s(&bank[other * width..(other + 1) * width]);
        // Of the same length, so that indices need no check.
        &other[..row.len()]
    });
    let mut sums = [simd.splat_f32s(0.0); COUNT];
    for (at, &left) in row.iter().enumerate() {
        for (sum, other) in sums.iter_mut().zip(&bank) {
            *sum = simd.mul_add_f32s(left, other[at], *sum);
        }
    }
    for (product, sum) in products.iter_mut().zip(sums) {
        *product = simd.reduce_sum_f32s(sum);
    }
}

/// Copies the labelled rows of an episode one after the other into `bank`.
pub(super) fn gather(rows: &Rows, episode: &Episode, bank: &mut Vec<f32>) {
    bank.clear();
    for &row in &episode.support {
        bank.extend_from_slice(rows.row(row));
    }
}

/// Writes the mean of each way's labelled rows into `bank`, `(ways, width)`, and half its squared
/// length into `half_squares`: the nearest centroid is the one whose product less that is largest.
#[inline(always)]
pub(super) fn centroids<S: Simd>(
    simd: S,
    rows: &Rows,
    episode: &Episode,
    bank: &mut Vec<f32>,
    half_squares: &mut Vec<f32>,
) {
    let ways = episode.classes.len();
    bank.clear();
    bank.resize(ways * rows.width, 0.0);
    half_squares.clear();
    half_squares.resize(ways, 0.0);
    // The number of rows of each way, for a moment.
    for (&row, &way) in episode.support.iter().zip(&episode.support_ways) {
        let way = way as usize;
        half_squares[way] += 1.0;
        let sums = &mut bank[way * rows.width..(way + 1) * rows.width];
        sums.iter_mut().zip(rows.row(row)).for_each(|(sum, value)| *sum += value);
    }
    for (centroid, half_square) in bank.chunks_exact_mut(rows.width).zip(half_squares) {
        let share = 1.0 / *half_square;
        centroid.iter_mut().for_each(|sum| *sum *= share);
        let mut square = [0.0];
        products(simd, centroid, centroid, &mut square);
        *half_square = 0.5 * square[0];
    }
}
