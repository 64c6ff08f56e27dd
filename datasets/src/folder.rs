//! Folders of pictures: class-named or flat, split by folder or by a seeded hash of the names.
//!
//! Where the root holds `train` (and `valid` or `val`, `test`), those are the splits, and pictures
//! outside them are an error; a missing `valid` is taken from `train`. Otherwise pictures are
//! ranked by SHA-256 of (seed, key): the first tenth is `test`, the next `valid`, the rest `train`.
//! If every picture lies in a folder of its split, the first folder is its class.

use std::path::Path;

use crate::names::is_picture;
use crate::pictures::{FileDataset, Picture, Pictures};
use crate::split_names::split_named;
use crate::store::FileStore;
use crate::{Error, Result, ranking};

const NAME: &str = "folder";
/// One picture in this many goes to `valid`, and one to `test`.
const HELD_OUT: usize = 10;

/// Pictures of a folder (or of an archive of one).
#[derive(Debug)]
pub struct Folder {
    name: String,
    pictures: Pictures,
}

/// A picture whose class is not known yet.
#[derive(Debug, Clone)]
struct Found {
    /// Name in the store, relative to the root: the key.
    file: String,
    /// The part of `file` below its split.
    inner: usize,
}

impl Folder {
    /// Opens a folder of JPEG and PNG pictures; `seed` decides splits that the folders do not.
    ///
    /// # Errors
    /// [`Error::Layout`] where there is no picture, where pictures lie beside the split folders,
    /// or where only some lie in class folders; [`Error::Io`].
    pub fn open(root: &Path, seed: u64) -> Result<Self> {
        let store = FileStore::open(NAME, root, &is_picture)?;
        let files: Vec<_> = store.files().into_iter().map(|(name, _)| name.to_owned()).collect();
        if files.is_empty() {
            let expected = "pictures named *.jpg, *.jpeg or *.png";
            return Err(Error::layout(NAME, store.root(), expected, "none"));
        }
        let prefix = common_folder(&files);
        let mut splits = match by_folder(&files, prefix) {
            Some(assign) => assign.map_err(|found| {
                Error::layout(NAME, store.root(), "every picture in train, valid or test", found)
            })?,
            None => {
                let pictures = files.iter().map(|file| found(file, prefix)).collect();
                by_hash(pictures, seed)
            }
        };
        if splits[1].is_empty() && !splits[2].is_empty() {
            let train = std::mem::take(&mut splits[0]);
            (splits[0], splits[1]) = hold_out(train, seed);
        }
        let classes = classes(&splits).map_err(|found| {
            Error::layout(NAME, store.root(), "every picture in a class folder, or none", found)
        })?;
        let picture = |found: &Found| {
            let rank = found.class().and_then(|class| classes.as_ref()?.binary_search(&class).ok());
            Picture::new(&found.file, &found.file, rank.unwrap_or_default() as u32)
        };
        let splits = splits.map(|split| split.iter().map(picture).collect());
        let name = format!("{NAME}:{}", store.root().display());
        let lengths: Vec<u64> = store.files().into_iter().map(|(_, length)| length).collect();
        let pictures = Pictures::new(store, splits, classes);
        Ok(Self { name, pictures }.identified(NAME, lengths))
    }
}

fn found(file: &str, inner: usize) -> Found {
    Found { file: file.to_owned(), inner }
}

/// Length of the single folder that archives usually put around everything, `0` without one.
///
/// It is skipped only if more folders follow: a folder with one class is not a wrapper.
fn common_folder(files: &[String]) -> usize {
    let Some((first, _)) = files[0].split_once('/') else { return 0 };
    let length = first.len() + 1;
    let shared = files.iter().all(|file| {
        file.get(..length).is_some_and(|start| start.strip_suffix('/') == Some(first))
            && file[length..].contains('/')
    });
    if shared && split_named(first).is_none() { length } else { 0 }
}

/// Splits by top-level folder, `None` where there is no `train` folder.
fn by_folder(files: &[String], prefix: usize) -> Option<Result<[Vec<Found>; 3], String>> {
    let top = |file: &str| file[prefix..].split_once('/').map(|(top, _)| top.to_owned());
    if !files.iter().any(|file| top(file).as_deref() == Some("train")) {
        return None;
    }
    let mut splits: [Vec<Found>; 3] = Default::default();
    for file in files {
        let top = top(file).unwrap_or_default();
        match split_named(&top) {
            Some(split) => {
                splits[split.position()].push(found(file, prefix + top.len() + 1));
            }
            None => return Some(Err(format!("{file} beside them"))),
        }
    }
    Some(Ok(splits))
}

fn ranked(pictures: Vec<Found>, seed: u64) -> Vec<Found> {
    ranking::ranked(pictures, seed, |picture| &picture.file)
}

fn sorted(mut pictures: Vec<Found>) -> Vec<Found> {
    pictures.sort_by(|a, b| a.file.cmp(&b.file));
    pictures
}

fn by_hash(pictures: Vec<Found>, seed: u64) -> [Vec<Found>; 3] {
    let mut test = ranked(pictures, seed);
    let held = held_out(test.len());
    let mut valid = test.split_off(held);
    let train = valid.split_off(held.min(valid.len()));
    [sorted(train), sorted(valid), sorted(test)]
}

fn hold_out(pictures: Vec<Found>, seed: u64) -> (Vec<Found>, Vec<Found>) {
    let mut valid = ranked(pictures, seed);
    let train = valid.split_off(held_out(valid.len()));
    (sorted(train), sorted(valid))
}

/// A tenth, but at least one of three or more.
fn held_out(pictures: usize) -> usize {
    if pictures < 3 { 0 } else { (pictures / HELD_OUT).max(1) }
}

impl Found {
    fn class(&self) -> Option<String> {
        self.file[self.inner..].split_once('/').map(|(class, _)| class.to_owned())
    }
}

/// Names of the class folders in sorted order; `None` for flat folders.
fn classes(splits: &[Vec<Found>; 3]) -> Result<Option<Vec<String>>, String> {
    let all = || splits.iter().flatten();
    let flat = all().find(|found| found.class().is_none());
    let nested = all().find(|found| found.class().is_some());
    match (flat, nested) {
        (_, None) => return Ok(None),
        (Some(flat), Some(nested)) => {
            return Err(format!("{} beside {}", flat.file, nested.file));
        }
        (None, Some(_)) => {}
    }
    let mut names: Vec<String> = all().filter_map(Found::class).collect();
    names.sort();
    names.dedup();
    Ok(Some(names))
}

impl FileDataset for Folder {
    fn title(&self) -> &str {
        &self.name
    }

    fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    fn pictures_mut(&mut self) -> &mut Pictures {
        &mut self.pictures
    }

    fn hint(&self) -> String {
        let root = self.pictures.store.root().display();
        format!("in {root}; add pictures, or folders named train, valid and test")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;
    use crate::fixture::png;
    use crate::{Dataset, Labels, Split};

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, png()).unwrap();
        }
        directory
    }

    fn keys(folder: &Folder, split: Split) -> Vec<String> {
        (0..folder.len(split)).map(|index| folder.key(split, index)).collect()
    }

    fn error(files: &[&str]) -> String {
        Folder::open(folder(files).path(), 0).unwrap_err().to_string()
    }

    #[test]
    fn split_folders_decide_and_classes_are_shared() {
        let files =
            ["train/cat/1.png", "train/dog/1.PNG", "val/dog/2.png", "test/emu/deep/3.png", "a.txt"];
        let directory = folder(&files);
        let folder = Folder::open(directory.path(), 0).unwrap();
        assert_eq!(keys(&folder, Split::Train), ["train/cat/1.png", "train/dog/1.PNG"]);
        assert_eq!(keys(&folder, Split::Valid), ["val/dog/2.png"]);
        assert_eq!(keys(&folder, Split::Test), ["test/emu/deep/3.png"]);
        let expected = |labels: Vec<u32>| Labels::Classes {
            names: ["cat", "dog", "emu"].map(str::to_owned).to_vec(),
            labels,
        };
        assert_eq!(folder.labels(Split::Train), expected(vec![0, 1]));
        assert_eq!(folder.labels(Split::Test), expected(vec![2]));
        assert_eq!(folder.image(Split::Train, 0).unwrap(), crate::fixture::picture());
    }

    #[test]
    fn a_missing_valid_folder_is_taken_from_train() {
        let names: Vec<_> = (0..20).map(|i| format!("train/{i:02}.png")).collect();
        let mut files: Vec<_> = names.iter().map(String::as_str).collect();
        files.push("test/a.png");
        let directory = folder(&files);
        let folder = Folder::open(directory.path(), 0).unwrap();
        assert_eq!(Split::ALL.map(|split| folder.len(split)), [18, 2, 1]);
        assert!(keys(&folder, Split::Valid).iter().all(|key| key.starts_with("train/")));
        assert_eq!(folder.labels(Split::Train), Labels::None);
    }

    #[test]
    fn the_stamp_sees_a_picture_that_was_replaced() {
        let directory = folder(&["train/a.png", "test/b.png"]);
        let prints = || {
            let folder = Folder::open(directory.path(), 0).unwrap();
            (folder.fingerprint(), folder.stamp())
        };
        let before = prints();
        assert_eq!(prints(), before);
        let picture = directory.path().join("test/b.png");
        let file = fs::File::options().write(true).open(picture).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(prints().0, before.0);
        assert_ne!(prints().1, before.1);
    }

    #[test]
    fn flat_folders_are_split_by_a_seeded_hash() {
        let names: Vec<_> = (0..50).map(|i| format!("{i}.png")).collect();
        let directory = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let open = |seed| Folder::open(directory.path(), seed).unwrap();
        let folder = open(0);
        assert_eq!(Split::ALL.map(|split| folder.len(split)), [40, 5, 5]);
        let all: HashSet<_> =
            Split::ALL.into_iter().flat_map(|split| keys(&folder, split)).collect();
        assert_eq!(all.len(), 50);
        assert_eq!(keys(&folder, Split::Test), keys(&open(0), Split::Test));
        assert_ne!(keys(&folder, Split::Test), keys(&open(1), Split::Test));
        assert_ne!(folder.fingerprint(), open(1).fingerprint());
    }

    #[test]
    fn class_folders_without_splits_are_labelled() {
        let directory = folder(&["b/1.png", "a/1.png", "a/2.png"]);
        let folder = Folder::open(directory.path(), 0).unwrap();
        assert_eq!(Split::ALL.map(|split| folder.len(split)), [1, 1, 1]);
        for split in Split::ALL {
            let Labels::Classes { names, labels } = folder.labels(split) else { panic!() };
            assert_eq!(names, ["a", "b"]);
            assert_eq!(labels[0], u32::from(folder.key(split, 0).starts_with("b/")));
        }
    }

    #[test]
    fn a_file_too_large_for_a_picture_is_a_bad_picture() {
        let directory = folder(&["a.png"]);
        let file = fs::File::create(directory.path().join("a.png")).unwrap();
        // Sparse: takes no room on disk.
        file.set_len(1 << 40).unwrap();
        let folder = Folder::open(directory.path(), 0).unwrap();
        let text = folder.image(Split::Train, 0).unwrap_err().to_string();
        assert!(text.starts_with("picture a.png: expected at most 67108864 bytes"), "{text}");
    }

    #[test]
    fn layouts_that_cannot_be_understood_are_named() {
        assert!(error(&[]).contains("expected pictures named *.jpg, *.jpeg or *.png, found none"));
        let text = error(&["train/a.png", "other/b.png"]);
        assert!(text.contains("other/b.png beside them"), "{text}");
        let text = error(&["a/1.png", "2.png"]);
        assert!(text.contains("2.png beside a/1.png"), "{text}");
        let text = Folder::open(Path::new("/nonexistent/x"), 0).unwrap_err().to_string();
        assert!(text.starts_with("/nonexistent/x: "), "{text}");
    }
}
