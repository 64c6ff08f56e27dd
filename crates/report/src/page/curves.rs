//! Scores over resolution, over layers from the top, layer by layer, and over training pictures.

use maud::{Markup, html};
use vdvae_features::LayerSelection;
use vdvae_probes::{Metric, Source};

use super::draw::{Band, Point, Series, Stretch};
use super::look::words;
use super::number::{count, interval, score};
use super::plot::{LinePlot, SIDE};
use super::scale::{round_domain, ticks};
use super::section::Section;
use super::view::{Panel, Row, View, layer_words, metric_words};

/// Sources that have layers, in the order they are drawn: the network's own last, on top.
pub(super) const LAYERED: [Source; 3] =
    [Source::ShuffledLabels, Source::RandomInit, Source::Latents];
/// Sources that have none.
pub(super) const LAYERLESS: [Source; 3] = [Source::Pixels, Source::Pca, Source::Hog];

/// Where on an axis layers belong, if they do.
type Axis = fn(LayerSelection) -> Option<f64>;

fn log2_resolution(layers: LayerSelection) -> Option<f64> {
    match layers {
        LayerSelection::Resolution(r) if r > 0 => Some((r as f64).log2()),
        _ => None,
    }
}

fn first_layers(layers: LayerSelection) -> Option<f64> {
    if let LayerSelection::First(count) = layers { Some(count as f64) } else { None }
}

fn layer(layers: LayerSelection) -> Option<f64> {
    if let LayerSelection::Layer(index) = layers { Some(index as f64) } else { None }
}

/// The section that shows the score over the resolution of the latents.
pub(super) fn resolutions(view: &View) -> Option<Section> {
    let figures = figures(view, log2_resolution, over_resolutions)?;
    let rows = || view.panels.iter().flat_map(|panel| &panel.rows);
    let all = rows().any(|row| row.layers == Some(LayerSelection::All));
    Some(Section {
        id: "resolution",
        title: "Score over resolution",
        body: html! {
            p.lead {
                "Each mark is a probe fitted to the latents of one resolution alone"
                @if all { "; “all” reads every layer at once" }
                ". Whiskers and bands are " (view.intervals()) ". A finding is what stands clear of "
                "the controls."
            }
            (figures)
        },
    })
}

/// The figure of one panel over resolution, if it has places there.
pub(super) fn resolution_plot(panel: &Panel) -> Option<LinePlot> {
    let mut plot = plot(panel, log2_resolution)?;
    over_resolutions(panel, &mut plot);
    plot.y_domain = domain(plot.scores(), panel.metric);
    Some(plot)
}

/// Finishes a figure over resolution.
fn over_resolutions(panel: &Panel, plot: &mut LinePlot) {
    "Resolution r of the r×r latents (log scale)".clone_into(&mut plot.x_label);
    let mut resolutions: Vec<usize> = (panel.rows.iter())
        .filter_map(|row| match row.layers {
            Some(LayerSelection::Resolution(r)) if r > 0 => Some(r),
            _ => None,
        })
        .collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    plot.x_ticks = resolutions.iter().map(|&r| ((r as f64).log2(), r.to_string())).collect();
    add_all(panel, plot);
}

/// The score over the number of layers, from the top.
pub(super) fn cumulative(view: &View) -> Option<Section> {
    let figures = figures(view, first_layers, |_, plot| {
        "Layers read, counted from the top".clone_into(&mut plot.x_label);
        plot.x_ticks = whole_ticks(plot);
    })?;
    Some(Section {
        id: "cumulative",
        title: "Adding layers from the top",
        body: html! {
            p.lead {
                "The probe reads the first layers only, from 1×1 down. Where the curve flattens, "
                "finer layers add nothing that the probe can use."
            }
            (figures)
        },
    })
}

/// The score of each layer alone.
pub(super) fn layers(view: &View) -> Option<Section> {
    let stretches = stretches(view);
    let figures = figures(view, layer, |_, plot| {
        "Layer, from the top".clone_into(&mut plot.x_label);
        plot.stretches.clone_from(&stretches);
        plot.x_ticks = whole_ticks(plot);
    })?;
    Some(Section {
        id: "layers",
        title: "Layer by layer",
        body: html! {
            p.lead {
                "Each layer probed alone"
                @if !stretches.is_empty() { "; the numbers along the top are resolutions" }
                "."
            }
            (figures)
        },
    })
}

/// One figure a panel that has places on the axis: the first as wide as the page, the others side
/// by side. All figures of a metric share their vertical axis.
fn figures(view: &View, axis: Axis, finish: impl Fn(&Panel, &mut LinePlot)) -> Option<Markup> {
    let mut plots: Vec<(&Panel, LinePlot)> = Vec::new();
    for panel in &view.panels {
        if let Some(mut plot) = plot(panel, axis) {
            finish(panel, &mut plot);
            plots.push((panel, plot));
        }
    }
    let domains: Vec<[f64; 2]> = plots
        .iter()
        .map(|(panel, _)| {
            let alike = plots.iter().filter(|(other, _)| other.metric == panel.metric);
            domain(alike.flat_map(|(_, plot)| plot.scores()), panel.metric)
        })
        .collect();
    for ((_, plot), domain) in plots.iter_mut().zip(domains) {
        plot.y_domain = domain;
    }
    let (first, others) = plots.split_first()?;
    Some(html! {
        figure {
            figcaption { (first.0.heading()) }
            (first.1.figure())
        }
        @if !others.is_empty() {
            @let widest = others.iter().max_by_key(|(_, plot)| plot.series.len() + plot.bands.len());
            @if let Some((_, plot)) = widest { (plot.legend("")) }
            div.side-by-side {
                @for (panel, plot) in others {
                    figure {
                        figcaption { (panel.heading()) }
                        (plot.svg(SIDE))
                    }
                }
            }
        }
    })
}

/// The figure of one panel, but for what its axis is called and how far its scores reach.
fn plot(panel: &Panel, axis: Axis) -> Option<LinePlot> {
    let series: Vec<Series> =
        LAYERED.iter().filter_map(|&source| series(panel, source, axis)).collect();
    (!series.is_empty()).then(|| LinePlot {
        about: format!("{}: {}", panel.title(), description(&series)),
        y_label: format!("{} on test", metric_words(panel.metric)),
        series,
        bands: LAYERLESS.iter().filter_map(|&source| band(panel, source)).collect(),
        chance: panel.chance(),
        ..LinePlot::default()
    })
}

/// Puts what reads all layers into the slot beside the axis.
fn add_all(panel: &Panel, plot: &mut LinePlot) {
    for &source in &LAYERED {
        let all = panel.find(source, Some(LayerSelection::All)).and_then(|row| point(row, 0.0));
        let of_source = plot.series.iter_mut().find(|series| series.look == source.into());
        of_source.into_iter().for_each(|series| series.aside = all.clone());
    }
    plot.aside = plot.series.iter().any(|series| series.aside.is_some()).then_some("all");
}

/// Points of one source, rising along the axis; a place that comes twice keeps its first result.
fn series(panel: &Panel, source: Source, axis: Axis) -> Option<Series> {
    let mut points: Vec<Point> = panel
        .rows
        .iter()
        .filter(|row| row.source == source)
        .filter_map(|row| point(row, axis(row.layers?)?))
        .collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points.dedup_by(|b, a| a.x == b.x);
    (!points.is_empty()).then(|| Series { look: source.into(), points, aside: None })
}

fn point(row: &Row, x: f64) -> Option<Point> {
    Some(Point { x, y: row.value?, ci: row.ci, title: title(row) })
}

fn band(panel: &Panel, source: Source) -> Option<Band> {
    let row = panel.find(source, None)?;
    Some(Band { look: source.into(), y: row.value?, ci: row.ci, title: title(row) })
}

/// What hovering over a score says.
fn title(row: &Row) -> String {
    let place = layer_words(row.layers);
    let gap = if place.is_empty() { "" } else { ", " };
    let columns = row.result.matched_columns.unwrap_or(row.result.columns);
    format!(
        "{}{gap}{place}: {} {}, {} columns",
        words(row.source),
        score(row.value),
        interval(row.ci),
        count(columns)
    )
}

/// What a figure shows, for those who do not see it.
fn description(series: &[Series]) -> String {
    let lines = series.iter().map(|series| {
        let scores: Vec<String> = series.points.iter().map(|p| score(Some(p.y))).collect();
        format!("{} {}", series.look.words, scores.join(", "))
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// A vertical axis around scores and their intervals, with a little room.
pub(super) fn domain(
    scores: impl Iterator<Item = (f64, Option<[f64; 2]>)>,
    metric: Metric,
) -> [f64; 2] {
    let [mut low, mut high] = [f64::INFINITY, f64::NEG_INFINITY];
    for (value, ci) in scores {
        let [from, to] = ci.unwrap_or([value, value]);
        low = low.min(from).min(value);
        high = high.max(to).max(value);
    }
    let room = 0.05 * (high - low);
    let [low, high] =
        if room > 0.0 { [low - room, high + room] } else { round_domain([low, high], 6) };
    if metric != Metric::R2 { [low.max(0.0), high.min(1.0)] } else { [low, high] }
}

/// Ticks at whole numbers of layers.
fn whole_ticks(plot: &LinePlot) -> Vec<(f64, String)> {
    let places: Vec<f64> =
        plot.series.iter().flat_map(|s| s.points.iter().map(|point| point.x)).collect();
    let low = places.iter().copied().fold(f64::INFINITY, f64::min);
    let high = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let whole = ticks([low, high], 10).values.into_iter().filter(|x| x.fract().abs() < 1e-6);
    whole.map(|x| (x, format!("{x:.0}"))).collect()
}

/// Runs of layers of one resolution.
pub(super) fn stretches(view: &View) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for layer in &view.page.layers {
        let (label, at) = (layer.resolution.to_string(), layer.index as f64);
        match stretches.last_mut() {
            Some(last) if last.label == label => last.to = at + 0.5,
            _ => stretches.push(Stretch { from: at - 0.5, to: at + 0.5, label }),
        }
    }
    stretches
}
