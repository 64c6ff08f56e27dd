//! Tables for the terminal: columns as wide as their widest cell, numbers flush right.

use vdvae_probes::{ProbeReport, ProbeResult, Source, TargetResult};

/// Which side a column is flush with.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

/// A report for the terminal: what was measured, [`results_table`], and what its columns and
/// controls mean.
pub fn report_table(report: &ProbeReport) -> String {
    let data = &report.data;
    let mut text = format!(
        "{} with model {}: {} train, {} valid, {} test pictures\n\n{}\n",
        report.task,
        report.model.name,
        data.n_train,
        data.n_valid,
        data.n_test,
        results_table(&report.results)
    );
    for line in legend(&report.results) {
        text += line;
        text.push('\n');
    }
    text
}

/// One line for each thing in the table that needs a word.
fn legend(results: &[ProbeResult]) -> Vec<&'static str> {
    let mut lines = vec![if results.iter().any(|result| result.metric == "auroc") {
        "scores on test, means over the targets; AUROC of 0.5 is chance; intervals are 95% bootstrap"
    } else {
        "scores on test; accuracy is top-1 of all classes; intervals are 95% bootstrap"
    }];
    let controls = [
        (Source::RandomInit, "control random-init: the same network with random weights"),
        (Source::Pixels, "control pixels: what the network sees, without the network"),
        (Source::ShuffledLabels, "control shuffled-labels: the latents, labels of other pictures"),
    ];
    let present = |source| results.iter().any(|result| result.source == source);
    lines.extend(controls.into_iter().filter(|(source, _)| present(*source)).map(|(_, line)| line));
    lines
}

/// One line a result: where the features came from and what they score, means over the targets
/// that are defined. `AUROC [95% interval]` is the headline; tasks of classes head it `accuracy`.
///
/// A note follows where fits did not converge.
pub fn results_table(results: &[ProbeResult]) -> String {
    let classes = results.iter().any(|result| result.metric != "auroc");
    let value = if classes { "accuracy" } else { "mean AUROC" };
    let accuracy = if classes { "1-vs-rest acc" } else { "accuracy" };
    let header =
        ["source", "layers", "columns", value, "95% interval", "avg prec", "bal acc", accuracy];
    let mut sides = [Side::Right; 8];
    sides[..2].fill(Side::Left);
    let rows: Vec<[String; 8]> = results.iter().map(result_row).collect();
    let mut text = align(&header, &sides, &rows);
    for result in results {
        let names: Vec<&str> = result.not_converged().map(|target| &target.target[..]).collect();
        if !names.is_empty() {
            let place = result.layers.as_deref().unwrap_or("-");
            text += &format!("not converged: {} {place}: {}\n", result.source, names.join(", "));
        }
    }
    text
}

/// One line a target of one result, with everything the probe measured.
pub fn targets_table(result: &ProbeResult) -> String {
    let header =
        ["target", "AUROC", "avg prec", "bal acc", "accuracy", "base rate", "strength", ""];
    let mut sides = [Side::Right; 8];
    sides[0] = Side::Left;
    sides[7] = Side::Left;
    align(&header, &sides, &result.per_target.iter().map(target_row).collect::<Vec<_>>())
}

fn result_row(result: &ProbeResult) -> [String; 8] {
    let interval = result.ci95.map_or_else(
        || "-".to_owned(),
        |[low, high]| format!("[{}, {}]", score(Some(low)), score(Some(high))),
    );
    [
        result.source.to_string(),
        result.layers.clone().unwrap_or_else(|| "-".to_owned()),
        result.matched_columns.unwrap_or(result.columns).to_string(),
        score(result.value),
        interval,
        score(result.mean_average_precision()),
        score(result.mean_balanced_accuracy()),
        score(result.mean_accuracy()),
    ]
}

fn target_row(target: &TargetResult) -> [String; 8] {
    [
        target.target.clone(),
        score(target.auroc),
        score(target.average_precision),
        score(target.balanced_accuracy),
        score(target.accuracy),
        score(target.base_rate),
        target.strength.map_or_else(|| "-".to_owned(), |strength| format!("{strength:e}")),
        if target.converged == Some(false) { "not converged" } else { "" }.to_owned(),
    ]
}

/// Three digits, or a dash where undefined.
fn score(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// Pads every cell to its column, two spaces between columns, nothing at the end of a line.
fn align<const N: usize>(header: &[&str; N], sides: &[Side; N], rows: &[[String; N]]) -> String {
    let width = |cell: &str| cell.chars().count();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| width(&row[column])).fold(width(header[column]), usize::max)
    });
    let mut text = String::new();
    for row in std::iter::once(&header.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for ((cell, side), width) in row.iter().zip(sides).zip(widths) {
            line += &match side {
                Side::Left => format!("{cell:<width$}  "),
                Side::Right => format!("{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn results_of_fixed_numbers() {
        let expected = "\
source   layers  columns  mean AUROC    95% interval  avg prec  bal acc  accuracy
latents  32x32       512       0.750  [0.700, 0.812]     0.500    0.625     0.938
pixels   -          3072           -               -         -        -         -
";
        assert_eq!(results_table(&fixture::report().results), expected);
    }

    #[test]
    fn a_report_says_what_it_measured_and_explains_the_controls_it_has() {
        let text = report_table(&fixture::report());
        let table = results_table(&fixture::report().results);
        let expected = format!(
            "celeba-attrs with model builtin: 80 train, 10 valid, 10 test pictures\n\n{table}\n\
             scores on test, means over the targets; AUROC of 0.5 is chance; intervals are 95% \
             bootstrap\n\
             control pixels: what the network sees, without the network\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn fits_that_did_not_converge_are_named() {
        let mut result = fixture::report().results.remove(0);
        result.per_target[0].converged = Some(false);
        let text = results_table(std::slice::from_ref(&result));
        assert!(text.ends_with("\nnot converged: latents 32x32: Smiling\n"), "{text}");
        let expected = "\
target    AUROC  avg prec  bal acc  accuracy  base rate  strength
Smiling   0.750     0.500    0.625     0.875      0.500       1e2  not converged
Hat, red      -         -        -     1.000      1.000         -
";
        assert_eq!(targets_table(&result), expected);
    }

    #[test]
    fn classes_are_headed_by_accuracy() {
        let mut result = fixture::report().results.remove(0);
        result.metric = "accuracy".into();
        let text = results_table(&[result]);
        assert!(text.starts_with("source   layers  columns  accuracy"), "{text}");
    }
}
