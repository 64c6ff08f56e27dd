//! What tables must have in common before something is fitted on them.

use ndarray::{Array2, Axis, concatenate};
use vdvae_features::{FeatureTable, Targets};

use crate::{Error, Result};

/// Checks the tables a probe is fitted on.
pub(crate) fn check_fit(train: &FeatureTable, valid: &FeatureTable) -> Result<()> {
    check("train", train, &train.targets, train.features.ncols())?;
    check("valid", valid, &train.targets, train.features.ncols())?;
    let Some(found) = single_valued(&train.targets) else { return Ok(()) };
    let expected = match train.targets {
        Targets::Classes { .. } => "rows of at least two classes",
        _ => "two values of at least one target",
    };
    Err(Error::Targets { split: "train", expected: expected.into(), found })
}

/// Checks one split against itself and against the targets and columns of train.
pub(crate) fn check(
    split: &'static str,
    table: &FeatureTable,
    targets: &Targets,
    columns: usize,
) -> Result<()> {
    table.validate().map_err(|source| Error::Table { split, source: Box::new(source) })?;
    let differs = |expected: String, found: String| Err(Error::Targets { split, expected, found });
    if table.rows() == 0 {
        return differs("at least one row".into(), "none".into());
    }
    if columns != table.features.ncols() {
        return differs(format!("{columns} columns"), table.features.ncols().to_string());
    }
    match (targets, &table.targets) {
        (Targets::Binary { names: a, .. }, Targets::Binary { names: b, values }) => {
            if a != b || values.ncols() != a.len() {
                return differs(format!("targets {a:?}"), format!("{} of {b:?}", values.ncols()));
            }
        }
        (Targets::Real { names: a, .. }, Targets::Real { names: b, values }) => {
            if a != b || values.ncols() != a.len() {
                return differs(format!("targets {a:?}"), format!("{} of {b:?}", values.ncols()));
            }
            if let Some(infinite) = values.iter().find(|value| value.is_infinite()) {
                return differs("finite targets".into(), infinite.to_string());
            }
        }
        (Targets::Classes { names: a, .. }, Targets::Classes { names: b, labels }) => {
            if a != b {
                return differs(format!("{} classes as in train", a.len()), format!("{b:?}"));
            }
            if let Some(label) = labels.iter().find(|&&label| label as usize >= a.len()) {
                return differs(format!("classes below {}", a.len()), label.to_string());
            }
        }
        (Targets::None, _) => return differs("labels".into(), "none".into()),
        (Targets::Several(_), _) => {
            return differs("targets of one kind".into(), "several kinds".into());
        }
        _ => return differs("the kind of targets that train has".into(), "another".into()),
    }
    Ok(())
}

/// What there is instead, where no target (or class) has two values.
fn single_valued(targets: &Targets) -> Option<String> {
    let names = match targets {
        Targets::None | Targets::Several(_) => return None,
        Targets::Classes { names, labels } => {
            let first = labels.first()?;
            let single = labels.iter().all(|label| label == first);
            return single.then(|| format!("only `{}`", names[*first as usize]));
        }
        Targets::Binary { names, .. } | Targets::Real { names, .. } => names,
    };
    let varied = (0..names.len()).any(|output| has_two_values(targets, output));
    let list = match &names[..] {
        [] => "no targets".to_owned(),
        [only] => format!("one value of `{only}`"),
        [first, ..] => format!("one value of each of {} (`{first}`, …)", names.len()),
    };
    (!varied).then_some(list)
}

/// Whether a binary or real target has at least two different values.
pub(crate) fn has_two_values(targets: &Targets, output: usize) -> bool {
    match targets {
        Targets::Binary { values, .. } => {
            let column = values.column(output);
            column.iter().any(|&label| label == 0) && column.iter().any(|&label| label > 0)
        }
        Targets::Real { values, .. } => {
            let mut observed = values.column(output).into_iter().filter(|value| !value.is_nan());
            let first = observed.next();
            observed.any(|value| Some(value) != first)
        }
        Targets::None | Targets::Classes { .. } | Targets::Several(_) => true,
    }
}

/// The targets of one table's rows, then those of another's; both tables were checked.
pub(crate) fn joined(first: &Targets, second: &Targets) -> Targets {
    match (first, second) {
        (Targets::Binary { names, values: a }, Targets::Binary { values: b, .. }) => {
            Targets::Binary { names: names.clone(), values: under(a, b) }
        }
        (Targets::Real { names, values: a }, Targets::Real { values: b, .. }) => {
            Targets::Real { names: names.clone(), values: under(a, b) }
        }
        (Targets::Classes { names, labels: a }, Targets::Classes { labels: b, .. }) => {
            Targets::Classes { names: names.clone(), labels: [&a[..], &b[..]].concat() }
        }
        _ => unreachable!("tables were checked to have the same kind of targets"),
    }
}

fn under<T: Copy>(a: &Array2<T>, b: &Array2<T>) -> Array2<T> {
    concatenate(Axis(0), &[a.view(), b.view()])
        .expect("tables were checked to have the same targets")
}
