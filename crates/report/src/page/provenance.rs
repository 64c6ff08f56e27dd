//! Where the numbers come from, and the command that makes them again.

use maud::html;

use super::section::Section;
use super::view::View;

/// Those of a report.
pub(super) fn section(view: &View) -> Option<Section> {
    of(&view.page.provenance, &view.page.command)
}

/// Names and values, and the command.
pub(super) fn of(provenance: &[(String, String)], command: &str) -> Option<Section> {
    (!provenance.is_empty() || !command.is_empty()).then(|| Section {
        id: "provenance",
        title: "Where the numbers come from",
        body: html! {
            @if !provenance.is_empty() {
                dl.provenance {
                    @for (name, value) in provenance {
                        div { dt { (name) } dd { (value) } }
                    }
                }
            }
            @if !command.is_empty() {
                p.lead { "The command that made this page:" }
                // A line breaks between words only: a flag that is torn at its hyphens misleads.
                pre.command tabindex="0" {
                    code {
                        @for (place, word) in command.split(' ').enumerate() {
                            @if place > 0 { " " }
                            span { (word) }
                        }
                    }
                }
            }
        },
    })
}
