//! Projections that are learned from identities: whitening, and linear discriminants.
//!
//! Both begin with the principal components of standardised columns, because scatter of more columns
//! than rows has no inverse, and shrink eigenvalues towards their mean before they divide by them.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::error::check_range;
use crate::matrix::{add_product, eigen, orthonormal, product};
use crate::reduce::signs;
use crate::standardise::Standardiser;
use crate::who::places_by;
use crate::{Error, Result};

/// How projections are fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projection {
    /// Principal components that are kept at most.
    pub components: usize,
    /// Discriminants that are kept at most; never more than there are identities, less one.
    pub discriminants: usize,
    /// Weight of the mean eigenvalue beside each eigenvalue that is divided by, 0 to 1.
    pub shrinkage: f64,
    /// Seed of the iterations for the components of many columns.
    pub seed: u64,
}

impl Default for Projection {
    /// 128 components, 64 discriminants, shrinkage 0.05, seed 0.
    fn default() -> Self {
        Self { components: 128, discriminants: 64, shrinkage: 0.05, seed: 0 }
    }
}

impl Projection {
    pub(super) fn check(self) -> Result<()> {
        check_range(self.components > 0, "components", "at least 1", self.components)?;
        check_range(self.discriminants > 0, "discriminants", "at least 1", self.discriminants)?;
        let shrinkage = self.shrinkage;
        check_range((0.0..=1.0).contains(&shrinkage), "shrinkage", "0 to 1", shrinkage)
    }
}

/// Up to this many columns components come from the whole covariance, which is exact.
const EXACT: usize = 768;

/// Passes over the rows, and directions followed beyond those asked for, for the components of more
/// columns: what they miss has small eigenvalues.
const PASSES: usize = 2;
const OVERSAMPLE: usize = 32;

/// Rows handled at a time.
const BLOCK: usize = 1024;

/// The eigenvalues of the covariance of standardised rows, largest first, and their vectors as
/// columns; those that are zero are left out.
fn principal(
    features: ArrayView2<'_, f32>,
    standardiser: &Standardiser,
    projection: Projection,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let (rows, columns) = features.dim();
    let most = projection.components.min(columns).min(rows.saturating_sub(1)).max(1);
    let (mut values, vectors) = if columns <= EXACT {
        let mut scatter = Array2::zeros((columns, columns));
        standardiser.for_blocks(features, BLOCK, |_, block| {
            add_product(&mut scatter, block.t(), block.view());
        })?;
        eigen(&scatter, "principal components")?
    } else {
        iterated(features, standardiser, most, projection.seed)?
    };
    // Rounding leaves eigenvalues of this size where there are none.
    let floor = values.first().map_or(0.0, |largest| 1e-10 * largest);
    let kept = values.iter().take(most).take_while(|&&value| value > floor).count();
    if kept == 0 {
        return Err(Error::Pairs {
            expected: "training features that differ".to_owned(),
            found: format!("{rows} equal rows"),
        });
    }
    values.truncate(kept);
    values.iter_mut().for_each(|value| *value /= rows as f64);
    Ok((values, vectors.slice(s![.., ..kept]).to_owned()))
}

/// The largest eigenvalues of the scatter and their vectors, by a randomised range finder (Halko,
/// Martinsson and Tropp 2011, algorithm 4.4) in float32, which is half the work.
fn iterated(
    features: ArrayView2<'_, f32>,
    standardiser: &Standardiser,
    most: usize,
    seed: u64,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let mut rows = Array2::<f32>::zeros(features.dim());
    let blocks = rows.axis_chunks_iter_mut(Axis(0), BLOCK).into_par_iter();
    let from = features.axis_chunks_iter(Axis(0), BLOCK).into_par_iter();
    blocks.zip(from).try_for_each(|(mut into, from)| {
        into.zip_mut_with(&standardiser.apply(from)?, |to, from| *to = *from as f32);
        Ok::<_, Error>(())
    })?;
    let narrow = |matrix: &Array2<f64>| matrix.mapv(|value| value as f32);
    let directions = (most + OVERSAMPLE).min(features.ncols()).min(features.nrows());
    let mut basis = orthonormal(&signs(features.ncols(), directions, seed));
    for _ in 0..PASSES {
        let along = product(rows.view(), narrow(&basis).view());
        basis = orthonormal(&product(rows.t(), along.view()).mapv(f64::from));
    }
    let along = product(rows.view(), narrow(&basis).view()).mapv(f64::from);
    let (values, vectors) = eigen(&product(along.t(), along.view()), "principal components")?;
    Ok((values, product(basis.view(), vectors.view())))
}

/// Scales the columns of `vectors` by the roots of shrunken eigenvalues.
fn whiten(vectors: &Array2<f64>, values: &[f64], shrinkage: f64) -> Array2<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let shrunk = |value: &f64| (1.0 - shrinkage) * value.max(0.0) + shrinkage * mean;
    // Without shrinkage a zero eigenvalue is still no reason to divide by zero.
    let scale = |value| 1.0 / f64::sqrt(shrunk(value).max(1e-12 * mean).max(f64::MIN_POSITIVE));
    vectors * &values.iter().map(scale).collect::<Array1<f64>>()
}

/// A basis, `(D, components)`, in which the training rows have unit variance in every direction,
/// but for the shrinkage.
pub(super) fn whitening(
    features: ArrayView2<'_, f32>,
    standardiser: &Standardiser,
    projection: Projection,
) -> Result<Array2<f64>> {
    let (values, vectors) = principal(features, standardiser, projection)?;
    Ok(whiten(&vectors, &values, projection.shrinkage))
}

/// A basis, `(D, discriminants)`, of the directions in which identities differ most, in units of
/// the scatter within them; only identities with several rows count.
pub(super) fn discriminants(
    features: ArrayView2<'_, f32>,
    identities: &[u64],
    standardiser: &Standardiser,
    projection: Projection,
) -> Result<Array2<f64>> {
    let people = places_by(identities);
    let all = people.len();
    let people: Vec<Vec<usize>> = people.into_values().filter(|rows| rows.len() > 1).collect();
    if people.len() < 2 {
        return Err(Error::Pairs {
            expected: "at least two training identities of several pictures each".to_owned(),
            found: format!("{} of {all}", people.len()),
        });
    }
    let (_, vectors) = principal(features, standardiser, projection)?;
    let [within, between] = scatter(features, &people, standardiser, &vectors)?;
    let (values, axes) = eigen(&within, "scatter within identities")?;
    let unit = whiten(&axes, &values, projection.shrinkage);
    let seen = product(product(unit.t(), between.view()).view(), unit.view());
    let (_, best) = eigen(&seen, "scatter between identities")?;
    let kept = projection.discriminants.min(people.len() - 1).min(best.ncols());
    let directions = product(unit.view(), best.slice(s![.., ..kept]));
    Ok(product(vectors.view(), directions.view()))
}

/// Covariance within and between identities in the coordinates of `vectors`.
fn scatter(
    features: ArrayView2<'_, f32>,
    people: &[Vec<usize>],
    standardiser: &Standardiser,
    vectors: &Array2<f64>,
) -> Result<[Array2<f64>; 2]> {
    let count = people.iter().map(Vec::len).sum::<usize>() as f64;
    let mut within = Array2::zeros((vectors.ncols(), vectors.ncols()));
    let mut means = Array2::zeros((people.len(), vectors.ncols()));
    // Whole people at a time, about a block of rows.
    let mut first = 0;
    while first < people.len() {
        let (mut rows, mut starts, mut end) = (Vec::new(), Vec::new(), first);
        while end < people.len() && (rows.is_empty() || rows.len() + people[end].len() <= BLOCK) {
            starts.push(rows.len());
            rows.extend_from_slice(&people[end]);
            end += 1;
        }
        starts.push(rows.len());
        let scaled = standardiser.apply(features.select(Axis(0), &rows).view())?;
        let mut block = product(scaled.view(), vectors.view());
        for (person, range) in (first..end).zip(starts.windows(2)) {
            let mut own = block.slice_mut(s![range[0]..range[1], ..]);
            let mean = own.mean_axis(Axis(0)).expect("a person has rows");
            own -= &mean;
            // Each person weighs as many times as there are pictures of them.
            means.row_mut(person).assign(&(mean * (own.nrows() as f64).sqrt()));
        }
        add_product(&mut within, block.t(), block.view());
        first = end;
    }
    let weights: Array1<f64> = people.iter().map(|rows| (rows.len() as f64).sqrt()).collect();
    let centre = weights.dot(&means) / count;
    for (mut mean, weight) in means.rows_mut().into_iter().zip(&weights) {
        mean.scaled_add(-weight, &centre);
    }
    Ok([within / count, product(means.t(), means.view()) / count])
}
