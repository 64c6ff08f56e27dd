//! How much information each layer holds, as bars.

use maud::{Markup, html};

use super::curves::stretches;
use super::draw::{Stretch, draw_stretches, draw_ticks};
use super::input::LayerKl;
use super::number::{finite, fixed, px, significant};
use super::plot::{Frame, responsive};
use super::scale::{Linear, round_domain, ticks};
use super::section::Section;
use super::view::View;

/// Room left of the bars, above and under them.
const LEFT: f64 = 44.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 48.0;

/// KL per layer, and where most of it is.
pub(super) fn section(view: &View) -> Option<Section> {
    let layers = &view.page.layers;
    if layers.is_empty() {
        return None;
    }
    let stretches = stretches(view);
    Some(Section {
        id: "kl",
        title: "Information per layer",
        body: html! {
            p.lead {
                "KL divergence of posterior from prior: what a picture costs in each layer. "
                (summary(layers))
            }
            figure { (responsive(|frame| bars(layers, &stretches, frame))) }
        },
    })
}

/// The sum, the resolution with the largest part of it, and how many layers hold next to nothing.
fn summary(layers: &[LayerKl]) -> String {
    let defined = layers.iter().filter_map(|layer| Some((layer, finite(Some(layer.kl_nats))?)));
    let mut sums: Vec<(usize, f64)> = Vec::new();
    for (layer, kl) in defined {
        match sums.iter_mut().find(|(resolution, _)| *resolution == layer.resolution) {
            Some((_, sum)) => *sum += kl,
            None => sums.push((layer.resolution, kl)),
        }
    }
    let total: f64 = sums.iter().map(|(_, sum)| sum).sum();
    let largest = sums.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
    let Some((resolution, most)) = largest.filter(|_| total > 0.0) else {
        return "No layer holds any.".to_owned();
    };
    let idle = layers.iter().filter(|layer| layer.kl_nats < total * 1e-3).count();
    let layers = if idle == 1 { "layer holds" } else { "layers hold" };
    let idle = match idle {
        0 => String::new(),
        idle => format!(" {idle} {layers} less than a thousandth of that."),
    };
    format!(
        "{} nats a picture in all, {}% of them at {resolution}×{resolution}.{idle}",
        significant(total),
        fixed(100.0 * most / total, 0)
    )
}

fn bars(layers: &[LayerKl], stretches: &[Stretch], frame: Frame) -> Markup {
    // No names stand at the right of bars.
    let frame = Frame { height: frame.height * 0.8, gutter: 8.0, ..frame };
    let (left, right) = (LEFT, frame.width - frame.gutter);
    let bottom = frame.height - BOTTOM;
    let tallest = layers.iter().filter_map(|layer| finite(Some(layer.kl_nats))).fold(0.0, f64::max);
    let domain = round_domain([0.0, if tallest > 0.0 { tallest } else { 1.0 }], 4);
    let y = Linear::new(domain, [bottom, TOP]);
    let first = layers.iter().map(|layer| layer.index).min().unwrap_or(0) as f64;
    let last = layers.iter().map(|layer| layer.index).max().unwrap_or(0) as f64;
    let x = Linear::new([first - 0.5, last + 0.5], [left, right]);
    let width = ((right - left) / (last - first + 1.0) * 0.78).min(36.0);
    let levels = ticks(domain, 4);
    let labels: Vec<(f64, String)> = ticks([first, last.max(first + 1.0)], 10)
        .values
        .into_iter()
        .filter(|tick| tick.fract().abs() < 1e-6 && *tick <= last)
        .map(|tick| (tick, fixed(tick, 0)))
        .collect();
    html! {
        svg.plot viewBox={ "0 0 " (px(frame.width)) " " (px(frame.height)) } role="img"
            aria-label="KL divergence per layer, in nats" {
            (draw_stretches(stretches, x, [TOP, bottom], [left, right]))
            text.axis x="0" y="12" { "KL, nats a picture" }
            @for &level in &levels.values {
                @let at = y.at(level);
                path.grid d=(format!("M{} {}H{}", px(left), px(at), px(right))) {}
                text.tick.end x=(px(left - 8.0)) y=(px(at + 4.0)) { (fixed(level, levels.decimals)) }
            }
            @for layer in layers { (bar(layer, x, y, width)) }
            (draw_ticks(&labels, x, bottom))
            text.axis.middle x=(px((left + right) / 2.0)) y=(px(bottom + 40.0)) {
                "Layer, from the top; resolutions above"
            }
        }
    }
}

/// One layer. A bar of almost nothing keeps a hairline, so that it can be pointed at.
fn bar(layer: &LayerKl, x: Linear, y: Linear, width: f64) -> Markup {
    let kl = layer.kl_nats;
    let title =
        format!("Layer {}, {r}×{r}: {} nats", layer.index, significant(kl), r = layer.resolution);
    let (base, top) = (y.at(0.0), y.at(finite(Some(kl)).unwrap_or(0.0).max(0.0)));
    let top = top.min(base - 0.8);
    html! {
        rect.bar x=(px(x.at(layer.index as f64) - width / 2.0)) y=(px(top)) width=(px(width))
            height=(px(base - top)) {
            title { (title) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(values: &[(usize, f64)]) -> Vec<LayerKl> {
        let layer = |(index, &(resolution, kl_nats))| LayerKl { index, resolution, kl_nats };
        values.iter().enumerate().map(layer).collect()
    }

    #[test]
    fn the_summary_says_where_the_information_is() {
        let layers = layers(&[(1, 3.0), (4, 20.0), (4, 17.0), (8, 60.0), (8, 0.04)]);
        assert_eq!(
            summary(&layers),
            "100 nats a picture in all, 60% of them at 8×8. 1 layer holds less than a thousandth of that."
        );
    }

    #[test]
    fn undefined_layers_do_not_spoil_the_sum() {
        assert_eq!(
            summary(&layers(&[(1, f64::NAN), (4, 2.0)])),
            "2.00 nats a picture in all, 100% of them at 4×4."
        );
        assert_eq!(summary(&layers(&[(1, 0.0)])), "No layer holds any.");
    }
}
