//! Which files of a folder or an archive are read: one rule for both.

use crate::names::{begins_as_picture, ending, hidden};

/// Bytes that tell a picture.
pub(crate) const SNIFFED: usize = 16;

/// What a reader wants.
#[derive(Clone, Copy)]
pub(crate) struct Filter<'a> {
    /// Whether a file is wanted, by its name.
    pub(crate) wanted: &'a dyn Fn(&str) -> bool,
    /// Whether a file whose name has no ending is wanted if it begins as pictures do.
    pub(crate) sniff: bool,
}

/// What a name says about a file or folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// It is hidden, or lies in a folder that is: that part of the name.
    Hidden(&'a str),
    Wanted,
    /// Its first bytes must tell.
    Sniff,
    Unwanted,
}

impl Filter<'_> {
    pub(crate) fn judge<'a>(&self, name: &'a str) -> Verdict<'a> {
        match hidden(name) {
            Some(hidden) => Verdict::Hidden(hidden),
            None if (self.wanted)(name) => Verdict::Wanted,
            None if self.sniff && ending(name).is_none() => Verdict::Sniff,
            None => Verdict::Unwanted,
        }
    }
}

impl Verdict<'_> {
    /// Whether a file is wanted that starts so.
    pub(crate) fn wants(&self, start: &[u8]) -> bool {
        *self == Verdict::Wanted || (*self == Verdict::Sniff && begins_as_picture(start))
    }
}
