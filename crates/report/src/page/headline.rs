//! The top of the page: one sentence computed from the numbers, and what it rests on.

use maud::{Markup, html};
use vdvae_features::LayerSelection;
use vdvae_probes::{Comparison, Metric, ProbeResult, Source};

use super::look::{class, explanation, words};
use super::number::{count, finite, finite_interval, fixed, interval, score, signed};
use super::view::{Panel, Row, View, layer_words, metric_words};

/// How the latents stand to a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Better, and the interval says so.
    Above,
    /// Worse, and the interval says so.
    Below,
    /// The interval does not tell.
    Level,
    /// There is no interval.
    Unknown,
}

impl Verdict {
    /// The verdict on a paired difference, by the interval around it.
    pub(super) fn of_difference(ci: Option<[f64; 2]>) -> Self {
        match finite_interval(ci) {
            Some([low, _]) if low > 0.0 => Self::Above,
            Some([_, high]) if high < 0.0 => Self::Below,
            Some(_) => Self::Level,
            None => Self::Unknown,
        }
    }

    /// The verdict on two scores without a paired difference, by whether their intervals overlap.
    fn of_intervals(a: Option<[f64; 2]>, b: Option<[f64; 2]>) -> Self {
        match (a, b) {
            (Some(a), Some(b)) if a[0] > b[1] => Self::Above,
            (Some(a), Some(b)) if a[1] < b[0] => Self::Below,
            (Some(_), Some(_)) => Self::Level,
            _ => Self::Unknown,
        }
    }

    /// Class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::Level => "level-with",
            Self::Unknown => "unknown",
        }
    }
}

/// One control beside the best latents.
struct Control<'a> {
    row: Row<'a>,
    /// Latents minus control and its interval, where it was computed on paired resamples.
    paired: Option<(f64, [f64; 2])>,
    verdict: Verdict,
}

/// The best latents and every control.
struct Finding<'a> {
    best: Row<'a>,
    /// Places among which it is the best.
    competing: usize,
    metric: Metric,
    controls: Vec<Control<'a>>,
    /// All layers together and their controls, where the best is something else: the headline must
    /// not hide that the whole loses where a part wins.
    together: Option<(Row<'a>, Vec<Control<'a>>)>,
}

/// What was measured, the sentence, and the controls it rests on.
pub(super) fn header(view: &View) -> Markup {
    let panel = view.primary();
    let finding = panel.and_then(|panel| find(view, panel));
    html! {
        p.overline { (view.page.report.task) " · " (view.page.report.model.name) }
        @match &finding {
            Some(finding) => {
                h1 { (sentence(finding)) }
                (standfirst(finding))
                (evidence(finding))
            }
            None => h1 { "No latents have a score." },
        }
        (measured(view, panel))
        @for leak in view.page.report.leaks.iter().filter(|leak| !leak.allowed) {
            p.leak role="alert" { strong { "Leak: " } (leak) "." }
        }
    }
}

fn find<'a>(view: &View, panel: &'a Panel) -> Option<Finding<'a>> {
    let (best, competing) = panel.best()?;
    let whole = Some(LayerSelection::All);
    let all = panel.find(Source::Latents, whole).copied();
    let together = all
        .filter(|all| all.value.is_some() && best.layers != whole)
        .map(|all| (all, controls(view, panel, &all)));
    let controls = controls(view, panel, &best);
    Some(Finding { best, competing, metric: panel.metric, controls, together })
}

/// Every control of some latents.
fn controls<'a>(view: &View, panel: &'a Panel, latents: &Row) -> Vec<Control<'a>> {
    let controls = Source::ALL.iter().filter(|&&source| source != Source::Latents);
    let controls = controls.filter_map(|&source| {
        let layers = latents.layers.filter(|_| source.has_layers());
        let row = *panel.find(source, layers).filter(|row| row.value.is_some())?;
        let paired = paired(&view.page.report.comparisons, latents.result, row.result);
        let verdict = match paired {
            Some((_, ci)) => Verdict::of_difference(Some(ci)),
            None => Verdict::of_intervals(latents.ci, row.ci),
        };
        Some(Control { row, paired, verdict })
    });
    controls.collect()
}

/// The paired difference between two results and its interval, whichever way round it was computed.
fn paired(comparisons: &[Comparison], a: &ProbeResult, b: &ProbeResult) -> Option<(f64, [f64; 2])> {
    let (a, b) = (a.side(), b.side());
    comparisons.iter().find_map(|found| {
        let (difference, ci) = (finite(Some(found.difference))?, finite_interval(found.ci95)?);
        if (&found.a, &found.b) == (&a, &b) {
            return Some((difference, ci));
        }
        ((&found.a, &found.b) == (&b, &a)).then_some((-difference, [-ci[1], -ci[0]]))
    })
}

/// `The 16×16 latents score best of 5 resolutions (mean AUROC 0.961): above pixels, not separable
/// from random weights.`
fn sentence(finding: &Finding) -> String {
    let best = &finding.best;
    let (subject, verb, kind) = match best.layers {
        Some(LayerSelection::Resolution(r)) => {
            (format!("The {r}×{r} latents"), "score", "resolutions")
        }
        Some(LayerSelection::Layer(index)) => (format!("Layer {index}"), "scores", "layers"),
        Some(LayerSelection::All) => ("All layers together".to_owned(), "score", "selections"),
        Some(LayerSelection::First(layers)) => {
            (format!("The first {layers} layers"), "score", "selections")
        }
        None => ("The latents".to_owned(), "score", "selections"),
    };
    let score = format!("{} {}", metric_words(finding.metric), score(best.value));
    let claim = if finding.competing > 1 {
        format!("{subject} {verb} best of {} {kind} ({score})", finding.competing)
    } else {
        format!("{subject} {verb} a {score}")
    };
    match verdicts(&finding.controls) {
        Some(verdicts) => format!("{claim}: {verdicts}."),
        None => format!("{claim}; there is no control to compare with."),
    }
}

/// `above pixels, not separable from random weights`, controls of one verdict together.
fn verdicts(controls: &[Control]) -> Option<String> {
    let kinds = [
        (Verdict::Above, "above"),
        (Verdict::Level, "not separable from"),
        (Verdict::Below, "below"),
        (Verdict::Unknown, "without an interval to compare with"),
    ];
    let parts = kinds.into_iter().filter_map(|(verdict, words_before)| {
        let controls = controls.iter().filter(|control| control.verdict == verdict);
        let names: Vec<&str> = controls.map(|control| words(control.row.source)).collect();
        (!names.is_empty()).then(|| format!("{words_before} {}", listed(&names)))
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// `All layers together score 0.971: above pixels, below random weights.`
fn together((row, controls): &(Row, Vec<Control>)) -> Option<String> {
    let verdicts = verdicts(controls)?;
    Some(format!("All layers together score {}: {verdicts}.", score(row.value)))
}

/// What the sentence does not say and a careful reader asks.
fn standfirst(finding: &Finding) -> Markup {
    let paired = finding.controls.iter().any(|control| control.paired.is_some());
    let unpaired = finding.controls.iter().any(|control| control.paired.is_none());
    html! {
        @if let Some(sentence) = finding.together.as_ref().and_then(together) {
            p.standfirst { (sentence) }
        }
        p.standfirst {
            @match (paired, unpaired) {
                (true, false) => "Above and below are claimed where the 95% interval of the paired \
                                  difference leaves out zero. ",
                (false, true) => "Above and below are claimed where 95% intervals do not overlap, \
                                  a stricter rule than a paired test. ",
                (true, true) => "Above and below are claimed where the 95% interval of the paired \
                                 difference leaves out zero or, without one, where intervals do \
                                 not overlap. ",
                (false, false) => "",
            }
            @if finding.competing > 1 {
                "The best of " (finding.competing) " is picked by its test score, which flatters it a little."
            }
        }
    }
}

/// The best latents and every control, with intervals and verdicts.
fn evidence(finding: &Finding) -> Markup {
    let with_paired = finding.controls.iter().any(|control| control.paired.is_some());
    html! {
        div.scroll tabindex="0" role="region" aria-label="The best latents and the controls" {
            table.evidence {
                thead {
                    tr {
                        th scope="col" { "Features" }
                        th.number scope="col" { (metric_words(finding.metric)) }
                        th scope="col" { "Latents are" }
                        th scope="col" { "95% interval" }
                        @if with_paired { th scope="col" { "Paired difference" } }
                    }
                }
                tbody {
                    tr.latents {
                        th scope="row" { span.dot {} (layer_words(finding.best.layers)) " latents" }
                        td.number { (score(finding.best.value)) }
                        td {}
                        td.faint { (interval(finding.best.ci)) }
                        @if with_paired { td {} }
                    }
                    @for control in &finding.controls { (control_row(control, with_paired)) }
                }
            }
        }
    }
}

fn control_row(control: &Control, with_paired: bool) -> Markup {
    let source = control.row.source;
    let verdict = match control.verdict {
        Verdict::Above => "above",
        Verdict::Below => "below",
        Verdict::Level => "not separable",
        Verdict::Unknown => "–",
    };
    html! {
        tr class=(class(source)) {
            th scope="row" title=(explanation(source)) { span.dot {} (words(source)) }
            td.number { (score(control.row.value)) }
            td { span.verdict.(control.verdict.class()) { (verdict) } }
            td.faint { (interval(control.row.ci)) }
            @if with_paired {
                td {
                    @match control.paired {
                        Some((difference, ci)) => {
                            (signed(difference)) " "
                            span.faint { (interval(Some(ci))) }
                        }
                        None => "–",
                    }
                }
            }
        }
    }
}

/// Data, probe and seed in one line.
fn measured(view: &View, panel: Option<&Panel>) -> Markup {
    let report = view.page.report;
    let data = &report.data;
    html! {
        p.measured {
            (data.name) ": " (count(data.n_train)) " training, " (count(data.n_valid))
            " validation and " (count(data.n_test)) " test pictures. "
            @if let Some(panel) = panel { (panel.heading()) ". " }
            "Seed " (report.seed) ". Model " (report.model.name)
            @if let Some(sha256) = &report.model.sha256 {
                ", weights " code title=(sha256) { (sha256.chars().take(12).collect::<String>()) }
            }
            "."
            @if let Some(chance) = panel.filter(|panel| panel.metric == Metric::Auroc).and_then(Panel::chance) {
                " An AUROC of " (fixed(chance, 1)) " is chance."
            }
        }
    }
}

#[cfg(test)]
mod tests;
