use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::fixture::{jpeg, picture};

/// Files of a small CelebA, by name: three pictures, one in each split.
struct Layout(Vec<(String, Vec<u8>)>);

const ATTRIBUTE_LINES: [&str; 5] =
    ["3", "Bald Smiling ", "000001.jpg -1  1", "000002.jpg  1 -1", "000003.jpg  1  1"];
const PARTITION_LINES: [&str; 3] = ["000001.jpg 0", "000002.jpg 1", "000003.jpg 2"];
const IDENTITY_LINES: [&str; 3] = ["000001.jpg 2880", "000002.jpg 7", "000003.jpg 2880"];

impl Layout {
    /// As published: CRLF in the attribute file, LF elsewhere.
    fn published() -> Self {
        let mut layout = Self(Vec::new());
        for number in 1..=3 {
            layout.set(&format!("img_align_celeba/00000{number}.jpg"), jpeg());
        }
        layout.set("list_attr_celeba.txt", ATTRIBUTE_LINES.join("\r\n") + "\r\n");
        layout.set("list_eval_partition.txt", PARTITION_LINES.join("\n") + "\n");
        layout.set("identity_CelebA.txt", IDENTITY_LINES.join("\n") + "\n");
        layout
    }

    fn set(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.remove(name);
        self.0.push((name.to_owned(), bytes.into()));
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    fn with(name: &str, lines: &[&str]) -> Self {
        let mut layout = Self::published();
        layout.set(name, lines.join("\n"));
        layout
    }

    fn write(&self, root: &Path) {
        for (name, bytes) in &self.0 {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// A tar of the files below `celeba/`.
    fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, format!("celeba/{name}"), &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn open(&self) -> Result<CelebA> {
        let directory = tempfile::tempdir().unwrap();
        self.write(directory.path());
        // Labels are read when the data set is opened: the folder may go.
        CelebA::open(directory.path(), None)
    }

    fn error(&self) -> String {
        let text = self.open().unwrap_err().to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn open_archive(name: &str, bytes: &[u8]) -> Result<CelebA> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    CelebA::open(&path, None)
}

/// What every correct copy of [`Layout::published`] must give.
fn assert_published(celeba: &CelebA) {
    for (split, key, values, identity) in [
        (Split::Train, "000001.jpg", [0, 1], 2880),
        (Split::Valid, "000002.jpg", [1, 0], 7),
        (Split::Test, "000003.jpg", [1, 1], 2880),
    ] {
        assert_eq!(celeba.len(split), 1);
        assert_eq!(celeba.key(split, 0), key);
        let names = vec!["Bald".to_owned(), "Smiling".to_owned()];
        assert_eq!(celeba.labels(split), Labels::Binary { names, values: values.to_vec() });
        assert_eq!(celeba.groups(split), Some(vec![identity]));
    }
}

#[test]
fn the_published_layout_is_read_wherever_its_root_is() {
    let directory = tempfile::tempdir().unwrap();
    Layout::published().write(&directory.path().join("celeba"));
    let above = CelebA::open(directory.path(), None).unwrap();
    let inside = CelebA::open(&directory.path().join("celeba"), None).unwrap();
    for celeba in [&above, &inside] {
        assert_published(celeba);
        let found = celeba.image(Split::Test, 0).unwrap();
        assert_eq!(found.dimensions(), picture().dimensions());
    }
    assert_eq!(above.fingerprint(), inside.fingerprint());
    assert!(above.image(Split::Test, 1).is_err());
}

#[test]
fn common_copies_of_the_label_files_are_read() {
    // LF, no final newline, 0/1 for ±1.
    let zero_one = ["3", "Bald Smiling", "000001.jpg 0 1", "000002.jpg 1 0", "000003.jpg 1 1"];
    assert_published(&Layout::with("list_attr_celeba.txt", &zero_one).open().unwrap());
    // Kaggle: commas, a header, no count, and the ending .csv.
    let mut kaggle = Layout::published();
    kaggle.remove("list_attr_celeba.txt");
    kaggle.remove("list_eval_partition.txt");
    let rows = "image_id,Bald,Smiling\n000001.jpg,-1,1\n000002.jpg,1,-1\n000003.jpg,1,1\n";
    kaggle.set("list_attr_celeba.csv", rows);
    let rows = "image_id,partition\r\n000001.jpg,0\r\n000002.jpg,1\r\n000003.jpg,2\r\n";
    kaggle.set("list_eval_partition.csv", rows);
    assert_published(&kaggle.open().unwrap());
    // Its pictures lie in a folder of the same name, and identities are left out.
    for (name, _) in &mut kaggle.0 {
        *name = name.replace("img_align_celeba/", "img_align_celeba/img_align_celeba/");
    }
    kaggle.remove("identity_CelebA.txt");
    let nested = kaggle.open().unwrap();
    assert_eq!(nested.key(Split::Test, 0), "000003.jpg");
    assert_eq!(nested.groups(Split::Test), None);
    assert_eq!(Split::ALL.map(|split| nested.len(split)), [1, 1, 1]);
}

#[test]
fn pictures_may_stay_in_their_zip_beside_the_label_files() {
    let layout = Layout::published();
    let directory = tempfile::tempdir().unwrap();
    let (pictures, labels): (Vec<_>, Vec<_>) =
        layout.0.iter().cloned().partition(|(name, _)| name.ends_with(".jpg"));
    Layout(labels).write(&directory.path().join("Anno"));
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in pictures {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    fs::create_dir(directory.path().join("Img")).unwrap();
    let path = directory.path().join("Img/img_align_celeba.zip");
    fs::write(&path, &zip).unwrap();
    // Other archives of the release are left alone.
    fs::write(directory.path().join("Img/img_celeba.zip"), b"not read").unwrap();
    let celeba = CelebA::open(directory.path(), None).unwrap();
    assert_published(&celeba);
    assert_eq!(celeba.fingerprint(), layout.open().unwrap().fingerprint());
    assert_eq!(celeba.image(Split::Test, 0).unwrap().dimensions(), (24, 16));
    let stamp = celeba.stamp();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    assert_ne!(CelebA::open(directory.path(), None).unwrap().stamp(), stamp);
    fs::write(&path, &zip[..zip.len() / 2]).unwrap();
    let text = CelebA::open(directory.path(), None).unwrap_err().to_string();
    assert!(text.contains("img_align_celeba.zip, member "), "{text}");
}

#[test]
fn lines_of_absent_pictures_do_not_count() {
    let mut layout = Layout::published();
    layout.remove("img_align_celeba/000002.jpg");
    let celeba = layout.open().unwrap();
    assert_eq!(Split::ALL.map(|split| celeba.len(split)), [1, 0, 1]);
    let text = celeba.require(&[Split::Train, Split::Valid]).unwrap_err().to_string();
    let expected = "celeba: split `valid` is empty under list_eval_partition.txt";
    assert_eq!(text, expected);
    assert!(celeba.require(&[Split::Train, Split::Test]).is_ok());
}

#[test]
fn pictures_without_lines_are_named() {
    let files = [
        (
            "list_attr_celeba.txt",
            &["2", ATTRIBUTE_LINES[1], ATTRIBUTE_LINES[2], ATTRIBUTE_LINES[4]] as &[&str],
        ),
        ("list_eval_partition.txt", &[PARTITION_LINES[0], PARTITION_LINES[2]]),
        ("identity_CelebA.txt", &[IDENTITY_LINES[0], IDENTITY_LINES[2]]),
    ];
    for (file, lines) in files {
        let expected = format!("{file}: picture 000002.jpg exists but has no line here");
        assert_eq!(Layout::with(file, lines).error(), expected);
    }
}

#[test]
fn broken_lines_are_named_with_their_number() {
    let attributes = |line: usize, text: &str| {
        let mut lines = ATTRIBUTE_LINES;
        lines[line] = text;
        Layout::with("list_attr_celeba.txt", &lines).error()
    };
    let expected = "list_attr_celeba.txt, line 4: expected 1, -1 or 0, found `2`";
    assert_eq!(attributes(3, "000002.jpg 2 1"), expected);
    assert!(attributes(3, "000002.jpg 1").contains("line 4: expected a file name and 2 values"));
    assert!(attributes(3, "000001.jpg 1 1").contains("000001.jpg again, first on line 3"));
    assert!(attributes(1, "Bald").contains("line 2: expected 2 attribute names"));
    assert!(attributes(0, "4").contains("line 1: expected the number of rows, 3, found 4"));
    let partition = Layout::with("list_eval_partition.txt", &["000001.jpg 3"]).error();
    assert!(partition.contains("line 1: expected a file name and 0, 1 or 2"), "{partition}");
    let empty = Layout::with("list_attr_celeba.txt", &[]).error();
    assert!(empty.contains("an empty file"), "{empty}");
    let mut binary = Layout::published();
    binary.set("list_attr_celeba.txt", vec![0xff; 4096]);
    assert!(binary.error().len() < 400);
}

#[test]
fn missing_parts_are_named() {
    for (name, expected) in [
        ("list_attr_celeba.txt", "expected list_attr_celeba.txt, found no such file"),
        ("list_eval_partition.txt", "expected list_eval_partition.txt, found no such file"),
    ] {
        let mut layout = Layout::published();
        layout.remove(name);
        assert!(layout.error().contains(expected), "{}", layout.error());
    }
    let mut layout = Layout::published();
    layout.remove("identity_CelebA.txt");
    assert_eq!(layout.open().unwrap().groups(Split::Train), None);
    let text = Layout(vec![("a.txt".to_owned(), vec![1])]).error();
    assert!(text.contains("expected pictures in img_align_celeba/, found none"), "{text}");
}

#[test]
fn a_partition_file_is_found_as_a_path_or_beside_the_labels() {
    let directory = tempfile::tempdir().unwrap();
    let mut layout = Layout::published();
    layout.set("list_eval_partition_mine.txt", "000001.jpg 2\n000002.jpg 2\n000003.jpg 2\n");
    layout.write(&directory.path().join("celeba"));
    let archive = directory.path().join("celeba.tar.gz");
    fs::write(&archive, gzip(&layout.tar())).unwrap();
    let path = directory.path().join("elsewhere.txt");
    fs::write(&path, "000001.jpg 1\n000002.jpg 1\n000003.jpg 1").unwrap();
    for root in [directory.path().join("celeba"), archive] {
        let lengths = |partition: &Path| {
            let celeba = CelebA::open(&root, Some(partition)).unwrap();
            Split::ALL.map(|split| celeba.len(split))
        };
        assert_eq!(lengths(&path), [0, 3, 0]);
        assert_eq!(lengths(Path::new("list_eval_partition_mine.txt")), [0, 0, 3]);
        let missing = CelebA::open(&root, Some(Path::new("none.txt"))).unwrap_err().to_string();
        assert!(missing.contains("partition file none.txt"), "{missing}");
    }
}

#[test]
fn archives_give_what_folders_give() {
    let layout = Layout::published();
    let folder = layout.open().unwrap();
    let tar = layout.tar();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in &layout.0 {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    for (name, bytes) in [("a.tar.gz", gzip(&tar)), ("a.tar", tar), ("a.zip", zip)] {
        let celeba = open_archive(name, &bytes).unwrap();
        assert_published(&celeba);
        assert_eq!(celeba.fingerprint(), folder.fingerprint(), "{name}");
        assert_eq!(celeba.image(Split::Valid, 0).unwrap().dimensions(), (24, 16));
    }
    // A folder that holds nothing but the archive.
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x.tgz"), gzip(&layout.tar())).unwrap();
    assert_published(&CelebA::open(directory.path(), None).unwrap());
    fs::write(directory.path().join("y.tgz"), gzip(&layout.tar())).unwrap();
    let text = CelebA::open(directory.path(), None).unwrap_err().to_string();
    assert!(text.contains("2 archives") && text.contains("name one"), "{text}");
}

#[test]
fn a_broken_picture_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut layout = Layout::published();
    layout.set("img_align_celeba/000003.jpg", &jpeg()[..300]);
    layout.write(directory.path());
    let celeba = CelebA::open(directory.path(), None).unwrap();
    let text = celeba.image(Split::Test, 0).unwrap_err().to_string();
    assert!(text.starts_with("picture 000003.jpg: "), "{text}");
    assert!(celeba.image(Split::Train, 0).is_ok());
}

#[test]
fn the_folder_of_the_pictures_may_be_the_root() {
    let directory = tempfile::tempdir().unwrap();
    Layout::published().write(directory.path());
    let folder = directory.path().join("img_align_celeba");
    let expected = CelebA::open(directory.path(), None).unwrap().fingerprint();
    let celeba = CelebA::open(&folder, None).unwrap();
    assert_published(&celeba);
    assert_eq!(celeba.fingerprint(), expected);
    // As Kaggle has it: the folder twice.
    let nested = directory.path().join("nested");
    fs::rename(&folder, &nested).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::rename(&nested, folder.join("img_align_celeba")).unwrap();
    assert_published(&CelebA::open(&folder, None).unwrap());
}

#[test]
fn png_pictures_are_found_in_the_label_files() {
    let mut layout = Layout::published();
    for (name, bytes) in layout.0.iter_mut().filter(|(name, _)| name.ends_with(".jpg")) {
        *name = name.replace("img_align_celeba", "img_align_celeba_png").replace("jpg", "png");
        *bytes = crate::fixture::png();
    }
    let celeba = layout.open().unwrap();
    assert_eq!(celeba.key(Split::Test, 0), "000003.png");
    let expected = Layout::published().open().unwrap();
    for split in Split::ALL {
        assert_eq!(celeba.labels(split), expected.labels(split));
        assert_eq!(celeba.groups(split), expected.groups(split));
    }
    layout.set("list_eval_partition.txt", PARTITION_LINES[..2].join("\n"));
    let text = layout.error();
    assert!(text.contains("picture 000003.png exists but has no line here"), "{text}");
    // Both copies of a picture.
    layout.set("img_align_celeba/000001.jpg", jpeg());
    assert!(layout.error().contains("one picture of each name, found 4 files, 3 names"));
}

#[test]
fn a_partial_set_says_so() {
    assert_eq!(
        Layout::published().open().unwrap().remarks(),
        ["3 of the 202,599 published pictures are here"]
    );
}
