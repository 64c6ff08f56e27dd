//! Neighbourhoods of pixels laid out as rows of a matrix.

use super::buffer::Buffer;
use crate::real::Real;
use crate::team::share_chunks;

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

/// Pictures with a border of zeros one pixel wide, so that the three pixels of a neighbourhood that
/// lie side by side are side by side in memory, whatever pixel it belongs to.
pub(crate) struct Padded {
    grid: Grid,
    channels: usize,
    data: Buffer<f32>,
}

impl Padded {
    /// `x` (NHWC, `channels` each) with its border.
    pub(crate) fn new(grid: Grid, x: &[f32], channels: usize) -> Self {
        let Grid { n, height, width } = grid;
        let line = (width + 2) * channels;
        let mut data = Buffer::stale(n * (height + 2) * line);
        share_chunks(&mut data, line, |lines| {
            for (i, to) in lines {
                let (picture, y) = (i / (height + 2), i % (height + 2));
                if (1..=height).contains(&y) {
                    let from = &x[(picture * height + y - 1) * width * channels..];
                    to[..channels].fill(0.0);
                    to[channels..][..width * channels].copy_from_slice(&from[..width * channels]);
                    to[(width + 1) * channels..].fill(0.0);
                } else {
                    to.fill(0.0);
                }
            }
        });
        Self { grid, channels, data }
    }

    pub(crate) fn data(&self) -> &[f32] {
        &self.data
    }

    /// Numbers that the three pixels of a line of a neighbourhood hold together.
    pub(crate) fn line(&self) -> usize {
        3 * self.channels
    }

    /// Distance between the lines of a neighbourhood.
    pub(crate) fn stride(&self) -> usize {
        (self.grid.width + 2) * self.channels
    }

    /// Where the neighbourhoods of pixels from `first` on begin.
    pub(crate) fn starts(&self, first: usize) -> impl Iterator<Item = usize> {
        let Grid { height, width, .. } = self.grid;
        let (mut column, mut line) = (first % width, first / width);
        let (channels, stride) = (self.channels, self.stride());
        std::iter::from_fn(move || {
            // Every picture before this one has two lines of border.
            let start = (line + 2 * (line / height)) * stride + column * channels;
            column += 1;
            if column == width {
                (column, line) = (0, line + 1);
            }
            Some(start)
        })
    }

    /// As [`im2col_3x3`] of what is padded.
    pub(crate) fn im2col(&self, first: usize, columns: &mut [f32]) {
        let (line, stride) = (self.line(), self.stride());
        for (start, row) in self.starts(first).zip(columns.chunks_exact_mut(3 * line)) {
            for (y, to) in row.chunks_exact_mut(line).enumerate() {
                to.copy_from_slice(&self.data[start + y * stride..][..line]);
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

    #[test]
    fn padded_pictures_have_the_same_neighbours() {
        let (grid, channels) = (Grid { n: 3, height: 2, width: 5 }, 2);
        let x: Vec<f32> = (1..=60).map(|i| i as f32).collect();
        let padded = Padded::new(grid, &x, channels);
        for (first, count) in [(0, 30), (7, 12), (29, 1)] {
            let mut expected = vec![-1.0; count * 9 * channels];
            im2col_3x3(grid, &x, channels, first, count, &mut expected);
            let mut found = vec![-1.0; count * 9 * channels];
            padded.im2col(first, &mut found);
            assert_eq!(found, expected);
        }
    }
}
