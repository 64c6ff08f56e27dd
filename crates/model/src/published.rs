//! Weights by name: those that were published with the paper, with their files and configurations, and
//! files of ours in the folders where names are looked for.
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

/// The file that a checkpoint's path means: the file itself, or where nothing is there and it is a name
/// of letters, digits, `-` and `_`, the weights of that name. They are `NAME.safetensors`, or of
/// published ones the published file, in the first of these folders that has one:
/// - the folder that the environment variable `VDVAE_WEIGHTS` names
/// - `weights` in the working folder, or in a folder above it
/// - `weights` in a folder above the program, as in a clone in which it was built
/// - `weights` in [`vdvae_io::cache_folder`], where `vdvae fetch` keeps published ones
///
/// # Errors
/// [`Error::NoWeights`] where none has.
pub fn checkpoint_file(path: &Path) -> Result<PathBuf> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = path.to_str().filter(|name| !name.is_empty() && name.chars().all(in_name));
    match name.filter(|_| !path.exists()) {
        Some(name) => find(name, &places()),
        None => Ok(path.to_owned()),
    }
}

/// Folders to look in, in order, and what to call them.
struct Place {
    name: String,
    folders: Vec<PathBuf>,
}

fn places() -> Vec<Place> {
    let given = std::env::var_os("VDVAE_WEIGHTS").filter(|value| !value.is_empty());
    let given = match given.map(PathBuf::from) {
        Some(folder) => {
            Place { name: format!("{} (VDVAE_WEIGHTS)", folder.display()), folders: vec![folder] }
        }
        None => Place { name: "VDVAE_WEIGHTS (not set)".to_owned(), folders: vec![] },
    };
    let above = |start: PathBuf| Place {
        name: format!("`weights` in or above {}", start.display()),
        folders: start.ancestors().map(|folder| folder.join("weights")).collect(),
    };
    let program = std::env::current_exe().ok().and_then(|file| Some(file.parent()?.to_owned()));
    let starts = [std::env::current_dir().ok(), program].into_iter().flatten().map(above);
    let kept = vdvae_io::cache_folder().map(|folder| folder.join("weights"));
    let kept = kept.map(|kept| Place { name: kept.display().to_string(), folders: vec![kept] });
    std::iter::once(given).chain(starts).chain(kept).collect()
}

fn find(name: &str, places: &[Place]) -> Result<PathBuf> {
    let published = Published::named(name);
    let files: Vec<String> = published
        .map(|weights| weights.file_name().to_owned())
        .into_iter()
        .chain([format!("{name}.safetensors")])
        .collect();
    let folders = places.iter().flat_map(|place| &place.folders);
    let mut candidates = folders.flat_map(|folder| files.iter().map(|file| folder.join(file)));
    candidates.find(|file| file.is_file()).ok_or_else(|| Error::NoWeights {
        name: name.to_owned(),
        looked: places.iter().map(|place| place.name.clone()).collect(),
        published: published.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_is_the_first_file_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| folder.path().join(name));
        let places = ["one", "two"].into_iter().zip(&folders).map(|(name, folder)| {
            std::fs::create_dir(folder).unwrap();
            Place { name: name.to_owned(), folders: vec![folder.clone()] }
        });
        let places: Vec<Place> = places.collect();
        let error = find("faces", &places).unwrap_err().to_string();
        assert_eq!(error, "faces: no such file, and no weights of this name in one, two");
        let error = find("imagenet64", &places).unwrap_err().to_string();
        assert!(error.ends_with("one, two; `vdvae fetch imagenet64` downloads them"), "{error}");
        let published = folders[1].join(Published::named("imagenet64").unwrap().file_name());
        let expect = |name: &str, file: &Path| {
            std::fs::write(file, "weights").unwrap();
            assert_eq!(find(name, &places).unwrap(), file);
        };
        expect("imagenet64", &published);
        expect("imagenet64", &folders[0].join("imagenet64.safetensors"));
        expect("faces", &folders[1].join("faces.safetensors"));
        expect("faces", &folders[0].join("faces.safetensors"));
    }

    #[test]
    fn what_is_no_name_is_a_path() {
        for path in ["none.safetensors", "none/faces", "./faces", "src"] {
            assert_eq!(checkpoint_file(Path::new(path)).unwrap(), Path::new(path));
        }
        let error = checkpoint_file(Path::new("no-such_weights2")).unwrap_err().to_string();
        let here = std::env::current_dir().unwrap();
        for place in ["VDVAE_WEIGHTS", &format!("`weights` in or above {}, ", here.display())] {
            assert!(error.contains(place), "{error}");
        }
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
