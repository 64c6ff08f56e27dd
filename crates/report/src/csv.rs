//! `results.csv`: one line per result and target.

use std::path::Path;

use vdvae_probes::{ProbeReport, ProbeResult, TargetResult};

use crate::{Result, atomic};

/// The columns, in order.
const HEADER: [&str; 32] = [
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
];

/// The report as CSV with a header; undefined numbers are empty.
///
/// # Errors
/// [`Error::Csv`](crate::Error::Csv) where the text cannot be built.
pub fn results_csv(report: &ProbeReport) -> Result<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for result in &report.results {
        for target in &result.per_target {
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
    atomic::write(path, results_csv(report)?.as_bytes())
}

/// A number or nothing.
fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// One line, in the order of the header.
fn record(report: &ProbeReport, result: &ProbeResult, target: &TargetResult) -> [String; 32] {
    [
        report.task.clone(),
        report.model.name.clone(),
        report.model.sha256.clone().unwrap_or_default(),
        report.data.name.clone(),
        report.seed.to_string(),
        result.source.to_string(),
        result.layers.clone().unwrap_or_default(),
        optional(result.resolution),
        result.columns.to_string(),
        optional(result.matched_columns),
        result.train_fraction.to_string(),
        result.n_train.to_string(),
        optional(result.label_seed),
        result.probe.clone(),
        result.solver.clone(),
        result.metric.clone(),
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
balanced_accuracy,accuracy,base_rate,r2,pearson,spearman,strength,neighbours,converged
celeba-attrs,builtin,abc,celeba,7,latents,32x32,32,512,,1,80,,logistic,batched,auroc,0.75,0.7,\
0.8125,0.25,Smiling,0.75,0.5,0.625,0.875,0.5,,,,100,,true
celeba-attrs,builtin,abc,celeba,7,latents,32x32,32,512,,1,80,,logistic,batched,auroc,0.75,0.7,\
0.8125,0.25,\"Hat, red\",,,,1,1,,,,,,
celeba-attrs,builtin,abc,celeba,7,pixels,,,3072,,1,80,,logistic,batched,auroc,,,,,Smiling,,,,,,,,,,,
";
        assert_eq!(results_csv(&fixture::report()).unwrap(), expected);
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
