//! Scores of binary decisions and of real values, as scikit-learn defines them.
//!
//! Labels are 1 (positive), 0 (negative) or -1 (missing, skipped). A score that the data do not
//! define (no rows, only one class) is `None`, never a number. Scores must not be NaN.
//!
//! # Panics
//! Every function panics when labels and scores differ in length.

mod regression;
mod roc;

pub use regression::{pearson, r2, spearman};
pub(crate) use roc::Roc;
pub use roc::roc_points;

/// Rows with a label, as (score, positive).
fn observed<'a>(labels: &'a [i8], scores: &'a [f64]) -> impl Iterator<Item = (f64, bool)> + 'a {
    assert_eq!(labels.len(), scores.len(), "one score a label");
    labels.iter().zip(scores).filter(|&(&l, _)| l >= 0).map(|(&l, &s)| (s, l > 0))
}

/// Counts of (positive, negative) rows.
fn counts(labels: &[i8]) -> (usize, usize) {
    let positive = labels.iter().filter(|&&l| l > 0).count();
    let negative = labels.iter().filter(|&&l| l == 0).count();
    (positive, negative)
}

/// Rows of (score, positive) by falling score.
pub(crate) fn by_falling_score(rows: impl Iterator<Item = (f64, bool)>) -> Vec<(f64, bool)> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    rows
}

/// Area under the receiver operating characteristic: the probability that a positive row scores
/// above a negative one, ties counting half.
///
/// ```
/// use vdvae_probes::metrics::auroc;
/// assert_eq!(auroc(&[0, 0, 1, 1, -1], &[0.1, 0.4, 0.35, 0.8, 9.0]), Some(0.75));
/// assert_eq!(auroc(&[1, 1], &[0.1, 0.4]), None);
/// ```
pub fn auroc(labels: &[i8], scores: &[f64]) -> Option<f64> {
    let rows = by_falling_score(observed(labels, scores));
    let (positive, negative) = counts(labels);
    if positive == 0 || negative == 0 {
        return None;
    }
    let (mut above, mut wins) = (0.0, 0.0);
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let hits = ties.iter().filter(|row| row.1).count() as f64;
        let misses = ties.len() as f64 - hits;
        wins += misses * (above + 0.5 * hits);
        above += hits;
    }
    Some(wins / (positive as f64 * negative as f64))
}

/// Average precision: the sum over thresholds of precision times the gain in recall, without
/// interpolation; tied rows enter together.
pub fn average_precision(labels: &[i8], scores: &[f64]) -> Option<f64> {
    let rows = by_falling_score(observed(labels, scores));
    let (positive, negative) = counts(labels);
    if positive == 0 || negative == 0 {
        return None;
    }
    let (mut seen, mut found, mut sum) = (0.0, 0.0, 0.0);
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let hits = ties.iter().filter(|row| row.1).count() as f64;
        seen += ties.len() as f64;
        found += hits;
        sum += hits * found / seen;
    }
    Some(sum / positive as f64)
}

/// Mean of the recalls of the two classes; a row is called positive when its score is above
/// `threshold`.
pub fn balanced_accuracy(labels: &[i8], scores: &[f64], threshold: f64) -> Option<f64> {
    let (positive, negative) = counts(labels);
    if positive == 0 || negative == 0 {
        return None;
    }
    let (mut hits, mut rejections) = (0usize, 0usize);
    for (score, label) in observed(labels, scores) {
        match (label, score > threshold) {
            (true, true) => hits += 1,
            (false, false) => rejections += 1,
            _ => {}
        }
    }
    Some(0.5 * (hits as f64 / positive as f64 + rejections as f64 / negative as f64))
}

/// Share of the positive rows that are called positive, when their score is above `threshold`. Its
/// mean over the classes of a task is scikit-learn's balanced accuracy.
pub fn recall(labels: &[i8], scores: &[f64], threshold: f64) -> Option<f64> {
    let (positive, _) = counts(labels);
    let hits = observed(labels, scores).filter(|(score, label)| *label && *score > threshold);
    (positive > 0).then(|| hits.count() as f64 / positive as f64)
}

/// Share of rows called right; a row is called positive when its score is above `threshold`.
pub fn accuracy(labels: &[i8], scores: &[f64], threshold: f64) -> Option<f64> {
    let (mut rows, mut right) = (0usize, 0usize);
    for (score, label) in observed(labels, scores) {
        rows += 1;
        right += usize::from((score > threshold) == label);
    }
    (rows > 0).then(|| right as f64 / rows as f64)
}

/// Accuracy of always answering the more frequent class.
///
/// BASELINES for attributes quote this number: it is what accuracy has to be read against.
pub fn base_rate(labels: &[i8]) -> Option<f64> {
    let (positive, negative) = counts(labels);
    let rows = positive + negative;
    (rows > 0).then(|| positive.max(negative) as f64 / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(labels, scores, [auroc, average precision, balanced accuracy, accuracy])`, the last two
    /// at threshold 0.5, from scikit-learn 1.9.1:
    /// `roc_auc_score(y, s)`, `average_precision_score(y, s)`,
    /// `balanced_accuracy_score(y, np.array(s) > 0.5)`, `accuracy_score(y, np.array(s) > 0.5)`.
    type Golden = (&'static [i8], &'static [f64], [f64; 4]);
    const GOLDEN: [Golden; 6] = [
        (
            &[0, 1, 0, 1, 1, 0, 1, 0],
            &[0.1, 0.4, 0.35, 0.8, 0.4, 0.4, 0.9, 0.2],
            [0.9375, 0.9, 0.75, 0.75],
        ),
        (
            &[1, 0, 1, 1, 0, 0, 0, 1, 0, 0],
            &[3.0, 3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0],
            [0.729_166_666_666_666_6, 0.55, 0.666_666_666_666_666_6, 0.6],
        ),
        (&[0, 0, 1, 1], &[0.1, 0.4, 0.35, 0.8], [0.75, 0.833_333_333_333_333_3, 0.75, 0.75]),
        (&[1, 0, 1, 0], &[1.0; 4], [0.5; 4]),
        // The largest finite scores, and ties of zeros of either sign.
        (
            &[1, 0, 0, 0, 1],
            &[-f64::MAX, -f64::MAX, 2.0, -1e300, 1e300],
            [0.583_333_333_333_333_3, 0.7, 0.583_333_333_333_333_3, 0.6],
        ),
        (
            &[1, 0, 1, 0, 0, 0],
            &[0.0, -0.0, 0.6, 0.6, 1e-320, -1.0],
            [0.625, 0.45, 0.625, 0.666_666_666_666_666_6],
        ),
    ];

    /// Sums of a few dozen terms in another order: a few units in the last place.
    const TOLERANCE: f64 = 1e-14;

    fn scores_of(labels: &[i8], scores: &[f64]) -> [Option<f64>; 4] {
        [
            auroc(labels, scores),
            average_precision(labels, scores),
            balanced_accuracy(labels, scores, 0.5),
            accuracy(labels, scores, 0.5),
        ]
    }

    #[test]
    fn agrees_with_scikit_learn() {
        for (labels, scores, expected) in GOLDEN {
            for (found, expected) in scores_of(labels, scores).into_iter().zip(expected) {
                assert!((found.unwrap() - expected).abs() < TOLERANCE, "{found:?} {expected}");
            }
        }
    }

    #[test]
    fn missing_labels_change_nothing() {
        for (labels, scores, _) in GOLDEN {
            let (mut padded, mut wide) = (vec![-1, -1], vec![99.0, -99.0]);
            padded.extend_from_slice(labels);
            wide.extend_from_slice(scores);
            assert_eq!(scores_of(&padded, &wide), scores_of(labels, scores));
            assert_eq!(base_rate(&padded), base_rate(labels));
        }
    }

    #[test]
    fn undefined_scores_are_none() {
        assert_eq!(scores_of(&[], &[]), [None; 4]);
        assert_eq!(scores_of(&[-1, -1], &[1.0, 2.0]), [None; 4]);
        assert_eq!(base_rate(&[-1]), None);
        for label in [0, 1] {
            let found = scores_of(&[label; 3], &[0.1, 0.2, 0.9]);
            assert_eq!(&found[..3], &[None; 3]);
            assert!(found[3].is_some());
        }
    }

    #[test]
    fn base_rate_is_the_frequent_class() {
        assert_eq!(base_rate(&[1, 0, 0, 0]), Some(0.75));
        assert_eq!(base_rate(&[1, 1, 0]), Some(2.0 / 3.0));
    }
}
