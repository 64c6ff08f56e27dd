//! The page as a browser's parser reads it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../examples/synthetic/mod.rs"]
mod synthetic;

use std::collections::HashSet;

use scraper::{Html, Selector};
use synthetic::{Size, Synthetic};
use vdvae_features::LayerSelection;
use vdvae_probes::{ProbeReport, Source};
use vdvae_report::{ReportPage, render_page};

fn select(css: &str) -> Selector {
    Selector::parse(css).unwrap()
}

fn texts(page: &Html, css: &str) -> Vec<String> {
    page.select(&select(css)).map(|element| element.text().collect()).collect()
}

/// A page with every part, of the given number of targets and layers.
fn page(targets: usize, layers: usize) -> String {
    render_page(&Synthetic::new(Size { targets, layers, pictures: 3 }).page())
}

/// Well formed, self-contained, with unique ids, links that lead somewhere, and no undefined number.
fn check(text: &str) -> Html {
    let page = Html::parse_document(text);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    let mut ids = HashSet::new();
    for element in page.select(&select("[id]")) {
        assert!(
            ids.insert(element.attr("id").unwrap().to_owned()),
            "{:?} twice",
            element.attr("id")
        );
    }
    for element in page.select(&select("*")) {
        assert!(!matches!(
            element.value().name(),
            "script" | "link" | "iframe" | "object" | "base"
        ));
        for (name, value) in element.value().attrs() {
            assert!(!name.starts_with("on"), "{name}");
            match name {
                "href" => assert!(ids.contains(value.strip_prefix('#').unwrap()), "{value}"),
                "src" => assert!(value.starts_with("data:image/png;base64,"), "{value}"),
                "class" | "title" | "alt" | "aria-label" => {}
                _ => assert!(!value.contains("//"), "{name}={value}"),
            }
            assert!(!value.contains("NaN") && !value.contains("inf"), "{name}={value}");
        }
    }
    let style = texts(&page, "style").concat();
    assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
    let body = texts(&page, "body").concat();
    assert!(
        !body.contains("NaN") && !body.contains("inf ") && !body.contains("undefined"),
        "{body}"
    );
    page
}

#[test]
fn every_part_is_there_and_well_formed() {
    let page = check(&page(24, 20));
    let titles = [
        "Score over resolution",
        "Adding layers from the top",
        "Layer by layer",
        "With fewer labels",
        "Target by target",
        "Information per layer",
        "ROC curves",
        "Paired differences",
        "Test pictures",
        "Every result",
        "Where the numbers come from",
    ];
    assert_eq!(texts(&page, "h2"), titles);
    assert_eq!(page.select(&select("nav a")).count(), titles.len());
    let headline = "The 16×16 latents score best of 5 resolutions (mean AUROC 0.921): above pixels, PCA of \
                    pixels, random weights and shuffled labels.";
    assert_eq!(texts(&page, "h1"), [headline]);
}

#[test]
fn any_number_of_layers_and_targets_is_well_formed() {
    for (targets, layers) in [(1, 1), (2, 3), (200, 80)] {
        let page = check(&page(targets, layers));
        let rows = page.select(&select("table.heat tbody tr")).count();
        assert_eq!(rows, 2 * targets, "{targets} targets, {layers} layers");
        let bars = page.select(&select("#kl .wide rect.bar")).count();
        assert_eq!(bars, layers);
    }
}

#[test]
fn a_large_page_stays_small() {
    let made = Synthetic::new(Size { targets: 40, layers: 43, pictures: 12 });
    let mut page = made.page();
    // Noise does not compress: the largest pictures there can be.
    let mut state = 1u32;
    for picture in &mut page.pictures {
        let mut noise = || {
            image::RgbImage::from_fn(256, 256, |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
            })
        };
        picture.image = noise();
        picture.neighbours.iter_mut().for_each(|neighbour| neighbour.image = noise());
    }
    let bytes = render_page(&page).len();
    assert!(bytes < 3_000_000, "{bytes}");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(page(24, 20), page(24, 20));
}

#[test]
fn markup_in_names_is_text() {
    let hostile = "<script>alert(1)</script>\"'&";
    let mut made = Synthetic::new(Size { targets: 3, layers: 2, pictures: 2 });
    let report = made.report_mut();
    report.task = hostile.into();
    report.model.name = hostile.into();
    report.model.sha256 = Some(hostile.into());
    report.data.name = hostile.into();
    for result in &mut report.results {
        result.probe = hostile.into();
        result.solver = hostile.into();
        result.per_target[0].target = hostile.into();
    }
    let mut page = made.page();
    page.command = hostile.into();
    page.provenance.push((hostile.into(), hostile.into()));
    page.roc.iter_mut().for_each(|curve| curve.name = hostile.into());
    for picture in &mut page.pictures {
        picture.key = hostile.into();
        picture.answers[0].target = hostile.into();
        picture.neighbours[0].key = hostile.into();
    }
    let page = check(&render_page(&page));
    assert!(texts(&page, "tbody th").contains(&hostile.to_owned()));
    assert_eq!(texts(&page, "pre"), [hostile]);
    assert_eq!(texts(&page, ".overline"), [format!("{hostile} · {hostile}")]);
}

#[test]
fn undefined_numbers_are_dashes() {
    let mut made = Synthetic::new(Size { targets: 3, layers: 4, pictures: 2 });
    for (place, result) in made.report_mut().results.iter_mut().enumerate() {
        result.value = [None, Some(f64::NAN), result.value][place % 3];
        result.ci95 = [None, Some([f64::NAN, 1.0]), Some([0.0, f64::INFINITY])][place % 3];
        for target in &mut result.per_target {
            target.auroc = [None, Some(f64::NAN), target.auroc][place % 3];
            target.base_rate = Some(f64::NEG_INFINITY);
            target.strength = Some(f64::NAN);
        }
    }
    let comparisons = &mut made.report_mut().comparisons;
    comparisons[0].difference = f64::NAN;
    comparisons[1].ci95 = Some([f64::NAN, f64::NAN]);
    comparisons[2].p_value = Some(f64::NAN);
    comparisons[3].a.probe = "of no result".into();
    let mut page = made.page();
    page.layers[1].kl_nats = f64::NAN;
    page.layers[2].kl_nats = f64::INFINITY;
    page.roc[0].points[1] = [f64::NAN, 0.5];
    page.roc[0].auroc = Some(f64::NAN);
    page.pictures[0].answers[0].probability = Some(f64::NAN);
    page.pictures[0].neighbours[0].similarity = f64::NAN;
    let page = check(&render_page(&page));
    assert!(texts(&page, "#results td").iter().any(|cell| cell == "–"));
}

#[test]
fn a_report_alone_is_a_page_without_the_other_parts() {
    let mut made = Synthetic::new(Size { targets: 2, layers: 1, pictures: 0 });
    made.report_mut()
        .results
        .retain(|r| r.source == Source::Latents && r.layers == Some(LayerSelection::Resolution(4)));
    made.report_mut().results.truncate(1);
    let report: ProbeReport = made.report_mut().clone();
    let page = check(&render_page(&ReportPage::new(&report)));
    let parts = ["Score over resolution", "Target by target", "Every result"];
    assert_eq!(texts(&page, "h2"), parts);
}

#[test]
fn a_report_of_nothing_says_so() {
    let mut made = Synthetic::new(Size { targets: 1, layers: 1, pictures: 0 });
    made.report_mut().results.clear();
    let report: ProbeReport = made.report_mut().clone();
    let page = check(&render_page(&ReportPage::new(&report)));
    assert_eq!(texts(&page, "h1"), ["No latents have a score."]);
    assert_eq!(page.select(&select("section")).count(), 0);
}
