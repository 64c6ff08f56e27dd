use std::fs;
use std::io::Write;

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
