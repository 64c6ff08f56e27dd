//! Tables: paired differences, every result, and every target of the best.

use maud::{Markup, PreEscaped, html};
use vdvae_probes::{Compared, Comparison, Metric, Source, TargetResult};

use super::headline::Verdict;
use super::look::{class, words};
use super::number::{
    count, finite, finite_interval, fixed, interval, px, score, signed, significant,
};
use super::scale::{Linear, round_domain, ticks};
use super::section::Section;
use super::view::{Row, View, layer_words, metric_words, rows};

/// Width of the drawn intervals, in pixels.
const FOREST: f64 = 220.0;
/// Above so many rows a table gets a box of its own to scroll in.
pub(super) const MOST_ROWS: usize = 40;

/// Paired differences, drawn and in numbers.
pub(super) fn differences(view: &View) -> Option<Section> {
    let rows: Vec<(Row, Compared)> = rows(view.page).map(|row| (row, row.result.side())).collect();
    let find = |side: &Compared| rows.iter().find(|(_, own)| own == side).map(|(row, _)| row);
    let comparisons = view.page.report.comparisons.iter();
    let shown: Vec<(&Comparison, &Row, &Row)> =
        comparisons.filter_map(|c| Some((c, find(&c.a)?, find(&c.b)?))).collect();
    let (far, decimals) = reach(&shown);
    // Probes are named where there is more than one.
    let settings = |row: &Row| {
        let result = row.result;
        (result.probe.clone(), result.matched_columns, result.labels.clone())
    };
    let several = shown.iter().any(|(_, a, b)| {
        let first = settings(shown[0].1);
        settings(a) != first || settings(b) != first
    });
    (!shown.is_empty()).then(|| Section {
        id: "differences",
        title: "Paired differences",
        body: html! {
            p.lead {
                "First minus second on the same test rows, with the 95% interval of that difference. "
                "Where the bar crosses zero, the data do not tell the two apart. Arrows point at "
                "differences beyond the scale."
            }
            div.scroll.tall[shown.len() > MOST_ROWS] tabindex="0" role="region"
                aria-label="Paired differences" {
                table.results {
                    thead {
                        tr {
                            th scope="col" { "First" }
                            th scope="col" { "Second" }
                            th.number scope="col" { "Difference" }
                            th.forest scope="col" {
                                span { (fixed(-far, decimals)) }
                                span { "0" }
                                span { "+" (fixed(far, decimals)) }
                            }
                            th.number scope="col" { "95% interval" }
                            th.number scope="col" { "p" }
                        }
                    }
                    tbody {
                        @for (comparison, a, b) in &shown {
                            tr {
                                td { (name(a, several)) }
                                td { (name(b, several)) }
                                (difference_cells(comparison, far))
                            }
                        }
                    }
                }
            }
        },
    })
}

/// How far the scale of differences reaches either side of zero, and the decimals that takes.
/// Shuffled labels are so far from anything else that they would leave it no room.
fn reach(shown: &[(&Comparison, &Row, &Row)]) -> (f64, usize) {
    let farthest = |shuffled: bool| {
        let involved = |row: &Row| row.source == Source::ShuffledLabels;
        let rows = shown.iter().filter(|(_, a, b)| shuffled || !(involved(a) || involved(b)));
        let ends = rows.flat_map(|(d, _, _)| {
            let [low, high] = finite_interval(d.ci95).unwrap_or([d.difference; 2]);
            [low, high, d.difference]
        });
        ends.filter(|end| end.is_finite()).fold(0.0, |far: f64, end| far.max(end.abs()))
    };
    let far = [farthest(false), farthest(true), 1.0].into_iter().find(|far| *far > 0.0);
    let [_, far] = round_domain([0.0, far.unwrap_or(1.0)], 4);
    (far, ticks([0.0, far], 4).decimals)
}

fn difference_cells(comparison: &Comparison, far: f64) -> Markup {
    let &Comparison { difference, ci95, p_value, .. } = comparison;
    let verdict = Verdict::of_difference(ci95).class();
    let x = Linear::new([-far, far], [8.0, FOREST - 8.0]);
    let middle = finite(Some(difference));
    html! {
        td.number { (signed(difference)) }
        td.forest {
            svg.interval.(verdict) viewBox={ "0 0 " (px(FOREST)) " 16" } aria-hidden="true" {
                path.zero d={ "M" (px(x.at(0.0))) " 0v16" } {}
                @match middle {
                    Some(middle) if middle > far => {
                        path.mark.full d={ "M" (px(FOREST - 8.0)) " 3l7 5l-7 5z" } {}
                    }
                    Some(middle) if middle < -far => path.mark.full d="M8 3l-7 5l7 5z" {},
                    Some(middle) => {
                        @if let Some([low, high]) = finite_interval(ci95) {
                            @let ends = [low, high].map(|end| px(x.at(end.clamp(-far, far))));
                            path.whisker d={ "M" (ends[0]) " 8H" (ends[1]) } {}
                        }
                        circle.mark.full cx=(px(x.at(middle))) cy="8" r="3.5" {}
                    }
                    None => {}
                }
            }
        }
        td.number.faint { (interval(ci95)) }
        td.number { (p_words(p_value)) }
    }
}

fn p_words(p: Option<f64>) -> String {
    match finite(p) {
        Some(p) if p < 0.001 => "< 0.001".to_owned(),
        p => score(p),
    }
}

/// A result in few words: `latents, 16×16`, with its probe where it is not the only one.
fn name(row: &Row, with_probe: bool) -> String {
    let place = layer_words(row.layers);
    let gap = if place.is_empty() { "" } else { ", " };
    let mut name = format!("{}{gap}{place}", words(row.source));
    if with_probe {
        name += &format!(" · {}", row.result.probe);
        if let Some(columns) = row.result.matched_columns {
            name += &format!(", {} columns", count(columns));
        }
        if let Some(labels) = &row.result.labels {
            name += &format!(", {labels}");
        }
    }
    name
}

/// Every result, one line each, and the targets of the best latents.
pub(super) fn results(view: &View) -> Option<Section> {
    let rows: Vec<Row> = rows(view.page).collect();
    let parts = rows.iter().any(|row| !row.is_full());
    let matched = rows.iter().any(|row| row.result.matched_columns.is_some());
    // One metric heads its column; of several, each line names its own.
    let metric = rows.first().map(|row| row.result.metric);
    let metric = metric.filter(|metric| {
        rows.iter().all(|row| row.result.metric == *metric && row.result.labels.is_none())
    });
    let show = Columns { parts, matched, metric };
    (!rows.is_empty()).then(|| Section {
        id: "results",
        title: "Every result",
        body: html! {
            p.lead {
                "Means over the targets that are defined; " code { "results.csv" }
                " has the targets of every line."
            }
            div.scroll.tall[rows.len() > MOST_ROWS] tabindex="0" role="region" aria-label="Every result" {
                table.results {
                    thead { (result_head(show)) }
                    tbody { @for row in &rows { (result_row(row, show)) } }
                }
            }
            @for best in view.best_of_labels() {
                details {
                    summary { "Targets of the best: " (name(&best, true)) }
                    (targets(&best))
                }
            }
        },
    })
}

/// Which columns the table of results has.
#[derive(Clone, Copy)]
struct Columns {
    parts: bool,
    matched: bool,
    /// The one metric of all lines.
    metric: Option<Metric>,
}

fn result_head(show: Columns) -> Markup {
    html! {
        tr {
            th scope="col" { "Features" }
            th scope="col" { "Read from" }
            th.number scope="col" { "Columns" }
            @if show.matched { th.number scope="col" { "Matched to" } }
            th scope="col" { "Probe" }
            @if show.parts { th.number scope="col" { "Trained on" } }
            @match show.metric {
                Some(metric) => th.number scope="col" { (metric_words(metric)) },
                None => {
                    th scope="col" { "Metric" }
                    th.number scope="col" { "Value" }
                }
            }
            th.number scope="col" { "95% interval" }
            th.number scope="col" { "Avg. precision" }
            th.number scope="col" { "Balanced acc." }
            th.number scope="col" { "Accuracy" }
            th.number scope="col" title="Targets of which some fit did not converge" { "Not conv." }
        }
    }
}

fn result_row(row: &Row, show: Columns) -> Markup {
    let result = row.result;
    let unfinished = result.not_converged().count();
    html! {
        tr class=(class(row.source)) {
            th scope="row" { span.dot {} (words(row.source)) }
            td { (layer_words(row.layers)) }
            td.number { (count(result.columns)) }
            @if show.matched {
                td.number { (result.matched_columns.map_or_else(|| "–".to_owned(), count)) }
            }
            td { (result.probe) span.faint { " " (result.solver) } }
            @if show.parts { td.number { (trained_on(row)) } }
            @if show.metric.is_none() {
                td {
                    (metric_words(result.metric))
                    @if let Some(labels) = &result.labels { span.faint { " " (labels) } }
                }
            }
            td.number.strong { (score(row.value)) }
            td.number.faint { (interval(row.ci)) }
            td.number { (score(result.mean(|target| target.average_precision))) }
            td.number { (score(result.balanced_accuracy())) }
            td.number { (score(result.accuracy())) }
            td.number { @if unfinished > 0 { span.verdict.below { (unfinished) } } }
        }
        (PreEscaped("\n"))
    }
}

/// How much of the training split: `1% (80), seed 3`.
fn trained_on(row: &Row) -> String {
    let percent = 100.0 * row.result.train_fraction;
    // Whole percents need no decimals.
    let decimals = if (percent - percent.round()).abs() < 1e-9 { 0 } else { 2 };
    let seed = row.result.label_seed.map(|seed| format!(", seed {seed}"));
    let rows = count(row.result.n_train);
    format!("{}% ({rows}){}", fixed(percent, decimals), seed.unwrap_or_default())
}

/// A measured column of the table of targets.
type Measured = (&'static str, fn(&TargetResult) -> Option<f64>);

/// The columns for classes, each against all others.
const OF_CLASSES: [Measured; 5] = [
    ("AUROC", |target| target.auroc),
    ("Avg. precision", |target| target.average_precision),
    ("Recall", |target| target.recall),
    ("Accuracy against the rest", |target| target.accuracy),
    ("Base rate", |target| target.base_rate),
];

/// The columns for targets that are binary attributes.
const OF_LABELS: [Measured; 5] = [
    ("AUROC", |target| target.auroc),
    ("Avg. precision", |target| target.average_precision),
    ("Balanced acc.", |target| target.balanced_accuracy),
    ("Accuracy", |target| target.accuracy),
    ("Base rate", |target| target.base_rate),
];

/// The columns for targets that are real numbers.
const OF_NUMBERS: [Measured; 3] = [
    ("R²", |target| target.r2),
    ("Pearson", |target| target.pearson),
    ("Spearman", |target| target.spearman),
];

/// Everything measured of each target of one result.
fn targets(row: &Row) -> Markup {
    let measured = match row.result.metric {
        Metric::Auroc => &OF_LABELS[..],
        Metric::Accuracy => &OF_CLASSES[..],
        Metric::R2 => &OF_NUMBERS[..],
    };
    html! {
        div.scroll.tall[row.result.per_target.len() > MOST_ROWS] tabindex="0" role="region"
            aria-label="Every target of the best" {
            table.results {
                thead {
                    tr {
                        th scope="col" { "Target" }
                        @for name in measured.iter().map(|m| m.0).chain(["Strength", "Converged"]) {
                            th.number scope="col" { (name) }
                        }
                    }
                }
                tbody { @for target in &row.result.per_target { (target_row(target, measured)) } }
            }
        }
    }
}

fn target_row(target: &TargetResult, measured: &[Measured]) -> Markup {
    let strength = finite(target.strength).map_or_else(|| "–".to_owned(), significant);
    html! {
        tr {
            th scope="row" { (target.target) }
            @for (place, (_, of)) in measured.iter().enumerate() {
                td.number.strong[place == 0] { (score(of(target))) }
            }
            td.number { (strength) }
            td.number {
                @match target.converged {
                    Some(true) => "yes",
                    Some(false) => span.verdict.below { "no" },
                    None => "–",
                }
            }
        }
        (PreEscaped("\n"))
    }
}
