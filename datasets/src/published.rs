//! How much of a published data set is there.

/// A line for every number that is not the published one: `4,000 of the 50,000 published
/// training pictures are here`.
///
/// `counts` are found and published numbers, and what is counted.
pub(crate) fn partial(counts: &[(usize, usize, &str)]) -> Vec<String> {
    let line = |&(found, published, what): &(usize, usize, &str)| match found > published {
        true => format!("{} {what}, of which {} are published", grouped(found), grouped(published)),
        false => {
            format!("{} of the {} published {what} are here", grouped(found), grouped(published))
        }
    };
    counts.iter().filter(|(found, published, _)| found != published).map(line).collect()
}

/// A number with commas between groups of three digits.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said() {
        let counts = [(4000, 50_000, "a"), (10, 10, "b"), (0, 1_234_567, "c"), (11, 10, "d")];
        let expected = [
            "4,000 of the 50,000 published a are here",
            "0 of the 1,234,567 published c are here",
            "11 d, of which 10 are published",
        ];
        assert_eq!(partial(&counts), expected);
        assert_eq!([0, 999, 1000].map(grouped), ["0", "999", "1,000"]);
    }
}
