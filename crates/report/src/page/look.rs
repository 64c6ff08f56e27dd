//! How each source of features looks, the same in every figure.

use std::borrow::Cow;

use maud::{Markup, html};
use vdvae_probes::Source;

use super::number::px;

/// Shape of a mark: sources differ by it too, for those who cannot tell the colours apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Filled circle.
    Disc,
    /// Open square.
    Square,
    /// Open triangle.
    Triangle,
    /// Open diamond.
    Diamond,
    /// Cross.
    Cross,
    /// Upright cross.
    Plus,
}

/// How a line looks, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// In the style sheet, which gives it its colour and dashes.
    pub(super) class: &'static str,
    pub(super) mark: Mark,
    pub(super) words: Cow<'static, str>,
}

impl From<Source> for Look {
    fn from(source: Source) -> Self {
        Self { class: class(source), mark: mark(source), words: words(source).into() }
    }
}

impl Look {
    /// That of a line with a name of its own, one of several; more than six look like the first ones.
    pub(super) fn named(name: &str, place: usize) -> Self {
        const LOOKS: [Source; 6] = [
            Source::Latents,
            Source::RandomInit,
            Source::Pixels,
            Source::Pca,
            Source::Hog,
            Source::ShuffledLabels,
        ];
        Self { words: name.to_owned().into(), ..LOOKS[place % LOOKS.len()].into() }
    }
}

/// Class of a source in the style sheet, which gives it its colour and dashes.
pub(super) fn class(source: Source) -> &'static str {
    source.name()
}

/// What a source is called in text.
pub(super) fn words(source: Source) -> &'static str {
    match source {
        Source::Latents => "latents",
        Source::Pixels => "pixels",
        Source::Pca => "PCA of pixels",
        Source::Hog => "HOG",
        Source::RandomInit => "random weights",
        Source::ShuffledLabels => "shuffled labels",
    }
}

/// What a control controls for.
pub(super) fn explanation(source: Source) -> &'static str {
    match source {
        Source::Latents => "the network’s own latents",
        Source::Pixels => "what the network sees, without the network",
        Source::Pca => "principal components of the pixels",
        Source::Hog => "histograms of oriented gradients",
        Source::RandomInit => "the same network before any training",
        Source::ShuffledLabels => "the same latents, with labels of other pictures",
    }
}

/// The mark of a source.
pub(super) fn mark(source: Source) -> Mark {
    match source {
        Source::Latents => Mark::Disc,
        Source::RandomInit => Mark::Square,
        Source::ShuffledLabels => Mark::Triangle,
        Source::Pixels => Mark::Diamond,
        Source::Pca => Mark::Cross,
        Source::Hog => Mark::Plus,
    }
}

/// A point among so many that it shows no shape of its own, and that can still be hovered over.
pub(super) fn draw_small(x: f64, y: f64, r: f64, title: &str) -> Markup {
    html! { circle.small cx=(px(x)) cy=(px(y)) r=(px(r)) { (hover(title)) } }
}

/// A mark of radius `r` around (`x`, `y`), with the text shown on hovering.
pub(super) fn draw(mark: Mark, x: f64, y: f64, r: f64, title: &str) -> Markup {
    // Shapes of equal area look equally large.
    let path = match mark {
        Mark::Disc => String::new(),
        Mark::Square => {
            let half = r * 0.886;
            format!(
                "M{} {}h{side}v{side}h-{side}z",
                px(x - half),
                px(y - half),
                side = px(2.0 * half)
            )
        }
        Mark::Triangle => {
            let (half, up, down) = (r * 1.35, r * 1.55, r * 0.78);
            let (left, right) = (px(x - half), px(x + half));
            format!("M{} {}L{right} {bottom}H{left}z", px(x), px(y - up), bottom = px(y + down))
        }
        Mark::Diamond => {
            let half = r * 1.25;
            let [left, right, top, bottom] = [x - half, x + half, y - half, y + half].map(px);
            format!("M{left} {}L{} {top}L{right} {}L{} {bottom}z", px(y), px(x), px(y), px(x))
        }
        Mark::Cross => {
            let half = r * 0.9;
            let [left, right, top, bottom] = [x - half, x + half, y - half, y + half].map(px);
            format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}")
        }
        Mark::Plus => {
            let half = r * 1.25;
            let [left, right, top, bottom] = [x - half, x + half, y - half, y + half].map(px);
            format!("M{left} {}H{right}M{} {top}V{bottom}", px(y), px(x))
        }
    };
    html! {
        @if mark == Mark::Disc {
            circle.mark.full cx=(px(x)) cy=(px(y)) r=(px(r)) { (hover(title)) }
        } @else {
            path.mark d=(path) { (hover(title)) }
        }
    }
}

/// A tooltip, where there is something to say.
fn hover(text: &str) -> Markup {
    html! { @if !text.is_empty() { title { (text) } } }
}

/// A key to the lines of a figure: colour, mark and words; the last ones are bands.
pub(super) fn legend(lines: &[&Look], bands: &[&Look], chance: bool) -> Markup {
    html! {
        ul.legend {
            @for look in lines {
                li class=(look.class) {
                    svg.swatch viewBox="0 0 28 12" aria-hidden="true" {
                        path.line d="M0 6H28" {}
                        (draw(look.mark, 14.0, 6.0, 3.5, ""))
                    }
                    (look.words)
                }
            }
            @for look in bands {
                li class=(look.class) {
                    svg.swatch viewBox="0 0 28 12" aria-hidden="true" {
                        rect.band x="0" y="2" width="28" height="8" {}
                        path.level d="M0 6H28" {}
                    }
                    (look.words)
                }
            }
            @if chance {
                li.guess {
                    svg.swatch viewBox="0 0 28 12" aria-hidden="true" { path.chance d="M0 6H28" {} }
                    "chance"
                }
            }
        }
    }
}
