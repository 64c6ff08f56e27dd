//! What the page shows of predicted labels: ROC curves, and what the best probe says of a picture.

use vdvae_features::Targets;
use vdvae_probes::metrics::roc_points;
use vdvae_probes::{Evaluated, Source};
use vdvae_report::{Answer, RocCurve};

/// The result that stands for the latents: of those on all rows the best, of the first probe.
fn headline<'a>(evaluated: &[&'a Evaluated]) -> Option<&'a Evaluated> {
    let probe = &evaluated.first()?.result.probe;
    let candidates = evaluated.iter().copied().filter(|one| {
        let r = &one.result;
        r.source == Source::Latents
            && r.probe == *probe
            && r.train_fraction == 1.0
            && r.matched_columns.is_none()
    });
    candidates.max_by(|a, b| {
        let value = |one: &Evaluated| one.result.value.unwrap_or(f64::NEG_INFINITY);
        value(a).total_cmp(&value(b))
    })
}

/// ROC curves of binary targets: the headline's, and those of its controls.
pub(super) fn roc(evaluated: &[&Evaluated]) -> Vec<RocCurve> {
    let Some(best) = headline(evaluated) else { return Vec::new() };
    let beside = |one: &&Evaluated| {
        let (r, best) = (&one.result, &best.result);
        r.probe == best.probe
            && r.train_fraction == 1.0
            && r.matched_columns.is_none()
            && (r.layers == best.layers || r.layers.is_none())
    };
    evaluated.iter().copied().filter(beside).flat_map(curves).collect()
}

/// One curve a target.
fn curves(one: &Evaluated) -> Vec<RocCurve> {
    let Targets::Binary { names, values } = &one.truth else { return Vec::new() };
    if one.scores.dim() != values.dim() {
        return Vec::new();
    }
    let curve = |(column, name): (usize, &String)| {
        let labels = values.column(column).to_vec();
        let scores: Vec<f64> = one.scores.column(column).iter().map(|&s| s.into()).collect();
        RocCurve {
            name: name.clone(),
            source: one.result.source,
            points: roc_points(&labels, &scores),
            auroc: one.result.per_target.get(column).and_then(|target| target.auroc),
        }
    };
    names.iter().enumerate().map(curve).collect()
}

/// What the headline says of one test row, where its scores tell probabilities: those of a logistic
/// probe are logits of binary targets, and probabilities of classes.
pub(super) fn answers(evaluated: &[&Evaluated], row: usize) -> Vec<Answer> {
    let Some(best) = headline(evaluated) else { return Vec::new() };
    if best.result.probe != "logistic" || best.scores.nrows() <= row {
        return Vec::new();
    }
    let scores: Vec<f64> = best.scores.row(row).iter().map(|&score| score.into()).collect();
    let known = |p: f64| p.is_finite().then_some(p);
    match &best.truth {
        Targets::Binary { names, values } => (names.iter().zip(scores).zip(values.row(row)))
            .map(|((target, score), &truth)| Answer {
                target: target.clone(),
                probability: known(1.0 / (1.0 + (-score).exp())),
                truth: (truth >= 0).then_some(truth == 1),
            })
            .collect(),
        Targets::Classes { names, labels } => {
            let class = |(class, (target, probability)): (usize, (&String, f64))| Answer {
                target: target.clone(),
                probability: known(probability),
                truth: Some(labels[row] as usize == class),
            };
            names.iter().zip(scores).enumerate().map(class).collect()
        }
        _ => Vec::new(),
    }
}
