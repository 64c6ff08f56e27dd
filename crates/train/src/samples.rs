//! A grid of samples from the prior.

use vdvae_io::Grid;

use crate::{Network, Result};

/// Pictures on a side of the grid.
const MOST: usize = 8;
/// Space between pictures, in pixels.
const GAP: usize = 2;

/// Samples a square grid of no more pictures than `limit` and no more than 8×8.
pub(crate) fn sample_grid<N: Network>(model: &N, limit: usize, seed: u64) -> Result<Grid> {
    let side = limit.isqrt().clamp(1, MOST);
    let pictures = model.sample(side * side, seed)?;
    let (_, height, width, _) = pictures.dims4()?;
    let mut grid = Grid::new([side; 2], [width, height], GAP, 0);
    grid.place(0, &pictures.flatten_all()?.to_vec1()?);
    Ok(grid)
}
