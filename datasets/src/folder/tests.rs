use std::collections::HashSet;
use std::fs;

use super::*;
use crate::fixture::png;
use crate::{Dataset, Labels, Split};

pub(super) fn folder(files: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in files {
        let path = directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, png()).unwrap();
    }
    directory
}

pub(super) fn keys(folder: &Folder, split: Split) -> Vec<String> {
    (0..folder.len(split)).map(|index| folder.key(split, index)).collect()
}

pub(super) fn counts(folder: &Folder) -> [usize; 3] {
    Split::ALL.map(|split| folder.len(split))
}

pub(super) fn labels(folder: &Folder, split: Split) -> Vec<u32> {
    let Labels::Classes { labels, .. } = folder.labels(split) else { panic!("no classes") };
    labels
}

pub(super) fn error(files: &[&str]) -> String {
    Folder::open(folder(files).path(), 0).unwrap_err().to_string()
}

#[test]
fn split_folders_decide_and_classes_are_shared() {
    let files =
        ["train/cat/1.png", "train/dog/1.PNG", "val/dog/2.png", "test/cat/deep/3.png", "a.txt"];
    let directory = folder(&files);
    let folder = Folder::open(directory.path(), 0).unwrap();
    assert_eq!(keys(&folder, Split::Train), ["train/cat/1.png", "train/dog/1.PNG"]);
    assert_eq!(keys(&folder, Split::Valid), ["val/dog/2.png"]);
    assert_eq!(keys(&folder, Split::Test), ["test/cat/deep/3.png"]);
    let expected = |labels: Vec<u32>| Labels::Classes {
        names: ["cat", "dog"].map(str::to_owned).to_vec(),
        labels,
    };
    assert_eq!(folder.labels(Split::Train), expected(vec![0, 1]));
    assert_eq!(folder.labels(Split::Test), expected(vec![0]));
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
    let all: HashSet<_> = Split::ALL.into_iter().flat_map(|split| keys(&folder, split)).collect();
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
    assert!(error(&[]).ends_with("expected pictures, found none"));
    let text = error(&["train/a.png", "other/b.png"]);
    assert!(text.ends_with("in a folder of its split, found other (1), train (1)"), "{text}");
    let text = error(&["a/1.png", "2.png"]);
    assert!(text.contains("2.png beside a/1.png"), "{text}");
    let text = Folder::open(Path::new("/nonexistent/x"), 0).unwrap_err().to_string();
    assert!(text.starts_with("/nonexistent/x: "), "{text}");
}
