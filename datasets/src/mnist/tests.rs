use std::fs::{self, File};
use std::io::Write;

use super::*;

fn open(root: &Path, set: &str) -> Result<Mnist> {
    Mnist::open(root, IdxSet::named(set).unwrap())
}

fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|side| side.to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

fn folder(images: &[u8], labels: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("train-images-idx3-ubyte"), images).unwrap();
    let file = File::create(directory.path().join("train-labels-idx1-ubyte.gz")).unwrap();
    let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    file.write_all(labels).unwrap();
    file.finish().unwrap();
    directory
}

#[test]
fn pictures_are_upright_and_the_last_sixth_is_valid() {
    let pixels: Vec<u8> = (0..36).collect();
    let directory = folder(&idx(&[6, 2, 3], &pixels), &idx(&[6], &[1, 2, 3, 4, 5, 6]));
    let mnist = open(directory.path(), "mnist").unwrap();
    assert_eq!(Split::ALL.map(|split| mnist.len(split)), [5, 1, 0]);
    let picture = mnist.image(Split::Valid, 0).unwrap();
    assert_eq!(picture.dimensions(), (3, 2));
    assert_eq!(picture.get_pixel(2, 1).0, [35; 3]);
    let Labels::Classes { labels, .. } = mnist.labels(Split::Valid) else { panic!() };
    assert_eq!(labels, [6]);
    assert!(mnist.require(&Split::ALL).unwrap_err().to_string().contains("`test` is empty"));
}

#[test]
fn common_copies_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("MNIST/raw");
    fs::create_dir_all(&raw).unwrap();
    fs::write(raw.join("t10k-images.idx3-ubyte"), idx(&[1, 1, 1], &[7])).unwrap();
    fs::write(raw.join("t10k-labels.idx1-ubyte"), idx(&[1], &[3])).unwrap();
    let mnist = open(directory.path(), "mnist").unwrap();
    assert_eq!(Split::ALL.map(|split| mnist.len(split)), [0, 0, 1]);
    assert_eq!(mnist.image(Split::Test, 0).unwrap().get_pixel(0, 0).0, [7; 3]);
}

#[test]
fn broken_files_are_one_clear_line() {
    let good = idx(&[2], &[0, 1]);
    let message = |images: &[u8], labels: &[u8]| {
        open(folder(images, labels).path(), "mnist").unwrap_err().to_string()
    };
    let pictures = idx(&[2, 1, 1], &[7, 8]);
    assert!(message(&idx(&[2, 1, 1], &[7]), &good).contains("found the end of the file"));
    assert!(message(&idx(&[2, 1, 1], &[7, 8, 9]), &good).contains("found more"));
    assert!(message(&idx(&[u32::MAX; 3], &[]), &good).contains("at most 1048576 pictures"));
    assert!(message(&idx(&[2, 1], &[7, 8]), &good).contains("in 3 dimensions"));
    assert!(message(b"", &good).ends_with("found an empty file"));
    assert!(message(b"<html>Forbidden</html>", &good).contains("found an HTML page"));
    assert!(message(&pictures, &idx(&[3], &[0, 1, 2])).contains("2 labels"));
    assert!(message(&pictures, &idx(&[2], &[0, 10])).contains("labels of 0 to 9, found 10"));
}

/// A pair of files of one picture for each label, of 2×3 pixels.
fn pair(folder: &Path, part: &str, labels: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    let n = labels.len() as u32;
    let pixels: Vec<u8> = (0..6 * n as u8).collect();
    fs::write(folder.join(format!("{part}-images-idx3-ubyte")), idx(&[n, 2, 3], &pixels)).unwrap();
    fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), idx(&[n], labels)).unwrap();
}

fn names_and_labels(set: &Mnist, split: Split) -> (Vec<String>, Vec<u32>) {
    let Labels::Classes { names, labels } = set.labels(split) else { panic!() };
    (names, labels)
}

#[test]
fn emnist_is_transposed_and_its_letters_count_from_one() {
    let directory = tempfile::tempdir().unwrap();
    pair(&directory.path().join("gzip"), "emnist-letters-train", &[1, 26, 3, 4, 5, 6]);
    pair(&directory.path().join("gzip"), "emnist-letters-test", &[2]);
    pair(&directory.path().join("gzip"), "emnist-digits-train", &[9]);
    let letters = open(directory.path(), "emnist-letters").unwrap();
    let (names, labels) = names_and_labels(&letters, Split::Train);
    assert_eq!((names.len(), &labels[..]), (26, &[0, 25, 2, 3, 4][..]));
    assert_eq!((names[0].as_str(), names[25].as_str()), ("a", "z"));
    assert_eq!(letters.key(Split::Test, 0), "emnist-letters-test/00000");
    // Rows of the file, 0 1 2 and 3 4 5, are columns of the picture.
    let picture = letters.image(Split::Train, 0).unwrap();
    assert_eq!(picture.dimensions(), (2, 3));
    assert_eq!([(0, 0), (0, 2), (1, 0)].map(|(x, y)| picture.get_pixel(x, y).0[0]), [0, 2, 3]);
    let digits = open(directory.path(), "emnist-digits").unwrap();
    assert_eq!(names_and_labels(&digits, Split::Train).1, [9]);
    pair(&directory.path().join("gzip"), "emnist-letters-test", &[0]);
    let text = open(directory.path(), "emnist-letters").unwrap_err().to_string();
    assert!(text.contains("labels of 1 to 26, found 0"), "{text}");
}

#[test]
fn every_set_has_as_many_names_as_classes() {
    let classes = |name: &str| IdxSet::named(name).unwrap().classes.len();
    assert_eq!(["mnist", "fashion-mnist", "kmnist", "emnist-mnist"].map(classes), [10; 4]);
    assert_eq!(["emnist-balanced", "emnist-bymerge", "emnist-byclass"].map(classes), [47, 47, 62]);
}

#[test]
fn files_of_another_set_are_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (folder, labels) in [("MNIST/raw", [1]), ("FashionMNIST/raw", [2])] {
        pair(&root.join(folder), "train", &labels);
    }
    for (set, label) in [("mnist", 1), ("fashion-mnist", 2)] {
        assert_eq!(names_and_labels(&open(root, set).unwrap(), Split::Train).1, [label]);
    }
    let text = open(root, "kmnist").unwrap_err().to_string();
    assert!(text.contains("train-images-idx3-ubyte and t10k-images-idx3-ubyte"), "{text}");
    // Two copies that nothing tells apart.
    pair(&root.join("a"), "t10k", &[1]);
    pair(&root.join("b"), "t10k", &[2]);
    let text = open(root, "kmnist").unwrap_err().to_string();
    assert!(text.contains("found a/t10k-images-idx3-ubyte and b/t10k-images-idx3-ubyte"), "{text}");
    // Of a copy in a copy the outer one counts.
    pair(&root.join("b/t10k-images-idx3-ubyte.d"), "t10k", &[3]);
    fs::remove_dir_all(root.join("a")).unwrap();
    assert_eq!(names_and_labels(&open(root, "kmnist").unwrap(), Split::Test).1, [2]);
}

#[test]
fn files_of_one_copy_belong_together() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    pair(&root.join("a"), "train", &[1]);
    pair(&root.join("b/raw"), "train", &[2]);
    fs::remove_file(root.join("a/train-labels-idx1-ubyte")).unwrap();
    let text = open(root, "mnist").unwrap_err().to_string();
    assert!(text.contains("a/train-images-idx3-ubyte and b/raw/train-labels-idx1-ubyte"), "{text}");
    fs::remove_dir_all(root.join("a")).unwrap();
    pair(&root.join("c"), "t10k", &[3]);
    let text = open(root, "mnist").unwrap_err().to_string();
    assert!(text.contains("expected files of one copy"), "{text}");
    // A folder for each file, and another set's folder by another spelling.
    fs::remove_dir_all(root.join("c")).unwrap();
    for file in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        fs::create_dir_all(root.join("k").join(file)).unwrap();
        fs::rename(root.join("b/raw").join(file), root.join("k").join(file).join(file)).unwrap();
    }
    pair(&root.join("fashion-mnist"), "train", &[4]);
    assert_eq!(names_and_labels(&open(root, "mnist").unwrap(), Split::Train).1, [2]);
    assert_eq!(names_and_labels(&open(root, "fashion-mnist").unwrap(), Split::Train).1, [4]);
}

#[test]
fn contents_say_whether_a_file_is_gzipped() {
    let directory = folder(&idx(&[1, 1, 1], &[7]), &idx(&[1], &[3]));
    let labels = directory.path().join("train-labels-idx1-ubyte");
    fs::rename(labels.with_extension("gz"), &labels).unwrap();
    let images = directory.path().join("train-images-idx3-ubyte");
    fs::rename(&images, images.with_extension("gz")).unwrap();
    let mnist = open(directory.path(), "mnist").unwrap();
    assert_eq!(names_and_labels(&mnist, Split::Train).1, [3]);
    let whole = fs::read(&labels).unwrap();
    for length in 2..whole.len() {
        fs::write(&labels, &whole[..length]).unwrap();
        let text = open(directory.path(), "mnist").unwrap_err().to_string();
        assert!(text.contains("train-labels-idx1-ubyte: ") && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_partial_set_says_so() {
    let directory = tempfile::tempdir().unwrap();
    pair(directory.path(), "train", &[1, 2, 3]);
    let mnist = open(directory.path(), "mnist").unwrap();
    let expected = [
        "3 of the 60,000 published training pictures are here",
        "0 of the 10,000 published test pictures are here",
    ];
    assert_eq!(mnist.remarks(), expected);
}
