//! Links between members of one archive.

use std::collections::BTreeMap;

/// Most links that one name may lead through, as on Linux.
const MAX_HOPS: usize = 40;

/// Links by their names: what they lead to, as a name in the archive; `None` where that is outside.
pub(super) type Links = BTreeMap<String, Option<String>>;

/// What a symbolic link in the folder of `name` leads to; the root of the archive is empty.
pub(super) fn beside(name: &str, target: &str) -> Option<String> {
    if target.starts_with(['/', '\\']) {
        return None;
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    crate::names::clean(&parts.join("/")).ok()
}

/// Where a name ends that may be a link or lie below links; `None` where that is nowhere.
pub(super) fn follow(links: &Links, name: &str) -> Option<String> {
    let mut name = name.to_owned();
    for _ in 0..MAX_HOPS {
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        let link = ends.filter_map(|end| links.get(&name[..end]).map(|to| (end, to))).next();
        let Some((end, target)) = link else { return Some(name) };
        let rest = name[end..].to_owned();
        name = target.clone()? + &rest;
        if let Some(below_root) = name.strip_prefix('/') {
            name = below_root.to_owned();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_their_end() {
        let links: Links = [
            ("a/b.png", "../c/d.png"),
            ("c", "e/f"),
            ("latest", "."),
            ("round", "again"),
            ("again", "./round"),
            ("out", "../../etc"),
        ]
        .map(|(name, target)| (name.to_owned(), beside(name, target)))
        .into();
        let end = |name| follow(&links, name);
        assert_eq!(end("a/b.png").as_deref(), Some("e/f/d.png"));
        assert_eq!(end("latest").as_deref(), Some(""));
        assert_eq!(end("latest/c/x").as_deref(), Some("e/f/x"));
        assert_eq!(end("round"), None);
        assert_eq!(end("out"), None);
        assert_eq!(end("plain").as_deref(), Some("plain"));
        assert_eq!(beside("a", "/etc/passwd"), None);
    }
}
