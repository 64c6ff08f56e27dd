//! Pictures side by side in one PNG, and a picture as a PNG.

use std::io;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{ImageError, ImageFormat, Rgb, RgbImage};

/// Pictures of one size on a white canvas, row by row.
#[derive(Debug, Clone)]
pub struct Grid {
    canvas: RgbImage,
    columns: usize,
    /// Width and height of a picture.
    size: [usize; 2],
    gap: usize,
    border: usize,
}

impl Grid {
    /// An empty grid of `columns` × `rows` pictures of `width` × `height`, `gap` pixels apart and
    /// `border` pixels from the edges.
    ///
    /// # Panics
    /// If there is no column or no row.
    pub fn new(
        [columns, rows]: [usize; 2],
        [width, height]: [usize; 2],
        gap: usize,
        border: usize,
    ) -> Self {
        let side = |cells: usize, pixels| (cells * (pixels + gap) - gap + 2 * border) as u32;
        let canvas = RgbImage::from_pixel(side(columns, width), side(rows, height), Rgb([255; 3]));
        Self { canvas, columns, size: [width, height], gap, border }
    }

    /// Puts pictures into the cells from `first` on, row by row.
    ///
    /// # Shapes
    /// `pixels`: (N, height, width, 3).
    pub fn place(&mut self, first: usize, pixels: &[u8]) {
        let [width, height] = self.size;
        for (cell, pixels) in (first..).zip(pixels.chunks_exact(width * height * 3)) {
            let picture = RgbImage::from_raw(width as u32, height as u32, pixels.to_vec())
                .expect("a picture holds H × W × 3 bytes");
            let at = |place, pixels| (self.border + place * (pixels + self.gap)) as i64;
            let (column, row) = (cell % self.columns, cell / self.columns);
            imageops::replace(&mut self.canvas, &picture, at(column, width), at(row, height));
        }
    }

    /// Writes the PNG, whole or not at all, each pixel `zoom` times as large.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, path: &Path, zoom: u32) -> io::Result<()> {
        let (width, height) = self.canvas.dimensions();
        let (width, height) = (width * zoom, height * zoom);
        write_png(path, &imageops::resize(&self.canvas, width, height, FilterType::Nearest))
    }
}

/// Writes a picture as a PNG, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub fn write_png(path: &Path, picture: &RgbImage) -> io::Result<()> {
    crate::replace(path, |file| {
        picture.write_to(file, ImageFormat::Png).map_err(|error| match error {
            ImageError::IoError(error) => error,
            other => io::Error::other(other),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_laid_out_row_by_row() {
        let bytes: Vec<u8> = (0..4u8).flat_map(|i| vec![i; 3 * 5 * 3]).collect();
        let mut grid = Grid::new([2, 2], [5, 3], 2, 0);
        grid.place(0, &bytes);
        assert_eq!(grid.canvas.dimensions(), (12, 8));
        let at = |x, y| grid.canvas.get_pixel(x, y).0[0];
        assert_eq!(
            [at(0, 0), at(7, 2), at(4, 5), at(11, 7), at(5, 0), at(0, 3)],
            [0, 1, 2, 3, 255, 255]
        );
    }

    #[test]
    fn a_border_and_a_zoom_are_kept_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut grid = Grid::new([2, 1], [1, 1], 1, 1);
        grid.place(1, &[7; 3]);
        grid.save(&path, 2).unwrap();
        let png = image::open(&path).unwrap().into_rgb8();
        assert_eq!(png.dimensions(), (10, 6));
        let dark: Vec<_> = png.enumerate_pixels().filter(|(.., p)| p.0 == [7; 3]).collect();
        assert_eq!(dark.len(), 4);
        assert!(dark.iter().all(|(x, y, _)| (6..8).contains(x) && (2..4).contains(y)));
    }
}
