use std::fs;

use super::*;
use crate::Dataset;
use crate::fixture::jpeg;

const PEOPLE: [(&str, &[u32]); 4] =
    [("Ann_Lee", &[1, 2, 4]), ("Bo", &[1, 3]), ("Bo_Li", &[1, 2]), ("Cy", &[1, 2])];
const PAIRS: &str = "2\t1\nAnn_Lee\t1\t4\nAnn_Lee\t2\tBo\t3\nCy\t1\t2\nCy\t2\tBo_Li\t1\n";

fn grey_jpeg() -> Vec<u8> {
    let picture = image::GrayImage::from_fn(8, 8, |x, _| image::Luma([(x * 30) as u8]));
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&picture).unwrap();
    bytes
}

/// Pictures below `top`, those of Cy grey.
fn pictures(top: &str) -> Vec<(String, Vec<u8>)> {
    let file = |(name, numbers): (&'static str, &'static [u32])| {
        let bytes = if name == "Cy" { grey_jpeg() } else { jpeg() };
        let file = move |i: &u32| (format!("{top}/{name}/{name}_{i:04}.jpg"), bytes.clone());
        numbers.iter().map(file).collect::<Vec<_>>()
    };
    PEOPLE.into_iter().flat_map(file).collect()
}

fn tgz(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn write(root: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn published(pairs: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &pictures("lfw"));
    fs::write(directory.path().join("pairs.txt"), pairs).unwrap();
    directory
}

fn pairs(text: &str) -> Result<VerificationPairs> {
    Lfw::open(published(text).path()).unwrap().pairs()
}

fn error(text: &str) -> String {
    let text = pairs(text).unwrap_err().to_string();
    assert!(text.starts_with("pairs.txt, line ") && !text.contains('\n'), "{text}");
    text
}

#[test]
fn people_and_folds_are_read() {
    let lfw = Lfw::open(published(PAIRS).path()).unwrap();
    assert_eq!(Split::ALL.map(|split| lfw.len(split)), [0, 0, 9]);
    assert_eq!(lfw.people(), ["Ann_Lee", "Bo", "Bo_Li", "Cy"]);
    assert_eq!(lfw.groups(Split::Test).unwrap(), [0, 0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(lfw.groups(Split::Train).unwrap(), [0_u64; 0]);
    let pairs = lfw.pairs().unwrap();
    let key = |index: usize| lfw.key(Split::Test, index);
    let read = |pair: &PicturePair| (key(pair.a), key(pair.b), pair.same);
    let found: Vec<_> = pairs.folds.iter().flatten().map(read).collect();
    let picture = |name: &str, i: u32| format!("{name}/{name}_{i:04}.jpg");
    let expected = [
        (picture("Ann_Lee", 1), picture("Ann_Lee", 4), true),
        (picture("Ann_Lee", 2), picture("Bo", 3), false),
        (picture("Cy", 1), picture("Cy", 2), true),
        (picture("Cy", 2), picture("Bo_Li", 1), false),
    ];
    assert_eq!(found, expected);
    assert_eq!((pairs.folds.len(), pairs.len(), pairs.is_empty()), (2, 4, false));
    assert_eq!(pairs.pictures(1), [5, 7, 8]);
    assert!(lfw.dev_train_pairs().unwrap().is_none());
}

#[test]
fn every_copy_is_the_same_data_in_colour_or_grey() {
    let plain = published(PAIRS);
    let expected = Lfw::open(plain.path()).unwrap();
    let packed = tempfile::tempdir().unwrap();
    fs::write(packed.path().join("pairs.txt"), PAIRS).unwrap();
    fs::write(packed.path().join("lfw-funneled.tgz"), tgz(&pictures("lfw_funneled"))).unwrap();
    let nested = tempfile::tempdir().unwrap();
    let top = "lfw-deepfunneled/lfw-deepfunneled";
    write(nested.path(), &pictures(top));
    fs::write(nested.path().join("lfw-deepfunneled/pairs.txt"), PAIRS).unwrap();
    let roots = [
        plain.path().join("lfw"),
        packed.path().to_owned(),
        packed.path().join("lfw-funneled.tgz"),
        nested.path().to_owned(),
        nested.path().join(top),
    ];
    for root in roots {
        let lfw = Lfw::open(&root).unwrap();
        assert_eq!(lfw.fingerprint(), expected.fingerprint(), "{}", root.display());
        assert_eq!(lfw.pairs().unwrap(), expected.pairs().unwrap(), "{}", root.display());
        let grey = lfw.image(Split::Test, 8).unwrap();
        assert!(grey.pixels().all(|pixel| pixel.0 == [pixel.0[0]; 3]));
        assert_eq!(lfw.image(Split::Test, 0).unwrap().dimensions(), (24, 16));
    }
}

#[test]
fn development_lists_are_one_fold() {
    let directory = published(PAIRS);
    let list = "2\r\nBo\t1\t3\r\nCy\t1\t2\r\nBo\t1\tCy\t2\r\nCy\t1\tBo\t3";
    fs::write(directory.path().join("pairsDevTrain.txt"), list).unwrap();
    fs::write(directory.path().join("pairsDevTest.txt"), "2\nBo\t1\t3\n").unwrap();
    let lfw = Lfw::open(directory.path()).unwrap();
    let pairs = lfw.dev_train_pairs().unwrap().unwrap();
    assert_eq!((pairs.folds.len(), pairs.len()), (1, 4));
    let text = lfw.dev_test_pairs().unwrap_err().to_string();
    assert!(text.starts_with("pairsDevTest.txt, line 3: expected 2 pairs of one"), "{text}");
}

#[test]
fn broken_lists_are_named_with_their_line() {
    for header in ["", "x\n", "0\t300\n", "10\t0\n", "1\t2\t3\n", "-1\t2\n", "Bo\t1\t3\n"] {
        let text = error(header);
        assert!(text.contains("line 1: expected a header of the number of folds"), "{text}");
    }
    let text = error("10\t300\nBo\t1\t3\n");
    let expected = "line 3: expected 300 pairs of one person and 300 of two in fold 1, \
                    found the end of the file";
    assert!(text.contains(expected), "{text}");
    // A header may promise anything.
    assert!(error(&format!("{0}\t{0}\nBo\t1\t3\n", usize::MAX)).contains("the end of the file"));
    let text = error(&format!("{PAIRS}Bo\t1\t3\n"));
    assert!(text.contains("line 6: expected the end of the file after 2 folds of 2 x 1"), "{text}");
    let text = error("1\t1\nBo\t1\t2\nBo\t1\tCy\t1\n");
    assert_eq!(text, "pairs.txt, line 2: expected picture Bo/Bo_0002.jpg, found no such picture");
    let text = error("1\t1\nBo\t1\tCy\t1\nBo\t1\t3\n");
    assert!(text.contains("line 2: expected a name and two numbers, found `Bo\\t1\\tCy"), "{text}");
    assert!(error("1\t1\nBo\t1\t3\nBo\t1\t3\n").contains("line 3: expected two different names"));
    assert!(error("1\t1\nBo\t1\t3\nBo\t1\tBo\t3\n").contains("two different names"));
    assert!(error("1\t1\nBo\t1\tx\n").contains("line 2: expected the number of a picture"));
    assert!(error(&"\u{0}".repeat(1 << 20)).len() < 300);
}

#[test]
fn missing_pictures_are_named() {
    let text = error("1\t1\nBo\t1\t2\nBo\t2\tCy\t7\n");
    let expected = "line 2: expected picture Bo/Bo_0002.jpg, found no such picture; 2 are missing: \
                    Bo/Bo_0002.jpg, Cy/Cy_0007.jpg";
    assert!(text.ends_with(expected), "{text}");
    let many: String = (10..30).map(|i| format!("Bo\t1\t{i}\n")).collect();
    let others: String = (10..30).map(|i| format!("Bo\t1\tCy\t{i}\n")).collect();
    let text = error(&format!("1\t20\n{many}{others}"));
    assert!(text.contains("; 40 are missing: Bo/Bo_0010.jpg, ") && text.ends_with(", …"), "{text}");
}

#[test]
fn a_list_may_begin_with_a_mark_of_its_encoding() {
    assert_eq!(pairs(&format!("\u{feff}{PAIRS}")).unwrap(), pairs(PAIRS).unwrap());
}

#[test]
fn a_partial_set_says_so() {
    let remarks = Lfw::open(published(PAIRS).path()).unwrap().remarks();
    assert_eq!(
        remarks,
        [
            "9 of the 13,233 published pictures are here",
            "4 of the 6,000 published pairs of pairs.txt are here"
        ]
    );
}

#[test]
fn broken_layouts_are_one_clear_line() {
    let message = |root: &Path| {
        let text = Lfw::open(root).unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    };
    let empty = tempfile::tempdir().unwrap();
    let text = message(empty.path());
    assert!(text.contains("expected pictures Name_Surname/Name_Surname_0001.jpg, found none"));
    let twice = published(PAIRS);
    write(twice.path(), &pictures("lfw_funneled"));
    let text = message(twice.path());
    assert!(text.contains("one copy of the pictures, found lfw/Ann_Lee/Ann_Lee_0001"), "{text}");
    // One of them named, it is read, and the list beside it.
    assert!(Lfw::open(&twice.path().join("lfw")).unwrap().pairs().is_ok());
    let packed = tempfile::tempdir().unwrap();
    let whole = tgz(&pictures("lfw"));
    fs::write(packed.path().join("lfw.tgz"), &whole[..whole.len() - 9]).unwrap();
    assert!(message(packed.path()).contains("lfw.tgz, member "));
    fs::write(packed.path().join("lfw.tgz"), &whole).unwrap();
    let lfw = Lfw::open(packed.path()).unwrap();
    let text = lfw.pairs().unwrap_err().to_string();
    assert!(text.contains("expected pairs.txt in it or beside it, found no such file"), "{text}");
}

#[test]
fn a_truncated_picture_is_named_by_its_key() {
    let directory = published(PAIRS);
    let path = directory.path().join("lfw/Bo/Bo_0003.jpg");
    fs::write(&path, &jpeg()[..300]).unwrap();
    let lfw = Lfw::open(directory.path()).unwrap();
    let text = lfw.image(Split::Test, 4).unwrap_err().to_string();
    assert!(text.starts_with("picture Bo/Bo_0003.jpg: ") && !text.contains('\n'), "{text}");
}
