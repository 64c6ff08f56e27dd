//! Neighbourhoods of pixels laid out as rows of a matrix.

use crate::real::Real;

/// `n` pictures of `height × width` pixels; a pixel is numbered through the whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) n: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Grid {
    pub(crate) fn pixels(self) -> usize {
        self.n * self.height * self.width
    }
}

/// Writes the 3×3 neighbourhoods of pixels `first..first + count` of `x` (NHWC, `channels` each)
/// as rows of `9 * channels` numbers, taps in row-major order, zeros outside the picture.
pub(crate) fn im2col_3x3<T: Real>(
    grid: Grid,
    x: &[T],
    channels: usize,
    first: usize,
    count: usize,
    columns: &mut [T],
) {
    let Grid { height, width, .. } = grid;
    for (pixel, row) in (first..first + count).zip(columns.chunks_exact_mut(9 * channels)) {
        let (column, line) = (pixel % width, pixel / width % height);
        for (tap, cell) in row.chunks_exact_mut(channels).enumerate() {
            // Coordinates plus one, so that the border needs no signed numbers.
            let (y, x1) = (line + tap / 3, column + tap % 3);
            if (1..=height).contains(&y) && (1..=width).contains(&x1) {
                let source = pixel + (tap / 3) * width + tap % 3 - width - 1;
                cell.copy_from_slice(&x[source * channels..][..channels]);
            } else {
                cell.fill(T::zero());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_a_corner_and_of_the_middle() {
        let grid = Grid { n: 2, height: 3, width: 3 };
        let x: Vec<f64> = (1..=18).map(f64::from).collect();
        let mut rows = [-1.0; 2 * 9];
        im2col_3x3(grid, &x, 1, 9, 1, &mut rows[..9]);
        assert_eq!(rows[..9], [0.0, 0.0, 0.0, 0.0, 10.0, 11.0, 0.0, 13.0, 14.0]);
        im2col_3x3(grid, &x, 1, 4, 1, &mut rows[9..]);
        assert_eq!(rows[9..], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    }
}
