//! Several matrices in one `.npz` file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use vdvae_features::join_npz;

use super::args::{Opened, SplitArgs, Which};
use super::extract::Request;
use crate::exit::usage;
use crate::output::cannot_write;

/// A matrix by the name it gets in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedArray {
    pub(super) name: String,
    pub(super) source: ArraySource,
}

/// Whose pictures have their rows in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArraySource {
    /// Some of `--data`.
    Split(Which),
    /// Some of another data set.
    Data(Which, String),
}

impl FromStr for NamedArray {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected NAME=SPLIT, NAME=DATA or NAME=SPLIT@DATA, with a NAME of letters, digits and \
                 _, found `{text}`"
            )
        };
        let (name, source) = text.split_once('=').ok_or_else(wrong)?;
        // A name becomes that of a file inside an archive, and of a variable in its reader's code.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) || source.is_empty() {
            return Err(wrong());
        }
        let of_split = source.split_once('@').and_then(|(split, data)| {
            let split = split.parse().ok().filter(|_| !data.is_empty())?;
            Some(ArraySource::Data(split, data.to_owned()))
        });
        let source = match (source.parse(), of_split) {
            (Ok(split), _) => ArraySource::Split(split),
            (_, Some(of_split)) => of_split,
            _ => ArraySource::Data(Which::All, source.to_owned()),
        };
        Ok(Self { name: name.to_owned(), source })
    }
}

impl NamedArray {
    /// Its pictures, at least one.
    pub(super) fn open(&self, pictures: &SplitArgs) -> Result<Opened> {
        match &self.source {
            ArraySource::Split(which) => pictures.open_as(None, *which),
            ArraySource::Data(which, data) => pictures.open_as(Some(data), *which),
        }
    }

    /// Whether they are those of `--data`.
    pub(super) fn reads_data(&self) -> bool {
        matches!(self.source, ArraySource::Split(_))
    }
}

/// Writes one file with a matrix a request, or goes on with it; returns the rows of each.
///
/// Each matrix is a file of its own in `OUT.arrays` until all are whole.
pub(super) fn write_arrays<'a>(
    out: &Path,
    requests: &[(&'a str, Request<'_>)],
) -> Result<Vec<(&'a str, usize)>> {
    let names: BTreeSet<_> = requests.iter().map(|(name, _)| name).collect();
    if names.len() < requests.len() {
        return Err(usage("--arrays: expected each name once"));
    }
    let folder = with_ending(out, ".arrays");
    fs::create_dir_all(&folder).with_context(|| format!("{}: cannot create", folder.display()))?;
    let (mut files, mut rows, mut manifests) = (Vec::new(), Vec::new(), serde_json::Map::new());
    for (name, request) in requests {
        let path = folder.join(format!("{name}.npy"));
        if !is_whole(&path, request) {
            request.write(&path)?;
        }
        let manifest = read_manifest(&path).with_context(|| format!("{}: lost", path.display()))?;
        rows.push((*name, manifest["keys"].as_array().map_or(0, Vec::len)));
        manifests.insert((*name).to_owned(), manifest);
        files.push(((*name).to_owned(), path));
    }
    join_npz(out, &files)?;
    let first = requests.first().map(|(_, request)| request.identity()).unwrap_or_default();
    let manifest = json!({
        "format": "vdvae-features",
        "statistic": first["statistic"],
        "pool": first["pool"],
        "matrices": manifests,
    });
    let path = with_ending(out, ".json");
    vdvae_io::write(&path, serde_json::to_vec_pretty(&manifest)?)
        .with_context(|| cannot_write(&path))?;
    fs::remove_dir_all(&folder).with_context(|| format!("{}: cannot remove", folder.display()))?;
    Ok(rows)
}

/// `OUT` with something after its name.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    name.into()
}

fn read_manifest(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(with_ending(path, ".json")).ok()?).ok()
}

/// Whether an earlier run has finished the same matrix: its manifest is written last.
fn is_whole(path: &Path, request: &Request<'_>) -> bool {
    let Some(manifest) = read_manifest(path) else { return false };
    // Numbers as a file gives them back.
    let identity = serde_json::from_str(&request.identity().to_string());
    let Ok(Value::Object(identity)) = identity else { return false };
    path.is_file() && identity.iter().all(|(key, value)| manifest.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use vdvae_datasets::Split;

    use super::*;

    #[test]
    fn arrays_are_named_splits_or_data_sets() {
        let parsed = |text: &str| text.parse::<NamedArray>().map(|a| (a.name, a.source));
        let split = |which| ("a".to_owned(), ArraySource::Split(which));
        assert_eq!(parsed("a=train").unwrap(), split(Which::One(Split::Train)));
        assert_eq!(parsed("a=all").unwrap(), split(Which::All));
        let data = |which, data: &str| ("b".to_owned(), ArraySource::Data(which, data.into()));
        assert_eq!(parsed("b=npy:s.npy").unwrap(), data(Which::All, "npy:s.npy"));
        let valid = Which::One(Split::Valid);
        assert_eq!(parsed("b=valid@cifar10").unwrap(), data(valid, "cifar10"));
        assert_eq!(parsed("b=all@cifar10").unwrap(), data(Which::All, "cifar10"));
        assert_eq!(parsed("b=hf:a/b@main").unwrap(), data(Which::All, "hf:a/b@main"));
        for wrong in ["train", "=train", "a=", "../a=train", "a.b=train"] {
            assert!(parsed(wrong).unwrap_err().contains("NAME=SPLIT"), "{wrong}");
        }
    }
}
