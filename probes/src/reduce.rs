//! Fewer columns, so that selections of different size can be compared.
//!
//! Both ways read standardised columns and are fitted on the training rows alone. Principal
//! components come from a randomised range finder with subspace iterations (Halko, Martinsson and
//! Tropp 2011, algorithm 4.4), which passes over the rows in blocks and never forms a matrix of
//! columns × columns. A random projection has independent signs (Achlioptas 2003), which keeps
//! distances in expectation and knows nothing of the data.

use ndarray::{Array2, ArrayView2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vdvae_features::{FeatureColumn, FeatureTable};

use crate::Result;
use crate::error::check_range;
use crate::matrix::{add_product, eigen, orthonormal, product};
use crate::named::named;
use crate::standardise::Standardiser;

/// Rows handled at a time, so that few of them stand in memory in float64.
const BLOCK: usize = 1024;

/// Directions followed beyond those asked for, and passes over the data: the error of what is
/// kept falls by the ratio of neighbouring eigenvalues to the power of twice the passes.
const OVERSAMPLE: usize = 32;
const PASSES: usize = 6;

/// How columns are made fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ReductionKind {
    /// Principal components of the training rows.
    #[default]
    Pca,
    /// A seeded random projection.
    Projection,
}

named!("reduction", ReductionKind { Pca: "pca", Projection: "projection" });

/// A linear map to fewer columns.
#[derive(Debug, Clone)]
pub struct Reduction {
    standardiser: Standardiser,
    /// `(D, columns)`.
    basis: Array2<f64>,
}

impl Reduction {
    /// Learns from training rows a map to `columns` columns, or to as many components as the rows
    /// have. `seed` is that of the projection, or of the start of the iterations.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) without rows or for no columns;
    /// [`Error::Singular`](crate::Error::Singular) where the eigenvectors of the components cannot
    /// be found.
    pub fn fit(
        train: &FeatureTable,
        kind: ReductionKind,
        columns: usize,
        seed: u64,
    ) -> Result<Self> {
        check_range(columns > 0, "matched columns", "at least 1", columns)?;
        let standardiser = Standardiser::of(train.view())?;
        let basis = match kind {
            ReductionKind::Projection => {
                signs(train.features.ncols(), columns, seed) / (columns as f64).sqrt()
            }
            ReductionKind::Pca => components(train.view(), &standardiser, columns, seed)?,
        };
        Ok(Self { standardiser, basis })
    }

    /// The same rows with fewer columns, which belong to no layer.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for another number of columns than the training
    /// rows had.
    pub fn apply(&self, table: &FeatureTable) -> Result<FeatureTable> {
        let mut features = Array2::zeros((table.rows(), self.basis.ncols()));
        self.standardiser.for_blocks(table.view(), BLOCK, |at, rows| {
            let reduced = product(rows.view(), self.basis.view());
            let mut block = features.slice_mut(s![at..at + rows.nrows(), ..]);
            block.zip_mut_with(&reduced, |to, from| *to = *from as f32);
        })?;
        let column = |channel| FeatureColumn { layer: None, resolution: None, channel, cell: 0 };
        Ok(FeatureTable {
            features,
            targets: table.targets.clone(),
            keys: table.keys.clone(),
            groups: table.groups.clone(),
            columns: (0..self.basis.ncols()).map(column).collect(),
        })
    }
}

/// -1 and 1, `(rows, columns)`.
pub(crate) fn signs(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sign = || if rng.random::<bool>() { 1.0 } else { -1.0 };
    Array2::from_shape_simple_fn((rows, columns), sign)
}

/// The eigenvectors of the largest eigenvalues of `XᵀX`, `(D, columns)`; X has mean zero.
fn components(
    features: ArrayView2<'_, f32>,
    standardiser: &Standardiser,
    columns: usize,
    seed: u64,
) -> Result<Array2<f64>> {
    let most = features.ncols().min(features.nrows());
    let kept = columns.min(most);
    let mut basis = orthonormal(&signs(features.ncols(), most.min(kept + OVERSAMPLE), seed));
    for _ in 0..PASSES {
        let mut image = Array2::zeros(basis.dim());
        standardiser.for_blocks(features, BLOCK, |_, rows| {
            let along = product(rows.view(), basis.view());
            add_product(&mut image, rows.t(), along.view());
        })?;
        basis = orthonormal(&image);
    }
    let mut gram = Array2::zeros((basis.ncols(), basis.ncols()));
    standardiser.for_blocks(features, BLOCK, |_, rows| {
        let along = product(rows.view(), basis.view());
        add_product(&mut gram, along.t(), along.view());
    })?;
    let (_, vectors) = eigen(&gram, "principal components")?;
    Ok(product(basis.view(), vectors.slice(s![.., ..kept])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{coins, noise, table, waves};

    fn waving(rows: usize, columns: usize) -> FeatureTable {
        let mut features = noise(rows, columns, 3) * 0.3;
        features += &waves(rows, columns, [7.0, 3.0, 1.0]);
        table(features, coins(rows, 1))
    }

    #[test]
    fn components_are_those_of_the_whole_covariance() {
        // More rows than columns, and fewer; few enough to be exact, and iterated.
        for (rows, columns) in [(300, 20), (30, 90), (400, 150)] {
            let train = waving(rows, columns);
            let reduction = Reduction::fit(&train, ReductionKind::Pca, 5, 0).unwrap();
            let scaled = reduction.standardiser.apply(train.view()).unwrap();
            let (values, vectors) = eigen(&scaled.t().dot(&scaled), "test").unwrap();
            let exact = scaled.dot(&vectors.slice(s![.., ..5]));
            let reduced = reduction.apply(&train).unwrap();
            for (index, value) in values[..5].iter().enumerate() {
                let (a, b) = (reduced.features.column(index).mapv(f64::from), exact.column(index));
                // The noise's eigenvalues lie close together, so that components mix; what counts is
                // that each stands for as much as the exact one, less a per cent.
                assert!((a.dot(&a) / value - 1.0).abs() < 1e-2, "{rows}x{columns}: {index}");
                if index == 0 {
                    assert!((a.dot(&b).abs() / value - 1.0).abs() < 1e-5, "{rows}x{columns}");
                }
            }
        }
    }

    #[test]
    fn other_rows_change_nothing_and_keep_their_labels() {
        let train = waving(100, 30);
        let reduction = Reduction::fit(&train, ReductionKind::Pca, 4, 0).unwrap();
        let half = train.select_rows(&(50..60).collect::<Vec<_>>());
        let (whole, part) = (reduction.apply(&train).unwrap(), reduction.apply(&half).unwrap());
        assert_eq!(part.targets, half.targets);
        assert_eq!(part.keys, half.keys);
        part.validate().unwrap();
        let rows = whole.features.slice(s![50..60, ..]);
        assert!((&rows - &part.features).iter().all(|e| e.abs() < 1e-5));
        let all = Reduction::fit(&train, ReductionKind::Pca, 99, 0).unwrap().apply(&train).unwrap();
        assert_eq!(all.features.ncols(), 30);
    }

    #[test]
    fn projections_keep_distances_and_are_pure_in_the_seed() {
        let train = waving(40, 800);
        let fit = |seed| Reduction::fit(&train, ReductionKind::Projection, 300, seed).unwrap();
        let reduced = fit(7).apply(&train).unwrap().features;
        assert_eq!(reduced, fit(7).apply(&train).unwrap().features);
        assert_ne!(reduced, fit(8).apply(&train).unwrap().features);
        let scaled = fit(7).standardiser.apply(train.view()).unwrap();
        let distance = |gap: f64, next: f64| gap + next * next;
        for row in 1..40 {
            let before = (&scaled.row(row) - &scaled.row(0)).iter().copied().fold(0.0, distance);
            let after = (&reduced.row(row) - &reduced.row(0)).mapv(f64::from);
            let ratio = after.iter().copied().fold(0.0, distance) / before;
            // Standard deviation √(2 / 300) = 0.08.
            assert!((ratio - 1.0).abs() < 0.35, "{row}: {ratio}");
        }
    }

    #[test]
    fn names_round_trip_and_no_columns_are_an_error() {
        for kind in [ReductionKind::Pca, ReductionKind::Projection] {
            assert_eq!(kind.to_string().parse::<ReductionKind>().unwrap(), kind);
        }
        let error = Reduction::fit(&waving(9, 2), ReductionKind::Pca, 0, 0).unwrap_err();
        assert_eq!(error.to_string(), "matched columns: expected at least 1, found 0");
    }
}
