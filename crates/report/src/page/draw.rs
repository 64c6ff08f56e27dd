//! Parts of a plot, and how they are drawn as SVG: stretches and ticks of an axis, levels across it,
//! and series along it.

use maud::{Markup, html};

use super::look::{self, Look};
use super::number::px;
use super::scale::{Linear, spread};

/// Width of a letter of the labels, on average.
const LETTER: f64 = 7.0;
/// Radius of a mark.
const RADIUS: f64 = 3.8;
/// Above so many points whiskers run together, and a ribbon takes their place.
pub(super) const MOST_WHISKERS: usize = 16;

/// A measured point.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// Place on the axis, in the units of the ticks.
    pub(super) x: f64,
    pub(super) y: f64,
    /// Ends of the whisker.
    pub(super) ci: Option<[f64; 2]>,
    /// Shown on hovering.
    pub(super) title: String,
}

/// The points of one line, rising in `x`.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) look: Look,
    pub(super) points: Vec<Point>,
    /// The point in the slot beside the axis; its `x` is not read.
    pub(super) aside: Option<Point>,
}

/// A score that holds along the whole axis.
#[derive(Debug, Clone)]
pub(super) struct Band {
    pub(super) look: Look,
    pub(super) y: f64,
    pub(super) ci: Option<[f64; 2]>,
    pub(super) title: String,
}

/// A stretch of the axis with a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stretch {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: String,
}

/// Places along the axis and across it.
pub(super) struct Axes {
    pub(super) x: Linear,
    pub(super) y: Linear,
    /// Left, right, top and bottom of the drawing area.
    pub(super) area: [f64; 4],
    /// Middle of the slot beside the axis.
    pub(super) aside: f64,
}

/// Alternating shades along the axis, named above it.
pub(super) fn draw_stretches(
    stretches: &[Stretch],
    x: Linear,
    [top, bottom]: [f64; 2],
    bounds: [f64; 2],
) -> Markup {
    let ends = |stretch: &Stretch| (x.at(stretch.from), x.at(stretch.to));
    let boxes: Vec<(f64, f64)> = stretches
        .iter()
        .map(|stretch| {
            let (from, to) = ends(stretch);
            ((from + to) / 2.0, stretch.label.chars().count() as f64 * LETTER + 6.0)
        })
        .collect();
    let centres = spread(&boxes, bounds);
    html! {
        @for (place, (stretch, centre)) in stretches.iter().zip(centres).enumerate() {
            @let (from, to) = ends(stretch);
            @if place % 2 == 0 {
                rect.shade x=(px(from)) y=(px(top)) width=(px(to - from)) height=(px(bottom - top)) {}
            }
            @let middle = px((from + to) / 2.0);
            path.leader d=(format!(
                "M{} {}L{middle} {}V{}", px(centre), px(top - 13.0), px(top - 5.0), px(top)
            )) {}
            text.tick.middle x=(px(centre)) y=(px(top - 17.0)) { (stretch.label) }
        }
    }
}

/// Labels under an axis; one that would touch the label before it is left out.
pub(super) fn draw_ticks(labels: &[(f64, String)], x: Linear, bottom: f64) -> Markup {
    let mut free = f64::NEG_INFINITY;
    let mut fits = |place: f64, label: &str| {
        let half = label.chars().count() as f64 * LETTER / 2.0 + 2.0;
        let fits = place - half >= free;
        free = if fits { place + half } else { free };
        fits
    };
    html! {
        @for (value, label) in labels {
            @let place = x.at(*value);
            path.notch d=(format!("M{} {}v5", px(place), px(bottom))) {}
            @if fits(place, label) {
                text.tick.middle x=(px(place)) y=(px(bottom + 18.0)) { (label) }
            }
        }
    }
}

/// A level across the whole figure, with its interval.
pub(super) fn draw_band(band: &Band, axes: &Axes) -> Markup {
    let [left, right, _, _] = axes.area;
    let y = axes.y.at(band.y);
    html! {
        g class=(band.look.class) {
            title { (band.title) }
            @if let Some([low, high]) = band.ci {
                @let (top, bottom) = (axes.y.at(high), axes.y.at(low));
                rect.band x=(px(left)) y=(px(top)) width=(px(right - left)) height=(px(bottom - top)) {}
            }
            path.level d=(format!("M{} {}H{}", px(left), px(y), px(right))) {}
        }
    }
}

/// The points of one line, its whiskers or ribbon, and the line through it.
pub(super) fn draw_series(series: &Series, axes: &Axes, dodge: f64) -> Markup {
    let points = &series.points;
    let x = |point: &Point| axes.x.at(point.x) + dodge;
    let dense = points.len() > MOST_WHISKERS;
    let line: Vec<String> =
        points.iter().map(|p| format!("{} {}", px(x(p)), px(axes.y.at(p.y)))).collect();
    let gap = (axes.aside - axes.area[0]) / points.len().max(1) as f64;
    let small = (gap * 0.25).clamp(0.8, 2.4);
    let mark = series.look.mark;
    html! {
        g class=(series.look.class) {
            @if dense { path.ribbon d=(ribbon(points, axes, x)) {} }
            @if line.len() > 1 { path.line d=(format!("M{}", line.join("L"))) {} }
            @for point in points {
                @let (x, y) = (x(point), axes.y.at(point.y));
                @if dense {
                    (look::draw_small(x, y, small, &point.title))
                } @else {
                    (whisker(point.ci, x, axes))
                    (look::draw(mark, x, y, RADIUS, &point.title))
                }
            }
            @if let Some(point) = &series.aside {
                @let x = axes.aside + dodge;
                (whisker(point.ci, x, axes))
                (look::draw(mark, x, axes.y.at(point.y), RADIUS, &point.title))
            }
        }
    }
}

fn whisker(ci: Option<[f64; 2]>, x: f64, axes: &Axes) -> Markup {
    html! {
        @if let Some([low, high]) = ci {
            path.whisker d=(format!("M{} {}V{}", px(x), px(axes.y.at(low)), px(axes.y.at(high)))) {}
        }
    }
}

/// Area between the ends of the intervals; a point without one narrows it to the line.
fn ribbon(points: &[Point], axes: &Axes, x: impl Fn(&Point) -> f64) -> String {
    let end = |point: &Point, side: usize| {
        let y = point.ci.map_or(point.y, |ci| ci[side]);
        format!("{} {}", px(x(point)), px(axes.y.at(y)))
    };
    let upper = points.iter().map(|point| end(point, 1));
    let lower = points.iter().rev().map(|point| end(point, 0));
    format!("M{}z", upper.chain(lower).collect::<Vec<_>>().join("L"))
}
