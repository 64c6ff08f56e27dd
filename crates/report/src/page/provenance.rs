//! Where the numbers come from, and the command that makes them again.

use maud::html;

use super::section::Section;
use super::view::View;

/// Names and values, and the command.
pub(super) fn section(view: &View) -> Option<Section> {
    let page = view.page;
    (!page.provenance.is_empty() || !page.command.is_empty()).then(|| Section {
        id: "provenance",
        title: "Where the numbers come from",
        body: html! {
            @if !page.provenance.is_empty() {
                dl.provenance {
                    @for (name, value) in &page.provenance {
                        div { dt { (name) } dd { (value) } }
                    }
                }
            }
            @if !page.command.is_empty() {
                p.lead { "The command that made this page:" }
                // A line breaks between words only: a flag that is torn at its hyphens misleads.
                pre.command tabindex="0" {
                    code {
                        @for (place, word) in page.command.split(' ').enumerate() {
                            @if place > 0 { " " }
                            span { (word) }
                        }
                    }
                }
            }
        },
    })
}
