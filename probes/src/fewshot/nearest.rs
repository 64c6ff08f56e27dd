//! Products of one row with a bank of rows, and centroids.

use super::episode::Episode;
use super::rows::{LANES, Lanes, Rows, ZERO};

/// Rows of the bank whose sums stand in registers together: ten of AVX's sixteen.
const TOGETHER: usize = 5;

/// `products[i] = row · bank[i]`.
///
/// # Shapes
/// `row`: `(width)`; `bank`: `(count, width)`; `products`: `(count)`.
#[inline(always)]
pub(super) fn products(row: &[Lanes], bank: &[Lanes], products: &mut [f32]) {
    let width = row.len();
    let blocks = bank.chunks(TOGETHER * width).zip(products.chunks_mut(TOGETHER));
    for (bank, products) in blocks {
        match products.len() {
            1 => block::<1>(row, bank, products),
            2 => block::<2>(row, bank, products),
            3 => block::<3>(row, bank, products),
            4 => block::<4>(row, bank, products),
            _ => block::<TOGETHER>(row, bank, products),
        }
    }
}

#[inline(always)]
fn block<const COUNT: usize>(row: &[Lanes], bank: &[Lanes], products: &mut [f32]) {
    let width = row.len();
    let bank: [&[Lanes]; COUNT] = std::array::from_fn(|i| &bank[i * width..(i + 1) * width]);
    let mut sums = [[0f32; LANES]; COUNT];
    for at in 0..width {
        let left = &row[at].0;
        for (sum, other) in sums.iter_mut().zip(&bank) {
            let right = &other[at].0;
            for lane in 0..LANES {
                sum[lane] += left[lane] * right[lane];
            }
        }
    }
    for (product, sum) in products.iter_mut().zip(sums) {
        *product = total(sum);
    }
}

/// Sum of the lanes, by halves.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Copies the labelled rows of an episode one after the other into `bank`.
pub(super) fn gather(rows: &Rows, episode: &Episode, bank: &mut Vec<Lanes>) {
    bank.clear();
    for &row in &episode.support {
        bank.extend_from_slice(rows.row(row));
    }
}

/// Writes the mean of each way's labelled rows into `bank`, `(ways, width)`, and half its squared
/// length into `half_squares`: the nearest centroid is the one whose product less that is largest.
#[inline(always)]
pub(super) fn centroids(
    rows: &Rows,
    episode: &Episode,
    bank: &mut Vec<Lanes>,
    half_squares: &mut Vec<f32>,
) {
    let ways = episode.classes.len();
    bank.clear();
    bank.resize(ways * rows.width, ZERO);
    half_squares.clear();
    half_squares.resize(ways, 0.0);
    // The number of rows of each way, for a moment.
    for (&row, &way) in episode.support.iter().zip(&episode.support_ways) {
        let way = way as usize;
        half_squares[way] += 1.0;
        let sum = &mut bank[way * rows.width..(way + 1) * rows.width];
        for (sum, lanes) in sum.iter_mut().zip(rows.row(row)) {
            for lane in 0..LANES {
                sum.0[lane] += lanes.0[lane];
            }
        }
    }
    for (centroid, half_square) in bank.chunks_exact_mut(rows.width).zip(half_squares) {
        let share = 1.0 / *half_square;
        for lanes in centroid.iter_mut() {
            lanes.0 = lanes.0.map(|sum| sum * share);
        }
        let mut square = [0.0];
        products(centroid, centroid, &mut square);
        *half_square = 0.5 * square[0];
    }
}
