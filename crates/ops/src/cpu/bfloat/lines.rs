//! Pictures as convolutions read them.

use std::ops::Range;

use half::bf16;

use super::product::{Left, Rows, STEP, TILE_ROWS};
use crate::cpu::buffer::Buffer;
use crate::cpu::im2col::Grid;

/// Numbers of a pixel of so many channels.
pub(crate) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(STEP)
}

/// Pictures, line by line; for 3×3 convolutions with a pixel of zeros before and after each line, so
/// that the three pixels of a neighbourhood that lie side by side are side by side in memory. Pixels
/// are padded with zeros to whole steps of the inner dimension, see [`padded`].
pub(crate) struct Lines {
    grid: Grid,
    channels: usize,
    /// Pixels of zeros at either end of a line, which is also how far neighbourhoods reach.
    border: usize,
    /// The lines, and one of zeros behind them, which stands for what lies above and below pictures.
    data: Buffer<bf16>,
}

impl Lines {
    /// Room for pictures, to be written line by line ([`Self::lines_mut`], [`LinesMut`]).
    pub(crate) fn stale(grid: Grid, channels: usize, kernel: usize) -> Self {
        let border = kernel / 2;
        let line = (grid.width + 2 * border) * padded(channels);
        let count = grid.n * grid.height;
        let mut data = Buffer::stale((count + 1) * line);
        data[count * line..].fill(bf16::ZERO);
        Self { grid, channels, border, data }
    }

    /// Numbers in a line with its border, and in the border at either end.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.line(), self.border * self.stride())
    }

    fn line(&self) -> usize {
        (self.grid.width + 2 * self.border) * self.stride()
    }

    /// All lines.
    pub(crate) fn lines_mut(&mut self) -> &mut [bf16] {
        let len = self.grid.n * self.grid.height * self.line();
        &mut self.data[..len]
    }

    /// Distance between pixels, and between the rows of [`Self::segment`].
    pub(crate) fn stride(&self) -> usize {
        padded(self.channels)
    }

    /// Lines of a neighbourhood.
    pub(super) fn segments(&self) -> usize {
        2 * self.border + 1
    }

    /// Numbers of a neighbourhood in one line.
    pub(super) fn width(&self) -> usize {
        self.segments() * self.stride()
    }

    /// Lines of all pictures.
    pub(super) fn count(&self) -> usize {
        self.grid.n * self.grid.height
    }

    /// Pixels of a line.
    pub(super) fn pixels(&self) -> usize {
        self.grid.width
    }

    /// Whether neighbourhoods can be multiplied as they lie: no tile of pixels goes over the end of a
    /// line.
    pub(super) fn in_tiles(&self) -> bool {
        self.grid.width.is_multiple_of(TILE_ROWS)
    }

    /// The part of the neighbourhoods of a line's pixels that lies in one line: rows of
    /// [`Self::width`] numbers, [`Self::stride`] apart, which overlap.
    pub(super) fn segment(&self, line: usize, segment: usize) -> &[bf16] {
        let inside = (line % self.grid.height + segment).checked_sub(self.border);
        let line = match inside.is_some_and(|inside| inside < self.grid.height) {
            true => line + segment - self.border,
            false => self.grid.n * self.grid.height,
        };
        &self.data[line * self.line()..][..self.line()]
    }

    /// Room for [`Self::left`] of so many pixels.
    pub(crate) fn scratch(&self, pixels: usize) -> Rows {
        match self.in_tiles() {
            true => Rows::stale(0, 0),
            false => Rows::stale(pixels, self.segments() * self.width()),
        }
    }

    /// The neighbourhoods of the pixels of some lines: as they lie, or copied.
    pub(crate) fn left<'a>(&'a self, lines: Range<usize>, scratch: &'a mut Rows) -> Left<'a> {
        if self.in_tiles() {
            return Left::Neighbours(self, lines.start);
        }
        self.copy_neighbours(lines, scratch);
        Left::Rows(scratch)
    }

    /// The pixels of some lines, row by row.
    pub(crate) fn copy_pixels(&self, lines: Range<usize>, rows: &mut Rows) {
        let (border, stride) = (self.border * self.stride(), self.stride());
        assert_eq!(rows.stride(), stride, "rows of as many numbers");
        let pixels = self.grid.width * stride;
        for (line, rows) in lines.zip(rows.data_mut().chunks_exact_mut(pixels)) {
            rows.copy_from_slice(&self.segment(line, self.border)[border..][..pixels]);
        }
    }

    /// The neighbourhoods of the pixels of some lines, row by row.
    fn copy_neighbours(&self, lines: Range<usize>, rows: &mut Rows) {
        let (width, stride, pixels) = (self.width(), rows.stride(), self.grid.width);
        for (line, rows) in lines.zip(rows.data_mut().chunks_mut(pixels * stride)) {
            for segment in 0..self.segments() {
                let from = self.segment(line, segment);
                for (x, row) in rows.chunks_exact_mut(stride).take(pixels).enumerate() {
                    let row = &mut row[segment * width..][..width];
                    row.copy_from_slice(&from[x * self.stride()..][..width]);
                }
            }
        }
    }
}

/// Some lines that are being written.
pub(crate) struct LinesMut<'a> {
    lines: &'a mut [bf16],
    line: usize,
    border: usize,
}

impl<'a> LinesMut<'a> {
    /// Lines that follow one another, of some [`Lines::size`].
    pub(crate) fn new(lines: &'a mut [bf16], (line, border): (usize, usize)) -> Self {
        Self { lines, line, border }
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.lines.len() / self.line
    }

    /// Calls `write` with the pixels of each line, which it must write with their padding, and writes
    /// their border.
    pub(crate) fn write(&mut self, mut write: impl FnMut(usize, &mut [bf16])) {
        let inside = self.border..self.line - self.border;
        for (i, line) in self.lines.chunks_exact_mut(self.line).enumerate() {
            line[..inside.start].fill(bf16::ZERO);
            line[inside.end..].fill(bf16::ZERO);
            write(i, &mut line[inside.clone()]);
        }
    }
}
