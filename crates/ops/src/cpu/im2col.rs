//! Neighbourhoods of pixels laid out as rows of a matrix.

use super::buffer::Buffer;
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

/// Writes the 3×3 neighbourhoods of `count` pixels from `first` on of `x` (NHWC, `channels` each) as
/// rows of `9 * channels` numbers, `stride` apart, taps in row-major order, zeros outside the picture.
pub(crate) fn im2col_3x3<T: Copy + Default>(
    grid: Grid,
    (x, channels): (&[T], usize),
    (first, count): (usize, usize),
    rows: &mut [T],
    stride: usize,
) {
    let Grid { height, width, .. } = grid;
    for (pixel, row) in (first..first + count).zip(rows.chunks_mut(stride)) {
        let (column, line) = (pixel % width, pixel / width % height);
        // The pixels of a line of the neighbourhood that lie in the picture, side by side.
        let (left, right) = (column.saturating_sub(1), (column + 2).min(width));
        let before = (left + 1 - column) * channels;
        let inside = (right - left) * channels;
        for (y, taps) in row[..9 * channels].chunks_exact_mut(3 * channels).enumerate() {
            // Lines plus one, so that the border needs no signed numbers.
            if !(1..=height).contains(&(line + y)) {
                taps.fill(T::default());
                continue;
            }
            let source = pixel + y * width + left - width - column;
            let (outside, taps) = taps.split_at_mut(before);
            let (taps, after) = taps.split_at_mut(inside);
            outside.fill(T::default());
            taps.copy_from_slice(&x[source * channels..][..inside]);
            after.fill(T::default());
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
        im2col_3x3(grid, (&x, 1), (9, 1), &mut rows[..9], 9);
        assert_eq!(rows[..9], [0.0, 0.0, 0.0, 0.0, 10.0, 11.0, 0.0, 13.0, 14.0]);
        im2col_3x3(grid, (&x, 1), (4, 1), &mut rows[9..], 9);
        assert_eq!(rows[9..], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    }

    #[test]
    fn padded_pictures_have_the_same_neighbours() {
        let (grid, channels) = (Grid { n: 3, height: 2, width: 5 }, 2);
        let x: Vec<f32> = (1..=60).map(|i| i as f32).collect();
        let padded = Padded::new(grid, &x, channels);
        for (first, count) in [(0, 30), (7, 12), (29, 1)] {
            let mut expected = vec![-1.0; count * 9 * channels];
            im2col_3x3(grid, (&x, channels), (first, count), &mut expected, 9 * channels);
            let mut found = vec![-1.0; count * 9 * channels];
            padded.im2col(first, &mut found);
            assert_eq!(found, expected);
        }
    }
}
