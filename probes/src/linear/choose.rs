//! The sweep over strengths on train, the choice on validation, and the refit on both.

use ndarray::{Array2, ArrayView2};
use vdvae_features::Targets;

use super::LinearProbe;
use crate::logistic::{Design, Fit, Job, Response, decisions, fit};
use crate::{Result, metrics};

/// What one regression predicts: a binary target, or all classes together.
#[derive(Debug, Clone)]
pub(super) enum Labels {
    Binary(Vec<i8>),
    Classes { labels: Vec<u32>, classes: usize },
}

impl Labels {
    /// One entry a regression.
    pub(super) fn of(targets: &Targets) -> Vec<Self> {
        match targets {
            Targets::None | Targets::Real { .. } => Vec::new(),
            Targets::Binary { values, .. } => {
                values.columns().into_iter().map(|column| Self::Binary(column.to_vec())).collect()
            }
            Targets::Classes { names, labels } => {
                vec![Self::Classes { labels: labels.clone(), classes: names.len() }]
            }
        }
    }

    fn response(&self) -> Response<'_> {
        match self {
            Self::Binary(labels) => Response::Binary(labels),
            Self::Classes { labels, classes } => Response::Classes { labels, classes: *classes },
        }
    }

    /// The rows of `self`, then those of `other`; both predict the same thing.
    fn followed_by(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Binary(a), Self::Binary(b)) => Self::Binary([&a[..], &b[..]].concat()),
            (Self::Classes { labels: a, classes }, Self::Classes { labels: b, .. }) => {
                Self::Classes { labels: [&a[..], &b[..]].concat(), classes: *classes }
            }
            _ => unreachable!("tables were checked to have the same kind of targets"),
        }
    }

    /// What the strength is chosen by, higher is better, the second number where the first is
    /// equal: AUROC and balanced accuracy, or top-1 accuracy alone. Targets that are easy reach
    /// the same AUROC at every strength, and the strongest would shrink all their decisions to the
    /// frequent class.
    fn validation(&self, decision: ArrayView2<'_, f64>) -> Option<[f64; 2]> {
        match self {
            Self::Binary(labels) => {
                let scores = decision.column(0).to_vec();
                let ranking = metrics::auroc(labels, &scores)?;
                Some([ranking, metrics::balanced_accuracy(labels, &scores, 0.0)?])
            }
            Self::Classes { labels, .. } => {
                let right = likeliest(decision).zip(labels).filter(|(a, b)| a == *b).count();
                (!labels.is_empty()).then(|| [right as f64 / labels.len() as f64, 0.0])
            }
        }
    }
}

/// The class with the highest decision value in each row of `(M, classes)`, the first of equals.
pub(super) fn likeliest(decision: ArrayView2<'_, f64>) -> impl Iterator<Item = u32> + '_ {
    (0..decision.nrows()).map(move |row| {
        let row = decision.row(row);
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (0u32..).zip(&row).find(|(_, value)| **value == top).map_or(0, |(class, _)| class)
    })
}

/// The regression that is scored on test.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) strength: f64,
    /// The refit converged, and so did every fit of the sweep.
    pub(super) converged: bool,
    pub(super) fit: Fit,
}

impl LinearProbe {
    /// One entry a regression; `None` where train has rows of fewer than two classes.
    ///
    /// `features` and `labels`: train, then validation.
    pub(super) fn choose(
        &self,
        features: &[Array2<f64>; 2],
        labels: &[Vec<Labels>; 2],
    ) -> Result<Vec<Option<Chosen>>> {
        let [train, valid] = features;
        let mut strengths = self.strengths.clone();
        // The strongest first: where validation cannot tell, the first wins.
        strengths.sort_unstable_by(|a, b| b.total_cmp(a));
        let sweep = self.sweep(train, &labels[0], &strengths)?;
        let best = best_of_each(&sweep, valid.view(), &labels[1]);

        let both: Vec<Labels> =
            labels[0].iter().zip(&labels[1]).map(|(a, b)| a.followed_by(b)).collect();
        let mut targets = Vec::new();
        let mut jobs = Vec::new();
        for (target, best) in best.into_iter().enumerate() {
            if let Some(best) = best {
                let start = sweep[target][best].as_ref();
                jobs.push(Job {
                    response: both[target].response(),
                    strength: strengths[best],
                    start,
                });
                targets.push(target);
            }
        }
        let design = Design::new(&[train.view(), valid.view()])?;
        let refits = fit(&design, &jobs, self.solver, self.settings)?;

        let mut chosen = vec![None; both.len()];
        for ((target, job), refit) in targets.into_iter().zip(&jobs).zip(refits) {
            let swept = sweep[target].iter().flatten().all(|fit| fit.converged);
            chosen[target] = refit.map(|fit| Chosen {
                strength: job.strength,
                converged: swept && fit.converged,
                fit,
            });
        }
        Ok(chosen)
    }

    /// Every regression at every strength, `[regression][strength]`.
    fn sweep(
        &self,
        train: &Array2<f64>,
        labels: &[Labels],
        strengths: &[f64],
    ) -> Result<Vec<Vec<Option<Fit>>>> {
        let mut jobs = Vec::with_capacity(labels.len() * strengths.len());
        for labels in labels {
            let response = labels.response();
            jobs.extend(strengths.iter().map(|&strength| Job { response, strength, start: None }));
        }
        let fits = fit(&Design::new(&[train.view()])?, &jobs, self.solver, self.settings)?;
        Ok(fits.chunks(strengths.len()).map(<[_]>::to_vec).collect())
    }
}

/// Index of the best strength of each regression on validation, the first of equals; `None` where
/// nothing was fitted. Where validation is undefined for a regression (one class only), the
/// strength that is best for the mean of the others.
fn best_of_each(
    sweep: &[Vec<Option<Fit>>],
    valid: ArrayView2<'_, f64>,
    labels: &[Labels],
) -> Vec<Option<usize>> {
    let fits: Vec<&Fit> = sweep.iter().flatten().flatten().collect();
    let mut decisions = decisions(&fits, valid).into_iter();
    let scores: Vec<Option<Vec<Option<[f64; 2]>>>> = sweep
        .iter()
        .zip(labels)
        .map(|(fits, labels)| {
            // A regression is fitted at every strength or at none.
            let score = |_: &Fit| {
                let decision = decisions.next().expect("one decision a fit");
                labels.validation(decision.view())
            };
            let scores: Vec<_> = fits.iter().flatten().map(score).collect();
            (!scores.is_empty()).then_some(scores)
        })
        .collect();
    let strengths = sweep.first().map_or(0, Vec::len);
    let total = |index: usize| {
        let defined = scores.iter().flatten().filter_map(|scores| scores[index]);
        Some(defined.fold([0.0; 2], |sum, score| [sum[0] + score[0], sum[1] + score[1]]))
    };
    let fallback = first_best(&(0..strengths).map(total).collect::<Vec<_>>()).unwrap_or(0);
    let best = |scores: &Vec<Option<[f64; 2]>>| first_best(scores).unwrap_or(fallback);
    scores.iter().map(|scores| scores.as_ref().map(best)).collect()
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
    use super::*;

    #[test]
    fn the_first_of_equals_is_the_strongest() {
        let scores = [[0.5, 0.9], [0.7, 0.6], [0.7, 0.8], [0.7, 0.8]].map(Some);
        assert_eq!(first_best(&scores), Some(2));
        assert_eq!(first_best(&[None, scores[0], None]), Some(1));
        assert_eq!(first_best(&[None, None]), None);
    }
}
