//! `results.csv`: one line per result and target.

use std::path::Path;

use vdvae_probes::{ProbeReport, ProbeResult, TargetResult};

use crate::{Result, error::write};

/// The columns, in order.
const HEADER: [&str; 39] = [
    "task",
    "model",
    "sha256",
    "data",
    "seed",
    "source",
    "layers",
    "resolution",
    "columns",
    "matched_columns",
    "train_fraction",
    "n_train",
    "label_seed",
    "probe",
    "solver",
    "metric",
    "value",
    "ci95_low",
    "ci95_high",
    "selectivity",
    "target",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "accuracy",
    "base_rate",
    "r2",
    "pearson",
    "spearman",
    "strength",
    "neighbours",
    "converged",
    "ways",
    "shots",
    "queries",
    "episodes",
    "standard_error",
    "tar_at_far_0.1",
    "tar_at_far_0.01",
];

/// The report as CSV with a header; undefined numbers are empty.
///
/// # Errors
/// [`Error::Csv`](crate::Error::Csv) where the text cannot be built.
pub fn results_csv(report: &ProbeReport) -> Result<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for result in &report.results {
        // Episodes have no targets, and one line all the same.
        let none = [TargetResult::default()];
        let targets = if result.per_target.is_empty() { &none } else { &result.per_target[..] };
        for target in targets {
            writer.write_record(record(report, result, target))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| ::csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8(bytes).expect("every field is a string"))
}

/// Writes [`results_csv`] to `path`, atomically.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write) and those of [`results_csv`].
pub fn write_csv(path: &Path, report: &ProbeReport) -> Result<()> {
    write(path, results_csv(report)?.as_bytes())
}

/// A number or nothing.
fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// One line, in the order of the header.
fn record(report: &ProbeReport, result: &ProbeResult, target: &TargetResult) -> [String; 39] {
    [
        report.task.clone(),
        report.model.name.clone(),
        report.model.sha256.clone().unwrap_or_default(),
        report.data.name.clone(),
        report.seed.to_string(),
        result.source.to_string(),
        optional(result.layers),
        optional(result.resolution),
        result.columns.to_string(),
        optional(result.matched_columns),
        result.train_fraction.to_string(),
        result.n_train.to_string(),
        optional(result.label_seed),
        result.probe.clone(),
        result.solver.clone(),
        result.metric.name().to_owned(),
        optional(result.value),
        optional(result.ci95.map(|[low, _]| low)),
        optional(result.ci95.map(|[_, high]| high)),
        optional(result.selectivity),
        target.target.clone(),
        optional(target.auroc),
        optional(target.average_precision),
        optional(target.balanced_accuracy),
        optional(target.accuracy),
        optional(target.base_rate),
        optional(target.r2),
        optional(target.pearson),
        optional(target.spearman),
        optional(target.strength),
        optional(target.neighbours),
        optional(target.converged),
        optional(result.few_shot.as_ref().map(|info| info.ways)),
        optional(result.few_shot.as_ref().map(|info| info.shots)),
        optional(result.few_shot.as_ref().map(|info| info.queries)),
        optional(result.few_shot.as_ref().map(|info| info.episodes)),
        optional(result.verification.as_ref().map(|info| info.standard_error)),
        optional(result.tar_at(0.1)),
        optional(result.tar_at(0.01)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn one_line_a_result_and_target() {
        let expected = "\
task,model,sha256,data,seed,source,layers,resolution,columns,matched_columns,train_fraction,n_train,\
label_seed,probe,solver,metric,value,ci95_low,ci95_high,selectivity,target,auroc,average_precision,\
balanced_accuracy,accuracy,base_rate,r2,pearson,spearman,strength,neighbours,converged,\
ways,shots,queries,episodes,standard_error,tar_at_far_0.1,tar_at_far_0.01
celeba-attrs,builtin,abc,celeba,7,latents,32x32,32,512,,1,80,,logistic,batched,auroc,0.75,0.7,\
0.8125,0.25,Smiling,0.75,0.5,0.625,0.875,0.5,,,,100,,true,,,,,,,
celeba-attrs,builtin,abc,celeba,7,latents,32x32,32,512,,1,80,,logistic,batched,auroc,0.75,0.7,\
0.8125,0.25,\"Hat, red\",,,,1,1,,,,,,,,,,,,,
celeba-attrs,builtin,abc,celeba,7,pixels,,,3072,,1,80,,logistic,batched,auroc,,,,,Smiling,,,,,,,,,,,,,,,,,,
";
        assert_eq!(results_csv(&fixture::report()).unwrap(), expected);
    }

    #[test]
    fn episodes_have_one_line_without_a_target() {
        let text = results_csv(&fixture::few_shot()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].ends_with(",,,,,,,,,,,,5,1,15,600,,,"), "{}", lines[1]);
        let text = results_csv(&fixture::verification()).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(line.contains("same person,0.875"), "{line}");
        assert!(line.ends_with(",,,,0.03125,0.75,"), "{line}");
    }

    #[test]
    fn the_file_is_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.csv");
        write_csv(&path, &fixture::report()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, results_csv(&fixture::report()).unwrap());
    }
}
