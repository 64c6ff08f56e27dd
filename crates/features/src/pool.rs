//! Grids to columns.

use candle_core::{DType, Tensor};

use crate::spec::Pooling;
use crate::{Error, FeatureColumn, Result};

/// Pools (N, r, r, C) to rows of C · side² numbers: channel by channel, cells row-major, as
/// PyTorch flattens (C, side, side). Returns the rows one after another.
pub(crate) fn pool(grid: &Tensor, pooling: Pooling) -> Result<Vec<f32>> {
    let (n, r, _, channels) = grid.dims4()?;
    let side = pooling.side(r);
    let data = grid.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let edge = |i: usize| edges(i, r, side);
    let mut out = vec![0f32; n * channels * side * side];
    for (image, row) in
        data.chunks_exact(r * r * channels).zip(out.chunks_exact_mut(channels * side * side))
    {
        for cell in 0..side * side {
            let ((y0, y1), (x0, x1)) = (edge(cell / side), edge(cell % side));
            let scale = 1.0 / ((y1 - y0) * (x1 - x0)) as f32;
            for channel in 0..channels {
                let at = |y: usize, x: usize| image[(y * r + x) * channels + channel];
                let sum: f32 = (y0..y1).map(|y| (x0..x1).map(|x| at(y, x)).sum::<f32>()).sum();
                row[channel * side * side + cell] = sum * scale;
            }
        }
    }
    Ok(out)
}

/// Where cell `i` of `side` along a side of `r` positions begins and ends. Where they do not divide it,
/// neighbours share a position.
fn edges(i: usize, r: usize, side: usize) -> (usize, usize) {
    (i * r / side, ((i + 1) * r).div_ceil(side))
}

/// A change of pooled columns as the change of the grid that makes it: every position of a cell moves by
/// as much as the cell's mean does.
///
/// # Shapes
/// - `columns`: C · side², channel by channel, cells row-major
/// - result: (r, r, C), row-major
///
/// # Errors
/// [`Error::Unknown`] for cells that share positions, whose means cannot be moved one by one.
pub fn unpooled(columns: &[f64], resolution: usize, pooling: Pooling) -> Result<Vec<f32>> {
    let (r, side) = (resolution, pooling.side(resolution));
    if r % side != 0 {
        let expected = format!("cells that divide {r}x{r}");
        return Err(Error::Unknown { what: "pooling", expected, found: pooling.to_string() });
    }
    let (cells, cell) = (side * side, r / side);
    let channels = columns.len() / cells;
    let at = |position: usize| {
        let (y, x, channel) =
            (position / channels / r, position / channels % r, position % channels);
        columns[channel * cells + y / cell * side + x / cell] as f32
    };
    Ok((0..r * r * channels).map(at).collect())
}

/// As [`pool`] without the copy to the host: the means are taken where the grid is, so that only
/// they are copied later. Cells that do not divide the grid are left to the host.
#[derive(Debug)]
pub(crate) enum Pooled {
    /// (N, C · side²): what [`pool`] returns.
    Rows(Tensor),
    /// The grid itself.
    Grid(Tensor, Pooling),
}

impl Pooled {
    pub(crate) fn new(grid: &Tensor, pooling: Pooling) -> Result<Self> {
        let (n, r, _, channels) = grid.dims4()?;
        let side = pooling.side(r);
        let grid = grid.to_dtype(DType::F32)?;
        if r % side != 0 {
            return Ok(Self::Grid(grid, pooling));
        }
        let cell = r / side;
        let means = match cell {
            1 => grid,
            _ => {
                let cells = grid.reshape((n, side, cell, side, cell * channels))?.sum(2)?;
                let cells = cells.reshape((n, side, side, cell, channels))?.sum(3)?;
                (cells * (1.0 / (cell * cell) as f64))?
            }
        };
        let rows = means.permute((0, 3, 1, 2))?.contiguous()?;
        Ok(Self::Rows(rows.reshape((n, channels * side * side))?))
    }

    /// The rows, one after another, on the host.
    pub(crate) fn into_rows(self) -> Result<Vec<f32>> {
        match self {
            Self::Rows(rows) => Ok(rows.flatten_all()?.to_vec1()?),
            Self::Grid(grid, pooling) => pool(&grid, pooling),
        }
    }
}

/// The columns [`pool`] makes of a layer (or, without one, of an activation).
pub(crate) fn columns(
    layer: Option<usize>,
    resolution: usize,
    channels: usize,
    pooling: Pooling,
) -> impl Iterator<Item = FeatureColumn> {
    let cells = pooling.side(resolution).pow(2);
    (0..channels * cells).map(move |i| FeatureColumn {
        layer,
        resolution: Some(resolution),
        channel: i / cells,
        cell: i % cells,
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn grid(n: usize, r: usize, c: usize) -> Tensor {
        let data: Vec<f32> = (0..n * r * r * c).map(|i| i as f32).collect();
        Tensor::from_vec(data, (n, r, r, c), &Device::Cpu).unwrap()
    }

    #[test]
    fn no_pooling_is_pytorchs_flattening() {
        let flat = pool(&grid(1, 2, 3), Pooling::None).unwrap();
        assert_eq!(flat, [0., 3., 6., 9., 1., 4., 7., 10., 2., 5., 8., 11.]);
    }

    #[test]
    fn a_change_of_columns_is_the_change_of_the_grid_that_makes_it() {
        let moves: Vec<f64> = (0..3 * 4).map(|i| f64::from(i * i)).collect();
        for pooling in [Pooling::Grid(2), Pooling::None] {
            let r = if pooling == Pooling::None { 2 } else { 6 };
            let before = grid(1, r, 3);
            let change = unpooled(&moves, r, pooling).unwrap();
            let change = Tensor::from_vec(change, (1, r, r, 3), &Device::Cpu).unwrap();
            let after = pool(&(&before + change).unwrap(), pooling).unwrap();
            for ((after, before), by) in
                after.iter().zip(pool(&before, pooling).unwrap()).zip(&moves)
            {
                assert!((f64::from(after - before) - by).abs() < 1e-4, "{after} {before} {by}");
            }
        }
        assert!(unpooled(&[0.0; 9], 8, Pooling::Grid(3)).is_err());
    }

    #[test]
    fn cells_are_means() {
        // Values 0..16 on a 4×4 grid of one channel.
        assert_eq!(pool(&grid(1, 4, 1), Pooling::Grid(2)).unwrap(), [2.5, 4.5, 10.5, 12.5]);
        assert_eq!(pool(&grid(1, 4, 1), Pooling::MEAN).unwrap(), [7.5]);
        // Smaller layers keep their own size.
        assert_eq!(pool(&grid(2, 1, 2), Pooling::Grid(4)).unwrap(), [0., 1., 2., 3.]);
    }

    #[test]
    fn uneven_cells_overlap_as_adaptive_pooling_does() {
        // 3 rows in 2 cells: rows 0-1 and 1-2.
        assert_eq!(pool(&grid(1, 3, 1), Pooling::Grid(2)).unwrap(), [2., 3., 5., 6.]);
    }

    #[test]
    fn pooling_where_the_grid_is_gives_the_same_rows() {
        for (r, pooling) in [
            (8, Pooling::Grid(4)),
            (8, Pooling::MEAN),
            (4, Pooling::None),
            (4, Pooling::Grid(8)),
            (1, Pooling::Grid(4)),
            (6, Pooling::Grid(4)), // does not divide
        ] {
            let grid = grid(2, r, 3);
            let pooled = Pooled::new(&grid, pooling).unwrap();
            assert_eq!(matches!(pooled, Pooled::Grid(..)), r == 6);
            let (found, expected) = (pooled.into_rows().unwrap(), pool(&grid, pooling).unwrap());
            // Sums in another order.
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs();
            assert!(found.len() == expected.len() && found.iter().zip(&expected).all(close));
        }
    }

    #[test]
    fn columns_name_what_pool_writes() {
        let named: Vec<_> = columns(Some(3), 4, 2, Pooling::Grid(2)).collect();
        assert_eq!(named.len(), pool(&grid(1, 4, 2), Pooling::Grid(2)).unwrap().len());
        let last = FeatureColumn { layer: Some(3), resolution: Some(4), channel: 1, cell: 3 };
        assert_eq!(named[7], last);
    }
}
