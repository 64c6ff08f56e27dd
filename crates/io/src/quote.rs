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

/// Text of any origin on one line of a terminal: characters that control it (`\n`, `\u{1b}`) or turn the
/// direction of what follows are escaped.
pub fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match c.is_control() || turns(c) {
        true => c.escape_debug().collect(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
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

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(printable("re\u{1b}[31md\nx\t\u{202e}abc"), "re\\u{1b}[31md\\nx\\t\\u{202e}abc");
        assert_eq!(printable("it's \"café\" a\\b"), "it's \"café\" a\\b");
    }
}
