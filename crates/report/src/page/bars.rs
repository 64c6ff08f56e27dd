//! Accuracies of few-shot tasks as bars: the latents and their controls from best to worst.

use maud::{Markup, html};
use vdvae_features::LayerSelection;

use super::look::{class, draw, mark, words};
use super::number::{count, fixed, interval, px, score};
use super::plot::{Frame, responsive};
use super::scale::{Linear, ticks};
use super::section::Section;
use super::view::{Panel, Row, View, layer_words};

/// Height of a bar with the room around it, and of the bar.
const STEP: f64 = 27.0;
const BAR: f64 = 15.0;
/// Room above the bars, for the axis.
const TOP: f64 = 26.0;

/// The section of few-shot results, with one figure for each classifier.
pub(super) fn section(view: &View) -> Option<Section> {
    let panels: Vec<(&Panel, Vec<Row>)> = view
        .panels
        .iter()
        .map(|panel| (panel, episodes(panel)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let info = panels.first()?.1.first()?.result.few_shot.as_ref()?;
    Some(Section {
        id: "episodes",
        title: "Few labels",
        body: html! {
            p.lead {
                "Mean accuracy over " (count(info.episodes)) " episodes of " (info.ways)
                " classes with " (info.shots) " labelled "
                @if info.shots == 1 { "picture" } @else { "pictures" }
                " each. Every bar stands for the same episodes; whiskers are 95% intervals, and the "
                "dotted line is chance."
            }
            @for (panel, rows) in &panels {
                figure {
                    figcaption { (panel.heading()) }
                    (responsive(|frame| bars(panel, rows, frame)))
                }
            }
        },
    })
}

/// The panel's rows that have a score, the best first.
fn episodes<'a>(panel: &Panel<'a>) -> Vec<Row<'a>> {
    let scored = panel.rows.iter().filter(|row| row.result.few_shot.is_some());
    let mut rows: Vec<Row> = scored.filter(|row| row.value.is_some()).copied().collect();
    rows.sort_by(|a, b| b.value.partial_cmp(&a.value).expect("no value is NaN"));
    rows
}

fn bars(panel: &Panel, rows: &[Row], frame: Frame) -> Markup {
    let names = if frame.width > 500.0 { 190.0 } else { 158.0 };
    let (left, right) = (names + 8.0, frame.width - 52.0);
    let bottom = TOP + STEP * rows.len() as f64;
    let highest = rows.iter().filter_map(|row| row.ci.map(|ci| ci[1]).or(row.value));
    let highest = highest.fold(0.0, f64::max).min(1.0);
    let x = Linear::new([0.0, highest.max(1e-9)], [left, right]);
    let levels = ticks([0.0, highest], if frame.width > 500.0 { 8 } else { 4 });
    let about = rows.iter().map(|row| format!("{} {}", name(row), score(row.value)));
    let about = about.collect::<Vec<_>>().join("; ");
    html! {
        svg.plot viewBox=(format!("0 0 {} {}", px(frame.width), px(bottom + 6.0))) role="img"
            aria-label={ (panel.title()) ": " (about) } {
            @for &level in &levels.values {
                path.grid d=(format!("M{} {}V{}", px(x.at(level)), px(TOP - 6.0), px(bottom))) {}
                text.tick.middle x=(px(x.at(level))) y="12" { (fixed(level, levels.decimals)) }
            }
            @if let Some(chance) = panel.chance().filter(|chance| *chance <= highest) {
                path.chance d=(format!("M{} {}V{}", px(x.at(chance)), px(TOP - 6.0), px(bottom))) {}
            }
            @for (place, row) in rows.iter().enumerate() {
                (bar(row, TOP + STEP * (place as f64 + 0.5), names, x))
            }
        }
    }
}

fn bar(row: &Row, y: f64, names: f64, x: Linear) -> Markup {
    let value = row.value.unwrap_or(0.0);
    let (from, to) = (x.at(0.0), x.at(value));
    let end = row.ci.map_or(to, |[_, high]| x.at(high));
    html! {
        g class=(class(row.source)) {
            title { (name(row)) ": " (score(row.value)) " " (interval(row.ci)) }
            text.name.end x=(px(names)) y=(px(y + 4.5)) { (name(row)) }
            rect.share x=(px(from)) y=(px(y - BAR / 2.0)) width=(px(to - from)) height=(px(BAR)) {}
            @if let Some([low, high]) = row.ci {
                path.whisker d=(format!("M{} {}H{}", px(x.at(low)), px(y), px(x.at(high)))) {}
            }
            (draw(mark(row.source), to, y, 3.8, ""))
            text.tick x=(px(end + 8.0)) y=(px(y + 4.5)) { (score(row.value)) }
        }
    }
}

/// `latents, 16×16`, `random weights, all`, `pixels`.
fn name(row: &Row) -> String {
    let source = words(row.source);
    match row.layers {
        None => source.to_owned(),
        Some(LayerSelection::All) => format!("{source}, all"),
        layers => format!("{source}, {}", layer_words(layers)),
    }
}

#[cfg(test)]
mod tests {
    use crate::{ReportPage, fixture, render_page};

    #[test]
    fn bars_stand_from_best_to_worst_with_their_chance() {
        let report = fixture::few_shot();
        let page = render_page(&ReportPage::new(&report));
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(page.contains("600 episodes of 5 classes with 1 labelled picture each"));
        let order = ["latents, all</text>", "pixels</text>", "latents, 4×4</text>"].map(place);
        assert!(order.is_sorted(), "{order:?}");
        assert!(page.contains("class=\"chance\""));
        // Other tasks have none.
        let page = render_page(&ReportPage::new(&fixture::verification()));
        assert!(!page.contains("Few labels"));
    }
}
