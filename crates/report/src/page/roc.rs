//! Receiver operating characteristics: of the best, the median and the worst target.

use maud::{Markup, html};
use vdvae_probes::Source;

use super::Section;
use super::input::RocCurve;
use super::look::{class, words};
use super::number::{finite, fixed, px, score};
use super::scale::Linear;
use super::view::View;

/// Points a curve keeps: more cannot be told apart on paper.
const MOST_POINTS: usize = 200;

/// The receiver operating characteristic of scores: (false positive rate, true positive rate) from
/// (0, 0) to (1, 1), tied scores in one step. Labels are 1, 0 or -1 (missing, skipped), as for
/// [`auroc`](vdvae_probes::metrics::auroc).
///
/// At most 200 points are kept, each a corner of the whole curve, evenly along it. Empty where the
/// curve is not defined: one class only, or a score that is NaN.
///
/// # Panics
/// When labels and scores differ in length.
pub fn roc_points(labels: &[i8], scores: &[f64]) -> Vec<(f64, f64)> {
    assert_eq!(labels.len(), scores.len(), "one score a label");
    let mut rows: Vec<(f64, bool)> =
        labels.iter().zip(scores).filter(|row| *row.0 >= 0).map(|(&l, &s)| (s, l > 0)).collect();
    let positive = rows.iter().filter(|row| row.1).count();
    let negative = rows.len() - positive;
    if positive == 0 || negative == 0 || rows.iter().any(|row| row.0.is_nan()) {
        return Vec::new();
    }
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut corners = vec![(0usize, 0usize)];
    let (mut wrong, mut right) = (0, 0);
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let hits = ties.iter().filter(|row| row.1).count();
        let next = (wrong + ties.len() - hits, right + hits);
        // Two steps in one direction are one line.
        if let [.., before, last] = corners[..]
            && cross(before, last, next) == 0
        {
            corners.pop();
        }
        corners.push(next);
        (wrong, right) = next;
    }
    let points = corners.into_iter();
    let points = points.map(|(w, r)| (w as f64 / negative as f64, r as f64 / positive as f64));
    thin(points.collect(), MOST_POINTS)
}

/// Twice the area of a triangle, signed: zero where the three lie on a line.
fn cross(a: (usize, usize), b: (usize, usize), c: (usize, usize)) -> i128 {
    let step = |from: (usize, usize), to: (usize, usize)| {
        (to.0 as i128 - from.0 as i128, to.1 as i128 - from.1 as i128)
    };
    let (first, second) = (step(a, b), step(a, c));
    first.0 * second.1 - first.1 * second.0
}

/// At most `most` of the points, both ends among them, evenly along the curve. Both coordinates
/// rise, so the length so far is their sum, 2 at the end.
fn thin(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points;
    }
    let last = points.len() - 1;
    let mut kept = vec![points[0]];
    for (place, &point) in points.iter().enumerate().skip(1) {
        // The first point past each of `most - 2` even marks; the last point is kept anyway.
        let mark = kept.len() as f64 * 2.0 / (most - 1) as f64;
        if place == last || (point.0 + point.1 >= mark && kept.len() < most - 1) {
            kept.push(point);
        }
    }
    kept
}

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

fn path(points: &[(f64, f64)], x: Linear, y: Linear) -> String {
    let finite = points.iter().filter(|point| point.0.is_finite() && point.1.is_finite());
    let places = finite.map(|&(fpr, tpr)| format!("{} {}", px(x.at(fpr)), px(y.at(tpr))));
    format!("M{}", places.collect::<Vec<_>>().join("L"))
}

#[cfg(test)]
mod tests {
    use vdvae_probes::metrics::auroc;

    use super::*;

    /// Labels and scores that overlap, with ties, from a fixed recurrence.
    fn noisy(rows: usize, levels: u64) -> (Vec<i8>, Vec<f64>) {
        let mut state = 7u64;
        let rows = (0..rows).map(|row| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let label = i8::from(row % 3 == 0);
            (label, ((state >> 33) % levels) as f64 / levels as f64 + f64::from(label) * 0.3)
        });
        rows.unzip()
    }

    fn area(points: &[(f64, f64)]) -> f64 {
        points.windows(2).map(|p| (p[1].0 - p[0].0) * (p[0].1 + p[1].1) / 2.0).sum()
    }

    #[test]
    fn a_curve_by_hand() {
        let points = roc_points(&[0, 0, 1, 1, -1], &[0.1, 0.4, 0.35, 0.8, f64::NAN]);
        assert_eq!(points, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
    }

    #[test]
    fn ties_are_one_step_and_equal_scores_the_diagonal() {
        assert_eq!(roc_points(&[0, 1, 0, 1], &[2.0; 4]), [(0.0, 0.0), (1.0, 1.0)]);
        let points = roc_points(&[1, 1, 0, 0], &[4.0, 3.0, 2.0, 1.0]);
        assert_eq!(points, [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]);
    }

    #[test]
    fn undefined_curves_are_empty() {
        assert!(roc_points(&[1, 1], &[0.1, 0.2]).is_empty());
        assert!(roc_points(&[0, -1], &[0.1, 0.2]).is_empty());
        assert!(roc_points(&[0, 1], &[0.1, f64::NAN]).is_empty());
        assert!(roc_points(&[], &[]).is_empty());
    }

    #[test]
    fn long_curves_are_thinned_to_corners_of_their_own() {
        let (labels, scores) = noisy(30_000, 1 << 30);
        let points = roc_points(&labels, &scores);
        assert!((150..=MOST_POINTS).contains(&points.len()), "{}", points.len());
        assert_eq!((points[0], points[points.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
        assert!(points.windows(2).all(|p| p[0].0 <= p[1].0 && p[0].1 <= p[1].1));
        // Each point is on the curve: some threshold gives exactly these counts.
        let mut falling = scores.clone();
        falling.sort_by(|a, b| b.total_cmp(a));
        for point in &points[1..] {
            let called = (point.0 * 20_000.0 + point.1 * 10_000.0).round() as usize;
            let threshold = falling[called - 1];
            let hits = labels.iter().zip(&scores).filter(|(l, s)| **l > 0 && **s >= threshold);
            assert_eq!((hits.count() as f64) / 10_000.0, point.1);
        }
        // Chords of length 2/200 cut off next to nothing.
        let exact = auroc(&labels, &scores).unwrap();
        assert!((area(&points) - exact).abs() < 1e-3, "{} {exact}", area(&points));
    }

    #[test]
    fn short_curves_keep_their_area_exactly() {
        let (labels, scores) = noisy(400, 40);
        let points = roc_points(&labels, &scores);
        let exact = auroc(&labels, &scores).unwrap();
        assert!((area(&points) - exact).abs() < 1e-12, "{} {exact}", area(&points));
    }

    #[test]
    fn best_median_and_worst_are_chosen_by_the_latents() {
        let curve = |name: &str, source, auroc| RocCurve {
            name: name.into(),
            source,
            points: vec![(0.0, 0.0), (1.0, 1.0)],
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
