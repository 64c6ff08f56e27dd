//! Windows of pixels laid out as rows of a matrix.

use super::im2col::Grid;
use crate::real::Real;

/// The pixels that are read for one pixel of a result: `rows` × `columns` of them, of which the first
/// lies so many rows above and columns to the left of it. Results lie `stride` pixels apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) above: isize,
    pub(crate) left: isize,
    pub(crate) stride: usize,
}

impl Window {
    /// Pixels of it.
    pub(crate) fn taps(self) -> usize {
        self.rows * self.columns
    }

    /// The window of the results that read a pixel, its taps in reverse: what gradients go by.
    pub(crate) fn reversed(self) -> Self {
        let end = |taps: usize, start: isize| taps as isize - 1 - start;
        let (above, left) = (end(self.rows, self.above), end(self.columns, self.left));
        Self { above, left, stride: 1, ..self }
    }

    /// The grid of results from that of pixels.
    pub(crate) fn results(self, from: Grid) -> Grid {
        let Grid { n, height, width } = from;
        Grid { n, height: height / self.stride, width: width / self.stride }
    }
}

/// Pictures, and the window that reads them.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a, T> {
    pub(crate) window: Window,
    /// Of the pictures, NHWC.
    pub(crate) grid: Grid,
    pub(crate) x: &'a [T],
    pub(crate) channels: usize,
}

impl<T: Real> Windows<'_, T> {
    /// Numbers in a row.
    pub(crate) fn width(&self) -> usize {
        self.window.taps() * self.channels
    }

    /// Writes the windows of results from `first` on as rows, zeros outside the picture.
    pub(crate) fn rows(&self, first: usize, rows: &mut [T]) {
        let Self { window, grid: Grid { height, width, .. }, x, channels } = *self;
        let to = window.results(self.grid);
        let line = window.columns * channels;
        for (pixel, row) in (first..).zip(rows.chunks_exact_mut(window.taps() * channels)) {
            let at = |place: usize, before: isize| (place * window.stride) as isize - before;
            let top = at(pixel / to.width % to.height, window.above);
            let start = at(pixel % to.width, window.left);
            let picture = pixel / (to.width * to.height);
            // Columns of the window that lie inside the picture.
            let inside = |column: isize| column.clamp(0, window.columns as isize) as usize;
            let (from, to) = (inside(-start), inside(width as isize - start));
            for (y, cells) in (top..).zip(row.chunks_exact_mut(line)) {
                if !(0..height as isize).contains(&y) || from >= to {
                    cells.fill(T::zero());
                    continue;
                }
                let pixel = (picture * height + y as usize) * width;
                let source = (pixel as isize + start + from as isize) as usize * channels;
                cells[..from * channels].fill(T::zero());
                cells[from * channels..to * channels]
                    .copy_from_slice(&x[source..][..(to - from) * channels]);
                cells[to * channels..].fill(T::zero());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(window: Window, grid: Grid, result: usize) -> Vec<f64> {
        let x: Vec<f64> = (1..=grid.pixels()).map(|i| i as f64).collect();
        let windows = Windows { window, grid, x: &x, channels: 1 };
        let mut row = vec![-1.0; windows.width()];
        windows.rows(result, &mut row);
        row
    }

    #[test]
    fn what_is_outside_is_zero() {
        let grid = Grid { n: 2, height: 2, width: 3 };
        let above = Window { rows: 2, columns: 3, above: 1, left: 1, stride: 1 };
        assert_eq!(row(above, grid, 0), [0.0, 0.0, 0.0, 0.0, 1.0, 2.0]);
        assert_eq!(row(above, grid, 6 + 5), [8.0, 9.0, 0.0, 11.0, 12.0, 0.0]);
        // One that does not hold its own pixel, and one that lies outside altogether.
        let shifted = Window { above: 2, columns: 1, left: 1, ..above };
        assert_eq!(row(shifted, grid, 4), [0.0, 1.0]);
        assert_eq!(row(Window { left: -3, ..shifted }, grid, 4), [0.0, 0.0]);
    }

    #[test]
    fn strides_and_what_gradients_go_by() {
        let grid = Grid { n: 1, height: 4, width: 4 };
        let window = Window { rows: 2, columns: 2, above: 1, left: 1, stride: 2 };
        assert_eq!(window.results(grid), Grid { n: 1, height: 2, width: 2 });
        assert_eq!(row(window, grid, 3), [6.0, 7.0, 10.0, 11.0]);
        let reversed = window.reversed();
        assert_eq!(row(reversed, grid, 5), [6.0, 7.0, 10.0, 11.0]);
        assert_eq!(reversed.reversed(), Window { stride: 1, ..window });
    }
}
