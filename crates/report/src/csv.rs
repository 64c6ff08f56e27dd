//! `results.csv`: one line per result and target.

use std::path::Path;

use vdvae_probes::{EpisodeInfo, ProbeReport, ProbeResult, TargetResult};

use crate::{Result, error::write};

/// What one column holds of a result and one of its targets.
type Cell = fn(&ProbeReport, &ProbeResult, &TargetResult) -> String;

/// The columns, in order.
const COLUMNS: [(&str, Cell); 39] = [
    ("task", |report, _, _| report.task.clone()),
    ("model", |report, _, _| report.model.name.clone()),
    ("sha256", |report, _, _| report.model.sha256.clone().unwrap_or_default()),
    ("data", |report, _, _| report.data.name.clone()),
    ("seed", |report, _, _| report.seed.to_string()),
    ("source", |_, result, _| result.source.to_string()),
    ("layers", |_, result, _| optional(result.layers)),
    ("resolution", |_, result, _| optional(result.resolution)),
    ("columns", |_, result, _| result.columns.to_string()),
    ("matched_columns", |_, result, _| optional(result.matched_columns)),
    ("train_fraction", |_, result, _| result.train_fraction.to_string()),
    ("n_train", |_, result, _| result.n_train.to_string()),
    ("label_seed", |_, result, _| optional(result.label_seed)),
    ("probe", |_, result, _| result.probe.clone()),
    ("solver", |_, result, _| result.solver.clone()),
    ("metric", |_, result, _| result.metric.name().to_owned()),
    ("value", |_, result, _| optional(result.value)),
    ("ci95_low", |_, result, _| optional(result.ci95.map(|[low, _]| low))),
    ("ci95_high", |_, result, _| optional(result.ci95.map(|[_, high]| high))),
    ("selectivity", |_, result, _| optional(result.selectivity)),
    ("target", |_, _, target| target.target.clone()),
    ("auroc", |_, _, target| optional(target.auroc)),
    ("average_precision", |_, _, target| optional(target.average_precision)),
    ("balanced_accuracy", |_, _, target| optional(target.balanced_accuracy)),
    ("accuracy", |_, _, target| optional(target.accuracy)),
    ("base_rate", |_, _, target| optional(target.base_rate)),
    ("r2", |_, _, target| optional(target.r2)),
    ("pearson", |_, _, target| optional(target.pearson)),
    ("spearman", |_, _, target| optional(target.spearman)),
    ("strength", |_, _, target| optional(target.strength)),
    ("neighbours", |_, _, target| optional(target.neighbours)),
    ("converged", |_, _, target| optional(target.converged)),
    ("ways", |_, result, _| optional(shots(result, |info| info.ways))),
    ("shots", |_, result, _| optional(shots(result, |info| info.shots))),
    ("queries", |_, result, _| optional(shots(result, |info| info.queries))),
    ("episodes", |_, result, _| optional(shots(result, |info| info.episodes))),
    ("standard_error", |_, result, _| {
        optional(result.verification.as_ref().map(|info| info.standard_error))
    }),
    ("tar_at_far_0.1", |_, result, _| optional(result.tar_at(0.1))),
    ("tar_at_far_0.01", |_, result, _| optional(result.tar_at(0.01))),
];

/// Columns that follow where any line has something in them.
const FURTHER: [(&str, Cell); 4] = [
    ("recall", |_, _, target| optional(target.recall)),
    ("labels", |_, result, _| result.labels.clone().unwrap_or_default()),
    // What was read from a network; pixels are no layer of one.
    ("statistic", |report, result, _| optional(result.layers.map(|_| report.features.statistic))),
    ("pooling", |report, result, _| optional(result.layers.map(|_| report.features.pooling))),
];

/// One number that describes the episodes of a few-shot result; `None` for other results.
fn shots<T>(result: &ProbeResult, of: impl Fn(&EpisodeInfo) -> T) -> Option<T> {
    result.few_shot.as_ref().map(of)
}

/// The report as CSV with a header; undefined numbers are empty.
///
/// # Errors
/// [`Error::Csv`](crate::Error::Csv) where the text cannot be built.
pub fn results_csv(report: &ProbeReport) -> Result<String> {
    // Episodes have no targets, and one line all the same.
    let none = [TargetResult::default()];
    let lines: Vec<(&ProbeResult, &TargetResult)> = report
        .results
        .iter()
        .flat_map(|result| {
            let targets = if result.per_target.is_empty() { &none } else { &result.per_target[..] };
            targets.iter().map(move |target| (result, target))
        })
        .collect();
    let says = |cell: Cell| lines.iter().any(|(result, of)| !cell(report, result, of).is_empty());
    let further = FURTHER.into_iter().filter(|(_, cell)| says(*cell));
    let columns: Vec<(&str, Cell)> = COLUMNS.into_iter().chain(further).collect();
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|(name, _)| name))?;
    for (result, target) in lines {
        writer.write_record(columns.iter().map(|(_, cell)| cell(report, result, target)))?;
    }
    text(writer)
}

/// Writes [`results_csv`] to `path`, atomically.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write) and those of [`results_csv`].
pub fn write_csv(path: &Path, report: &ProbeReport) -> Result<()> {
    write(path, results_csv(report)?.as_bytes())
}

/// The lines that were written, as one text.
pub(crate) fn text(writer: ::csv::Writer<Vec<u8>>) -> Result<String> {
    let bytes = writer.into_inner().map_err(|error| ::csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8(bytes).expect("every field is a string"))
}

/// A number as text, or an empty text where it is undefined.
pub(crate) fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
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
ways,shots,queries,episodes,standard_error,tar_at_far_0.1,tar_at_far_0.01,statistic,pooling
celeba-attrs,builtin,abc,celeba,7,latents,32x32,32,512,,1,80,,logistic,batched,auroc,0.75,0.7,\
0.8125,0.25,Smiling,0.75,0.5,0.625,0.875,0.5,,,,100,,true,,,,,,,,mean,grid:4
celeba-attrs,builtin,abc,celeba,7,latents,32x32,32,512,,1,80,,logistic,batched,auroc,0.75,0.7,\
0.8125,0.25,\"Hat, red\",,,,1,1,,,,,,,,,,,,,,mean,grid:4
celeba-attrs,builtin,abc,celeba,7,pixels,,,3072,,1,80,,logistic,batched,auroc,,,,,Smiling,,,,,,,,,,,,,,,,,,,,
";
        assert_eq!(results_csv(&fixture::report()).unwrap(), expected);
    }

    #[test]
    fn episodes_have_one_line_without_a_target() {
        let text = results_csv(&fixture::few_shot()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].ends_with(",,,,,,,,,,,,5,1,15,600,,,,mean,grid:4"), "{}", lines[1]);
        let text = results_csv(&fixture::verification()).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(line.contains("same person,0.875"), "{line}");
        assert!(line.ends_with(",,,,0.03125,0.75,,mean,grid:4"), "{line}");
    }

    #[test]
    fn the_recall_of_classes_is_a_column_where_there_are_classes() {
        let mut report = fixture::report();
        report.results[0].per_target[0].recall = Some(0.25);
        let text = results_csv(&report).unwrap();
        let recall = |line: &'_ str| line.rsplit(',').nth(2).unwrap().to_owned();
        assert_eq!(text.lines().map(recall).collect::<Vec<_>>(), ["recall", "0.25", "", ""]);
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
