//! What two splits share that should keep them apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Groups, or pictures of one content, that are in two splits: a probe may know them again, and
/// its score says less about others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// What both have.
    pub what: Shared,
    /// The two splits.
    pub splits: [String; 2],
    /// How many groups, or different pictures, are in both.
    pub count: usize,
    /// Pictures of the second split that are of these.
    pub pictures: usize,
    /// The key of a picture in each split.
    pub example: [String; 2],
    /// Whether whoever ran it allowed for it; tables and pages are silent about it then.
    pub allowed: bool,
}

/// What two splits may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shared {
    /// Groups (identities).
    Groups,
    /// Pictures, by their pixels as the network sees them.
    Pictures,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, splits: [first, second], count, pictures, example: [a, b], .. } = self;
        let (what, same) = match (what, count) {
            (Shared::Groups, 1) => ("group is", "of the group of"),
            (Shared::Groups, _) => ("groups are", "of the group of"),
            (Shared::Pictures, 1) => ("picture is", "the same as"),
            (Shared::Pictures, _) => ("different pictures are", "the same as"),
        };
        let such = if *pictures == 1 { "picture," } else { "pictures, such as" };
        write!(
            f,
            "{count} {what} in {first} and in {second}: {pictures} {second} {such} {b}, {same} {a} \
             in {first}"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_leak_is_said_in_one_line() {
        let leak = Leak {
            what: Shared::Groups,
            splits: ["train".into(), "test".into()],
            count: 4,
            pictures: 10,
            example: ["a.png".into(), "b.png".into()],
            allowed: false,
        };
        let expected = "4 groups are in train and in test: 10 test pictures, such as b.png, of the \
                        group of a.png in train";
        assert_eq!(leak.to_string(), expected);
        let json = json!({"what": "groups", "splits": ["train", "test"], "count": 4, "pictures": 10,
                          "example": ["a.png", "b.png"], "allowed": false});
        assert_eq!(serde_json::to_value(&leak).unwrap(), json);
        let one = Leak { what: Shared::Pictures, count: 1, pictures: 1, ..leak };
        let expected = "1 picture is in train and in test: 1 test picture, b.png, the same as a.png \
                        in train";
        assert_eq!(one.to_string(), expected);
    }
}
