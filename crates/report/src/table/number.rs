//! Numbers in the cells of tables.

/// `0.853 [0.841, 0.864]`, without the interval where there is none, a dash where undefined.
pub fn with_interval(value: Option<f64>, ci95: Option<[f64; 2]>) -> String {
    let interval = |[low, high]: [f64; 2]| format!(" [{low:.3}, {high:.3}]");
    let interval = ci95.filter(|_| value.is_some()).map_or_else(String::new, interval);
    score(value) + &interval
}

/// `+0.012 [+0.003, +0.020]`, without the interval where there is none, a dash where undefined.
pub fn signed_with_interval(value: Option<f64>, ci95: Option<[f64; 2]>) -> String {
    let interval = |[low, high]: [f64; 2]| format!(" [{low:+.3}, {high:+.3}]");
    let interval = ci95.filter(|_| value.is_some()).map_or_else(String::new, interval);
    signed(value) + &interval
}

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
