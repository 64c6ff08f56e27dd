//! Several reports in one picture: a small figure each, as an SVG file that needs nothing beside it.

use maud::{Markup, PreEscaped, html};
use vdvae_features::Statistic;
use vdvae_probes::{ProbeReport, Source};

use super::STYLE;
use super::curves::{LAYERED, LAYERLESS, resolution_plot};
use super::input::ReportPage;
use super::look::{class, draw, mark, words};
use super::number::px;
use super::plot::{LinePlot, SIDE};
use super::view::View;

/// Figures in a row, and the room between them.
const COLUMNS: usize = 2;
const GAP: f64 = 32.0;
/// Room of a figure's title, and of the key over all of them.
pub(super) const TITLE: f64 = 24.0;
const KEY: f64 = 40.0;
/// Width of a name in the key.
const NAME: f64 = 165.0;
/// Letters that are about as wide as a figure.
const MOST_LETTERS: usize = 52;

/// Scores over resolution, a figure for each report and probe, as one SVG. Its colours follow the
/// reader's theme; the same input gives the same bytes. `None` where no report has a score of a
/// resolution.
pub fn resolution_figure(reports: &[ProbeReport]) -> Option<String> {
    let pages: Vec<ReportPage> = reports.iter().map(ReportPage::new).collect();
    let mut plots: Vec<(String, LinePlot)> = Vec::new();
    for page in &pages {
        let view = View::new(page);
        let (task, model) = (&page.report.task, &page.report.model.name);
        let statistic = Some(page.report.features.statistic).filter(|s| *s != Statistic::Mean);
        let statistic = statistic.map(|statistic| statistic.to_string());
        let several = view.panels.len() > 1;
        for panel in &view.panels {
            let mut words = vec![&task[..], &model[..]];
            words.extend(statistic.as_deref());
            words.extend(several.then_some(panel.probe).into_iter().chain(panel.labels));
            words.extend(panel.matched.then_some("columns matched"));
            plots.extend(resolution_plot(panel).map(|plot| (shortened(&words.join(", ")), plot)));
        }
    }
    let rows = plots.len().div_ceil(COLUMNS) as f64;
    let width = COLUMNS as f64 * (SIDE.width + GAP);
    let height = KEY + rows * (TITLE + SIDE.height + GAP);
    let place = |index: usize| {
        let (column, row) = ((index % COLUMNS) as f64, (index / COLUMNS) as f64);
        let x = GAP / 2.0 + column * (SIDE.width + GAP);
        format!("translate({} {})", px(x), px(KEY + row * (TITLE + SIDE.height + GAP)))
    };
    let figures = html! {
        (key(&plots))
        @for (index, (title, plot)) in plots.iter().enumerate() {
            g transform=(place(index)) { (titled(title, plot.draw(SIDE))) }
        }
    };
    (!plots.is_empty()).then(|| file("Score over resolution", [width, height], &figures))
}

/// A figure under its title.
pub(super) fn titled(title: &str, figure: Markup) -> Markup {
    html! {
        text x="0" y="14" font-weight="600" style="fill: var(--ink)" { (title) }
        g transform=(format!("translate(0 {})", px(TITLE))) { (figure) }
    }
}

/// An SVG file that needs nothing beside it.
pub(super) fn file(title: &str, [width, height]: [f64; 2], content: &Markup) -> String {
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" font-family="system-ui, sans-serif"
            viewBox=(format!("0 0 {} {}", px(width), px(height))) {
            title { (title) }
            style { (PreEscaped(STYLE)) }
            rect width="100%" height="100%" fill="var(--paper)" {}
            (content)
        }
    };
    picture.into_string()
}

/// A title that does not reach the figure beside it: its end, which tells figures apart, is kept.
fn shortened(title: &str) -> String {
    match title.chars().count().checked_sub(MOST_LETTERS) {
        None | Some(0) => title.to_owned(),
        Some(over) => format!("…{}", title.chars().skip(over + 1).collect::<String>()),
    }
}

/// Names of the sources that any figure shows.
fn key(plots: &[(String, LinePlot)]) -> Markup {
    let shows = |source: Source| {
        plots.iter().any(|(_, plot)| {
            let look = source.into();
            plot.series.iter().any(|series| series.look == look)
                || plot.bands.iter().any(|band| band.look == look)
        })
    };
    // What is drawn last, on top, comes first.
    let sources = LAYERED.iter().rev().chain(&LAYERLESS).filter(|source| shows(**source));
    html! {
        @for (index, &source) in sources.enumerate() {
            g class=(class(source))
                transform=(format!("translate({} 20)", px(GAP / 2.0 + index as f64 * NAME))) {
                path.line d="M0 0H28" {}
                (draw(mark(source), 14.0, 0.0, 3.5, ""))
                text.name x="36" y="4.5" { (words(source)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_report_has_its_figure() {
        let one = fixture::report();
        let mut other = ProbeReport { task: "cats & dogs".into(), ..one.clone() };
        other.results[0].probe = "ridge".into();
        other.features.statistic = Statistic::State;
        let svg = resolution_figure(&[one, other]).unwrap();
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{svg}");
        assert_eq!(svg.matches("font-weight=\"600\"").count(), 2);
        assert!(
            svg.contains(">celeba-attrs, ") && svg.contains(">cats &amp; dogs, builtin, state")
        );
        assert_eq!(svg.matches(">latents</text>").count(), 1);
        assert!(!svg.contains("random weights"));
    }

    #[test]
    fn long_titles_lose_their_beginning() {
        let title = format!("folder:/data/{}, net32", "x".repeat(60));
        let short = shortened(&title);
        assert_eq!(short.chars().count(), MOST_LETTERS);
        assert!(short.starts_with('…') && short.ends_with("x, net32"), "{short}");
        assert_eq!(shortened("cifar10, net32"), "cifar10, net32");
    }

    #[test]
    fn without_scores_there_is_no_figure() {
        assert_eq!(resolution_figure(&[]), None);
        let mut report = fixture::report();
        report.results.remove(0);
        assert_eq!(resolution_figure(&[report]), None);
    }
}
