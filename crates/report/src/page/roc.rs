//! Receiver operating characteristics: of the best, the median and the worst target.

use maud::{Markup, html};
use vdvae_probes::Source;

use super::input::RocCurve;
use super::look::{class, words};
use super::number::{finite, fixed, px, score};
use super::scale::Linear;
use super::section::Section;
use super::view::View;

/// The curves of up to three targets.
pub(super) fn section(view: &View) -> Option<Section> {
    let targets = chosen(&view.page.roc);
    if targets.is_empty() {
        return None;
    }
    Some(Section {
        id: "roc",
        title: "ROC curves",
        body: html! {
            p.lead {
                "True against false positives on the test split, for every threshold"
                @if targets.len() > 2 { ": the easiest target, the median and the hardest" }
                ". The diagonal is guessing."
            }
            div.squares {
                @for (title, curves) in &targets {
                    figure {
                        figcaption { @if let Some(title) = title { (title) ": " } (curves[0].name) }
                        (square(curves))
                    }
                }
            }
        },
    })
}

/// A word for a target, and its curves.
type Chosen<'a> = (Option<&'static str>, Vec<&'a RocCurve>);

/// The best, the median and the worst target by the AUROC of their latents; all of them where
/// there are at most three.
fn chosen(curves: &[RocCurve]) -> Vec<Chosen<'_>> {
    let drawn = || curves.iter().filter(|curve| curve.points.len() > 1);
    let mut targets: Vec<Vec<&RocCurve>> = Vec::new();
    for curve in drawn() {
        match targets.iter_mut().find(|target| target[0].name == curve.name) {
            Some(target) => target.push(curve),
            None => targets.push(vec![curve]),
        }
    }
    let auroc = |target: &Vec<&RocCurve>| {
        let latents = target.iter().find(|curve| curve.source == Source::Latents);
        finite(latents.unwrap_or(&target[0]).auroc).unwrap_or(f64::NEG_INFINITY)
    };
    targets.sort_by(|a, b| auroc(b).total_cmp(&auroc(a)));
    let words: &[Option<&'static str>] = match targets.len() {
        0 | 1 => &[None],
        2 => &[Some("Best"), Some("Worst")],
        _ => &[Some("Best"), Some("Median"), Some("Worst")],
    };
    let last = targets.len().saturating_sub(1);
    let places = [0, last / 2, last];
    let places: &[usize] = if targets.len() == 2 { &[0, 1] } else { &places };
    words
        .iter()
        .zip(places)
        .filter_map(|(word, &place)| Some((*word, targets.get(place)?.clone())))
        .collect()
}

/// One target's curves in a square of 0 to 1 by 0 to 1, named in the empty corner under them.
fn square(curves: &[&RocCurve]) -> Markup {
    let (left, right, top, bottom) = (34.0, 272.0, 26.0, 264.0);
    let x = Linear::new([0.0, 1.0], [left, right]);
    let y = Linear::new([0.0, 1.0], [bottom, top]);
    let about: Vec<String> = curves
        .iter()
        .map(|curve| format!("{} {}", words(curve.source), score(curve.auroc)))
        .collect();
    let first_line = bottom - 12.0 - 17.0 * (curves.len() as f64 - 1.0);
    html! {
        svg.plot viewBox="0 0 284 310" role="img" aria-label={ "AUROC: " (about.join(", ")) } {
            text.axis x="0" y="12" { "True positive rate" }
            @for level in [0.0, 0.5, 1.0] {
                path.grid d=(format!("M{} {}H{}", px(left), px(y.at(level)), px(right))) {}
                path.grid d=(format!("M{} {}V{}", px(x.at(level)), px(top), px(bottom))) {}
                text.tick.end x=(px(left - 7.0)) y=(px(y.at(level) + 4.0)) { (fixed(level, 1)) }
                text.tick.middle x=(px(x.at(level))) y=(px(bottom + 18.0)) { (fixed(level, 1)) }
            }
            path.chance d=(format!("M{} {}L{} {}", px(left), px(bottom), px(right), px(top))) {}
            @for curve in curves.iter().rev() {
                g class=(class(curve.source)) {
                    title { (words(curve.source)) ": AUROC " (score(curve.auroc)) }
                    path.line d=(path(&curve.points, x, y)) {}
                }
            }
            @for (place, curve) in curves.iter().enumerate() {
                g class=(class(curve.source)) {
                    text.name.end x=(px(right - 8.0)) y=(px(first_line + 17.0 * place as f64)) {
                        (words(curve.source)) " " (score(curve.auroc))
                    }
                }
            }
            text.axis.middle x=(px((left + right) / 2.0)) y=(px(bottom + 40.0)) { "False positive rate" }
        }
    }
}

fn path(points: &[[f64; 2]], x: Linear, y: Linear) -> String {
    let finite = points.iter().filter(|rates| rates.iter().all(|rate| rate.is_finite()));
    let places = finite.map(|&[fpr, tpr]| format!("{} {}", px(x.at(fpr)), px(y.at(tpr))));
    format!("M{}", places.collect::<Vec<_>>().join("L"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_median_and_worst_are_chosen_by_the_latents() {
        let curve = |name: &str, source, auroc| RocCurve {
            name: name.into(),
            source,
            points: vec![[0.0, 0.0], [1.0, 1.0]],
            auroc,
        };
        let mut curves = vec![
            curve("b", Source::Pixels, Some(0.99)),
            curve("b", Source::Latents, Some(0.7)),
            curve("a", Source::Latents, Some(0.9)),
            curve("c", Source::Latents, None),
            curve("d", Source::Latents, Some(0.8)),
            curve("e", Source::Latents, Some(0.6)),
        ];
        curves.push(RocCurve { points: Vec::new(), ..curve("f", Source::Latents, Some(1.0)) });
        let picked = |curves: &[RocCurve]| -> Vec<String> {
            let chosen = chosen(curves);
            chosen
                .iter()
                .map(|(word, c)| format!("{} {}", word.unwrap_or("-"), c[0].name))
                .collect()
        };
        assert_eq!(picked(&curves), ["Best a", "Median b", "Worst c"]);
        assert_eq!(picked(&curves[..3]), ["Best a", "Worst b"]);
        assert_eq!(picked(&curves[..2]), ["- b"]);
        assert!(picked(&[]).is_empty());
    }
}
