use std::fs;
use std::io::Write;

use ::tar::EntryType;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// One tar member; the header is made by hand where the `tar` crate would refuse it.
fn member(name: &str, size: u64, data: &[u8]) -> Vec<u8> {
    let mut header = ::tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn try_spool(bytes: &[u8]) -> Result<Spool> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar.gz");
    fs::write(&path, bytes).unwrap();
    spool(&[path], Filter { wanted: &|name| name.ends_with(".txt"), sniff: false })
}

fn message(bytes: &[u8]) -> String {
    let text = try_spool(bytes).unwrap_err().to_string();
    assert!(!text.contains('\n') && text.contains("a.tar.gz, member "), "{text}");
    text
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn wanted_members_are_kept_with_their_offsets() {
    let mut tar = member("./a.txt", 3, b"one");
    tar.extend(member("b.bin", 5, b"other"));
    tar.extend(member("c/d.txt", 4, b"four"));
    tar.extend([0; 1024]);
    for bytes in [gzip(&tar), tar] {
        let spool = try_spool(&bytes).unwrap();
        let members: Vec<_> = spool.members.into_iter().collect();
        assert_eq!(members, [("a.txt".into(), (0, 3)), ("c/d.txt".into(), (3, 4))]);
        let mut data = [0; 7];
        vdvae_io::read_exact_at(&spool.file, &mut data, 0).unwrap();
        assert_eq!(&data, b"onefour");
    }
}

#[test]
fn long_names_are_read_up_to_a_limit() {
    let name = format!("{}/a.txt", "d".repeat(300));
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_size(3);
    builder.append_data(&mut header, &name, &b"one"[..]).unwrap();
    let tar = builder.into_inner().unwrap();
    assert!(try_spool(&tar).unwrap().members.contains_key(&name));
    let mut long = member("././@LongLink", 1 << 40, b"");
    long[156] = b'L';
    let mut header = ::tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&long[..512]);
    header.set_cksum();
    long[..512].copy_from_slice(header.as_bytes());
    assert!(message(&gzip(&long)).contains("a name of at most 4096 bytes"));
}

#[test]
fn every_truncation_of_a_gzip_is_an_error() {
    let mut tar = member("a.txt", 2000, &noise(2000));
    tar.extend(member("b.txt", 10, b"0123456789"));
    tar.extend([0; 1024]);
    let bytes = gzip(&tar);
    for length in (2..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        message(&bytes[..length]);
    }
    assert!(try_spool(&bytes).is_ok());
}

#[test]
fn a_tar_that_ends_between_members_is_cut_short() {
    let tar = [member("a.txt", 3, b"one"), member("b.txt", 3, b"two"), vec![0; 1024]].concat();
    assert!(message(&tar[..1024]).contains("after a.txt: expected another member"));
    assert!(message(&tar[..2048]).contains("after b.txt"));
    assert_eq!(try_spool(&tar[..2560]).unwrap().members.len(), 2);
}

#[test]
fn what_follows_the_end_of_a_tar_is_said() {
    let one = |name| [member(name, 3, b"one"), vec![0; 4096]].concat();
    let spool = try_spool(&[one("a.txt"), one("b.txt")].concat()).unwrap();
    assert_eq!(spool.members.keys().collect::<Vec<_>>(), ["a.txt"]);
    let expected = ["left out what follows the end of a tar (1): a.tar.gz"];
    assert_eq!(spool.left_out.remarks(), expected);
    assert!(try_spool(&one("a.txt")).unwrap().left_out.remarks().is_empty());
    assert!(message(&gzip(&zip_of(&[("a.txt", "one")], &[]))).ends_with("found a zip archive"));
}

#[test]
fn names_that_are_no_utf8_stay_apart() {
    let mut tar = Vec::new();
    for byte in [0xe9, 0xe8] {
        let mut one = member("caf?/1.txt", 3, b"one");
        one[3] = byte;
        let mut header = ::tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&one[..512]);
        header.set_cksum();
        one[..512].copy_from_slice(header.as_bytes());
        tar.extend(one);
    }
    tar.extend([0; 1024]);
    let members = try_spool(&tar).unwrap().members;
    assert_eq!(members.keys().collect::<Vec<_>>(), ["caf\u{e8}/1.txt", "caf\u{e9}/1.txt"]);
}

#[test]
fn a_flipped_bit_is_an_error() {
    let mut tar = member("a.txt", 2000, &noise(2000));
    tar.extend([0; 1024]);
    let mut bytes = gzip(&tar);
    // In the middle of the data: only the checksum at the end can tell.
    bytes[1000] ^= 4;
    message(&bytes);
}

#[test]
fn hostile_members_are_refused() {
    assert!(message(&gzip(&member("a.txt", 1 << 50, b"x"))).contains("at most 1073741824"));
    assert!(message(&gzip(&member("../a.txt", 1, b"x"))).contains("without `..`"));
    assert!(message(&gzip(&member("/a.txt", 1, b"x"))).contains("relative name"));
    let twice = [member("a.txt", 1, b"x"), member("a.txt", 1, b"y"), vec![0; 1024]].concat();
    assert!(message(&gzip(&twice)).contains("found twice"));
    assert!(message(b"no archive at all").contains("member"));
    message(&gzip(b""));
}

#[test]
fn a_bomb_is_refused_before_it_is_written() {
    // 512 MiB declared in an archive of a few bytes.
    let text = message(&gzip(&member("a.txt", 512 << 20, b"x")));
    assert!(text.contains("bytes in all for an archive this small"), "{text}");
}

/// A tar of one file after the other, with what stands before it.
fn tar_of(build: impl FnOnce(&mut ::tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    build(&mut builder);
    builder.into_inner().unwrap()
}

fn append(builder: &mut ::tar::Builder<Vec<u8>>, name: &str, data: &[u8]) {
    let mut header = ::tar::Header::new_ustar();
    header.set_size(data.len() as u64);
    builder.append_data(&mut header, name, data).unwrap();
}

fn append_link(builder: &mut ::tar::Builder<Vec<u8>>, kind: EntryType, name: &str, target: &str) {
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    builder.append_link(&mut header, name, target).unwrap();
}

/// Names and contents of what was kept.
fn contents(bytes: &[u8]) -> Vec<(String, String)> {
    let Spool { file, members, .. } = try_spool(bytes).unwrap();
    let read = |(name, (offset, length)): (String, (u64, u64))| {
        let mut data = vec![0; length as usize];
        vdvae_io::read_exact_at(&file, &mut data, offset).unwrap();
        (name, String::from_utf8(data).unwrap())
    };
    members.into_iter().map(read).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect()
}

#[test]
fn attributes_are_skipped_however_long_and_names_are_read() {
    let mut attribute = b"x\n13 path=b.txt\n".to_vec();
    attribute.extend(noise(100_000));
    let tar = tar_of(|builder| {
        let mut global = ::tar::Header::new_ustar();
        global.set_entry_type(EntryType::XGlobalHeader);
        global.set_path("pax_global_header").unwrap();
        global.set_size(5000);
        global.set_cksum();
        builder.append(&global, &noise(5000)[..]).unwrap();
        let records = [("SCHILY.xattr.user.x", &attribute[..]), ("path", b"a/\xc3\xa9.txt")];
        builder.append_pax_extensions(records).unwrap();
        append(builder, "short.txt", b"one");
        // The size in the header is not used.
        builder.append_pax_extensions([("size", &b"5"[..])]).unwrap();
        builder.get_mut().extend(member("b.txt", 0, b"seven"));
        append(builder, "c.txt", b"three");
    });
    let expected = [("a/\u{e9}.txt", "one"), ("b.txt", "seven"), ("c.txt", "three")];
    assert_eq!(contents(&tar), pairs(&expected));
    // Of a member that nobody wants, too.
    let tar = tar_of(|builder| {
        let most = u64::MAX.to_string();
        builder.append_pax_extensions([("size", most.as_bytes())]).unwrap();
        append(builder, "a.log", b"one");
    });
    message(&gzip(&tar));
    let long = "y".repeat(5000);
    let tar = tar_of(|builder| {
        builder.append_pax_extensions([("path", long.as_bytes())]).unwrap();
        append(builder, "a.txt", b"one");
    });
    assert!(message(&gzip(&tar)).contains("a name of at most 4096 bytes"));
}

#[test]
fn links_are_the_files_that_they_lead_to() {
    let tar = tar_of(|builder| {
        append_link(builder, EntryType::Link, "dog/1.txt", "./cat/1.txt");
        append(builder, "cat/1.txt", b"one");
        append_link(builder, EntryType::Symlink, "dog/2.txt", "../cat/1.txt");
        append_link(builder, EntryType::Link, "dog/3.txt", "blobs/3");
        append_link(builder, EntryType::Link, "dog/4.txt", "dog/3.txt");
        append(builder, "blobs/3", b"three");
        append_link(builder, EntryType::Symlink, "dog/5.txt", "/etc/passwd");
        append_link(builder, EntryType::Symlink, "mice", ".hidden/mice");
        append_link(builder, EntryType::Symlink, "rats", ".hidden/mice");
        append(builder, ".hidden/mice/6.txt", b"six");
    });
    let expected = [
        ("cat/1.txt", "one"),
        ("dog/1.txt", "one"),
        ("dog/2.txt", "one"),
        ("dog/3.txt", "three"),
        ("dog/4.txt", "three"),
        ("mice/6.txt", "six"),
    ];
    for bytes in [gzip(&tar), tar] {
        assert_eq!(contents(&bytes), pairs(&expected));
        let remarks = try_spool(&bytes).unwrap().left_out.remarks();
        assert_eq!(remarks[0], "left out hidden files and folders (1): .hidden");
        assert_eq!(remarks[1], "left out links that lead nowhere (1): dog/5.txt");
        assert_eq!(remarks[2], "left out links to folders that are read already (1): rats");
    }
}

#[test]
fn sparse_files_are_refused_where_they_are_wanted() {
    let sparse = |name: &str| {
        let mut header = ::tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(3);
        // One more block of the map follows.
        header.as_gnu_mut().unwrap().isextended = [1];
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(1024, 0);
        bytes.extend(b"one");
        bytes.resize(1536, 0);
        bytes
    };
    let after = member("b.txt", 3, b"two");
    assert!(
        message(&gzip(&[sparse("a.txt"), after.clone()].concat()))
            .contains("a.txt: expected a whole file")
    );
    let tar = [sparse("a.bin"), after, vec![0; 1024]].concat();
    assert_eq!(contents(&tar), pairs(&[("b.txt", "two")]));
    let tar = tar_of(|builder| {
        let records = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.name", b"d/a.txt")];
        builder.append_pax_extensions(records).unwrap();
        append(builder, "d/GNUSparseFile.0/a.txt", b"x");
    });
    assert!(message(&gzip(&tar)).contains("d/a.txt: expected a whole file"));
}

/// A zip of stored members, with each of these bytes replaced.
fn zip_of(files: &[(&str, &str)], replaced: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = ::zip::write::SimpleFileOptions::default()
        .compression_method(::zip::CompressionMethod::Stored);
    for (name, data) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(data.as_bytes()).unwrap();
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    for (from, to) in replaced {
        let at = |bytes: &[u8]| bytes.windows(from.len()).position(|window| window == *from);
        while let Some(at) = at(&bytes) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// What a header in the directory starts with.
const CENTRAL: &[u8] = b"PK\x01\x02";

#[test]
fn zips_that_cannot_be_read_say_why() {
    let one = [("a.txt", "one")];
    let patched = |flags: u8, method: u8| {
        let mut bytes = zip_of(&one, &[]);
        let central = bytes.windows(4).position(|window| window == CENTRAL).unwrap();
        (bytes[6], bytes[8]) = (flags, method);
        (bytes[central + 8], bytes[central + 10]) = (flags, method);
        bytes
    };
    assert_eq!(contents(&patched(0, 0)), pairs(&one));
    assert!(message(&patched(1, 0)).contains("a.txt: expected no encryption"));
    assert!(message(&patched(0, 12)).contains("expected stored or deflated members, found"));
    assert!(message(&patched(0, 12)).to_lowercase().contains("bzip2"));
    let twice = zip_of(&[("a.txt", "one"), ("b.txt", "two")], &[(b"b.txt", b"a.txt")]);
    assert!(message(&twice).contains("a name is found twice"));
    assert!(message(&zip_of(&[], &[])).contains("an empty zip"));
    let mut unmarked = zip_of(&[("\u{e9}.txt", "one")], &[]);
    let central = unmarked.windows(4).position(|window| window == CENTRAL).unwrap();
    (unmarked[7], unmarked[central + 9]) = (0, 0);
    assert_eq!(contents(&unmarked), pairs(&[("\u{e9}.txt", "one")]));
}

#[test]
fn what_is_no_archive_is_said_in_one_line() {
    let text = message(b"<!DOCTYPE html><html><title>Quota exceeded</title></html>");
    assert!(text.contains("expected a zip or tar archive, found an HTML page"), "{text}");
    assert!(message(b"").contains("found an empty file"));
    assert!(message(b"just text, and not much").contains("expected the header of a tar member"));
}
