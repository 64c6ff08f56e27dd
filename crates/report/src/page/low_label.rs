//! Scores over the number of training pictures.

use maud::html;
use vdvae_probes::Source;

use super::curves::{LAYERED, LAYERLESS, domain};
use super::draw::{Point, Series};
use super::look::words;
use super::number::{count, interval, score};
use super::plot::LinePlot;
use super::section::Section;
use super::view::{Row, View, layer_words, metric_words};

/// The score over the number of training pictures, on the layers the headline is about.
pub(super) fn section(view: &View) -> Option<Section> {
    let panel = view.panels.iter().find(|panel| !panel.partial.is_empty())?;
    let latents: Vec<_> =
        panel.partial.iter().filter(|r| r.source == Source::Latents).map(|r| r.layers).collect();
    let best = panel.best().map(|(row, _)| row.layers).filter(|layers| latents.contains(layers));
    let layers = best.or(latents.first().copied()).flatten();
    let mut seeds = 1;
    let series: Vec<Series> = LAYERLESS
        .iter()
        .map(|&source| (source, None))
        .chain(LAYERED.iter().map(|&source| (source, layers)))
        .filter_map(|(source, layers)| {
            let rows = panel.partial.iter().chain(&panel.rows);
            let rows = rows.filter(|row| row.source == source && row.layers == layers);
            let (points, most) = by_rows(rows.copied().collect());
            seeds = most.max(seeds);
            (points.len() > 1).then(|| Series { look: source.into(), points, aside: None })
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
        series,
        chance: panel.chance(),
        ..LinePlot::default()
    };
    let plot = LinePlot { y_domain: domain(plot.scores(), panel.metric), ..plot };
    (!plot.series.is_empty()).then(|| Section {
        id: "few-labels",
        title: "With fewer labels",
        body: html! {
            p.lead {
                "Fitted to nested parts of the training split (" (panel.title())
                @if layers.is_some() { "; latents of " (layer_words(layers)) }
                "). "
                @if seeds > 1 {
                    "Marks are means over up to " (seeds) " draws, and whiskers reach from the lowest to "
                    "the highest; of a single draw they are its 95% bootstrap interval."
                } @else { "Whiskers are 95% bootstrap intervals." }
            }
            figure { (plot.figure()) }
        },
    })
}

/// Results of one source by the number of training rows: the mean over seeds, between the lowest
/// and the highest, and the largest number of seeds; of a single seed, its own interval.
fn by_rows(rows: Vec<Row>) -> (Vec<Point>, usize) {
    let mut rows: Vec<(usize, Row)> =
        rows.into_iter().map(|row| (row.result.n_train, row)).collect();
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
