//! Cells of pixels to one pixel and back: what pooling and upsampling are made of.

use crate::real::Real;
use crate::team::share_new;

/// The same pictures at two resolutions: `rate`×`rate` pixels of the fine ones are a cell, and a
/// pixel of the coarse ones. Channels that only one of the two has are zeros or are left out.
#[derive(Clone, Copy)]
pub(crate) struct Resampling {
    pub(crate) rate: usize,
    /// Of the fine pictures; multiples of `rate`.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Channels of the fine pictures.
    pub(crate) fine: usize,
    /// Channels of the coarse pictures.
    pub(crate) coarse: usize,
}

impl Resampling {
    /// Numbers in a row of fine pixels.
    pub(crate) fn fine_row(&self) -> usize {
        self.width * self.fine
    }

    /// Numbers in a row of coarse pixels.
    fn coarse_row(&self) -> usize {
        self.width / self.rate * self.coarse
    }

    /// Coarse pictures of the sums over cells; `finish` is called with each of their rows.
    pub(crate) fn sum_cells<T: Real>(&self, x: &[T], finish: impl Fn(&mut [T]) + Sync) -> Vec<T> {
        let (cells, row) = (self.rate * self.fine_row(), self.coarse_row());
        let shared = self.fine.min(self.coarse);
        share_new(x.len() / cells * row, row, |rows| {
            for (i, out) in rows {
                for line in x[i * cells..][..cells].chunks_exact(self.fine_row()) {
                    for (i, pixel) in line.chunks_exact(self.fine).enumerate() {
                        let sum = &mut out[i / self.rate * self.coarse..][..shared];
                        sum.iter_mut().zip(pixel).for_each(|(s, &v)| *s += v);
                    }
                }
                finish(out);
            }
        })
    }

    /// Fine pictures: of each pixel what the coarse one of its cell makes, by `put`, of zeros or of
    /// `start`, the numbers that every picture starts from.
    pub(crate) fn repeat<T: Real>(
        &self,
        x: &[T],
        start: Option<&[T]>,
        put: impl Fn(&mut T, T) + Sync,
    ) -> Vec<T> {
        let (row, coarse_row) = (self.fine_row(), self.coarse_row());
        share_new(x.len() / coarse_row * self.rate * row, row, |rows| {
            for (i, out) in rows {
                if let Some(start) = start {
                    out.copy_from_slice(&start[i % self.height * row..][..row]);
                }
                // Every row of a picture is a whole number of cells, so `i / rate` counts coarse
                // rows.
                let x = &x[i / self.rate * coarse_row..][..coarse_row];
                let cells = out.chunks_exact_mut(self.rate * self.fine);
                for (cell, x) in cells.zip(x.chunks_exact(self.coarse)) {
                    for pixel in cell.chunks_exact_mut(self.fine) {
                        pixel.iter_mut().zip(x).for_each(|(v, &x)| put(v, x));
                    }
                }
            }
        })
    }
}
