use std::collections::HashSet;
use std::fs;
use std::io::{Cursor, Write};

use image::{ImageFormat, Luma};

use super::*;
use crate::{Dataset, Labels};

type Files = Vec<(String, Vec<u8>)>;

/// A one-bit picture in the published form would need an encoder of its own; grey is read alike.
fn png(mark: u8) -> Vec<u8> {
    let picture =
        image::GrayImage::from_fn(5, 4, |x, y| Luma([if (x, y) == (3, 1) { mark } else { 255 }]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Files of a set of `alphabets`, each of 2 characters drawn twice.
fn set(name: &str, alphabets: &[&str]) -> Files {
    let mut files = Vec::new();
    for alphabet in alphabets {
        for character in 1..=2 {
            for drawer in 1..=2 {
                let file = format!("{:04}_{drawer:02}.png", 40 + character);
                let path = format!("{name}/{alphabet}/character{character:02}/{file}");
                files.push((path, png(10 * drawer)));
            }
        }
    }
    files
}

const SEVEN: [&str; 7] = ["Greek", "Arcadian", "Tifinagh", "Latin", "Bengali", "Futurama", "N_Ko"];

fn background() -> Files {
    set(BACKGROUND, &SEVEN)
}

fn evaluation() -> Files {
    set(EVALUATION, &["ULOG", "Angelic"])
}

fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn unpack(root: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

/// The published folder, zips unopened, beside the other files of the release.
fn published() -> tempfile::TempDir {
    folder(&[
        ("images_background.zip", zip(&background())),
        ("images_evaluation.zip", zip(&evaluation())),
        ("images_background_small1.zip", zip(&set("images_background_small1", &["Greek"]))),
        ("all_runs.zip", zip(&runs())),
    ])
}

fn error(directory: &tempfile::TempDir) -> String {
    let text = Omniglot::open(directory.path()).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn unopened_zips_are_split_by_alphabet() {
    let directory = published();
    let omniglot = Omniglot::open(directory.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| omniglot.len(split)), [24, 4, 8]);
    let alphabets = |split: Split| -> HashSet<String> {
        let keys = (0..omniglot.len(split)).map(|index| omniglot.key(split, index));
        keys.map(|key| key.split('/').nth(1).unwrap().to_owned()).collect()
    };
    // Tifinagh is the last of seven in sorted order.
    assert_eq!(alphabets(Split::Valid), HashSet::from(["Tifinagh".to_owned()]));
    assert_eq!(alphabets(Split::Test), HashSet::from(["Angelic".to_owned(), "ULOG".to_owned()]));
    assert_eq!(alphabets(Split::Train).len(), 6);
    let key = omniglot.key(Split::Test, 7);
    assert_eq!(key, "images_evaluation/ULOG/character02/0042_02.png");
    let Labels::Classes { names, labels } = omniglot.labels(Split::Test) else { panic!() };
    assert_eq!(names.len(), 18);
    assert_eq!(names[labels[7] as usize], "ULOG/character02");
    let picture = omniglot.image(Split::Test, 7).unwrap();
    assert_eq!((picture.get_pixel(3, 1).0, picture.get_pixel(1, 3).0), ([20; 3], [255; 3]));
}

#[test]
fn folders_and_zips_may_be_mixed_and_are_the_same_data() {
    let zipped = published();
    let mixed = folder(&[("images_evaluation.zip", zip(&evaluation()))]);
    unpack(mixed.path(), &background());
    // Beside its folder the zip is not read again.
    fs::write(mixed.path().join("images_background.zip"), b"not a zip").unwrap();
    let nested = tempfile::tempdir().unwrap();
    unpack(&nested.path().join("omniglot/python"), &[background(), evaluation()].concat());
    let both = folder(&[("omniglot.zip", zip(&[background(), evaluation()].concat()))]);
    let expected = Omniglot::open(zipped.path()).unwrap();
    for directory in [&mixed, &nested, &both] {
        let found = Omniglot::open(directory.path()).unwrap();
        assert_eq!(found.fingerprint(), expected.fingerprint());
        assert_eq!(found.key(Split::Train, 5), expected.key(Split::Train, 5));
        let pictures = [&found, &expected].map(|set| set.image(Split::Train, 5).unwrap());
        assert_eq!(pictures[0], pictures[1]);
    }
    let alone = folder(&[("images_evaluation.zip", zip(&evaluation()))]);
    let omniglot = Omniglot::open(alone.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| omniglot.len(split)), [0, 0, 8]);
    let text = omniglot.require(&[Split::Train]).unwrap_err().to_string();
    assert!(text.contains("train and valid are of images_background"), "{text}");
}

#[test]
fn broken_archives_and_layouts_are_one_clear_line() {
    let whole = zip(&background());
    for length in (0..whole.len()).step_by(301).chain([whole.len() - 1]) {
        let text = error(&folder(&[("images_background.zip", whole[..length].to_vec())]));
        assert!(text.contains("images_background.zip, member "), "{text}");
    }
    let text = error(&tempfile::tempdir().unwrap());
    assert!(text.contains("expected images_background and images_evaluation"), "{text}");
    let twice = tempfile::tempdir().unwrap();
    unpack(&twice.path().join("a"), &background());
    unpack(&twice.path().join("b"), &background());
    let text = error(&twice);
    assert!(text.contains("every character once, found a/images_background/Arcadian"), "{text}");
    let two = tempfile::tempdir().unwrap();
    for copy in ["a", "b"] {
        fs::create_dir(two.path().join(copy)).unwrap();
        fs::write(two.path().join(copy).join("images_background.zip"), &whole).unwrap();
    }
    let text = error(&two);
    assert!(text.contains("one folder or archive of images_background, found 2"), "{text}");
}

#[test]
fn a_truncated_picture_is_named_by_its_key() {
    let mut files = background();
    let last = files.len() - 1;
    files[last].1.truncate(40);
    let key = files[last].0.clone();
    let omniglot =
        Omniglot::open(folder(&[("images_background.zip", zip(&files))]).path()).unwrap();
    let find = |split: Split| (0..omniglot.len(split)).find(|&i| omniglot.key(split, i) == key);
    let text = omniglot.image(Split::Train, find(Split::Train).unwrap()).unwrap_err().to_string();
    assert!(text.starts_with(&format!("picture {key}: ")) && !text.contains('\n'), "{text}");
}

/// Two runs of three characters.
fn runs() -> Files {
    let mut files = Vec::new();
    for run in ["run01", "run02"] {
        for i in 1..=3 {
            files.push((format!("{run}/training/class{i:02}.png"), png(i)));
            files.push((format!("{run}/test/item{i:02}.png"), png(100 + i)));
        }
        let answer = |item, class| format!("{run}/test/item{item} {run}/training/class{class}");
        let pairs = [("01", "03"), ("02", "01"), ("03", "02")];
        let lines = pairs.map(|(item, class)| answer(item, class).replace(' ', ".png ") + ".png\n");
        files.push((format!("{run}/class_labels.txt"), lines.concat().into_bytes()));
    }
    files
}

#[test]
fn one_shot_runs_have_support_queries_and_answers() {
    let unpacked = tempfile::tempdir().unwrap();
    unpack(unpacked.path(), &runs());
    let zipped = published();
    let archive = zipped.path().join("all_runs.zip");
    let mut prints = HashSet::new();
    for root in [unpacked.path(), zipped.path(), &archive] {
        let set = OneShotRuns::open(root).unwrap();
        prints.insert(set.fingerprint());
        assert_eq!(Split::ALL.map(|split| set.len(split)), [0, 0, 12]);
        let run = &set.runs()[1];
        assert_eq!((set.runs().len(), run.name.as_str()), (2, "run02"));
        let key = |index: usize| set.key(Split::Test, index);
        assert_eq!(key(run.queries[0]), "run02/test/item01.png");
        assert_eq!(key(run.support[run.answers[0]]), "run02/training/class03.png");
        assert_eq!(run.answers, [2, 0, 1]);
        let picture = set.image(Split::Test, run.queries[2]).unwrap();
        assert_eq!(picture.get_pixel(3, 1).0, [103; 3]);
        assert!(set.image(Split::Test, 12).is_err() && set.image(Split::Train, 0).is_err());
    }
    assert_eq!(prints.len(), 1);
}

#[test]
fn broken_answers_are_named() {
    let message = |change: &dyn Fn(&mut Files)| {
        let mut files = runs();
        change(&mut files);
        let directory = tempfile::tempdir().unwrap();
        unpack(directory.path(), &files);
        let text = OneShotRuns::open(directory.path()).unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    };
    let answers = |text: &str| {
        let text = text.to_owned();
        message(&move |files| files.last_mut().unwrap().1 = text.clone().into_bytes())
    };
    let text = answers("run02/test/item01.png run02/training/class01.png\nx\n");
    assert!(text.contains("run02/class_labels.txt, line 2: expected a test and a"), "{text}");
    let text = answers("run02/test/item01.png run01/training/class01.png");
    assert!(text.contains("line 1: expected a training picture of this run"), "{text}");
    let text = answers("run02/test/item09.png run02/training/class01.png");
    assert!(text.contains("expected a test picture of this run that exists"), "{text}");
    let text = answers("run02/test/item01.png run02/training/class01.png");
    assert!(text.contains("picture run02/test/item02.png exists but has no line"), "{text}");
    let line = "run02/test/item01.png run02/training/class01.png\n";
    assert!(
        answers(&(line.to_owned() + line)).contains("line 2: expected one line a test picture")
    );
    assert!(answers(&"\u{0}".repeat(1 << 20)).len() < 300);
    let text = message(&|files| files.retain(|(name, _)| !name.ends_with("training/class01.png")));
    assert!(text.contains("line 2: expected a training picture"), "{text}");
    let text = message(&|files| files.clear());
    assert!(text.contains("expected all_runs.zip or runNN/class_labels.txt"), "{text}");
}

#[test]
fn small_background_sets_take_the_place_of_the_large_one() {
    let [first, second] = [SMALL[0], SMALL[1]].map(|name| format!("{name}.zip"));
    let small1 = zip(&set(SMALL[0], &["Greek", "Latin", "Korean"]));
    let small2 = zip(&set(SMALL[1], &["Latin", "Tagalog"]));
    let one = folder(&[(&first, small1.clone()), ("images_evaluation.zip", zip(&evaluation()))]);
    let omniglot = Omniglot::open(one.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| omniglot.len(split)), [8, 4, 8]);
    assert_eq!(
        omniglot.key(Split::Valid, 0),
        format!("{}/Latin/character01/0041_01.png", SMALL[0])
    );
    let remarks = omniglot.remarks();
    assert_eq!(remarks[0], "images_background_small1 in place of images_background");
    assert_eq!(remarks[1..], ["8 of the 13,180 published evaluation pictures are here"]);
    // What both have counts once.
    let both = folder(&[(&first, small1.clone()), (&second, small2)]);
    let omniglot = Omniglot::open(both.path()).unwrap();
    assert_eq!(Split::ALL.map(|split| omniglot.len(split)), [12, 4, 0]);
    let expected = "images_background_small1 and images_background_small2 in place of";
    assert!(omniglot.remarks()[0].starts_with(expected));
    let published = Omniglot::open(published().path()).unwrap();
    let expected = [
        "28 of the 19,280 published background pictures are here",
        "8 of the 13,180 published evaluation pictures are here",
    ];
    assert_eq!(published.remarks(), expected);
}
