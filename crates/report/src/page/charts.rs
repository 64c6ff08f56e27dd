//! A page of charts and one table, for what is no report of probes.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use super::chart::Chart;
use super::section::Section;
use super::{document, provenance};
use crate::{Result, error::write};

/// A page of charts and one table.
#[derive(Debug, Clone, Default)]
pub struct ChartPage {
    /// What it is about, above the title.
    pub overline: String,
    /// What was found, in a sentence.
    pub title: String,
    /// The rest of it.
    pub lead: String,
    /// An SVG above the charts, as [`resolution_figure`](crate::resolution_figure) draws it.
    pub figure: Option<String>,
    /// The charts, in order.
    pub charts: Vec<ChartSection>,
    /// How to read the numbers.
    pub table_lead: String,
    /// The numbers: headers, and a row of cells each. The first cell of a row names it.
    pub table: (Vec<String>, Vec<Vec<String>>),
    /// Where they come from, as names and values.
    pub provenance: Vec<(String, String)>,
    /// The command that made the page.
    pub command: String,
}

/// A chart under a heading of its own.
#[derive(Debug, Clone)]
pub struct ChartSection {
    /// Anchor, unique on the page.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// How to read it.
    pub lead: String,
    /// The chart; its title is for those who do not see it.
    pub chart: Chart,
}

/// Draws the page and returns it as one HTML document, which needs nothing beside it. A chart without
/// points is left out.
pub fn render_charts(page: &ChartPage) -> String {
    let chart = |section: &ChartSection| {
        let figure = section.chart.figure()?;
        let body = html! { p.lead { (section.lead) } figure { (figure) } };
        Some(Section { id: section.id, title: section.title, body })
    };
    let figure = page.figure.as_ref().map(|figure| Section {
        id: "figure",
        title: "Over resolution",
        body: html! { figure { (PreEscaped(figure)) } },
    });
    let charts = page.charts.iter().filter_map(chart);
    let mut sections: Vec<Section> = figure.into_iter().chain(charts).collect();
    if !page.table.1.is_empty() {
        sections.push(Section { id: "numbers", title: "Every number", body: table(page) });
    }
    sections.extend(provenance::of(&page.provenance, &page.command));
    let header = html! {
        p.overline { (page.overline) }
        h1 { (page.title) }
        p.standfirst { (page.lead) }
    };
    document(&page.title, &header, &sections)
}

/// Writes [`render_charts`] to `path`, atomically.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write).
pub fn write_charts(path: &Path, page: &ChartPage) -> Result<()> {
    write(path, render_charts(page).as_bytes())
}

fn table(page: &ChartPage) -> Markup {
    let (headers, rows) = &page.table;
    html! {
        @if !page.table_lead.is_empty() { p.lead { (page.table_lead) } }
        div.scroll tabindex="0" role="region" aria-label="Every number" {
            table.numbers {
                thead {
                    tr {
                        @for (place, header) in headers.iter().enumerate() {
                            th.number[place > 0] scope="col" { (header) }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for (place, cell) in row.iter().enumerate() {
                                @if place == 0 { th scope="row" { (cell) } }
                                @else { td.number { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChartAxis, ChartLine, ChartPoint};

    #[test]
    fn a_page_holds_its_charts_and_numbers() {
        let axis = |label: &str| ChartAxis { label: label.to_owned(), logarithmic: false };
        let chart = |points: Vec<ChartPoint>| Chart {
            title: "KL over layers".into(),
            x: axis("layer"),
            y: axis("nats"),
            lines: vec![ChartLine { name: "KL".into(), points }],
            spans: Vec::new(),
        };
        let section = |id, points| ChartSection {
            id,
            title: "Information",
            lead: "What it <says>.".into(),
            chart: chart(points),
        };
        let point = |x: f64| ChartPoint { x, y: x * x, ci95: None };
        let page = ChartPage {
            title: "Most of it is at 8×8".into(),
            charts: vec![section("kl", vec![point(0.0), point(1.0)]), section("none", Vec::new())],
            table_lead: "KL in nats.".into(),
            table: (vec!["Layer".into(), "KL".into()], vec![vec!["0".into(), "1.5".into()]]),
            command: "vdvae analyze".into(),
            ..ChartPage::default()
        };
        let html = render_charts(&page);
        assert!(html.contains("id=\"kl\"") && !html.contains("id=\"none\""), "{html}");
        assert!(
            html.contains("What it &lt;says&gt;.") && html.contains("<td class=\"number\">1.5")
        );
        assert!(html.contains("<p class=\"lead\">KL in nats.</p><div class=\"scroll\""));
        assert!(html.contains("Most of it is at 8×8</title>"));
        assert_eq!(html, render_charts(&page));
    }
}
