//! A SHA-256 over the facts that identify a data set.

use std::fs::Metadata;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::{Dataset, Labels, Split};

/// Collects facts into one hash; every fact is preceded by its length, so that facts cannot run
/// into each other.
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(crate) fn new(name: &str) -> Self {
        Self(Sha256::new()).fact(name.as_bytes())
    }

    pub(crate) fn fact(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.fact(&number.to_le_bytes())
    }

    /// Adds keys, labels and groups of every split.
    pub(crate) fn dataset(mut self, dataset: &dyn Dataset) -> Self {
        for split in Split::ALL {
            self = self.number(dataset.len(split) as u64);
            for index in 0..dataset.len(split) {
                self = self.fact(dataset.key(split, index).as_bytes());
            }
            self = self.labels(&dataset.labels(split));
            for group in dataset.groups(split).unwrap_or_default() {
                self = self.number(group);
            }
        }
        self
    }

    fn labels(mut self, labels: &Labels) -> Self {
        let names = match labels {
            Labels::None => return self,
            Labels::Several(parts) => {
                let add = |hash: Self, (name, part): &(String, Labels)| {
                    hash.fact(name.as_bytes()).labels(part)
                };
                return parts.iter().fold(self, add);
            }
            Labels::Binary { names, .. }
            | Labels::Classes { names, .. }
            | Labels::Real { names, .. } => names,
        };
        for name in names {
            self = self.fact(name.as_bytes());
        }
        match labels {
            Labels::None | Labels::Several(_) => self,
            Labels::Binary { values, .. } => {
                self.fact(&values.iter().map(|&value| value as u8).collect::<Vec<_>>())
            }
            Labels::Classes { labels, .. } => {
                labels.iter().fold(self, |hash, &label| hash.number(u64::from(label)))
            }
            // In 32 bits, as before values had 64: a fingerprint is for good.
            Labels::Real { values, .. } => {
                let bytes = values.iter().flat_map(|value| (*value as f32).to_le_bytes());
                self.fact(&bytes.collect::<Vec<_>>())
            }
        }
    }

    /// Adds the length of a file and when it was last changed, in nanoseconds since 1970; a file
    /// system that does not say has 0.
    pub(crate) fn file(self, metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        // 64 bits of nanoseconds last until 2554.
        self.number(metadata.len()).number(since.map_or(0, |since| since.as_nanos() as u64))
    }

    pub(crate) fn hex(self) -> String {
        vdvae_io::hex(self.0.finalize())
    }
}
