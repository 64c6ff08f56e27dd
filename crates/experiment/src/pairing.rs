//! What other runs need to be compared with: `pairing.json`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vdvae_features::{FeatureTable, Targets};
use vdvae_probes::Units;

use crate::error::{Error, Result};

/// Name of the file.
pub(crate) const PAIRING: &str = "pairing.json";
/// Version of the file.
const VERSION: u32 = 1;
/// Largest file read.
const MOST_BYTES: u64 = 1 << 30;

/// The results of a run on every unit that they are means over, in the order of `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pairing {
    version: u32,
    /// SHA-256 over the test pictures, what is known of them, and how units are drawn from them. Runs
    /// with equal ones have the same units.
    pub items: String,
    /// One entry a result.
    pub results: Vec<Units>,
}

impl Pairing {
    /// Of the rows of a test table; `drawn` says how units are drawn from them. None without results.
    pub(crate) fn new(test: &FeatureTable, drawn: &str, results: Vec<Units>) -> Option<Self> {
        let mut hash = Sha256::new();
        text(&mut hash, drawn);
        hash.update((test.keys.len() as u64).to_le_bytes());
        test.keys.iter().for_each(|key| text(&mut hash, key));
        for group in test.groups.iter().flatten() {
            hash.update(group.to_le_bytes());
        }
        targets(&mut hash, &test.targets);
        let items = vdvae_io::hex(hash.finalize());
        (!results.is_empty()).then_some(Self { version: VERSION, items, results })
    }

    /// Reads the file of a run.
    ///
    /// # Errors
    /// [`Error::Run`] where it is not there, or anything else.
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |expected: &str, found: String| {
            let (path, expected) = (path.to_owned(), expected.to_owned());
            Error::Run { path, expected, found }
        };
        let length = fs::metadata(path).map_err(|e| fail("a run's file", e.to_string()))?.len();
        if length > MOST_BYTES {
            return Err(fail(&format!("at most {MOST_BYTES} bytes"), length.to_string()));
        }
        let bytes = fs::read(path).map_err(|e| fail("a run's file", e.to_string()))?;
        let pairing: Self = serde_json::from_slice(&bytes)
            .map_err(|e| fail("what vdvae-probe writes", e.to_string()))?;
        match pairing.version {
            VERSION => Ok(pairing),
            version => Err(fail(&format!("version {VERSION}"), version.to_string())),
        }
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let write = |source| vdvae_report::Error::Write { path: path.to_owned(), source };
        Ok(vdvae_io::write(path, serde_json::to_vec(self)?).map_err(write)?)
    }
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

fn targets(hash: &mut Sha256, of: &Targets) {
    match of {
        Targets::None => hash.update([0]),
        Targets::Binary { names, values } => {
            hash.update([1]);
            names.iter().for_each(|name| text(hash, name));
            values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        Targets::Classes { names, labels } => {
            hash.update([2]);
            names.iter().for_each(|name| text(hash, name));
            labels.iter().for_each(|label| hash.update(label.to_le_bytes()));
        }
        Targets::Real { names, values } => {
            hash.update([3]);
            names.iter().for_each(|name| text(hash, name));
            values.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
        }
        Targets::Several(parts) => {
            hash.update([4]);
            for (name, part) in parts {
                text(hash, name);
                targets(hash, part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> FeatureTable {
        FeatureTable {
            features: ndarray::Array2::zeros((2, 1)),
            targets: Targets::Classes { names: vec!["a".into(), "b".into()], labels: vec![0, 1] },
            keys: vec!["x".into(), "y".into()],
            groups: Some(vec![1, 2]),
            columns: Vec::new(),
        }
    }

    #[test]
    fn runs_of_the_same_units_say_so() {
        let units = || vec![Units::Episodes(vec![0.5])];
        let items =
            |table: &FeatureTable, drawn: &str| Pairing::new(table, drawn, units()).unwrap().items;
        assert_eq!(Pairing::new(&table(), "", vec![]), None);
        let first = items(&table(), "1000 replicates, seed 0");
        let mut same = table();
        same.features.fill(7.0);
        assert_eq!(items(&same, "1000 replicates, seed 0"), first, "features may differ");
        assert_ne!(items(&table(), "1000 replicates, seed 1"), first);
        let changes: [fn(&mut FeatureTable); 3] = [
            |table| table.keys[1] = "z".into(),
            |table| table.groups = Some(vec![1, 1]),
            |table| table.targets = Targets::None,
        ];
        for change in changes {
            let mut other = table();
            change(&mut other);
            assert_ne!(items(&other, "1000 replicates, seed 0"), first);
        }
    }

    #[test]
    fn files_are_read_back_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairing.json");
        let pairing = Pairing::new(&table(), "", vec![Units::Episodes(vec![0.5, 1.0])]).unwrap();
        pairing.write(&path).unwrap();
        assert_eq!(Pairing::read(&path).unwrap(), pairing);
        let failing = |text: &str| {
            fs::write(&path, text).unwrap();
            Pairing::read(&path).unwrap_err().to_string()
        };
        assert!(failing("{").contains("pairing.json: expected what vdvae-probe writes"));
        let later = r#"{"version": 2, "items": "", "results": []}"#;
        assert!(failing(later).ends_with("expected version 1, found 2"));
        assert!(Pairing::read(&folder.path().join("none")).is_err());
    }
}
