//! `owner/repo[@revision][/path]`: what follows `hf:`.

use std::fmt;

use crate::{Error, Result};

/// A slash of another branch than the hub's own, in which a path begins after it.
const SLASH: &str = "%2F";

/// A repository of the hub, perhaps at a revision, perhaps with something inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Who published it.
    pub owner: String,
    /// Its name.
    pub repo: String,
    /// A branch, tag or commit, `refs/convert/parquet` or `refs/pr/N`; `main` where there is none. In a
    /// branch of another name that has slashes, an address has `%2F` for each.
    pub revision: Option<String>,
    /// A file, or the folder of a configuration.
    pub path: Option<String>,
}

impl Address {
    /// Reads what follows `hf:`.
    ///
    /// # Errors
    /// [`Error::Address`] where it is no `owner/repo[@revision][/path]`, or could lead out of the
    /// cache.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::Address(format!("expected hf:OWNER/REPO[@REVISION][/PATH], found `hf:{text}`"))
        };
        let (owner, rest) = text.split_once('/').ok_or_else(wrong)?;
        let end = rest.find(['/', '@']).unwrap_or(rest.len());
        let (repo, rest) = rest.split_at(end);
        let (revision, path) = match rest.strip_prefix('@') {
            Some(rest) => {
                // The hub's own branches have slashes: `refs/convert/parquet`, `refs/pr/1`.
                let slashes = if rest.starts_with("refs/") { 2 } else { 0 };
                let end = rest.match_indices('/').nth(slashes).map_or(rest.len(), |(at, _)| at);
                (Some(rest[..end].replace(SLASH, "/")), rest[end..].strip_prefix('/'))
            }
            None => (None, rest.strip_prefix('/')),
        };
        let valid = is_name(owner)
            && is_name(repo)
            && revision.as_ref().is_none_or(|revision| revision.split('/').all(is_name))
            && path.is_none_or(is_relative);
        if !valid {
            return Err(wrong());
        }
        Ok(Self {
            owner: owner.to_owned(),
            repo: repo.to_owned(),
            revision,
            path: path.map(str::to_owned),
        })
    }

    /// `owner/repo`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.owner, self.repo)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.owner, self.repo)?;
        if let Some(revision) = &self.revision {
            let plain = revision.starts_with("refs/");
            let revision = if plain { revision.clone() } else { revision.replace('/', SLASH) };
            write!(f, "@{revision}")?;
        }
        match &self.path {
            Some(path) => write!(f, "/{path}"),
            None => Ok(()),
        }
    }
}

/// One component of a path that cannot lead out of a folder.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    !text.is_empty() && text != "." && text != ".." && text.chars().all(allowed)
}

/// A relative path that stays below where it starts, on every system. Names come from a server,
/// and become names of files.
pub(crate) fn is_relative(path: &str) -> bool {
    let strange = |c: char| c.is_control() || c == '\\' || c == ':';
    !path.contains(strange)
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in
            ["a/b", "flwrlabs/celeba@6c14bd4", "a/b/img_align+identity+attr", "a/b@v1/c/d.x"]
        {
            assert_eq!(Address::parse(text).unwrap().to_string(), format!("hf:{text}"));
        }
        let address = Address::parse("a/b@v1/c/d").unwrap();
        assert_eq!((address.repo.as_str(), address.revision.as_deref()), ("b", Some("v1")));
        assert_eq!(address.path.as_deref(), Some("c/d"));
        for revision in ["refs/convert/parquet", "refs/pr/1"] {
            let address = Address::parse(&format!("a/b@{revision}")).unwrap();
            assert_eq!((address.revision.as_deref(), address.path), (Some(revision), None));
            let address = Address::parse(&format!("a/b@{revision}/c/d@e")).unwrap();
            assert_eq!(address.revision.as_deref(), Some(revision));
            assert_eq!(address.path.as_deref(), Some("c/d@e"));
        }
    }

    #[test]
    fn what_could_leave_the_cache_is_refused() {
        for text in [
            "",
            "a",
            "a/",
            "/b",
            "../b",
            "a/..",
            "a/b@",
            "a/b/",
            "a/b//c",
            "a/b/../../c",
            "a/b@refs/../x",
        ] {
            let found = Address::parse(text).unwrap_err().to_string();
            assert!(found.contains("OWNER/REPO") && found.contains(&format!("`hf:{text}`")));
        }
        for path in ["a\\b", "C:/x", "a/./b", "a\nb"] {
            assert!(!is_relative(path), "{path}");
        }
    }
}
