//! Tables for the terminal: columns as wide as their widest cell, numbers flush right.

pub(crate) mod layout;
mod number;
mod rows;

use std::collections::BTreeSet;

use vdvae_io::printable;
use vdvae_probes::{
    Compared, Comparison, EpisodeInfo, Metric, ProbeReport, ProbeResult, Source, StrengthEdge,
    TargetResult, VerificationInfo,
};

use layout::{Column, align};
pub use layout::{Side, text_table};
use number::{dash, score, signed};
pub use number::{signed_with_interval, with_interval};
use rows::Row;

/// Comparisons printed; the rest stand in results.json.
const MOST_COMPARISONS: usize = 24;

/// A report for the terminal: what was measured, [`results_table`], [`comparisons_table`], and
/// what their columns and controls mean.
pub fn report_table(report: &ProbeReport) -> String {
    let data = &report.data;
    let mut text = format!(
        "{} with model {}: {} train, {} valid, {} test pictures\n\n",
        printable(&report.task),
        printable(&report.model.name),
        data.n_train,
        data.n_valid,
        data.n_test,
    );
    let tables: Vec<String> =
        by_labels(&report.results).iter().map(|part| labelled(part)).collect();
    text += &tables.join("\n");
    for leak in report.leaks.iter().filter(|leak| !leak.allowed) {
        text += &format!("LEAK: {}\n", printable(&leak.to_string()));
    }
    text.push('\n');
    if !report.comparisons.is_empty() {
        text += &comparisons_table(&report.comparisons);
        text.push('\n');
    }
    for line in legend(report) {
        text += &line;
        text.push('\n');
    }
    text
}

/// The results of each kind of labels, in order of appearance; one part where there is one kind.
fn by_labels(results: &[ProbeResult]) -> Vec<Vec<ProbeResult>> {
    let mut parts: Vec<Vec<ProbeResult>> = vec![Vec::new()];
    for result in results {
        let same = |part: &&mut Vec<ProbeResult>| {
            part.first().is_none_or(|first| first.labels == result.labels)
        };
        match parts.iter_mut().find(same) {
            Some(part) => part.push(result.clone()),
            None => parts.push(vec![result.clone()]),
        }
    }
    parts
}

/// [`results_table`], below the name of the labels where there are several kinds.
fn labelled(results: &[ProbeResult]) -> String {
    let labels = results.first().and_then(|first| first.labels.as_ref());
    let heading = labels.map_or_else(String::new, |labels| format!("targets {labels}\n"));
    heading + &results_table(results)
}

/// One line for each thing in the tables that needs a word.
fn legend(report: &ProbeReport) -> Vec<String> {
    let results = &report.results;
    let first = results.first();
    let (mut lines, over) = match first.map(|first| (&first.few_shot, &first.verification)) {
        Some((Some(episodes), _)) => (vec![few_shot(episodes)], "episodes"),
        Some((_, Some(pairs))) => (vec![verification(pairs)], "folds"),
        _ => (by_labels(results).iter().map(|part| labels(part.first())).collect(), "replicates"),
    };
    lines.dedup();
    if !report.comparisons.is_empty() {
        lines.push(format!(
            "differences are paired on the same {over}; p is two-sided, not corrected for the \
             number of comparisons"
        ));
    }
    if let Some(columns) = results.iter().filter_map(|result| result.matched_columns).max() {
        let note = "selections with fewer columns stay as they are, on one line for both";
        lines.push(format!("matched to {columns} columns where there were more; {note}"));
    }
    if results.iter().any(|result| result.label_seed.is_some()) {
        let note = "lines of several seeds are means, of values and of the ends of intervals";
        lines.push(format!("train rows were drawn at random where not all were used; {note}"));
    }
    let controls = [
        (Source::RandomInit, "control random-init: the same network with random weights"),
        (Source::Pixels, "control pixels: what the network sees, without the network"),
        (Source::Pca, "control pca: principal components of the pixels"),
        (Source::Hog, "control hog: histograms of oriented gradients, without the network"),
        (Source::ShuffledLabels, "control shuffled-labels: the latents, labels of other pictures"),
    ];
    if let Some(networks) =
        results.iter().map(|result| result.networks.len()).max().filter(|n| *n > 1)
    {
        lines.push(format!(
            "random-init is the mean over {networks} networks; its intervals and differences are for \
             other such networks too"
        ));
    }
    let present = |source| results.iter().any(|result| result.source == source);
    let present = controls.into_iter().filter(|(source, _)| present(*source));
    lines.extend(present.map(|(_, line)| line.to_owned()));
    lines
}

fn labels(first: Option<&ProbeResult>) -> String {
    let scores = match first.map(|result| result.metric).unwrap_or_default() {
        Metric::Accuracy => {
            "scores on test; accuracy is top-1 of all classes, bal acc the mean of their recalls; \
             AUROC and avg prec are means over the classes, each against all others"
        }
        Metric::R2 => {
            "scores on test, means over the targets; R² of 0 is the mean of the test pictures"
        }
        Metric::Auroc => "scores on test, means over the targets; AUROC of 0.5 is chance",
    };
    format!("{scores}; intervals are 95% bootstrap")
}

fn few_shot(info: &EpisodeInfo) -> String {
    let EpisodeInfo { ways, shots, queries, episodes, .. } = info;
    format!(
        "mean accuracy over the same {episodes} episodes of {ways} classes, {shots} labelled and \
         {queries} more pictures of each; chance is {:.3}; intervals are 95%, 1.96 standard errors",
        1.0 / *ways as f64
    )
}

fn verification(info: &VerificationInfo) -> String {
    format!(
        "accuracy on {} pairs in {} folds, each at the threshold that is best on the others; \
         chance is 0.5; intervals are Student's 95% over the folds; TAR is the share of genuine \
         pairs accepted with that share of impostors",
        info.pairs,
        info.fold_accuracies.len()
    )
}

/// One line a result: where the features came from and what they score, means over the targets
/// that are defined, and over label seeds. Columns that say nothing new are left out.
///
/// Notes follow where fits did not converge, penalties were chosen at an end of those to choose from,
/// or targets have no score.
pub fn results_table(results: &[ProbeResult]) -> String {
    let rows = Row::of(results);
    let any = |of: &dyn Fn(&ProbeResult) -> bool| results.iter().any(of);
    let metric = results.first().map(|result| result.metric).unwrap_or_default();
    let mut columns = vec![
        Column::left("source", rows.iter().map(|row| row.first().source.to_string())),
        Column::left("layers", rows.iter().map(|row| layers(row.first()))),
        Column::right(
            "columns",
            rows.iter()
                .map(|row| row.first().matched_columns.unwrap_or(row.first().columns).to_string()),
        ),
    ];
    if any(&|result| result.probe != "logistic") {
        columns.push(Column::left("probe", rows.iter().map(|row| row.first().probe.clone())));
    }
    if any(&|result| result.train_fraction < 1.0) {
        columns
            .push(Column::right("train rows", rows.iter().map(|r| r.first().n_train.to_string())));
        columns.push(Column::right("seeds", rows.iter().map(Row::seeds)));
    }
    let value = match metric {
        Metric::Accuracy => "accuracy",
        Metric::R2 => "mean R²",
        Metric::Auroc => "mean AUROC",
    };
    columns.push(Column::right(value, rows.iter().map(|row| score(row.mean(|r| r.value)))));
    columns.push(Column::right("95% interval", rows.iter().map(Row::interval)));
    if any(&|result| result.selectivity.is_some()) {
        let selectivity = |row: &Row<'_>| signed(row.mean(|result| result.selectivity));
        columns.push(Column::right("selectivity", rows.iter().map(selectivity)));
    }
    for (name, of) in further(results) {
        columns.push(Column::right(name, rows.iter().map(|row| score(row.mean(of)))));
    }
    align(&columns) + &notes(results)
}

/// The columns after the headline.
type Further = (&'static str, fn(&ProbeResult) -> Option<f64>);

fn further(results: &[ProbeResult]) -> Vec<Further> {
    if results.iter().any(|result| result.few_shot.is_some()) {
        return Vec::new();
    }
    if results.iter().any(|result| result.verification.is_some()) {
        return vec![
            ("std error", |result| result.verification.as_ref().map(|info| info.standard_error)),
            ("AUROC", |result| result.mean(|target| target.auroc)),
            ("TAR at 0.1", |result| result.tar_at(0.1)),
            ("TAR at 0.01", |result| result.tar_at(0.01)),
        ];
    }
    let metric = results.first().map(|result| result.metric).unwrap_or_default();
    if metric == Metric::R2 {
        return vec![
            ("pearson", |result| result.mean(|target| target.pearson)),
            ("spearman", |result| result.mean(|target| target.spearman)),
        ];
    }
    let precision: Further = ("avg prec", |result| result.mean(|target| target.average_precision));
    let balanced: Further = ("bal acc", ProbeResult::balanced_accuracy);
    match metric {
        // Accuracy stands before.
        Metric::Accuracy => {
            vec![("AUROC", |result| result.mean(|target| target.auroc)), precision, balanced]
        }
        _ => vec![precision, balanced, ("accuracy", ProbeResult::accuracy)],
    }
}

/// What the numbers above do not say.
fn notes(results: &[ProbeResult]) -> String {
    let mut text = String::new();
    for result in results {
        let names: Vec<&str> = result.not_converged().map(|target| &target.target[..]).collect();
        if !names.is_empty() {
            let place = layers(result);
            let names = printable(&names.join(", "));
            text += &format!("not converged: {} {place}: {names}\n", result.source);
        }
    }
    text += &edges(results);
    let undefined: BTreeSet<&str> =
        results.iter().flat_map(ProbeResult::undefined).map(|target| &target.target[..]).collect();
    if !undefined.is_empty() {
        let names: Vec<&str> = undefined.into_iter().collect();
        let names = printable(&names.join(", "));
        text += &format!("undefined, one value in train or test: {names}\n");
    }
    text
}

/// How many targets of each source chose a strength at an end of those to choose from; empty where
/// none did.
fn edges(results: &[ProbeResult]) -> String {
    let mut text = String::new();
    for (edge, name) in [(StrengthEdge::Smallest, "smallest"), (StrengthEdge::Largest, "largest")] {
        let of = |source: Source| {
            let targets = results.iter().filter(|result| result.source == source);
            let targets = targets.flat_map(|result| &result.per_target);
            let chosen: Vec<_> = targets.filter(|target| target.strength.is_some()).collect();
            let at_edge = chosen.iter().filter(|target| target.strength_edge == Some(edge)).count();
            (at_edge > 0).then(|| format!("{source} {at_edge} of {}", chosen.len()))
        };
        let counts: Vec<String> = Source::ALL.iter().filter_map(|&source| of(source)).collect();
        if !counts.is_empty() {
            text += &format!("targets that chose the {name} strength: {}\n", counts.join(", "));
        }
    }
    text
}

/// One line a target of one result, with everything the probe measured.
pub fn targets_table(result: &ProbeResult) -> String {
    let targets = &result.per_target;
    let numbers = |of: fn(&TargetResult) -> Option<f64>| targets.iter().map(move |t| score(of(t)));
    let mut columns = vec![Column::left("target", targets.iter().map(|t| t.target.clone()))];
    if result.metric == Metric::R2 {
        columns.push(Column::right("R²", numbers(|t| t.r2)));
        columns.push(Column::right("pearson", numbers(|t| t.pearson)));
        columns.push(Column::right("spearman", numbers(|t| t.spearman)));
    } else {
        columns.push(Column::right("AUROC", numbers(|t| t.auroc)));
        columns.push(Column::right("avg prec", numbers(|t| t.average_precision)));
        if result.metric == Metric::Accuracy {
            columns.push(Column::right("recall", numbers(|t| t.recall)));
            columns.push(Column::right("1-vs-rest acc", numbers(|t| t.accuracy)));
        } else {
            columns.push(Column::right("bal acc", numbers(|t| t.balanced_accuracy)));
            columns.push(Column::right("accuracy", numbers(|t| t.accuracy)));
        }
        columns.push(Column::right("base rate", numbers(|t| t.base_rate)));
    }
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    if targets.iter().any(|target| target.neighbours.is_some()) {
        let of = |t: &TargetResult| or_dash(t.neighbours.map(|k| k.to_string()));
        columns.push(Column::right("neighbours", targets.iter().map(of)));
    } else if result.probe != "centroid" {
        let of = |t: &TargetResult| or_dash(t.strength.map(|strength| format!("{strength:e}")));
        columns.push(Column::right("strength", targets.iter().map(of)));
    }
    let converged =
        |t: &TargetResult| if t.converged == Some(false) { "not converged" } else { "" }.to_owned();
    columns.push(Column::left("", targets.iter().map(converged)));
    align(&columns)
}

/// One line a difference, the first few of many.
pub fn comparisons_table(comparisons: &[Comparison]) -> String {
    let shown = &comparisons[..comparisons.len().min(MOST_COMPARISONS)];
    let interval = |c: &Comparison| {
        c.ci95.map_or_else(dash, |[low, high]| {
            format!("[{}, {}]", signed(Some(low)), signed(Some(high)))
        })
    };
    let p_value = |c: &Comparison| {
        c.p_value.map_or_else(dash, |p| match p < 0.001 {
            true => "<0.001".to_owned(),
            false => format!("{p:.3}"),
        })
    };
    let columns = [
        Column::left("difference of", shown.iter().map(|c| side(&c.a))),
        Column::left("and", shown.iter().map(|c| side(&c.b))),
        Column::right("", shown.iter().map(|c| signed(Some(c.difference)))),
        Column::right("95% interval", shown.iter().map(interval)),
        Column::right("p", shown.iter().map(p_value)),
    ];
    let mut text = align(&columns);
    if comparisons.len() > shown.len() {
        text += &format!("and {} more in results.json\n", comparisons.len() - shown.len());
    }
    text
}

/// One side of a comparison.
fn side(side: &Compared) -> String {
    let mut text = side.source.to_string();
    if let Some(layers) = side.layers {
        text += &format!(" {layers}");
    }
    if let Some(columns) = side.matched_columns {
        text += &format!(" ({columns} columns)");
    }
    if side.probe != "logistic" {
        text += &format!(" {}", side.probe);
    }
    if side.train_fraction < 1.0 {
        text += &format!(" at {}", side.train_fraction);
    }
    if let Some(labels) = &side.labels {
        text += &format!(", {labels}");
    }
    text
}

fn layers(result: &ProbeResult) -> String {
    result.layers.map_or_else(dash, |layers| layers.to_string())
}

#[cfg(test)]
mod tests;
