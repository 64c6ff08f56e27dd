//! One tree as a folder, a zip and tars means the same.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;

use super::tests::{counts, keys, labels};
use super::*;
use crate::Dataset;
use crate::fixture::png;

/// A file, or a link where `target` is given.
struct Entry {
    name: &'static str,
    target: Option<&'static str>,
    contents: Vec<u8>,
}

/// Everything that has been read in different ways: hidden files, nested folders, names in both
/// Unicode forms, pictures without an ending, other files, links of every kind.
fn entries() -> Vec<Entry> {
    let file = |name| Entry { name, target: None, contents: png() };
    let text = |name| Entry { name, target: None, contents: b"text".to_vec() };
    let link = |name, target| Entry { name, target: Some(target), contents: Vec::new() };
    vec![
        file("set/train/caf\u{e9}/1.png"),
        file("set/train/caf\u{e9}/._2.png"),
        file("set/train/caf\u{e9}/.ipynb_checkpoints/1.png"),
        file("set/train/dog/deep/er/1.PNG"),
        file("set/train/dog/1.webp"),
        file("set/train/dog/no_ending"),
        file("set/train/@eaDir/dog/1.png"),
        file("set/.data/x.bin"),
        file("set/test/cafe\u{301}/e\u{301}.png"),
        file("set/test/dog/1.jpg"),
        text("set/test/dog/readme"),
        text("set/test/dog/1.txt"),
        text("set/test/dog/1.svg"),
        file("__MACOSX/set/1.png"),
        link("set/latest", "."),
        link("set/train/dog/again.png", "../../test/dog/1.jpg"),
        link("set/train/dog/hidden.png", "../../.data/x.bin"),
        link("set/train/dog/broken.png", "nowhere.png"),
        link("set/test/dog/same", "../../train/dog"),
        link("set/test/dog/chain.png", "../../latest/train/dog/again.png"),
    ]
}

fn as_folder(root: &Path) {
    for Entry { name, target, contents } in entries() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match target {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => fs::write(path, contents).unwrap(),
        }
    }
}

fn as_tar() -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for Entry { name, target, contents } in entries() {
        let mut header = ::tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(contents.len() as u64);
        match target {
            Some(target) => {
                header.set_entry_type(::tar::EntryType::Symlink);
                builder.append_link(&mut header, name, target).unwrap();
            }
            None => builder.append_data(&mut header, name, &contents[..]).unwrap(),
        }
    }
    builder.into_inner().unwrap()
}

/// `separator` is what stands between the parts of names.
fn as_zip(separator: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for Entry { name, target, contents } in entries() {
        let (name, options) = (name.replace('/', separator), SimpleFileOptions::default());
        match target {
            Some(target) => writer.add_symlink(name, target, options).unwrap(),
            None => {
                writer.start_file(name, options).unwrap();
                writer.write_all(&contents).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

fn compressed(mut encoder: impl Write, bytes: &[u8]) {
    encoder.write_all(bytes).unwrap();
    encoder.flush().unwrap();
}

type Facts = ([Vec<String>; 3], [Vec<u32>; 3], Vec<String>, Vec<String>);

fn facts(path: &Path) -> Facts {
    let folder = Folder::open(path, 0).unwrap();
    for split in Split::ALL {
        for index in 0..folder.len(split) {
            assert_eq!(folder.image(split, index).unwrap(), crate::fixture::picture());
        }
    }
    (
        Split::ALL.map(|split| keys(&folder, split)),
        Split::ALL.map(|split| labels(&folder, split)),
        folder.pictures.classes.clone().unwrap(),
        folder.remarks(),
    )
}

#[test]
fn a_tree_means_the_same_in_every_container() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    as_folder(&at("folder"));
    let expected = facts(&at("folder"));
    let ([train, valid, test], _, classes, remarks) = &expected;
    let mut training: Vec<&str> = train.iter().chain(valid).map(String::as_str).collect();
    training.sort_unstable();
    assert_eq!(
        training,
        [
            "set/train/caf\u{e9}/1.png",
            "set/train/dog/1.webp",
            "set/train/dog/again.png",
            "set/train/dog/deep/er/1.PNG",
            "set/train/dog/hidden.png",
            "set/train/dog/no_ending",
        ]
    );
    assert_eq!(
        test,
        &["set/test/caf\u{e9}/\u{e9}.png", "set/test/dog/1.jpg", "set/test/dog/chain.png"]
    );
    assert_eq!(classes, &["caf\u{e9}", "dog"]);
    assert_eq!(
        remarks,
        &[
            "left out hidden files and folders (5): __MACOSX, set/.data, set/train/@eaDir, \
             set/train/caf\u{e9}/._2.png, set/train/caf\u{e9}/.ipynb_checkpoints",
            "left out links that lead nowhere (1): set/train/dog/broken.png",
            "left out links to folders that are read already (2): set/latest, set/test/dog/same",
            "left out pictures of formats that are not read (1): .svg 1",
            "left out files that are no pictures by their names (2): without an ending 1, .txt 1",
            "a class is the first folder; those in it say nothing: dog/deep",
            "valid is a tenth drawn from train",
        ]
    );
    let (tar, mut others) = (as_tar(), Vec::new());
    let mut encoded = Vec::new();
    compressed(flate2::write::GzEncoder::new(&mut encoded, flate2::Compression::fast()), &tar);
    others.push(("a.tar", std::mem::take(&mut encoded)));
    compressed(bzip2::write::BzEncoder::new(&mut encoded, bzip2::Compression::fast()), &tar);
    others.push(("a.tar.bz2", std::mem::take(&mut encoded)));
    let mut xz =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&tar).unwrap();
    others.push(("a.txz", xz.finish().unwrap()));
    others.push(("a.tar.zst", zstd::encode_all(&tar[..], 1).unwrap()));
    others.push(("a.tar.gz", tar));
    others.push(("a.zip", as_zip("/")));
    others.push(("b.tar", as_zip("\\")));
    for (name, bytes) in others {
        fs::write(at(name), bytes).unwrap();
        assert_eq!(facts(&at(name)), expected, "{name}");
    }
}

#[test]
fn folders_are_followed_once_and_from_outside() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["outside/cat/1.png", "outside/cat/2.png", "set/dog/1.png", "set/dog/2.png"] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), png()).unwrap();
    }
    std::os::unix::fs::symlink(at("outside/cat"), at("set/cat")).unwrap();
    std::os::unix::fs::symlink(at("outside/cat"), at("set/cat2")).unwrap();
    std::os::unix::fs::symlink("..", at("set/dog/up")).unwrap();
    std::os::unix::fs::symlink(at("set"), at("outside/cat/back")).unwrap();
    let folder = Folder::open(&at("set"), 0).unwrap();
    assert_eq!(counts(&folder).iter().sum::<usize>(), 4);
    assert_eq!(folder.pictures.classes.as_ref().unwrap(), &["cat", "dog"]);
    assert!(folder.remarks()[0].ends_with("read already (3): cat/back, cat2, dog/up"));
}

#[test]
fn names_that_are_no_text_are_read_from_where_they_lie() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
    fs::write(directory.path().join(name), png()).unwrap();
    fs::write(directory.path().join("e\u{301}.png"), png()).unwrap();
    let folder = Folder::open(directory.path(), 0).unwrap();
    assert_eq!(keys(&folder, Split::Train), ["caf\u{e9}.png", "\u{e9}.png"]);
    assert_eq!(folder.image(Split::Train, 0).unwrap(), crate::fixture::picture());
    assert_eq!(folder.image(Split::Train, 1).unwrap(), crate::fixture::picture());
    // Two forms of one name would be one key.
    fs::write(directory.path().join("\u{e9}.png"), png()).unwrap();
    let text = Folder::open(directory.path(), 0).unwrap_err().to_string();
    assert!(text.contains("one file of each name"), "{text}");
}
