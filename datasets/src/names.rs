//! Names of files in published layouts: parts between `/`.

/// The last part.
pub(crate) fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Whether a name ends as those of pictures do and is not hidden, as the shadow files `._a.png`
/// are that some archives hold.
pub(crate) fn is_picture(name: &str) -> bool {
    let base = base(name);
    let lower = base.to_ascii_lowercase();
    !base.starts_with('.') && [".jpg", ".jpeg", ".png"].iter().any(|end| lower.ends_with(end))
}

/// The last `N` parts, the first of them first; `None` where there are fewer.
pub(crate) fn last_parts<const N: usize>(name: &str) -> Option<[&str; N]> {
    let mut parts = [""; N];
    let mut from_the_end = name.rsplit('/');
    for part in parts.iter_mut().rev() {
        *part = from_the_end.next()?;
    }
    Some(parts)
}

/// The last `n` parts as they stand in the name, or all of it where there are fewer.
pub(crate) fn tail(name: &str, n: usize) -> &str {
    name.rmatch_indices('/').nth(n - 1).map_or(name, |(at, _)| &name[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_the_end() {
        assert_eq!(base("a/b.png"), "b.png");
        assert_eq!(last_parts("a/b/c.png"), Some(["b", "c.png"]));
        assert_eq!(last_parts::<3>("b/c.png"), None);
        assert_eq!(tail("a/b/c.png", 2), "b/c.png");
        assert_eq!(tail("c.png", 2), "c.png");
        assert!(is_picture("a/b.JPEG") && !is_picture("a/._b.png") && !is_picture("png"));
    }
}
