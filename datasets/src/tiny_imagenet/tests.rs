use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::Write;

use super::*;
use crate::fixture::jpeg;
use crate::{Dataset, Labels};

type Files = Vec<(String, Vec<u8>)>;

/// Ten classes of ten training pictures, and twenty validation pictures.
fn published() -> Files {
    let ids: Vec<String> = (0..10).map(|i| format!("n{:08}", 90 - i)).collect();
    let mut files = Vec::new();
    for id in &ids {
        let boxes = format!("{id}_0.JPEG\t0\t10\t63\t58\n");
        files.push((format!("train/{id}/{id}_boxes.txt"), boxes.into_bytes()));
        for i in 0..10 {
            files.push((format!("train/{id}/images/{id}_{i}.JPEG"), jpeg()));
        }
    }
    let mut annotations = String::new();
    for i in 0..20 {
        files.push((format!("val/images/val_{i}.JPEG"), jpeg()));
        annotations += &format!("val_{i}.JPEG\t{}\t0\t32\t44\t62\n", ids[i % 10]);
    }
    files.push(("val/val_annotations.txt".into(), annotations.into_bytes()));
    files.push(("test/images/test_0.JPEG".into(), jpeg()));
    files.push(("wnids.txt".into(), ids.join("\n").into_bytes()));
    let words = format!("{}\tgoldfish, Carassius auratus\nn99999999\tother\n", ids[9]);
    files.push(("words.txt".into(), words.into_bytes()));
    files
}

fn set(files: &mut Files, name: &str, text: &str) {
    files.retain(|(other, _)| other != name);
    files.push((name.to_owned(), text.as_bytes().to_vec()));
}

fn folder(files: &Files) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join("tiny-imagenet-200").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    directory
}

fn archive(files: &Files) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        let name = format!("tiny-imagenet-200/{name}");
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn error(files: &Files) -> String {
    let text = TinyImageNet::open(folder(files).path(), TinyImageNetSplits::Official, 0);
    let text = text.unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

fn keys(set: &TinyImageNet, split: Split) -> BTreeSet<String> {
    (0..set.len(split)).map(|index| set.key(split, index)).collect()
}

#[test]
fn the_official_split_tests_on_the_validation_folder() {
    let directory = folder(&published());
    let open =
        |seed| TinyImageNet::open(directory.path(), TinyImageNetSplits::Official, seed).unwrap();
    let tiny = open(0);
    assert_eq!(tiny.name(), "tiny-imagenet");
    assert_eq!(Split::ALL.map(|split| tiny.len(split)), [90, 10, 20]);
    let Labels::Classes { names, labels } = tiny.labels(Split::Valid) else { panic!() };
    assert_eq!(labels, (0..10).collect::<Vec<_>>());
    assert_eq!((names[0].as_str(), names[9].as_str()), ("n00000081", "n00000090"));
    assert_eq!(tiny.words()[0], "goldfish, Carassius auratus");
    assert_eq!(tiny.words()[1], "n00000082");
    for split in [Split::Train, Split::Valid] {
        let Labels::Classes { labels, .. } = tiny.labels(split) else { panic!() };
        for (index, &label) in labels.iter().enumerate() {
            let start = format!("train/{}/images/", names[label as usize]);
            assert!(tiny.key(split, index).starts_with(&start));
        }
    }
    let Labels::Classes { labels, .. } = tiny.labels(Split::Test) else { panic!() };
    let at = (0..20).find(|&i| tiny.key(Split::Test, i) == "val/images/val_11.JPEG").unwrap();
    // The second identifier of the file is the last but one in sorted order.
    assert_eq!(labels[at], 8);
    assert_eq!(tiny.image(Split::Test, at).unwrap().dimensions(), (24, 16));
    assert!(keys(&tiny, Split::Train).is_disjoint(&keys(&tiny, Split::Valid)));
    assert_eq!(keys(&tiny, Split::Valid), keys(&open(0), Split::Valid));
    assert_ne!(keys(&tiny, Split::Valid), keys(&open(1), Split::Valid));
}

#[test]
fn the_few_shot_split_has_classes_apart() {
    let directory = folder(&published());
    let tiny = TinyImageNet::open(directory.path(), TinyImageNetSplits::FewShot, 0).unwrap();
    assert_eq!(tiny.name(), "tiny-imagenet-fewshot");
    assert_eq!(Split::ALL.map(|split| tiny.len(split)), [70, 10, 20]);
    let classes = |split: Split| {
        let Labels::Classes { labels, .. } = tiny.labels(split) else { panic!() };
        labels.into_iter().collect::<BTreeSet<u32>>()
    };
    assert_eq!(classes(Split::Test), BTreeSet::from([8, 9]));
    assert_eq!(classes(Split::Valid), BTreeSet::from([7]));
    assert_eq!(classes(Split::Train), (0..7).collect());
    assert!(keys(&tiny, Split::Test).iter().all(|key| key.starts_with("train/n000000")));
}

#[test]
fn an_archive_gives_what_its_folder_gives() {
    let files = published();
    let bytes = archive(&files);
    let packed = tempfile::tempdir().unwrap();
    let path = packed.path().join("tiny-imagenet-200-32x32-jpeg.tar.gz");
    fs::write(&path, &bytes).unwrap();
    let plain = folder(&files);
    for splits in [TinyImageNetSplits::Official, TinyImageNetSplits::FewShot] {
        let open = |root: &Path| TinyImageNet::open(root, splits, 0).unwrap();
        let roots = [packed.path(), &path, plain.path(), &plain.path().join("tiny-imagenet-200")];
        let prints: HashSet<_> = roots.iter().map(|root| open(root).fingerprint()).collect();
        assert_eq!(prints.len(), 1);
        let both = [packed.path(), plain.path()].map(|root| open(root).image(Split::Test, 3));
        let [a, b] = both.map(Result::unwrap);
        assert_eq!(a, b);
    }
    fs::File::create(&path).unwrap().write_all(&bytes[..bytes.len() / 2]).unwrap();
    let text = TinyImageNet::open(&path, TinyImageNetSplits::FewShot, 0).unwrap_err().to_string();
    assert!(text.contains(".tar.gz, member ") && !text.contains('\n'), "{text}");
}

#[test]
fn broken_layouts_are_one_clear_line() {
    let changed = |name: &str, text: &str| {
        let mut files = published();
        set(&mut files, name, text);
        error(&files)
    };
    let without = |start: &str| {
        let mut files = published();
        files.retain(|(name, _)| !name.starts_with(start));
        error(&files)
    };
    let text = without("train/");
    assert!(
        text.contains("expected pictures in train/CLASS/images/ or train/CLASS/, found none"),
        "{text}"
    );
    let text = without("val/val_annotations.txt");
    assert!(text.contains("expected val_annotations.txt, found no such file"), "{text}");
    let text = changed("wnids.txt", "n00000081\nn00000082\n");
    assert!(text.contains("every class in wnids.txt, found n00000083"), "{text}");
    let text = changed("wnids.txt", "n00000081\n\nn00000081\n");
    assert!(text.contains("wnids.txt, line 3: expected every identifier once"), "{text}");
    let text = changed("wnids.txt", "n00000081 x\n");
    assert!(text.contains("wnids.txt, line 1: expected one identifier"), "{text}");
    let text = changed("words.txt", "n00000081 goldfish\n");
    assert!(text.contains("words.txt, line 1: expected an identifier, a tab"), "{text}");
    let name = "val/val_annotations.txt";
    let text = changed(name, "val_0.JPEG\tn00000081\t0\t0\t1\t1\n");
    assert!(text.contains("val_annotations.txt: picture val_1.JPEG exists but has no"), "{text}");
    let text = changed(name, "val_0.JPEG\tn1\n");
    assert!(text.contains("line 1: expected a class of the training set, found `n1`"), "{text}");
    assert!(changed(name, "val_0.JPEG\n").contains("line 1: expected a file name and an"));
    let text = changed(name, "val_0.JPEG n00000081\nval_0.JPEG n00000081\n");
    assert!(text.contains("line 2: expected one line a picture, found a second"), "{text}");
    assert!(changed(name, &"\u{0}".repeat(1 << 20)).len() < 400);
}

#[test]
fn a_truncated_picture_is_named_by_its_key() {
    let mut files = published();
    let key = "val/images/val_7.JPEG";
    files.iter_mut().find(|(name, _)| name == key).unwrap().1.truncate(200);
    let directory = folder(&files);
    let tiny = TinyImageNet::open(directory.path(), TinyImageNetSplits::Official, 0).unwrap();
    let at = (0..20).find(|&i| tiny.key(Split::Test, i) == key).unwrap();
    let text = tiny.image(Split::Test, at).unwrap_err().to_string();
    assert!(text.starts_with("picture val/images/val_7.JPEG: "), "{text}");
    // Without the annotations and `val`, the official training pictures remain.
    files.retain(|(name, _)| !name.starts_with("val"));
    let directory = folder(&files);
    let tiny = TinyImageNet::open(directory.path(), TinyImageNetSplits::Official, 0).unwrap();
    assert_eq!(tiny.len(Split::Test), 0);
}

/// The published files under other names.
fn renamed(rename: impl Fn(&str) -> String) -> Files {
    published().into_iter().map(|(name, bytes)| (rename(&name), bytes)).collect()
}

fn open(files: &Files) -> TinyImageNet {
    TinyImageNet::open(folder(files).path(), TinyImageNetSplits::Official, 0).unwrap()
}

/// The class of every validation picture, by its file.
fn test_classes(tiny: &TinyImageNet) -> BTreeSet<(String, String)> {
    let Labels::Classes { names, labels } = tiny.labels(Split::Test) else { panic!() };
    let file = |index| base(&tiny.key(Split::Test, index)).to_owned();
    labels.iter().enumerate().map(|(i, &label)| (file(i), names[label as usize].clone())).collect()
}

#[test]
fn common_rearrangements_are_the_same_data() {
    let expected = open(&published());
    let flat = |name: &str| match name.starts_with("train/") {
        true => name.replace("/images/", "/"),
        false => name.to_owned(),
    };
    // Validation picture i is of class n(90 - i % 10).
    let sorted = |images: &'static str| {
        move |name: &str| match name.strip_prefix("val/images/val_") {
            Some(file) => {
                let number: usize = file.trim_end_matches(".JPEG").parse().unwrap();
                format!("val/n{:08}/{images}val_{file}", 90 - number % 10)
            }
            None => flat(name),
        }
    };
    for files in [renamed(flat), renamed(sorted("")), renamed(sorted("images/"))] {
        let tiny = open(&files);
        assert_eq!(Split::ALL.map(|split| tiny.len(split)), [90, 10, 20]);
        assert_eq!(test_classes(&tiny), test_classes(&expected));
        assert!(keys(&tiny, Split::Train).iter().all(|key| key.split('/').count() == 3), "keys");
    }
    let mut both = renamed(sorted(""));
    both.push(("val/images/val_0.JPEG".into(), jpeg()));
    assert!(error(&both).contains("val/images/ or in val/CLASS/, not both, found "));
}

#[test]
fn fewer_classes_are_read_and_counted() {
    let mut files = published();
    files.retain(|(name, _)| !name.starts_with("train/n00000085/"));
    let tiny = open(&files);
    assert_eq!(Split::ALL.map(|split| tiny.len(split)), [81, 9, 18]);
    assert!(test_classes(&tiny).iter().all(|(_, class)| class != "n00000085"));
    let expected = [
        "2 validation pictures of other classes left out",
        "9 of the 200 published classes are here",
        "90 of the 100,000 published training pictures are here",
        "18 of the 10,000 published validation pictures are here",
    ];
    assert_eq!(tiny.remarks(), expected);
}
