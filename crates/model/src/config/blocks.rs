//! The block strings of the reference, such as `32x11,32d2,16x6`: what they say and how they read.
//!
//! A token is `RxN` (N blocks at resolution R), `R` (one), `RdK` (one block, then average pooling
//! by K; encoder) or `RmS` (one block that first adds the upsampled state of resolution S;
//! decoder).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use vdvae_io::quote;

use crate::{Error, Result};

/// More blocks than this in one string are refused; the deepest published network has 79.
pub const MAX_BLOCKS: usize = 10_000;

/// One token of a block string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockSpec {
    /// `count` blocks that keep the resolution: `32x11`, or `32` for a single one.
    Same {
        /// Height and width in pixels.
        resolution: usize,
        /// How many blocks.
        count: usize,
    },
    /// One encoder block followed by average pooling: `32d2`.
    Down {
        /// Height and width before pooling.
        resolution: usize,
        /// Factor by which both shrink.
        rate: usize,
    },
    /// One decoder block that starts from a lower resolution: `16m8`.
    Mix {
        /// Height and width in pixels.
        resolution: usize,
        /// Resolution of the state that is upsampled and added.
        from: usize,
    },
}

impl FromStr for BlockSpec {
    type Err = Error;

    fn from_str(token: &str) -> Result<Self> {
        let bad = || Error::Config {
            field: "block string".into(),
            expected: "blocks like 32x11, 32, 32d2 or 16m8".into(),
            found: quote(token),
        };
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
        let split = |separator| token.split_once(separator);
        if let Some((resolution, count)) = split('x') {
            Ok(Self::Same { resolution: number(resolution)?, count: number(count)? })
        } else if let Some((resolution, from)) = split('m') {
            Ok(Self::Mix { resolution: number(resolution)?, from: number(from)? })
        } else if let Some((resolution, rate)) = split('d') {
            Ok(Self::Down { resolution: number(resolution)?, rate: number(rate)? })
        } else {
            Ok(Self::Same { resolution: number(token)?, count: 1 })
        }
    }
}

impl fmt::Display for BlockSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same { resolution, count } => write!(f, "{resolution}x{count}"),
            Self::Down { resolution, rate } => write!(f, "{resolution}d{rate}"),
            Self::Mix { resolution, from } => write!(f, "{resolution}m{from}"),
        }
    }
}

/// A parsed block string that prints exactly as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlockString {
    text: String,
    specs: Vec<BlockSpec>,
}

impl BlockString {
    /// The tokens, in order.
    pub fn specs(&self) -> &[BlockSpec] {
        &self.specs
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for BlockString {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // Every token takes two bytes at least, so the number of tokens is bounded by this too.
        if text.len() > 16 * MAX_BLOCKS {
            return Err(too_many(text));
        }
        let specs = text.split(',').map(BlockSpec::from_str).collect::<Result<Vec<_>>>()?;
        let blocks = specs.iter().fold(0usize, |sum, spec| {
            sum.saturating_add(if let BlockSpec::Same { count, .. } = spec { *count } else { 1 })
        });
        if blocks > MAX_BLOCKS {
            return Err(too_many(text));
        }
        Ok(Self { text: text.to_owned(), specs })
    }
}

fn too_many(text: &str) -> Error {
    Error::Config {
        field: "block string".into(),
        expected: format!("at most {MAX_BLOCKS} blocks"),
        found: quote(text),
    }
}

impl TryFrom<String> for BlockString {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<BlockString> for String {
    fn from(blocks: BlockString) -> Self {
        blocks.text
    }
}

impl fmt::Display for BlockString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_every_kind_and_prints_it_verbatim() {
        let text = "32x11,32d2,16m8, 4";
        let blocks: BlockString = text.parse().unwrap();
        assert_eq!(
            blocks.specs(),
            [
                BlockSpec::Same { resolution: 32, count: 11 },
                BlockSpec::Down { resolution: 32, rate: 2 },
                BlockSpec::Mix { resolution: 16, from: 8 },
                BlockSpec::Same { resolution: 4, count: 1 },
            ]
        );
        assert_eq!(blocks.to_string(), text);
        assert_eq!(blocks.specs()[0].to_string(), "32x11");
        let json = serde_json::to_string(&blocks).unwrap();
        assert_eq!(serde_json::from_str::<BlockString>(&json).unwrap(), blocks);
    }

    #[test]
    fn refuses_what_is_not_a_block_string() {
        for text in [
            "",
            "32x",
            "x3",
            "32y2",
            "32x2,,16",
            "-1x2",
            "32x2x2",
            "1e3",
            "32d",
            "99999999999999999999",
        ] {
            let error = text.parse::<BlockString>().unwrap_err().to_string();
            assert!(error.contains("expected blocks like 32x11"), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_more_blocks_than_any_network_has() {
        for text in
            ["32x10001", "32x18446744073709551615,1x18446744073709551615", &"1,".repeat(90_000)]
        {
            let error = text.parse::<BlockString>().unwrap_err().to_string();
            assert!(error.contains("at most 10000 blocks") && error.len() < 250, "{error}");
        }
    }
}
