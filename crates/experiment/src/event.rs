//! What a run tells its caller as it goes.

use std::time::Duration;

/// Something that happened in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Features are about to be read.
    Reading {
        /// Pictures of all splits that the task needs.
        pictures: usize,
    },
    /// More pictures were read.
    Read {
        /// How many more.
        pictures: usize,
    },
    /// A picture could not be read and was left out.
    Skipped {
        /// Its key in the data set.
        key: &'a str,
        /// What is wrong with it.
        reason: &'a str,
    },
    /// Something that does not end the run, in one line.
    Warning(&'a str),
    /// The features of all splits are there.
    AllRead {
        /// How long that took.
        time: Duration,
        /// Tables that the cache had …
        reused: usize,
        /// … of this many.
        tables: usize,
    },
    /// Lines are about to be scored.
    Scoring {
        /// Sources and selections, each of them a line.
        lines: usize,
    },
    /// A line was scored.
    Scored,
    /// All lines were scored, and the report is being put together.
    AllScored,
}
