//! Scores by target and by where the latents were read, as tables whose cells are coloured.

use maud::{Markup, PreEscaped, html};
use vdvae_features::LayerSelection;
use vdvae_probes::{Source, TargetResult};

use super::number::{finite, fixed, score};
use super::scale::round_domain;
use super::section::Section;
use super::tables::MOST_ROWS;
use super::view::{Panel, Row, View, layer_words};

/// Shades of the scale in the style sheet, `h0` to `h9`.
const SHADES: usize = 10;
/// Above so many columns, cells are too narrow for numbers.
const MOST_NUMBERED: usize = 14;

/// Narrow columns under one name.
const GROUP: usize = 5;

/// One column of a table.
struct Column<'a> {
    row: &'a Row<'a>,
    /// What it is called in a sentence.
    name: String,
    /// Scores of the targets, in the order of the table.
    scores: Vec<Option<f64>>,
}

/// What a heat map shows of a target.
#[derive(Clone, Copy)]
struct Measure {
    name: &'static str,
    of: fn(&TargetResult) -> Option<f64>,
}

/// Measures in order of preference: the first that any target defines.
const MEASURES: [Measure; 3] = [
    Measure { name: "AUROC", of: |target| target.auroc },
    Measure { name: "R²", of: |target| target.r2 },
    Measure { name: "accuracy", of: |target| target.accuracy },
];

/// Targets by resolutions and controls, and targets by layers.
pub(super) fn section(view: &View) -> Option<Section> {
    let panel = view.primary()?;
    let measure = MEASURES.into_iter().find(|measure| {
        panel.rows.iter().flat_map(|row| &row.result.per_target).any(|t| (measure.of)(t).is_some())
    })?;
    let targets = targets(panel, measure);
    let coarse = columns(panel, &targets, measure, |row| match row.layers {
        Some(LayerSelection::Resolution(_) | LayerSelection::All) => row.source == Source::Latents,
        None => true,
        _ => false,
    });
    let layers = columns(panel, &targets, measure, |row| {
        row.source == Source::Latents && matches!(row.layers, Some(LayerSelection::Layer(_)))
    });
    if coarse.is_empty() && layers.is_empty() {
        return None;
    }
    let scores = coarse.iter().chain(&layers).flat_map(|column| &column.scores);
    let domain = domain(scores.copied().flatten());
    Some(Section {
        id: "targets",
        title: "Target by target",
        body: html! {
            p.lead {
                "Test " (measure.name) " of every target, easiest first (" (panel.title()) "). The best "
                "cell of each row is outlined."
            }
            (scale(domain, measure))
            @for (columns, about) in [(&coarse, "resolutions and controls"), (&layers, "layers")] {
                @if !columns.is_empty() {
                    figure { (heat_map(&targets, columns, domain, measure, about)) }
                }
            }
        },
    })
}

/// Names of the targets, the one with the highest mean over the latents first.
fn targets<'a>(panel: &'a Panel, measure: Measure) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    let mut sums: Vec<(f64, usize)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for row in &panel.rows {
        for target in &row.result.per_target {
            let place = *places.entry(&target.target[..]).or_insert_with(|| {
                names.push(&target.target);
                sums.push((0.0, 0));
                names.len() - 1
            });
            if let Some(score) =
                finite((measure.of)(target)).filter(|_| row.source == Source::Latents)
            {
                sums[place] = (sums[place].0 + score, sums[place].1 + 1);
            }
        }
    }
    // Those without a score go last; the order is stable otherwise.
    let mean = |name: &str| match sums[places[name]] {
        (_, 0) => f64::NEG_INFINITY,
        (sum, count) => sum / count as f64,
    };
    names.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    names
}

fn columns<'a>(
    panel: &'a Panel,
    targets: &[&str],
    measure: Measure,
    keep: impl Fn(&Row) -> bool,
) -> Vec<Column<'a>> {
    let mut seen = Vec::new();
    let mut rows: Vec<&Row> = panel.rows.iter().filter(|row| keep(row)).collect();
    // Latents from coarse to fine, all of them together, then what has no layers.
    rows.sort_by_key(|row| match row.layers {
        Some(LayerSelection::Resolution(at) | LayerSelection::Layer(at)) => (0, at),
        Some(LayerSelection::All) => (1, 0),
        _ => (2, 0),
    });
    rows.retain(|row| {
        let new = !seen.contains(&(row.source, row.layers));
        seen.push((row.source, row.layers));
        new
    });
    rows.into_iter()
        .map(|row| {
            let scores: std::collections::HashMap<&str, Option<f64>> = row
                .result
                .per_target
                .iter()
                .map(|target| (&target.target[..], finite((measure.of)(target))))
                .collect();
            let scores = targets.iter().map(|name| scores.get(name).copied().flatten()).collect();
            let name = match row.layers {
                None => super::look::words(row.source).to_owned(),
                layers => layer_words(layers),
            };
            Column { row, name, scores }
        })
        .collect()
}

/// Round ends around all scores; below chance there is nothing to tell apart.
fn domain(scores: impl Iterator<Item = f64>) -> [f64; 2] {
    let ends = |[low, high]: [f64; 2], score: f64| [low.min(score), high.max(score)];
    let [low, high] = scores.fold([f64::INFINITY, f64::NEG_INFINITY], ends);
    let [low, high] = round_domain([low, high], SHADES);
    // An R² below zero is worse than no prediction, however far below: it shares the palest shade.
    if high > 0.0 { [low.max(0.0), high.min(1.0)] } else { [low, high] }
}

/// Number of the shade of a score.
fn shade(score: f64, [low, high]: [f64; 2]) -> usize {
    let share = (score - low) / (high - low);
    ((share * SHADES as f64) as usize).min(SHADES - 1)
}

/// The key that says which scores the palest and the darkest shade stand for.
fn scale([low, high]: [f64; 2], measure: Measure) -> Markup {
    html! {
        p.scale {
            (measure.name) " " (fixed(low, 2)) " "
            span.ramp aria-hidden="true" {
                @for shade in 0..SHADES { i class={ "h" (shade) } {} }
            }
            " " (fixed(high, 2))
        }
    }
}

/// One table; where its cells are too narrow for numbers, with the same table in numbers behind it.
fn heat_map(
    targets: &[&str],
    columns: &[Column],
    domain: [f64; 2],
    measure: Measure,
    about: &str,
) -> Markup {
    let dense = columns.len() > MOST_NUMBERED;
    let label = format!("Test {} by target and {about}", measure.name);
    // Nine pixels is the narrowest cell that can still be pointed at.
    let width = format!("min-width:{}px", 130 + columns.len() * if dense { 9 } else { 46 });
    let tall = targets.len() > MOST_ROWS;
    html! {
        div.scroll.tall[tall] tabindex="0" role="region" aria-label=(label) {
            table.heat.dense[dense] style=(width) {
                thead { (head(columns, dense)) }
                tbody {
                    @for (place, target) in targets.iter().enumerate() {
                        (line(target, place, columns, domain, dense))
                    }
                }
            }
        }
        @if dense {
            details {
                summary { "The same in numbers" }
                div.scroll.tall[tall] tabindex="0" role="region" aria-label={ (label) ", in numbers" } {
                    table.numbers {
                        thead { (head(columns, false)) }
                        tbody {
                            @for (place, target) in targets.iter().enumerate() {
                                tr {
                                    th scope="row" { (target) }
                                    @for column in columns { td { (score(column.scores[place])) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Names of the columns; narrow ones are named by fives.
fn head(columns: &[Column], dense: bool) -> Markup {
    let name = |column: &Column| match column.row.layers {
        Some(LayerSelection::Layer(index)) => index.to_string(),
        Some(LayerSelection::All) => "all".to_owned(),
        _ => column.name.clone(),
    };
    html! {
        tr {
            @if dense {
                th scope="col" { "Layer" }
                @for group in columns.chunks(GROUP) {
                    th scope="colgroup" colspan=(group.len()) { (name(&group[0])) }
                }
            } @else {
                th scope="col" { "Target" }
                @for column in columns { th scope="col" title=(column.name) { (name(column)) } }
            }
        }
    }
}

/// The line of one target: its name and a coloured cell for each column.
fn line(target: &str, place: usize, columns: &[Column], domain: [f64; 2], dense: bool) -> Markup {
    let scores = || columns.iter().map(|column| column.scores[place]);
    let best = scores().flatten().reduce(f64::max);
    let best = best.filter(|_| columns.len() > 1);
    let best = scores().position(|score| best.is_some() && score == best);
    html! {
        tr {
            th scope="row" title=(target) { (target) }
            @for (at, column) in columns.iter().enumerate() {
                @match column.scores[place] {
                    Some(value) => {
                        @let shade = format!("h{}", shade(value, domain));
                        @let title = format!("{target}, {}: {}", column.name, score(Some(value)));
                        td.(shade).best[best == Some(at)] title=(title) {
                            @if !dense { (score(Some(value)).trim_start_matches('0')) }
                        }
                    }
                    None => td.none title={ (target) ", " (column.name) ": not defined" } {
                        @if !dense { "–" }
                    },
                }
            }
        }
        (PreEscaped("\n"))
    }
}
