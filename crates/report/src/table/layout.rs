//! Cells under their headers.

use vdvae_io::printable;

/// Which side a column is flush with.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

/// A header and its cells.
pub(crate) struct Column {
    header: &'static str,
    side: Side,
    cells: Vec<String>,
}

impl Column {
    pub(crate) fn left(header: &'static str, cells: impl Iterator<Item = String>) -> Self {
        Self { header, side: Side::Left, cells: cells.map(|cell| printable(&cell)).collect() }
    }

    pub(crate) fn right(header: &'static str, cells: impl Iterator<Item = String>) -> Self {
        Self { header, side: Side::Right, cells: cells.map(|cell| printable(&cell)).collect() }
    }

    fn width(&self) -> usize {
        let width = |cell: &str| cell.chars().count();
        self.cells.iter().map(|cell| width(cell)).fold(width(self.header), usize::max)
    }
}

/// Pads every cell to its column, two spaces between columns, nothing at the end of a line.
pub(crate) fn align(columns: &[Column]) -> String {
    let widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let height = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in 0..=height {
        let mut line = String::new();
        for (column, &width) in columns.iter().zip(&widths) {
            let cell = match row {
                0 => column.header,
                row => column.cells.get(row - 1).map_or("", String::as_str),
            };
            line += &match column.side {
                Side::Left => format!("{cell:<width$}  "),
                Side::Right => format!("{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
