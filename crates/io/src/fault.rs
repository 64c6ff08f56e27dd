//! What a parser found wrong; the crate that knows the file adds its name.

/// A place in a file that is damaged, hostile, or of another kind than expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: expected {expected}, found {found}")]
pub struct Fault {
    /// Where in the file, such as `header` or `data.pkl byte 12`.
    pub position: String,
    /// What should have been there.
    pub expected: String,
    /// What was there.
    pub found: String,
}

impl Fault {
    /// A fault at a position.
    pub fn new(
        position: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { position: position.into(), expected: expected.into(), found: found.into() }
    }
}
