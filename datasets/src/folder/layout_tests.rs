//! Layouts that people have: what is right for each, or how it is refused.

use super::tests::{counts, folder, keys, labels};
use super::*;
use crate::Dataset;

/// `n` pictures in each folder.
fn tree(folders: &[&str], n: usize) -> tempfile::TempDir {
    let files = folders.iter().flat_map(|at| (0..n).map(move |i| format!("{at}/{i}.png")));
    let files: Vec<String> = files.collect();
    folder(&files.iter().map(String::as_str).collect::<Vec<_>>())
}

fn open(folders: &[&str]) -> Folder {
    Folder::open(tree(folders, 6).path(), 0).unwrap()
}

fn refused(folders: &[&str]) -> String {
    let text = Folder::open(tree(folders, 6).path(), 0).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

/// Names of the classes, and how many pictures of each are in each split.
fn classes_by_split(folder: &Folder) -> (Vec<String>, [Vec<usize>; 3]) {
    let names = folder.pictures.classes.clone().unwrap();
    let count = |split| {
        let labels = labels(folder, split);
        (0..names.len())
            .map(|class| labels.iter().filter(|l| **l == class as u32).count())
            .collect()
    };
    (names.clone(), Split::ALL.map(count))
}

#[test]
fn splits_are_known_by_other_names() {
    for folders in [
        ["TRAIN/a", "TRAIN/b", "VAL/a", "VAL/b", "TEST/a", "TEST/b"],
        ["Train/a", "Train/b", "Dev/a", "Dev/b", "Eval/a", "Eval/b"],
        ["x/train/a", "x/train/b", "x/valid/a", "x/valid/b", "x/test/a", "x/test/b"],
        ["x/y/train/a", "x/y/train/b", "x/y/val/a", "x/y/val/b", "x/y/test/a", "x/y/test/b"],
        ["train/i/a", "train/i/b", "val/i/a", "val/i/b", "test/i/a", "test/i/b"],
        ["a/train", "b/train", "a/val", "b/val", "a/test", "b/test"],
        [
            "test_set/train/a",
            "test_set/train/b",
            "test_set/val/a",
            "test_set/val/b",
            "test_set/test/a",
            "test_set/test/b",
        ],
    ] {
        let folder = open(&folders);
        let (names, counts) = classes_by_split(&folder);
        assert_eq!(names, ["a", "b"], "{folders:?}");
        assert_eq!(counts, [[6, 6], [6, 6], [6, 6]], "{folders:?}");
        assert!(folder.remarks().is_empty(), "{:?}", folder.remarks());
    }
}

#[test]
fn a_missing_validation_split_is_drawn_from_train() {
    for folders in [
        ["Training/a", "Training/b", "Testing/a", "Testing/b"],
        [
            "seg_train/seg_train/a",
            "seg_train/seg_train/b",
            "seg_test/seg_test/a",
            "seg_test/seg_test/b",
        ],
        ["trainset/a", "trainset/b", "val/a", "val/b"],
    ] {
        let folder = open(&folders);
        assert_eq!(counts(&folder), [11, 1, 12], "{folders:?}");
        assert!(keys(&folder, Split::Test).iter().all(|key| !key.contains("rain")), "{folders:?}");
        assert_eq!(classes_by_split(&folder).0, ["a", "b"]);
        assert_eq!(folder.remarks().len(), 1);
        let serves = folder.remarks()[0].contains("the validation pictures serve as test");
        assert_eq!(serves, folders[2].starts_with("val"), "{folders:?}");
    }
}

#[test]
fn train_alone_is_split_like_any_folder() {
    let (with, without) = (open(&["train/a", "train/b"]), open(&["a", "b"]));
    assert_eq!(counts(&with), [10, 1, 1]);
    assert_eq!(counts(&without), [10, 1, 1]);
    assert_eq!(classes_by_split(&with).0, ["a", "b"]);
    assert_eq!(with.remarks(), ["valid and test are a tenth each drawn from train"]);
    let drawn = "10 pictures are drawn for train, 1 for valid, 1 for test";
    assert_eq!(without.remarks(), [format!("no folder is named after a split: {drawn}")]);
}

#[test]
fn pictures_without_labels_are_left_out_and_counted() {
    let folder =
        open(&["seg_train/a", "seg_train/b", "seg_test/a", "seg_test/b", "seg_pred/seg_pred"]);
    assert_eq!(counts(&folder), [11, 1, 12]);
    assert!(folder.remarks()[0].ends_with("by the name of their folder (6): seg_pred"));
}

#[test]
fn what_looks_like_splits_and_does_not_fit_is_refused_with_its_tree() {
    for (folders, expected, found) in [
        (&["train", "bus", "car"][..], "in a folder of its split", "bus (6), car (6), train (6)"),
        (
            &["train/a", "test/a", "extra/a"],
            "in a folder of its split",
            "extra (6), test (6), train (6)",
        ),
        (&["test/a", "test/b"], "training pictures", "test (12)"),
        (&["val/a", "test/b"], "training pictures", "test (6), val (6)"),
        (&["train1/a", "train2/a", "test/a"], "one folder of each split", "test (6), train1 (6)"),
        (&["train/a", "training/a"], "one folder of each split", "train (6), training (6)"),
        (&["trainA", "trainB", "testA", "testB"], "one folder of each split", "testA (6)"),
        (
            &["train/a/test", "train/b", "test/a"],
            "within a split or a class",
            "test (6), train (12)",
        ),
        (&["train/test/a", "test/a"], "within a split or a class", "test (6), train (6)"),
        (&["a/train", "a/test", "b"], "or in every class", "a (12), b (6)"),
        (&["a/train", "b/x/test"], "or in every class", "a (6), b (6)"),
        (&["a/train", "a/test", "b/train"], "the same", "a (12), b (6)"),
        (
            &["imgs/train/a", "imgs/train/b", "masks/train/a"],
            "pictures only",
            "imgs (12), masks (6)",
        ),
        (&["x/y/train", "x/y/bus"], "in a folder of its split", "in x/y/: bus (6), train (6)"),
        (
            &["train/a", "train/b", "test"],
            "in a class folder, or none",
            "test/0.png beside train/a/0.png",
        ),
        (
            &["train/cat", "train/dog", "test/images"],
            "classes of test among those of train",
            "images (6 pictures) without training pictures (is it unlabelled?)",
        ),
        (
            &["train/cat", "train/dog", "val/cat", "val/emu", "test/cat"],
            "classes of valid",
            "emu (6",
        ),
        (
            &["train/Cat", "train/dog", "test/cat", "test/dog"],
            "classes of test",
            "cat, and Cat in train: the case of letters differs",
        ),
    ] {
        let text = refused(folders);
        let (before, after) = text.split_once(", found ").unwrap();
        assert!(before.contains(expected) && after.contains(found), "{folders:?}: {text}");
    }
}

#[test]
fn pictures_beside_classes_of_splits_are_refused() {
    // Of a name whose first letter has several bytes, too.
    for loose in ["x.png", "ö.png", "├.png"] {
        let folder =
            folder(&["a/train/1.png", "a/test/2.png", "b/train/3.png", "b/test/4.png", loose]);
        let text = Folder::open(folder.path(), 0).unwrap_err().to_string();
        assert!(
            text.contains("expected folders of splits at the top, or in every class"),
            "{text}"
        );
    }
}

#[test]
fn classes_with_words_of_splits_stay_classes() {
    let folder = open(&["train_station", "airport", "Val_Kilmer"]);
    assert_eq!(folder.pictures.classes.as_ref().unwrap().len(), 3);
    assert!(folder.remarks()[0].ends_with("not for splits: Val_Kilmer, train_station"));
    // Splits with classes apart, for few-shot episodes.
    let folder = open(&["train/a", "train/b", "val/c", "val/d", "test/e", "test/f"]);
    assert_eq!(counts(&folder), [12, 12, 12]);
    assert_eq!(folder.remarks()[1], "no class of test is in train: e, f");
    let folder = open(&["train/a", "train/A", "test/a"]);
    assert_eq!(folder.remarks()[0], "classes that differ in the case of letters only: A, a");
}

#[test]
fn folders_in_classes_are_named() {
    let folder = open(&["fold1/a", "fold1/b/c", "fold2/a", "fold3"]);
    assert_eq!(folder.pictures.classes.as_ref().unwrap(), &["fold1", "fold2", "fold3"]);
    let said = "a class is the first folder; those in it say nothing: fold1/a, fold1/b, fold2/a";
    assert_eq!(folder.remarks()[0], said);
}

#[test]
fn splits_may_be_told() {
    let at = tree(&["one/a", "two/b", "three/a", "three/b", "rest/c"], 6);
    let told = |folders: &[&str]| {
        let folders: Vec<SplitFolder> = folders.iter().map(|text| text.parse().unwrap()).collect();
        Folder::open_splits(at.path(), &folders, 0)
    };
    let folder = told(&["train=one", "train=./two/", "test=three"]).unwrap();
    assert_eq!(classes_by_split(&folder).0, ["a", "b"]);
    assert_eq!(counts(&folder), [11, 1, 12]);
    assert!(folder.remarks()[0].ends_with("outside of the splits' folders (6)"));
    assert_eq!(counts(&told(&["train=three", "valid=one"]).unwrap()), [12, 6, 0]);
    let text = |folders: &[&str]| told(folders).unwrap_err().to_string();
    assert!(text(&["train=four"]).contains("expected pictures of train in four, found one (6), "));
    assert!(text(&["train=.", "test=one"]).ends_with("found one/a/0.png in two of them"));
    assert!(text(&["train=../x"]).contains(": expected a relative name without `..`, found ../x"));
    for wrong in ["train", "train=", "tran=a", "=a"] {
        assert!(wrong.parse::<SplitFolder>().is_err(), "{wrong}");
    }
    // All folders are classes, whatever their names.
    let at = tree(&["train", "bus"], 6);
    let folder = Folder::open_splits(at.path(), &["train=.".parse().unwrap()], 0).unwrap();
    assert_eq!(classes_by_split(&folder).0, ["bus", "train"]);
    assert_eq!(counts(&folder), [10, 1, 1]);
}
