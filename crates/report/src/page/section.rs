//! What every part of the page is.

use maud::Markup;

/// One part of the page under a heading of its own.
pub(super) struct Section {
    /// Anchor, unique on the page.
    pub(super) id: &'static str,
    /// Heading.
    pub(super) title: &'static str,
    /// What is under it.
    pub(super) body: Markup,
}
