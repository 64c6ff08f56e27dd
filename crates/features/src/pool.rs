//! Grids to columns.

use candle_core::Tensor;

use crate::spec::Pooling;
use crate::{FeatureColumn, Result};

/// Pools (N, r, r, C) to rows of C · side² numbers: channel by channel, cells row-major, as
/// PyTorch flattens (C, side, side). Returns the rows one after another.
pub(crate) fn pool(grid: &Tensor, pooling: Pooling) -> Result<Vec<f32>> {
    let (n, r, _, channels) = grid.dims4()?;
    let side = pooling.side(r);
    let data = grid.flatten_all()?.to_vec1::<f32>()?;
    let edge = |i: usize| (i * r / side, ((i + 1) * r).div_ceil(side));
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
    fn columns_name_what_pool_writes() {
        let named: Vec<_> = columns(Some(3), 4, 2, Pooling::Grid(2)).collect();
        assert_eq!(named.len(), pool(&grid(1, 4, 2), Pooling::Grid(2)).unwrap().len());
        let last = FeatureColumn { layer: Some(3), resolution: Some(4), channel: 1, cell: 3 };
        assert_eq!(named[7], last);
    }
}
