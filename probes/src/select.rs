//! The choice among candidates on validation, by one rule for every probe.
//!
//! Binary targets are chosen by AUROC, the better balanced accuracy of equals: targets that are
//! easy reach the same AUROC everywhere, and the strongest penalty would shrink all their
//! decisions to the frequent class. Classes are chosen by top-1 accuracy, real values by R².
//! The first of equals wins, so callers put the simplest candidate first.

use ndarray::{Array2, ArrayView2};
use vdvae_features::Targets;

use crate::metrics;

/// Index of the best candidate for each output of the decisions.
///
/// All classes share one choice. Where validation is undefined for a target (one value only), the
/// candidate that is best for the mean of the others.
///
/// # Shapes
/// `candidates`: one `(M, outputs)` each, at least one; a column of NaN was not fitted.
pub(crate) fn best(candidates: &[Array2<f64>], truth: &Targets) -> Vec<usize> {
    let outputs = candidates.first().map_or(0, Array2::ncols);
    let scores: Vec<Vec<Option<[f64; 2]>>> =
        candidates.iter().map(|decisions| validation(decisions.view(), truth)).collect();
    let total = |scores: &Vec<Option<[f64; 2]>>| {
        let defined = scores.iter().flatten();
        Some(defined.fold([0.0; 2], |sum, score| [sum[0] + score[0], sum[1] + score[1]]))
    };
    let fallback = first_best(&scores.iter().map(total).collect::<Vec<_>>()).unwrap_or(0);
    let of_output = |output: usize| {
        let own: Vec<_> = scores.iter().map(|scores| scores[output]).collect();
        first_best(&own).unwrap_or(fallback)
    };
    (0..outputs).map(of_output).collect()
}

/// What each output of one candidate is chosen by, higher is better, the second number where the
/// first is equal.
fn validation(decisions: ArrayView2<'_, f64>, truth: &Targets) -> Vec<Option<[f64; 2]>> {
    let column = |output: usize| {
        let scores = decisions.column(output).to_vec();
        (!scores.iter().any(|score| score.is_nan())).then_some(scores)
    };
    match truth {
        Targets::None | Targets::Several(_) => vec![None; decisions.ncols()],
        Targets::Binary { values, .. } => {
            let score = |output| {
                let (labels, scores) = (values.column(output).to_vec(), column(output)?);
                let ranking = metrics::auroc(&labels, &scores)?;
                Some([ranking, metrics::balanced_accuracy(&labels, &scores, 0.0)?])
            };
            (0..decisions.ncols()).map(score).collect()
        }
        Targets::Classes { labels, .. } => {
            let right = likeliest(decisions).zip(labels).filter(|(a, b)| a == *b).count();
            let score = (!labels.is_empty()).then(|| [right as f64 / labels.len() as f64, 0.0]);
            vec![score; decisions.ncols()]
        }
        Targets::Real { values, .. } => {
            let score = |output| {
                let truth = values.column(output).to_vec();
                Some([metrics::r2(&truth, &column(output)?)?, 0.0])
            };
            (0..decisions.ncols()).map(score).collect()
        }
    }
}

/// The class with the highest score in each row of `(M, classes)`, the first of equals.
pub(crate) fn likeliest(scores: ArrayView2<'_, f64>) -> impl Iterator<Item = u32> + '_ {
    (0..scores.nrows()).map(move |row| {
        let row = scores.row(row);
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (0u32..).zip(&row).find(|(_, value)| **value == top).map_or(0, |(class, _)| class)
    })
}

/// Index of the first highest score; `None` where none is defined.
fn first_best(scores: &[Option<[f64; 2]>]) -> Option<usize> {
    let mut best: Option<(usize, [f64; 2])> = None;
    for (index, score) in scores.iter().enumerate() {
        if let Some(score) = *score
            && best.is_none_or(|(_, highest)| score > highest)
        {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_first_of_equals_is_the_simplest() {
        let scores = [[0.5, 0.9], [0.7, 0.6], [0.7, 0.8], [0.7, 0.8]].map(Some);
        assert_eq!(first_best(&scores), Some(2));
        assert_eq!(first_best(&[None, scores[0], None]), Some(1));
        assert_eq!(first_best(&[None, None]), None);
    }

    #[test]
    fn each_target_chooses_and_undefined_ones_follow_the_others() {
        let truth = Targets::Binary {
            names: vec!["a".into(), "one value".into()],
            values: array![[0, 1], [1, 1], [0, 1]],
        };
        let wrong = array![[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0]];
        let right = array![[-1.0, 0.0], [1.0, 0.0], [-2.0, 0.0]];
        assert_eq!(best(&[wrong.clone(), right.clone()], &truth), [1, 1]);
        assert_eq!(best(&[right, wrong], &truth), [0, 0]);
        let truth = Targets::Real { names: vec!["x".into()], values: array![[0.5], [1.5]] };
        assert_eq!(best(&[array![[1.0], [0.0]], array![[0.4], [1.4]]], &truth), [1]);
    }
}
