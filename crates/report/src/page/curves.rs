//! Scores over resolution, over layers from the top, layer by layer, and over training pictures.

use maud::{Markup, html};
use vdvae_probes::Source;

use super::Section;
use super::look::words;
use super::number::{count, interval, score};
use super::plot::{Band, LinePlot, NARROW, Point, Series, Stretch};
use super::scale::{round_domain, ticks};
use super::view::{Panel, Place, Row, View, metric_words};

/// Sources that have layers, in the order they are drawn: the network's own last, on top.
const LAYERED: [Source; 3] = [Source::ShuffledLabels, Source::RandomInit, Source::Latents];
/// Sources that have none.
const LAYERLESS: [Source; 2] = [Source::Pixels, Source::Pca];

/// Where on an axis a place belongs, if it does.
type Axis = fn(Place) -> Option<f64>;

fn log2_resolution(place: Place) -> Option<f64> {
    match place {
        Place::Resolution(r) if r > 0 => Some((r as f64).log2()),
        _ => None,
    }
}

fn first_layers(place: Place) -> Option<f64> {
    if let Place::First(layers) = place { Some(layers as f64) } else { None }
}

fn layer(place: Place) -> Option<f64> {
    if let Place::Layer(index) = place { Some(index as f64) } else { None }
}

/// The score over resolution.
pub(super) fn resolutions(view: &View) -> Option<Section> {
    let mut resolutions: Vec<usize> = full_rows(view)
        .filter_map(|row| if let Place::Resolution(r) = row.place { Some(r) } else { None })
        .filter(|&r| r > 0)
        .collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    let ticks: Vec<_> = resolutions.iter().map(|&r| ((r as f64).log2(), r.to_string())).collect();
    let axis = "Resolution r of the r×r latents (log scale)";
    let figures = figures(view, log2_resolution, |plot| {
        axis.clone_into(&mut plot.x_label);
        plot.x_ticks.clone_from(&ticks);
    });
    let figures = figures?;
    let all = full_rows(view).any(|row| row.place == Place::All);
    Some(Section {
        id: "resolution",
        title: "Score over resolution",
        body: html! {
            p.lead {
                "Each mark is a probe fitted to the latents of one resolution alone"
                @if all { "; “all” reads every layer at once" }
                ". Whiskers and bands are 95% bootstrap intervals on the test split. A finding is "
                "what stands clear of the controls."
            }
            (figures)
        },
    })
}

/// The score over the number of layers, from the top.
pub(super) fn cumulative(view: &View) -> Option<Section> {
    let figures = figures(view, first_layers, |plot| {
        "Layers read, counted from the top".clone_into(&mut plot.x_label);
        plot.x_ticks = whole_ticks(plot);
    })?;
    Some(Section {
        id: "cumulative",
        title: "Adding layers from the top",
        body: html! {
            p.lead {
                "The probe reads the first layers only, from 1×1 down. Where the curve flattens, "
                "finer layers add nothing that a linear probe can use."
            }
            (figures)
        },
    })
}

/// The score of each layer alone.
pub(super) fn layers(view: &View) -> Option<Section> {
    let stretches = stretches(view);
    let figures = figures(view, layer, |plot| {
        "Layer, from the top".clone_into(&mut plot.x_label);
        plot.stretches.clone_from(&stretches);
        plot.x_ticks = whole_ticks(plot);
        plot.aside = None;
        plot.series.iter_mut().for_each(|series| series.aside = None);
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

/// The score over the number of training pictures, at the place the headline is about.
pub(super) fn low_label(view: &View) -> Option<Section> {
    let panel = view.panels.iter().find(|panel| !panel.partial.is_empty())?;
    let latents: Vec<Place> =
        panel.partial.iter().filter(|r| r.source == Source::Latents).map(|r| r.place).collect();
    let best = panel.best().map(|(row, _)| row.place).filter(|place| latents.contains(place));
    let place = best.or(latents.first().copied()).unwrap_or(Place::Pixels);
    let mut seeds = 1;
    let series: Vec<Series> = LAYERLESS
        .iter()
        .map(|&source| (source, Place::Pixels))
        .chain(LAYERED.iter().map(|&source| (source, place)))
        .filter_map(|(source, place)| {
            let rows = panel.partial.iter().chain(&panel.rows);
            let rows = rows.filter(|row| row.source == source && row.place == place);
            let (points, most) = by_rows(rows.copied().collect(), view.page.report.data.n_train);
            seeds = most.max(seeds);
            (points.len() > 1).then_some(Series { source, points, aside: None })
        })
        .collect();
    let mut sizes: Vec<f64> =
        series.iter().flat_map(|s| s.points.iter().map(|point| point.x)).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let plot = LinePlot {
        about: format!("{} over training pictures", metric_words(panel.metric)),
        x_label: "Training pictures (log scale)".to_owned(),
        y_label: format!("{} on test", metric_words(panel.metric)),
        x_ticks: sizes.iter().map(|&x| (x, count(10f64.powf(x).round() as usize))).collect(),
        aside: None,
        stretches: Vec::new(),
        y_domain: domain(series.iter().flat_map(|s| &s.points).map(|p| (p.y, p.ci)), panel.metric),
        series,
        bands: Vec::new(),
        chance: chance(panel.metric),
    };
    (!plot.series.is_empty()).then(|| Section {
        id: "few-labels",
        title: "With fewer labels",
        body: html! {
            p.lead {
                "The same probe (" (panel.title()) ")"
                @if place != Place::Pixels { ", reading " (place.words()) "," }
                " fitted to nested parts of the training split. "
                @if seeds > 1 {
                    "Marks are means over up to " (seeds) " draws; whiskers reach from the lowest to "
                    "the highest."
                } @else { "Whiskers are 95% bootstrap intervals." }
            }
            figure { (plot.figure()) }
        },
    })
}

/// Results on the whole training split, of every panel.
fn full_rows<'a>(view: &'a View) -> impl Iterator<Item = &'a Row<'a>> {
    view.panels.iter().flat_map(|panel| &panel.rows)
}

/// One figure a panel that has places on the axis: the first as wide as the page, the others side
/// by side. All figures of a metric share their vertical axis.
fn figures(view: &View, axis: Axis, finish: impl Fn(&mut LinePlot)) -> Option<Markup> {
    let mut plots: Vec<(String, LinePlot)> = Vec::new();
    for panel in &view.panels {
        let scores = view.panels.iter().filter(|other| other.metric == panel.metric);
        let scores = scores.flat_map(|other| &other.rows).filter(|row| is_drawn(row, axis));
        let domain = domain(scores.filter_map(|row| Some((row.value?, row.ci))), panel.metric);
        let series: Vec<Series> =
            LAYERED.iter().filter_map(|&source| series(panel, source, axis)).collect();
        if series.is_empty() {
            continue;
        }
        let mut plot = LinePlot {
            about: format!("{}: {}", panel.title(), description(&series)),
            x_label: String::new(),
            y_label: format!("{} on test", metric_words(panel.metric)),
            x_ticks: Vec::new(),
            aside: series.iter().any(|series| series.aside.is_some()).then_some("all"),
            stretches: Vec::new(),
            series,
            bands: LAYERLESS.iter().filter_map(|&source| band(panel, source)).collect(),
            y_domain: domain,
            chance: chance(panel.metric),
        };
        finish(&mut plot);
        plots.push((panel.title(), plot));
    }
    let (first, others) = plots.split_first()?;
    Some(html! {
        figure {
            figcaption { (first.0) }
            (first.1.figure())
        }
        @if !others.is_empty() {
            div.side-by-side {
                @for (title, plot) in others {
                    figure {
                        figcaption { (title) }
                        (plot.legend(""))
                        (plot.svg(NARROW))
                    }
                }
            }
        }
    })
}

fn is_drawn(row: &Row, axis: Axis) -> bool {
    axis(row.place).is_some() || matches!(row.place, Place::All | Place::Pixels)
}

/// Points of one source, rising along the axis; a place that comes twice keeps its first result.
fn series(panel: &Panel, source: Source, axis: Axis) -> Option<Series> {
    let mut points: Vec<Point> = panel
        .rows
        .iter()
        .filter(|row| row.source == source)
        .filter_map(|row| point(row, axis(row.place)?))
        .collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points.dedup_by(|b, a| a.x == b.x);
    let aside = panel.find(source, Place::All).and_then(|row| point(row, 0.0));
    (!points.is_empty()).then_some(Series { source, points, aside })
}

fn point(row: &Row, x: f64) -> Option<Point> {
    Some(Point { x, y: row.value?, ci: row.ci, title: title(row) })
}

fn band(panel: &Panel, source: Source) -> Option<Band> {
    let row = panel.find(source, Place::Pixels)?;
    Some(Band { source, y: row.value?, ci: row.ci, title: title(row) })
}

/// What hovering over a score says.
fn title(row: &Row) -> String {
    let place = row.place.words();
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
        format!("{} {}", words(series.source), scores.join(", "))
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// A round vertical axis around scores and their intervals.
fn domain(scores: impl Iterator<Item = (f64, Option<[f64; 2]>)>, metric: &str) -> [f64; 2] {
    let [mut low, mut high] = [f64::INFINITY, f64::NEG_INFINITY];
    for (value, ci) in scores {
        let [from, to] = ci.unwrap_or([value, value]);
        low = low.min(from).min(value);
        high = high.max(to).max(value);
    }
    let [low, high] = round_domain([low, high], 6);
    let bounded = matches!(metric, "auroc" | "accuracy");
    if bounded { [low.max(0.0), high.min(1.0)] } else { [low, high] }
}

/// Score of guessing.
fn chance(metric: &str) -> Option<f64> {
    (metric == "auroc").then_some(0.5)
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

/// Results of one source by the number of training rows: the mean over seeds, between the lowest
/// and the highest, and the largest number of seeds; of a single seed, its own interval.
fn by_rows(rows: Vec<Row>, n_train: usize) -> (Vec<Point>, usize) {
    let size = |row: &Row| match (row.training.n_train, row.training.fraction) {
        (Some(rows), _) => rows,
        (None, Some(fraction)) => (fraction * n_train as f64).round() as usize,
        (None, None) => n_train,
    };
    let mut rows: Vec<(usize, Row)> = rows.into_iter().map(|row| (size(&row), row)).collect();
    rows.retain(|(size, row)| *size > 0 && row.value.is_some());
    rows.sort_by_key(|(size, _)| *size);
    let mut most = 0;
    let points = rows.chunk_by(|a, b| a.0 == b.0).map(|group| {
        let values: Vec<f64> = group.iter().filter_map(|(_, row)| row.value).collect();
        most = most.max(values.len());
        let y = values.iter().sum::<f64>() / values.len() as f64;
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ci = if values.len() == 1 { group[0].1.ci } else { Some([low, high]) };
        let (size, row) = &group[0];
        let title = format!(
            "{}, {} training pictures: {} {}",
            words(row.source),
            count(*size),
            score(Some(y)),
            interval(ci)
        );
        Point { x: (*size as f64).log10(), y, ci, title }
    });
    (points.collect(), most)
}
