//! Numbers as text: fixed digits, a real minus sign, and a dash for what is not defined.

/// Stands for a number that is not defined.
pub(super) const UNDEFINED: &str = "–";

/// The number, where there is one that can be shown.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

/// The interval, where both ends can be shown.
pub(super) fn finite_interval(ci: Option<[f64; 2]>) -> Option<[f64; 2]> {
    ci.filter(|ends| ends.iter().all(|end| end.is_finite()))
}

/// With so many decimals: `0.750`, `−0.020`, `–`.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return UNDEFINED.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let negative = value < 0.0 && text.bytes().any(|digit| matches!(digit, b'1'..=b'9'));
    if negative { format!("−{text}") } else { text }
}

/// A score with three decimals, or a dash where it is undefined.
pub(super) fn score(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| fixed(value, 3))
}

/// Both ends of an interval of scores.
pub(super) fn interval(ci: Option<[f64; 2]>) -> String {
    match finite_interval(ci) {
        Some([low, high]) => format!("[{}, {}]", fixed(low, 3), fixed(high, 3)),
        None => UNDEFINED.to_owned(),
    }
}

/// A signed difference, three decimals.
pub(super) fn signed(value: f64) -> String {
    let text = fixed(value, 3);
    let positive = value > 0.0 && value.is_finite();
    if positive { format!("+{text}") } else { text }
}

/// Three significant digits, for numbers of any size: `1234`, `12.3`, `0.00123`, `1.2e-7`.
pub(super) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return UNDEFINED.to_owned();
    }
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (100.0..1e6).contains(&size) => fixed(value, 0),
        size if (10.0..100.0).contains(&size) => fixed(value, 1),
        size if (1.0..10.0).contains(&size) => fixed(value, 2),
        size if (0.001..1.0).contains(&size) => fixed(value, 3),
        _ => format!("{value:.1e}").replace('-', "−"),
    }
}

/// Thousands apart, as in `162,770`.
pub(super) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A place in a drawing, to a tenth of a unit: fine enough to see, and the same on every machine.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_numbers_are_dashes() {
        assert_eq!(score(None), "–");
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!([fixed(value, 3), signed(value), significant(value)], ["–", "–", "–"]);
            assert_eq!(finite(Some(value)), None);
            assert_eq!(interval(Some([0.5, value])), "–");
        }
    }

    #[test]
    fn signs_are_minus_signs_and_zero_has_none() {
        assert_eq!(fixed(-0.0204, 3), "−0.020");
        assert_eq!(fixed(-0.0001, 3), "0.000");
        assert_eq!([signed(0.02), signed(-0.02), signed(0.0)], ["+0.020", "−0.020", "0.000"]);
        assert_eq!([px(12.0), px(-0.04), px(3.13), px(-7.25)], ["12", "0", "3.1", "-7.2"]);
    }

    #[test]
    fn digits_follow_the_size() {
        let text = [1234.4, 12.34, 1.234, 0.1234, 1.2e-7, 2.5e7, 0.0].map(significant);
        assert_eq!(text, ["1234", "12.3", "1.23", "0.123", "1.2e−7", "2.5e7", "0"]);
        assert_eq!([0, 999, 1000, 162_770].map(count), ["0", "999", "1,000", "162,770"]);
    }
}
