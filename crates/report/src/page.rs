//! `report.html`: every number of a run on one page that needs nothing beside it.
//!
//! No script, no font and no picture comes from elsewhere; charts are SVG, and what a chart cannot
//! say on a telephone is said in a table that scrolls in its own box. The same input gives the same
//! bytes. Text is escaped where it is put in (maud does that), so a target may have any name.

mod bars;
mod chart;
mod charts;
mod curves;
mod draw;
mod figure;
mod headline;
mod heat;
mod input;
mod kl;
mod look;
mod low_label;
mod number;
mod pictures;
mod plot;
mod provenance;
mod roc;
mod scale;
mod section;
mod tables;
mod view;

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use chart::{Chart, ChartAxis, ChartLine, ChartPoint, ChartSpan};
pub use charts::{ChartPage, ChartSection, render_charts, write_charts};
pub use figure::resolution_figure;
pub use input::{Answer, Example, LayerKl, Neighbour, ReportPage, RocCurve};

use crate::{Result, error::write};
use section::Section;
use view::View;

/// Everything that is not a number: colours of both themes, widths, tables.
const STYLE: &str = include_str!("page/style.css");

/// The parts in reading order. Each looks at the whole input and stays away where it has nothing
/// to show; a new part is a function here.
const SECTIONS: [fn(&View) -> Option<Section>; 12] = [
    bars::section,
    curves::resolutions,
    curves::cumulative,
    curves::layers,
    low_label::section,
    heat::section,
    kl::section,
    roc::section,
    tables::differences,
    pictures::section,
    tables::results,
    provenance::section,
];

/// Draws the page and returns it as one HTML document.
pub fn render_page(page: &ReportPage) -> String {
    let view = View::new(page);
    let sections: Vec<Section> = SECTIONS.iter().filter_map(|section| section(&view)).collect();
    let report = page.report;
    let title = format!("{} · {}", report.task, report.model.name);
    document(&title, &headline::header(&view), &sections)
}

/// An HTML document: a header, links to the sections, and these.
fn document(title: &str, header: &Markup, sections: &[Section]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        (header)
                        (contents(sections))
                    }
                    @for section in sections {
                        section id=(section.id) {
                            h2 { (section.title) }
                            (section.body)
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// Writes [`render_page`] to `path`, atomically.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write).
pub fn write_page(path: &Path, page: &ReportPage) -> Result<()> {
    write(path, render_page(page).as_bytes())
}

/// The list of links to the sections, under the header.
fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Sections" {
            @for section in sections {
                a href={ "#" (section.id) } { (section.title) }
                " "
            }
        }
    }
}

#[cfg(test)]
mod tests;
