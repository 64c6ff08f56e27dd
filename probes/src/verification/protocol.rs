//! From scores to the numbers of the protocol.

use super::pairs::Pair;
use crate::error::{check_count, check_range};
use crate::metrics::{Roc, auroc, by_falling_score};
use crate::moments::{mean, standard_error};
use crate::result::TarAtFar;
use crate::{Error, Result};

/// Shares of accepted impostors at which the share of accepted genuine pairs is told.
const FARS: [f64; 2] = [1e-1, 1e-2];

/// How well scores tell whether two rows show one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Mean over the folds of the accuracy at the threshold that is best on the others.
    pub accuracy: f64,
    /// Standard deviation (of the sample) of those accuracies over the root of their number.
    pub standard_error: f64,
    /// The accuracy on each fold.
    pub fold_accuracies: Vec<f64>,
    /// The threshold of each fold: a pair counts as one person where its score is at least this.
    pub thresholds: Vec<f64>,
    /// Area under the pooled curve; `None` where all pairs are genuine, or none is.
    pub auc: Option<f64>,
    /// Genuine pairs accepted at 10⁻¹ and 10⁻² of the impostors, pooled: at the lowest threshold that
    /// accepts at most that share, without interpolation. `None` where a single impostor is more
    /// than the share.
    pub tar_at_far: Vec<TarAtFar>,
    /// Shares of impostor and genuine pairs that are accepted, pooled, from (0, 0) to (1, 1): at
    /// most 200 points of the curve.
    pub roc: Vec<[f64; 2]>,
}

/// The protocol on one score a pair.
///
/// Of several equally good thresholds the middle one is taken; a threshold lies half way between
/// two scores.
///
/// # Errors
/// [`Error::OutOfRange`] for fewer than two folds; [`Error::Pairs`] for a fold without pairs;
/// [`Error::Mismatch`] unless there is one score a pair; [`Error::NotFinite`] for a score that is
/// NaN or infinite.
pub fn verify(scores: &[Vec<f64>], pairs: &[Vec<Pair>]) -> Result<Verification> {
    check_folds(pairs)?;
    check(scores, pairs)?;
    Ok(protocol(pairs, |_| scores))
}

/// The protocol where each fold has a scorer of its own, fitted on people that are not in the fold:
/// `scores[fold]` are its scores of the pairs of *all* folds. What is pooled is the score of each
/// pair by the scorer of its own fold.
///
/// The threshold then comes from pairs of people that the scorer was fitted on, which it tells
/// apart better than those of the fold; scorers fitted on other people altogether are to be
/// preferred where there are enough of them.
///
/// # Errors
/// Those of [`verify`]; [`Error::Mismatch`] unless there is one set of scores a fold.
pub fn verify_each(scores: &[Vec<Vec<f64>>], pairs: &[Vec<Pair>]) -> Result<Verification> {
    check_folds(pairs)?;
    check_count("verification: sets of scores", pairs.len(), scores.len())?;
    for scores in scores {
        check(scores, pairs)?;
    }
    Ok(protocol(pairs, |fold| &scores[fold]))
}

fn check_folds(pairs: &[Vec<Pair>]) -> Result<()> {
    check_range(pairs.len() >= 2, "folds", "at least 2", pairs.len())?;
    let empty = pairs.iter().position(Vec::is_empty);
    empty.map_or(Ok(()), |fold| {
        let expected = "at least one pair in every fold".to_owned();
        Err(Error::Pairs { expected, found: format!("none in fold {fold}") })
    })
}

fn check(scores: &[Vec<f64>], pairs: &[Vec<Pair>]) -> Result<()> {
    check_count("verification: folds of scores", pairs.len(), scores.len())?;
    for (fold, (scores, pairs)) in scores.iter().zip(pairs).enumerate() {
        check_count(format!("verification: scores of fold {fold}"), pairs.len(), scores.len())?;
        if let Some(pair) = scores.iter().position(|score| !score.is_finite()) {
            let (at, found) = (format!("fold {fold}, pair {pair}"), scores[pair]);
            return Err(Error::NotFinite { what: "verification scores", at, found });
        }
    }
    Ok(())
}

/// `scores(fold)` are the scores of all pairs that the fold is judged with.
fn protocol<'a>(pairs: &[Vec<Pair>], scores: impl Fn(usize) -> &'a [Vec<f64>]) -> Verification {
    let same: Vec<Vec<bool>> =
        pairs.iter().map(|fold| fold.iter().map(|pair| pair.same).collect()).collect();
    let of_fold = |fold: usize, by: usize| scores(by)[fold].iter().copied().zip(&same[fold]);
    let (mut thresholds, mut accuracies) = (Vec::new(), Vec::new());
    for fold in 0..pairs.len() {
        let others = (0..pairs.len()).filter(|other| *other != fold);
        let others = others.flat_map(|other| of_fold(other, fold));
        let threshold = best_threshold(by_falling_score(others.map(|(s, same)| (s, *same))));
        let right = of_fold(fold, fold).filter(|(s, same)| (*s >= threshold) == **same).count();
        accuracies.push(right as f64 / pairs[fold].len() as f64);
        thresholds.push(threshold);
    }
    let pooled = (0..pairs.len()).flat_map(|fold| of_fold(fold, fold));
    let pooled = by_falling_score(pooled.map(|(score, same)| (score, *same)));
    let labels: Vec<i8> = pooled.iter().map(|(_, same)| i8::from(*same)).collect();
    let values: Vec<f64> = pooled.iter().map(|(score, _)| *score).collect();
    let roc = Roc::new(&pooled);
    Verification {
        accuracy: mean(&accuracies),
        standard_error: standard_error(&accuracies).expect("there are at least two folds"),
        fold_accuracies: accuracies,
        thresholds,
        auc: auroc(&labels, &values),
        tar_at_far: FARS.iter().map(|&far| (far, roc.true_positives_at(far))).collect(),
        roc: roc.points(),
    }
}

/// The threshold at which most pairs are told rightly: by one pass over them by falling score.
fn best_threshold(sorted: Vec<(f64, bool)>) -> f64 {
    let ties: Vec<&[(f64, bool)]> = sorted.chunk_by(|a, b| a.0 == b.0).collect();
    // Pairs right when all are called different; then each group of equal scores is accepted.
    let mut right = sorted.iter().filter(|(_, same)| !same).count();
    let (mut most, mut best) = (right, vec![0usize]);
    for (accepted, group) in (1..).zip(&ties) {
        let same = group.iter().filter(|(_, same)| *same).count();
        right = right + same - (group.len() - same);
        if right > most {
            (most, best) = (right, Vec::new());
        }
        if right == most {
            best.push(accepted);
        }
    }
    let accepted = best[(best.len() - 1) / 2];
    match (accepted.checked_sub(1).map(|at| ties[at][0].0), ties.get(accepted)) {
        // Above all scores, below all, or between two.
        (None, _) => ties[0][0].0.next_up(),
        (Some(last), None) => last,
        (Some(last), Some(next)) => between(next[0].0, last),
    }
}

/// Half way between two numbers, above the lower one.
fn between(lower: f64, upper: f64) -> f64 {
    let middle = 0.5 * lower + 0.5 * upper;
    if middle > lower { middle.min(upper) } else { upper }
}
