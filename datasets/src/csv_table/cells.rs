//! What one cell says.

/// Most classes that are taken for classes unasked, where they are words.
pub(super) const MAX_WORDS: usize = 1000;
/// What people and programs write where they know nothing, in small letters.
const MISSING: [&str; 10] = ["", "na", "n/a", "#n/a", "nan", "<na>", "none", "null", "?", "-"];

/// Whether a cell says that something is not known.
pub(super) fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// A finite number.
pub(super) fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A whole number, also one that is written with a point: `2.0`. Larger ones than floats can tell
/// apart are none.
pub(super) fn whole(cell: &str) -> Option<i64> {
    const LARGEST: f64 = (1_i64 << 53) as f64;
    let float = || number(cell).filter(|n| n.fract() == 0.0 && n.abs() <= LARGEST);
    cell.parse().ok().or_else(|| float().map(|n| n as i64))
}

/// Yes or no in words.
pub(super) fn yes_or_no(cell: &str) -> Option<bool> {
    let is = |words: [&str; 2]| words.iter().any(|word| cell.eq_ignore_ascii_case(word));
    if is(["true", "yes"]) { Some(true) } else { is(["false", "no"]).then_some(false) }
}

/// Whether a cell says yes or no, in words or as 1, 0 and -1.
pub(super) fn says_yes_or_no(cell: &str) -> bool {
    yes_or_no(cell).is_some() || matches!(number(cell), Some(1.0 | 0.0 | -1.0))
}

/// Whether a cell means a number but is not written as one: `3,5`, `5%`, `1_000`, `inf`, `1e400`.
pub(super) fn is_odd_number(cell: &str) -> bool {
    let thousands = cell.contains(',');
    let plain: String = cell
        .chars()
        .filter(|c| !(matches!(c, ',' | '_' | '%' | '\'' | '’') || c.is_whitespace()))
        .filter(|c| !(thousands && *c == '.'))
        .map(|c| if c == '−' { '-' } else { c })
        .collect();
    number(cell).is_none() && plain.parse().is_ok_and(|number: f64| !number.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_told_apart() {
        for missing in ["", "NA", "n/a", "NaN", "<NA>", "None", "NULL", "?", "-"] {
            assert!(is_missing(missing) && !is_odd_number(missing), "{missing}");
        }
        for number in ["1", "-2.5", "1e3", ".5", "+7"] {
            assert!(super::number(number).is_some() && !is_odd_number(number), "{number}");
        }
        for odd in ["3,5", "1.000,5", "1,000", "5%", "1_000", "inf", "-Infinity", "1e400", "−3"] {
            assert!(is_odd_number(odd) && super::number(odd).is_none(), "{odd}");
        }
        for word in ["cat", "2020-01-02", "12:30", "3rd", "1.2.3", "a,b", "0x10", ","] {
            assert!(!is_odd_number(word) && super::number(word).is_none(), "{word}");
        }
        assert_eq!(["7", "2.0", "-0.0", "1e2"].map(whole), [7, 2, 0, 100].map(Some));
        assert_eq!(["2.5", "1e300", "x"].map(whole), [None; 3]);
    }
}
