//! Cells under their headers.

use vdvae_io::printable;

/// Which side a column is flush with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// As words are.
    Left,
    /// As numbers are.
    Right,
}

/// A table for the terminal: cells under their headers, two spaces between columns, and no control
/// characters. A row that is shorter than the headers ends early.
pub fn text_table(headers: &[String], rows: &[Vec<String>], side: Side) -> String {
    let column = |(place, header): (usize, &String)| Column {
        header: printable(header),
        side,
        cells: rows
            .iter()
            .map(|row| row.get(place).map_or_else(String::new, |c| printable(c)))
            .collect(),
    };
    align(&headers.iter().enumerate().map(column).collect::<Vec<_>>())
}

/// A header and its cells.
pub(crate) struct Column {
    header: String,
    side: Side,
    cells: Vec<String>,
}

impl Column {
    pub(crate) fn left(header: &str, cells: impl Iterator<Item = String>) -> Self {
        Self {
            header: header.to_owned(),
            side: Side::Left,
            cells: cells.map(|cell| printable(&cell)).collect(),
        }
    }

    pub(crate) fn right(header: &str, cells: impl Iterator<Item = String>) -> Self {
        Self {
            header: header.to_owned(),
            side: Side::Right,
            cells: cells.map(|cell| printable(&cell)).collect(),
        }
    }

    fn width(&self) -> usize {
        let width = |cell: &str| cell.chars().count();
        self.cells.iter().map(|cell| width(cell)).fold(width(&self.header), usize::max)
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
                0 => &column.header,
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
