//! Test pictures: what the probe says of them, and what is near them in latent space.

use std::io::Cursor;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::imageops::{FilterType, resize};
use image::{ImageFormat, RgbImage};
use maud::{Markup, html};

use super::input::{Answer, Example, Neighbour};
use super::number::{finite, fixed};
use super::section::Section;
use super::view::View;

/// Longest side of embedded pictures and of their neighbours, in pixels: what is shown, so that a
/// dozen pictures of any size stay under two megabytes.
const PICTURE: u32 = 96;
const NEIGHBOUR: u32 = 64;
/// Answers shown of one picture.
const MOST_ANSWERS: usize = 6;
/// True targets named that it missed.
const MOST_MISSED: usize = 5;

/// A card for each picture.
pub(super) fn section(view: &View) -> Option<Section> {
    let pictures = &view.page.pictures;
    let neighbours = pictures.iter().any(|picture| !picture.neighbours.is_empty());
    (!pictures.is_empty()).then(|| Section {
        id: "pictures",
        title: "Test pictures",
        body: html! {
            p.lead {
                "The likeliest targets of each picture by the probe, " span.right { "✓ right" } " or "
                span.wrong { "✗ wrong" } " at probability 0.5."
                @if neighbours {
                    " Below each, the training pictures nearest to it in latent space, with the "
                    "cosine between them."
                }
            }
            div.cards { @for picture in pictures { (card(picture)) } }
        },
    })
}

fn card(example: &Example) -> Markup {
    html! {
        article.card {
            div.subject {
                (picture(&example.image, &example.key, PICTURE))
                (answers(&example.answers))
            }
            p.key { (example.key) }
            @if !example.neighbours.is_empty() {
                div.neighbours {
                    @for neighbour in &example.neighbours { (near(neighbour)) }
                }
            }
        }
    }
}

fn near(neighbour: &Neighbour) -> Markup {
    html! {
        div title=(neighbour.key) {
            (picture(&neighbour.image, &neighbour.key, NEIGHBOUR))
            span { (fixed(neighbour.similarity, 2)) }
        }
    }
}

/// The likeliest targets as bars, and those that are true and not among them.
fn answers(answers: &[Answer]) -> Markup {
    let mut likely: Vec<(&Answer, f64)> =
        answers.iter().filter_map(|p| Some((p, finite(p.probability)?))).collect();
    likely.sort_by(|a, b| b.1.total_cmp(&a.1));
    let known = likely.iter().filter(|(p, _)| p.truth.is_some());
    let right =
        known.clone().filter(|(p, probability)| p.truth == Some(*probability > 0.5)).count();
    let known = known.count();
    let rest = likely.split_off(likely.len().min(MOST_ANSWERS));
    let mut missed: Vec<&str> = rest
        .iter()
        .filter(|(p, probability)| p.truth == Some(true) && *probability <= 0.5)
        .map(|(p, _)| &p.target[..])
        .collect();
    let unnamed = missed.len().saturating_sub(MOST_MISSED);
    missed.truncate(MOST_MISSED);
    html! {
        div.predictions {
            @for (answer, probability) in likely { (answer_line(answer, probability)) }
            @if !missed.is_empty() { p.missed { span.wrong { "✗" } " missed: " (missed.join(", "))
                    @if unnamed > 0 { " and " (unnamed) " more" }
                }
            }
            @if known > 0 { p.tally { (right) " of " (known) " right" } }
        }
    }
}

fn answer_line(answer: &Answer, probability: f64) -> Markup {
    let share = fixed(100.0 * probability.clamp(0.0, 1.0), 0);
    let right = answer.truth.map(|truth| truth == (probability > 0.5));
    html! {
        div.prediction {
            span.target title=(answer.target) { (answer.target) }
            span.track { i style={ "width:" (share) "%" } {} }
            span.share { (share) "%" }
            @match right {
                Some(true) => span.right title="right" { "✓" },
                Some(false) => span.wrong title="wrong" { "✗" },
                None => span {},
            }
        }
    }
}

/// A picture inside the page.
fn picture(image: &RgbImage, key: &str, longest: u32) -> Markup {
    match data_uri(image, longest) {
        Some(uri) => html! { img src=(uri) alt=(key) loading="lazy"; },
        None => html! { span.no-picture { "–" } },
    }
}

/// A PNG as a `data:` address, shrunk to `longest` pixels where it is larger; none for a picture
/// without pixels.
fn data_uri(image: &RgbImage, longest: u32) -> Option<String> {
    let (width, height) = image.dimensions();
    let side = width.max(height);
    let shrunk = (side > longest && width > 0 && height > 0).then(|| {
        let scaled = |length: u32| {
            let length = u64::from(length) * u64::from(longest) / u64::from(side);
            u32::try_from(length).unwrap_or(longest).max(1)
        };
        resize(image, scaled(width), scaled(height), FilterType::Triangle)
    });
    let mut png = Cursor::new(Vec::new());
    shrunk.as_ref().unwrap_or(image).write_to(&mut png, ImageFormat::Png).ok()?;
    Some(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner())))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn decoded(uri: &str) -> RgbImage {
        let bytes = BASE64_STANDARD.decode(uri.strip_prefix("data:image/png;base64,").unwrap());
        image::load_from_memory(&bytes.unwrap()).unwrap().into_rgb8()
    }

    #[test]
    fn small_pictures_are_embedded_as_they_are() {
        let image = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 50, y as u8 * 80, 7]));
        assert_eq!(decoded(&data_uri(&image, PICTURE).unwrap()), image);
    }

    #[test]
    fn large_pictures_shrink_and_keep_their_shape() {
        let image = RgbImage::from_pixel(400, 100, Rgb([1, 2, 3]));
        let small = decoded(&data_uri(&image, PICTURE).unwrap());
        assert_eq!((small.dimensions(), small[(0, 0)]), ((96, 24), Rgb([1, 2, 3])));
        let thin = decoded(&data_uri(&RgbImage::new(1000, 1), PICTURE).unwrap());
        assert_eq!(thin.dimensions(), (96, 1));
    }

    #[test]
    fn pictures_without_pixels_are_dashes() {
        assert_eq!(data_uri(&RgbImage::new(0, 0), PICTURE), None);
        assert!(picture(&RgbImage::new(0, 5), "key", PICTURE).into_string().contains('–'));
    }

    #[test]
    fn the_likeliest_come_first_and_the_missed_are_named() {
        let answer =
            |target: &str, probability, truth| Answer { target: target.into(), probability, truth };
        let mut all: Vec<Answer> = (0..6)
            .map(|i| answer(&format!("t{i}"), Some(0.9 - f64::from(i) * 0.1), Some(i < 5)))
            .collect();
        all.push(answer("hat", Some(0.2), Some(true)));
        all.push(answer("dull", Some(0.1), Some(false)));
        all.push(answer("unfitted", Some(f64::NAN), Some(true)));
        all.push(answer("unknown", Some(0.95), None));
        let text = answers(&all).into_string();
        assert!(text.find("unknown").unwrap() < text.find("t0").unwrap(), "{text}");
        assert!(text.contains("missed: hat"), "{text}");
        // t0 to t3 and dull are right, t4 (0.5) and t5 (0.4, and untrue, so right) decide the rest.
        assert!(text.contains("6 of 8 right"), "{text}");
        assert!(!text.contains("unfitted") && !text.contains("NaN"), "{text}");
    }
}
