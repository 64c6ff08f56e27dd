//! Scores over an axis, as SVG: lines with intervals, levels that do not depend on the axis, and a
//! slot beside it for what has no place on it.
//!
//! Text in an SVG scales with it and would be too small on a telephone, so a figure is drawn
//! twice, wide and narrow, and the style sheet shows one.

use maud::{Markup, html};

use super::draw::{
    Axes, Band, MOST_WHISKERS, Point, Series, Stretch, draw_band, draw_series, draw_stretches,
    draw_ticks,
};
use super::look::{self, Look};
use super::number::{fixed, px};
use super::scale::{Linear, spread, ticks};

/// A figure.
#[derive(Default)]
pub(super) struct LinePlot {
    /// What is drawn, for those who do not see it.
    pub(super) about: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) x_ticks: Vec<(f64, String)>,
    /// Name of the slot beside the axis.
    pub(super) aside: Option<&'static str>,
    pub(super) stretches: Vec<Stretch>,
    pub(super) series: Vec<Series>,
    pub(super) bands: Vec<Band>,
    /// Ends of the vertical axis.
    pub(super) y_domain: [f64; 2],
    /// What stands at it, where that is not round numbers.
    pub(super) y_ticks: Option<Vec<(f64, String)>>,
    /// Score of guessing, where it is known.
    pub(super) chance: Option<f64>,
}

/// A drawing's size in units of a pixel at full width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Room for names at the right; none: a legend names the sources instead.
    pub(super) gutter: f64,
}

/// As wide as the page.
pub(super) const WIDE: Frame = Frame { width: 872.0, height: 460.0, gutter: 148.0 };
/// For two side by side, without names.
pub(super) const SIDE: Frame = Frame { width: 390.0, height: 310.0, gutter: 8.0 };
/// For telephones.
pub(super) const NARROW: Frame = Frame { width: 360.0, height: 320.0, gutter: 8.0 };

/// Room left of the axis, and under it.
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 48.0;
/// Height of a line of text.
const LINE: f64 = 17.0;

/// Both drawings of a figure, of which the style sheet shows one.
pub(super) fn responsive(draw: impl Fn(Frame) -> Markup) -> Markup {
    html! {
        div.wide { (draw(WIDE)) }
        div.narrow { (draw(NARROW)) }
    }
}

impl LinePlot {
    /// The figure, with the key that narrow drawings need.
    pub(super) fn figure(&self) -> Markup {
        html! {
            (self.legend("narrow"))
            (responsive(|frame| self.svg(frame)))
        }
    }

    /// The key to the lines; `class` says on which pages it is shown.
    pub(super) fn legend(&self, class: &str) -> Markup {
        // What is drawn last, on top, comes first.
        let lines: Vec<&Look> = self.series.iter().rev().map(|series| &series.look).collect();
        let bands: Vec<&Look> = self.bands.iter().map(|band| &band.look).collect();
        let chance = self.visible_chance().is_some();
        html! { div class=(class) { (look::legend(&lines, &bands, chance)) } }
    }

    /// One drawing of the figure, in a given size.
    pub(super) fn svg(&self, frame: Frame) -> Markup {
        let view_box = format!("0 0 {} {}", px(frame.width), px(frame.height));
        html! {
            svg.plot viewBox=(view_box) role="img" aria-label=(self.about) { (self.draw(frame)) }
        }
    }

    /// What is inside such a drawing, from (0, 0).
    pub(super) fn draw(&self, frame: Frame) -> Markup {
        let axes = self.axes(frame);
        html! {
            (self.draw_stretches(&axes))
            (self.draw_axes(&axes))
            @for band in &self.bands { (draw_band(band, &axes)) }
            @for (place, series) in self.series.iter().enumerate() {
                (draw_series(series, &axes, self.dodge(place, &axes)))
            }
            @if frame.gutter > 100.0 { (self.draw_names(&axes)) }
        }
    }

    fn axes(&self, frame: Frame) -> Axes {
        let top = if self.stretches.is_empty() { 30.0 } else { 48.0 };
        let area = [LEFT, frame.width - frame.gutter, top, frame.height - BOTTOM];
        let [left, right, top, bottom] = area;
        let slot = if self.aside.is_some() { (frame.width * 0.11).max(44.0) } else { 0.0 };
        let inset = (frame.width * 0.03).min(16.0);
        let ends = |ends: [f64; 2], x: f64| [ends[0].min(x), ends[1].max(x)];
        let domain = self.x_ticks.iter().map(|tick| tick.0).chain(self.points().map(|p| p.x));
        let domain = domain.fold([f64::INFINITY, f64::NEG_INFINITY], ends);
        Axes {
            x: Linear::new(domain, [left + inset, right - slot - inset]),
            y: Linear::new(self.y_domain, [bottom, top]),
            area,
            aside: right - slot / 2.0,
        }
    }

    /// Every score with its interval.
    pub(super) fn scores(&self) -> impl Iterator<Item = (f64, Option<[f64; 2]>)> {
        let asides = self.series.iter().filter_map(|series| series.aside.as_ref());
        let points = self.points().chain(asides).map(|point| (point.y, point.ci));
        points.chain(self.bands.iter().map(|band| (band.y, band.ci)))
    }

    fn visible_chance(&self) -> Option<f64> {
        self.chance.filter(|y| (self.y_domain[0]..=self.y_domain[1]).contains(y))
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(|series| &series.points)
    }

    /// How far a series is moved sideways, so that whiskers at one place stand side by side.
    fn dodge(&self, place: usize, axes: &Axes) -> f64 {
        let most = self.series.iter().map(|series| series.points.len()).max().unwrap_or(0);
        let mut places: Vec<f64> = self.points().map(|point| point.x).collect();
        places.sort_by(f64::total_cmp);
        let shared = places.windows(2).any(|pair| pair[0] == pair[1]);
        let room = (axes.aside - axes.area[0]) / (most.max(1) * (self.series.len() + 1)) as f64;
        let middle = (self.series.len().saturating_sub(1)) as f64 / 2.0;
        (place as f64 - middle) * if shared && most <= MOST_WHISKERS { room.min(7.0) } else { 0.0 }
    }

    fn draw_stretches(&self, axes: &Axes) -> Markup {
        let [_, _, top, bottom] = axes.area;
        draw_stretches(&self.stretches, axes.x, [top, bottom], [axes.area[0], axes.area[1]])
    }

    fn draw_axes(&self, axes: &Axes) -> Markup {
        let [left, right, top, bottom] = axes.area;
        let round = || {
            let round = ticks(self.y_domain, ((bottom - top) / 48.0) as usize);
            round.values.iter().map(|&level| (level, fixed(level, round.decimals))).collect()
        };
        let levels = self.y_ticks.clone().unwrap_or_else(round);
        html! {
            text.axis x="0" y="12" { (self.y_label) }
            @for (level, label) in &levels {
                @let y = axes.y.at(*level);
                path.grid d=(format!("M{} {}H{}", px(left), px(y), px(right))) {}
                text.tick.end x=(px(left - 8.0)) y=(px(y + 4.0)) { (label) }
            }
            @if let Some(chance) = self.visible_chance() {
                @let y = axes.y.at(chance);
                path.chance d=(format!("M{} {}H{}", px(left), px(y), px(right))) {}
            }
            // The slot has a stretch of base line of its own, so that it does not look like a tick.
            @let end = if self.aside.is_some() { 2.0 * axes.aside - right - 4.0 } else { right };
            path.base d=(format!("M{} {}H{}", px(left), px(bottom), px(end))) {}
            (draw_ticks(&self.x_ticks, axes.x, bottom))
            @if let Some(aside) = self.aside {
                path.base d=(format!("M{} {}H{}", px(end + 8.0), px(bottom), px(right))) {}
                text.tick.middle x=(px(axes.aside)) y=(px(bottom + 18.0)) { (aside) }
            }
            text.axis.middle x=(px((left + end) / 2.0)) y=(px(bottom + 40.0)) { (self.x_label) }
        }
    }

    /// Names of the lines at the right, as near to their last mark as they go without touching.
    fn draw_names(&self, axes: &Axes) -> Markup {
        let [_, right, _, bottom] = axes.area;
        let ends = self.series.iter().filter_map(|series| {
            let last = series.aside.as_ref().or(series.points.last())?;
            let x = if series.aside.is_some() { axes.aside } else { axes.x.at(last.x) };
            Some((&series.look, x + 12.0, axes.y.at(last.y)))
        });
        let named = |(look, x, y): (&'_ Look, f64, f64)| (look.class, look.words.to_string(), x, y);
        let levels = self.bands.iter().map(|band| (&band.look, right, axes.y.at(band.y)));
        let chance =
            self.visible_chance().map(|y| ("guess", "chance".to_owned(), right, axes.y.at(y)));
        let mut names: Vec<(&str, String, f64, f64)> =
            ends.chain(levels).map(named).chain(chance).collect();
        names.sort_by(|a, b| a.3.total_cmp(&b.3));
        let boxes: Vec<(f64, f64)> = names.iter().map(|name| (name.3, LINE)).collect();
        let heights = spread(&boxes, [0.0, bottom + LINE]);
        html! {
            @for ((class, name, x, y), height) in names.into_iter().zip(heights) {
                g class=(class) {
                    @let (elbow, end) = (right + 4.0, right + 16.0);
                    path.leader d=(format!(
                        "M{} {}H{}L{} {}", px(x), px(y), px(elbow), px(end), px(height)
                    )) {}
                    text.name x=(px(end + 4.0)) y=(px(height + 4.5)) { (name) }
                }
            }
        }
    }
}
