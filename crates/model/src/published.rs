//! The weights that were published with the paper: their names, files and configurations.
//!
//! Addresses as in the section "Restoring saved models" of <https://github.com/openai/vdvae>. They
//! are the averaged (EMA) weights; sizes and checksums are not published.

use std::path::{Path, PathBuf};

use crate::{Error, Preset, Result};

/// Weights that are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Name, such as `imagenet64`.
    pub name: &'static str,
    /// The configuration that they belong to.
    pub preset: Preset,
    /// Path below the address of the reference's assets; the last part is the file's name.
    pub address: &'static str,
}

const fn weights(name: &'static str, preset: Preset, address: &'static str) -> Published {
    Published { name, preset, address }
}

/// All that are published, by name.
#[rustfmt::skip]
pub const PUBLISHED: [Published; 8] = [
    weights("imagenet32", Preset::Imagenet32, "vdvae-assets/imagenet32-iter-1700000-model-ema.th"),
    weights("imagenet64", Preset::Imagenet64, "vdvae-assets-2/imagenet64-iter-1600000-model-ema.th"),
    weights("ffhq256", Preset::Ffhq256, "vdvae-assets/ffhq256-iter-1700000-model-ema.th"),
    weights("ffhq1024", Preset::Ffhq1024, "vdvae-assets/ffhq1024-iter-1700000-model-ema.th"),
    weights("cifar10-seed0", Preset::Cifar10, "vdvae-assets-2/cifar10-seed0-iter-900000-model-ema.th"),
    weights("cifar10-seed1", Preset::Cifar10, "vdvae-assets-2/cifar10-seed1-iter-1050000-model-ema.th"),
    weights("cifar10-seed2", Preset::Cifar10, "vdvae-assets-2/cifar10-seed2-iter-650000-model-ema.th"),
    weights("cifar10-seed3", Preset::Cifar10, "vdvae-assets-2/cifar10-seed3-iter-1050000-model-ema.th"),
];

impl Published {
    /// The weights of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PUBLISHED.iter().find(|weights| weights.name == name)
    }

    /// Name of the file, as published.
    pub fn file_name(&self) -> &'static str {
        self.address.rsplit('/').next().unwrap_or(self.address)
    }

    /// Where `vdvae fetch` keeps the file, whether or not it is there: `weights` in
    /// [`vdvae_io::cache_folder`]. `None` where no such folder is known.
    pub fn path(&self) -> Option<PathBuf> {
        Some(vdvae_io::cache_folder()?.join("weights").join(self.file_name()))
    }
}

/// The file that a checkpoint's path means: the file itself, or where nothing is there, the one that
/// `vdvae fetch` keeps of the published weights of that name.
///
/// # Errors
/// [`Error::NotKept`] where it keeps none.
pub fn checkpoint_file(path: &Path) -> Result<PathBuf> {
    let name = path.to_str().filter(|_| !path.exists());
    match name.and_then(Published::named) {
        Some(weights) => weights.kept(weights.path()),
        None => Ok(path.to_owned()),
    }
}

impl Published {
    fn kept(&self, path: Option<PathBuf>) -> Result<PathBuf> {
        let name = self.name;
        match path {
            Some(path) if path.is_file() => Ok(path),
            Some(path) => Err(Error::NotKept { name, place: path.display().to_string() }),
            None => Err(Error::NotKept { name, place: "the folder for weights".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_is_the_file_that_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.th");
        let weights = Published::named("imagenet64").unwrap();
        let error = weights.kept(Some(path.clone())).unwrap_err().to_string();
        assert!(
            error.ends_with("model.th is absent; `vdvae fetch imagenet64` downloads it"),
            "{error}"
        );
        std::fs::write(&path, "weights").unwrap();
        assert_eq!(weights.kept(Some(path.clone())).unwrap(), path);
        assert_eq!(checkpoint_file(&path).unwrap(), path);
        let other = Path::new("none.safetensors");
        assert_eq!(checkpoint_file(other).unwrap(), other);
    }

    #[test]
    fn every_published_name_has_a_file_of_its_own() {
        let names: BTreeSet<_> = PUBLISHED.iter().map(|weights| weights.name).collect();
        let files: BTreeSet<_> = PUBLISHED.iter().map(Published::file_name).collect();
        assert_eq!((names.len(), files.len()), (PUBLISHED.len(), PUBLISHED.len()));
        for weights in &PUBLISHED {
            assert_eq!(Published::named(weights.name), Some(weights));
            assert!(weights.file_name().ends_with("-model-ema.th"));
            assert!(weights.name.starts_with(weights.preset.name()));
        }
        assert_eq!(Published::named("imagenet"), None);
    }
}
