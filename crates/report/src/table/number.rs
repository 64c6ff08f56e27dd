//! Numbers in the cells of tables.

/// Stands for a number that is undefined.
pub(super) fn dash() -> String {
    "-".to_owned()
}

/// Three digits, or a dash where undefined.
pub(super) fn score(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.3}"))
}

/// Three digits and a sign, or a dash where undefined.
pub(super) fn signed(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:+.3}"))
}
