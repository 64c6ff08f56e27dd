//! The values of target columns, and what is said about each.

use std::collections::{BTreeMap, HashSet};

use unicode_normalization::UnicodeNormalization;

use super::Uncertain;
use super::cells::{is_missing, number, whole, yes_or_no};
use super::targets::{Target, TargetKind};
use crate::names::alike;
use crate::{Error, Labels, Result, TableChoice};

/// Most classes.
const MAX_CLASSES: usize = 65_536;
/// Classes that a remark names.
const NAMED: usize = 6;
/// More targets of one kind share a remark.
const MOST_REMARKS: usize = 12;

/// The labels of all rows, and a line about each target.
///
/// Targets of several kinds are [`Labels::Several`]: the binary ones, the real ones, and each
/// column of classes, in the order in which they come first.
pub(super) fn labels(
    targets: &[Target<'_>],
    uncertain: Option<Uncertain>,
    remarks: &mut Vec<String>,
) -> Result<Labels> {
    let of = |kind| targets.iter().filter(move |target| target.kind == kind);
    let names = |kind| of(kind).map(|t| t.table.header[t.column].clone()).collect::<Vec<_>>();
    let mut parts: Vec<(String, Labels)> = Vec::new();
    for target in targets {
        let name = match target.kind {
            TargetKind::Class => format!("{}:class", target.table.header[target.column]),
            kind => kind.to_string(),
        };
        if parts.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let mut said = Vec::new();
        let labels = match target.kind {
            TargetKind::Binary => {
                let columns = of(target.kind).map(|t| binary(t, uncertain, &mut said));
                let values = side_by_side(columns.collect::<Result<_>>()?);
                Labels::Binary { names: names(target.kind), values }
            }
            TargetKind::Real => {
                let columns = of(target.kind).map(|t| real(t, &mut said));
                let values = side_by_side(columns.collect::<Result<_>>()?);
                Labels::Real { names: names(target.kind), values }
            }
            TargetKind::Class => classes(target, &mut said)?,
        };
        if said.len() > MOST_REMARKS {
            let names: Vec<String> = of(target.kind).map(Target::name).collect();
            said = vec![format!("{} targets are {name}: {}", names.len(), names.join(", "))];
        }
        remarks.extend(said);
        parts.push((name, labels));
    }
    Ok(match parts.len() {
        0 => Labels::None,
        1 => parts.remove(0).1,
        _ => Labels::Several(parts),
    })
}

/// The values of several columns, row by row.
fn side_by_side<T: Copy>(columns: Vec<Vec<T>>) -> Vec<T> {
    let rows = columns.first().map_or(0, Vec::len);
    (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
}

/// What is said of a target after its name: ` 3 missing` where cells are.
fn say(target: &Target<'_>, said: &mut Vec<String>, what: String) {
    let missing = target.cells().filter(|cell| is_missing(cell)).count();
    let missing = if missing > 0 { format!("; {missing} missing") } else { String::new() };
    said.push(format!("target {}: {what}{missing}", target.name()));
}

/// Fails where there is one value, or none.
fn require_two<T: PartialEq>(
    target: &Target<'_>,
    mut values: impl Iterator<Item = T>,
) -> Result<()> {
    let (table, name) = (target.table, target.name());
    let expected = format!("two values or more in column {name}");
    let Some(first) = values.next() else {
        return Err(table.error(1, expected, "only empty cells"));
    };
    if values.any(|value| value != first) {
        return Ok(());
    }
    let cell = target.cells().find(|cell| !is_missing(cell)).unwrap_or_default();
    Err(table.error(1, expected, format!("only {}", crate::text::quoted(cell))))
}

/// 1, 0, or -1 where a cell is missing.
fn binary(
    target: &Target<'_>,
    uncertain: Option<Uncertain>,
    said: &mut Vec<String>,
) -> Result<Vec<i8>> {
    let minus_one = |cell: &str| number(cell) == Some(-1.0);
    let no = |cell: &str| number(cell) == Some(0.0) || yes_or_no(cell) == Some(false);
    let minus = target.cells().position(minus_one);
    // Alone beside 1, as in CelebA, it says no.
    let doubtful = uncertain.is_some() || target.cells().any(|cell| is_missing(cell) || no(cell));
    let of_minus = match (minus.filter(|_| doubtful), uncertain) {
        (None, _) | (_, Some(Uncertain::No)) => 0,
        (_, Some(Uncertain::Missing)) => -1,
        (_, Some(Uncertain::Yes)) => 1,
        (Some(row), None) => {
            let table = target.table;
            return Err(Error::Undecided {
                choice: TableChoice::Uncertain,
                file: table.file.clone(),
                line: table.lines[row],
                expected: format!("1 and 0 in column {}", target.name()),
                found: "-1, which may mean that it is not certain".to_owned(),
            });
        }
    };
    let expected = "1 or 0, 1 or -1, true or false, yes or no";
    let values = target.cells().enumerate().map(|(row, cell)| match number(cell) {
        _ if is_missing(cell) => Ok(-1),
        Some(1.0) => Ok(1),
        Some(-1.0) => Ok(of_minus),
        _ if yes_or_no(cell) == Some(true) => Ok(1),
        _ if no(cell) => Ok(0),
        _ => Err(target.error(row, expected)),
    });
    let values: Vec<i8> = values.collect::<Result<_>>()?;
    require_two(target, values.iter().filter(|value| **value >= 0))?;
    let count = |of: i8| values.iter().filter(|value| **value == of).count();
    let minus = match (minus, uncertain) {
        (None, _) => String::new(),
        (_, None) => ", -1 is no".to_owned(),
        (_, Some(answer)) => format!(", -1 is {}", format!("{answer:?}").to_lowercase()),
    };
    say(target, said, format!("binary, {} yes and {} no{minus}", count(1), count(0)));
    Ok(values)
}

/// Numbers, NaN where a cell is missing.
fn real(target: &Target<'_>, said: &mut Vec<String>) -> Result<Vec<f64>> {
    let values = target.cells().enumerate().map(|(row, cell)| match number(cell) {
        // Probes read features of 32 bits, and square what they predict.
        Some(value) if (value as f32).is_finite() => match cell.parse::<i128>() {
            Ok(whole) if whole != value as i128 => {
                Err(target.error(row, "a whole number that 64-bit floats can hold"))
            }
            _ => Ok(value),
        },
        None if is_missing(cell) => Ok(f64::NAN),
        _ => Err(target.error(row, "a number")),
    });
    let values: Vec<f64> = values.collect::<Result<_>>()?;
    let known = values.iter().filter(|value| !value.is_nan());
    require_two(target, known.clone())?;
    let different = known.map(|value| value.to_bits()).collect::<HashSet<_>>().len();
    say(target, said, format!("real, {different} different numbers"));
    Ok(values)
}

/// Classes in the order of their names, or of their numbers where all are whole numbers.
fn classes(target: &Target<'_>, said: &mut Vec<String>) -> Result<Labels> {
    let known = || target.cells().filter(|cell| !is_missing(cell));
    let plain = known().all(|cell| cell.parse::<i64>().is_ok());
    let numbers = known().all(|cell| whole(cell).is_some());
    // `1` and `1.0` are one class, `01` and `1` are two; words are compared in Unicode's composed form.
    let class = |cell: &str| match whole(cell).filter(|_| numbers) {
        Some(number) if plain => (number, cell.to_owned()),
        Some(number) => (number, number.to_string()),
        None => (0, cell.nfc().collect()),
    };
    let mut ranks: BTreeMap<(i64, String), u32> = known().map(|cell| (class(cell), 0)).collect();
    require_two(target, known().map(class))?;
    if ranks.len() > MAX_CLASSES {
        let expected = format!("at most {MAX_CLASSES} classes in column {}", target.name());
        return Err(target.table.error(1, expected, ranks.len().to_string()));
    }
    ranks.values_mut().zip(0..).for_each(|(rank, position)| *rank = position);
    let label = |cell| match is_missing(cell) {
        true => Labels::UNKNOWN_CLASS,
        false => ranks[&class(cell)],
    };
    let labels = target.cells().map(label).collect();
    let names: Vec<String> = ranks.keys().map(|(_, name)| name.clone()).collect();
    for alike in alike(names.iter().map(String::as_str)) {
        let alike = alike.into_iter().map(crate::text::quoted).collect::<Vec<_>>().join(" and ");
        said.push(format!("target {}: {alike} differ in case only", target.name()));
    }
    let shown: Vec<String> = names.iter().take(NAMED).map(|n| crate::text::quoted(n)).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    let of = match (numbers, plain) {
        (false, _) => "",
        (_, true) => " of whole numbers",
        (_, false) => " of whole numbers, written with a point",
    };
    let shown = shown.join(", ");
    say(target, said, format!("{} classes{of}: {shown}{more}", names.len()));
    Ok(Labels::Classes { names, labels })
}
