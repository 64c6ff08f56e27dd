//! Scores of predicted real values, as scikit-learn and scipy define them.
//!
//! A truth that is NaN is missing and skipped.

/// Rows with a truth, as (truth, prediction).
fn observed(truth: &[f64], predicted: &[f64]) -> Vec<(f64, f64)> {
    assert_eq!(truth.len(), predicted.len(), "one prediction a value");
    let rows = truth.iter().zip(predicted).filter(|(truth, _)| !truth.is_nan());
    rows.map(|(&truth, &predicted)| (truth, predicted)).collect()
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// Whether there are fewer than two different values; of these no score is defined.
fn is_constant(mut values: impl Iterator<Item = f64>) -> bool {
    let first = values.next();
    values.all(|value| Some(value) == first)
}

/// Coefficient of determination: one minus the squared errors' share of the truth's variance.
/// `None` where the truth has fewer than two different values.
///
/// ```
/// use vdvae_probes::metrics::r2;
/// assert_eq!(r2(&[1.0, 2.0, 3.0, f64::NAN], &[1.0, 2.0, 2.0, 9.0]), Some(0.5));
/// assert_eq!(r2(&[1.0, 1.0], &[1.0, 2.0]), None);
/// ```
pub fn r2(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    let rows = observed(truth, predicted);
    if is_constant(rows.iter().map(|row| row.0)) {
        return None;
    }
    let centre = mean(rows.iter().map(|row| row.0));
    let error: f64 = rows.iter().map(|(truth, predicted)| (truth - predicted).powi(2)).sum();
    let total: f64 = rows.iter().map(|(truth, _)| (truth - centre).powi(2)).sum();
    Some(1.0 - error / total)
}

/// Pearson's correlation; `None` where either side has fewer than two different values.
pub fn pearson(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    correlation(&observed(truth, predicted))
}

/// Spearman's rank correlation, equals sharing their mean rank; `None` as for [`pearson`].
pub fn spearman(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    let rows = observed(truth, predicted);
    let left = ranks(&rows.iter().map(|row| row.0).collect::<Vec<_>>());
    let right = ranks(&rows.iter().map(|row| row.1).collect::<Vec<_>>());
    correlation(&left.into_iter().zip(right).collect::<Vec<_>>())
}

fn correlation(rows: &[(f64, f64)]) -> Option<f64> {
    let (left, right) = (rows.iter().map(|row| row.0), rows.iter().map(|row| row.1));
    if is_constant(left.clone()) || is_constant(right.clone()) {
        return None;
    }
    let (a, b) = (mean(left), mean(right));
    let sum = |term: fn(f64, f64) -> f64| rows.iter().map(|(x, y)| term(x - a, y - b)).sum::<f64>();
    let share = sum(|x, y| x * y) / (sum(|x, _| x * x).sqrt() * sum(|_, y| y * y).sqrt());
    Some(share.clamp(-1.0, 1.0))
}

/// Rank of every value from 1, the mean rank of equals.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = below as f64 + 0.5 * (equals.len() + 1) as f64;
        equals.iter().for_each(|&index| ranks[index] = rank);
        below += equals.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_scikit_learn_and_scipy() {
        // scikit-learn 1.9.1, scipy 1.17.1: r2_score(y, p), pearsonr(y, p)[0], spearmanr(y, p)[0]
        let truth = [1.0, 2.0, 2.0, 3.5, -1.0, 0.25, f64::NAN];
        let predicted = [0.5, 2.5, 1.5, 3.0, 0.0, 0.5, 100.0];
        let found = [r2, pearson, spearman].map(|score| score(&truth, &predicted).unwrap());
        for (found, expected) in found.into_iter().zip(GOLDEN) {
            // Sums of six terms in another order.
            assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        }
    }

    /// See `agrees_with_scikit_learn_and_scipy`.
    const GOLDEN: [f64; 3] =
        [0.832_345_469_940_728_2, 0.925_616_671_613_908, 0.970_588_235_294_117_8];

    #[test]
    fn constants_have_no_score() {
        // scikit-learn gives 0 or 1 for a constant truth; a number there would say something.
        for score in [r2, pearson, spearman] {
            assert_eq!(score(&[2.0, 2.0, f64::NAN], &[1.0, 2.0, 3.0]), None);
            assert_eq!(score(&[2.0], &[2.0]), None);
            assert_eq!(score(&[], &[]), None);
        }
        assert_eq!(pearson(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(r2(&[1.0, 2.0], &[1.5, 1.5]), Some(0.0));
    }
}
