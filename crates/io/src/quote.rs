//! Text of a file in a message.

/// Text from a file, fit for a one-line message: plain names as they are, anything else quoted and
/// escaped, and cut where it is long.
pub fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:,".contains(c);
    if !text.is_empty() && text.len() <= LONGEST && text.chars().all(plain) {
        return text.to_owned();
    }
    let cut: String = text.chars().take(LONGEST).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", cut.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_short_and_on_one_line() {
        assert_eq!(quote("decoder.gain"), "decoder.gain");
        assert_eq!(quote("a\nb\u{1b}"), "\"a\\nb\\u{1b}\"");
        assert_eq!(quote(""), "\"\"");
        let long = quote(&"é".repeat(1000));
        assert!(long.chars().count() < 100 && long.ends_with("…\""), "{long}");
    }
}
