//! Pictures side by side in one PNG.

use std::path::Path;

use anyhow::Result;
use candle_core::Tensor;
use image::RgbImage;
use image::imageops::{FilterType, replace, resize};

use crate::common::save_png;

/// A grid of square pictures, one pixel apart.
pub(crate) struct Grid {
    canvas: RgbImage,
    columns: usize,
    size: usize,
}

impl Grid {
    pub(crate) fn new(columns: usize, rows: usize, size: usize) -> Self {
        let side = |cells: usize| (cells * (size + 1) + 1) as u32;
        let white = image::Rgb([255; 3]);
        let canvas = RgbImage::from_pixel(side(columns), side(rows), white);
        Self { canvas, columns, size }
    }

    /// Puts pictures u8 (n, size, size, 3) into the cells from `first` on, row by row.
    pub(crate) fn place(&mut self, first: usize, pictures: &Tensor) -> Result<()> {
        let bytes = pictures.flatten_all()?.to_vec1::<u8>()?;
        let size = self.size as u32;
        for (i, bytes) in bytes.chunks_exact(self.size * self.size * 3).enumerate() {
            let picture = RgbImage::from_raw(size, size, bytes.to_vec()).expect("a whole picture");
            let (row, column) = ((first + i) / self.columns, (first + i) % self.columns);
            let at = |cell: usize| (cell * (self.size + 1) + 1) as i64;
            replace(&mut self.canvas, &picture, at(column), at(row));
        }
        Ok(())
    }

    /// Writes the PNG, each pixel `zoom` times as large.
    pub(crate) fn save(&self, path: &Path, zoom: u32) -> Result<()> {
        let (width, height) = self.canvas.dimensions();
        let picture = resize(&self.canvas, width * zoom, height * zoom, FilterType::Nearest);
        save_png(&picture, path)
    }
}
