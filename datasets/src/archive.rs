//! Archives read once, front to back: wanted members are copied to an unnamed temporary file with
//! an index of offsets, so that pictures are read in any order without holding them in memory.
//! A data set published in several archives has them all in one such file.
//!
//! The temporary file has no name, so it vanishes with the process; it is created in the system's
//! folder for temporary files (`TMPDIR`) and is about as large as the pictures.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// Largest member kept, in bytes; the largest published one is below 512 MiB.
const MAX_MEMBER_BYTES: u64 = 1 << 30;
/// Most members; CelebA has 202,604.
const MAX_MEMBERS: usize = 16 << 20;
/// Longest member name, in bytes.
const MAX_NAME_BYTES: u64 = 4096;
/// Decompressed bytes allowed beyond [`MAX_RATIO`] times the archive's own size.
const ALLOWANCE: u64 = 256 << 20;
/// Pictures hardly compress and label files compress tenfold: beyond this it is a bomb.
const MAX_RATIO: u64 = 64;

/// Wanted members of archives, in one unnamed temporary file.
#[derive(Debug)]
pub(crate) struct Spool {
    pub(crate) file: File,
    /// Name → offset and length.
    pub(crate) members: BTreeMap<String, (u64, u64)>,
}

/// Endings of the archives that [`spool`] reads, in any case of letters.
pub(crate) const ENDINGS: [&str; 4] = [".tar.gz", ".tgz", ".tar", ".zip"];

/// Whether a path is named like an archive that [`spool`] reads.
pub(crate) fn is_archive(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| archive_stem(path).len() < name.len())
}

/// The file name without the ending of an archive, or all of it where it has none; empty where it
/// is no text.
pub(crate) fn archive_stem(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let split = |ending: &str| name.split_at_checked(name.len().checked_sub(ending.len())?);
    let stem = |ending: &&str| {
        split(ending).filter(|(_, end)| end.eq_ignore_ascii_case(ending)).map(|(stem, _)| stem)
    };
    ENDINGS.iter().find_map(stem).unwrap_or(name)
}

/// Copies the members whose names `wanted` accepts.
pub(crate) fn spool(paths: &[PathBuf], wanted: &dyn Fn(&str) -> bool) -> Result<Spool> {
    let mut writer = Writer::new()?;
    for path in paths {
        spool_one(path, wanted, &mut writer)?;
    }
    writer.finish()
}

/// Adds one archive; its format is told by the first bytes.
fn spool_one(path: &Path, wanted: &dyn Fn(&str) -> bool, writer: &mut Writer) -> Result<()> {
    let mut start = [0; 4];
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let found = read_up_to(&mut file, &mut start).map_err(Error::io(path))?;
    let file = File::open(path).map_err(Error::io(path))?;
    writer.begin(path, length);
    match &start[..found] {
        [0x1f, 0x8b, ..] => {
            tar(MultiGzDecoder::new(BufReader::with_capacity(1 << 20, file)), wanted, writer)
        }
        [b'P', b'K', 3, 4] => zip(file, wanted, writer),
        _ => tar(BufReader::with_capacity(1 << 20, file), wanted, writer),
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// The spool while it is being written, with what is needed to refuse hostile input.
struct Writer {
    /// The archive being read.
    path: PathBuf,
    file: BufWriter<File>,
    offset: u64,
    /// Most decompressed bytes of the archive being read, and the offset they may reach.
    allowed: u64,
    limit: u64,
    members: BTreeMap<String, (u64, u64)>,
}

impl Writer {
    fn new() -> Result<Self> {
        let temporary = tempfile::tempfile().map_err(Error::io(&std::env::temp_dir()))?;
        Ok(Self {
            path: PathBuf::new(),
            file: BufWriter::with_capacity(1 << 20, temporary),
            offset: 0,
            allowed: 0,
            limit: 0,
            members: BTreeMap::new(),
        })
    }

    /// Starts an archive of `length` bytes.
    fn begin(&mut self, path: &Path, length: u64) {
        self.path = path.to_owned();
        self.allowed = length.saturating_mul(MAX_RATIO).saturating_add(ALLOWANCE);
        self.limit = self.offset.saturating_add(self.allowed);
    }

    fn error(&self, member: &str, reason: impl ToString) -> Error {
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::Archive { path: self.path.clone(), member: member.to_owned(), reason }
    }

    /// Copies one member of a declared size.
    fn copy(&mut self, name: String, size: u64, reader: &mut impl Read) -> Result<()> {
        check_name(&name).map_err(|reason| self.error(&name, reason))?;
        if size > MAX_MEMBER_BYTES {
            let reason = format!("expected at most {MAX_MEMBER_BYTES} bytes, found {size}");
            return Err(self.error(&name, reason));
        }
        if self.offset.saturating_add(size) > self.limit {
            let allowed = self.allowed;
            let reason =
                format!("expected at most {allowed} bytes in all for an archive this small");
            return Err(self.error(&name, reason));
        }
        if self.members.len() == MAX_MEMBERS {
            return Err(self.error(&name, format!("expected at most {MAX_MEMBERS} members")));
        }
        let copied =
            copy_exactly(reader, &mut self.file, size).map_err(|error| self.error(&name, error))?;
        if copied != size {
            return Err(self.error(&name, format!("expected {size} bytes, found {copied}")));
        }
        if self.members.insert(name.clone(), (self.offset, size)).is_some() {
            return Err(self.error(&name, "found twice"));
        }
        self.offset += size;
        Ok(())
    }

    fn finish(self) -> Result<Spool> {
        let temporary = std::env::temp_dir();
        let file = self
            .file
            .into_inner()
            .map_err(|error| Error::Io { path: temporary, source: error.into_error() })?;
        Ok(Spool { file, members: self.members })
    }
}

/// Copies up to `size` bytes, and one more where there are more than `size`.
fn copy_exactly(reader: &mut impl Read, writer: &mut impl Write, size: u64) -> io::Result<u64> {
    let copied = io::copy(&mut reader.take(size), writer)?;
    // One read past the end lets checksummed formats verify, and shows a member that lies.
    let more = reader.read(&mut [0; 1])?;
    Ok(copied + more as u64)
}

/// Names are only ever looked up, never opened; but one that climbs is a sign of bad intent.
fn check_name(name: &str) -> Result<(), String> {
    if name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..") {
        return Err("expected a relative name without `..`".to_owned());
    }
    Ok(())
}

/// Reads a tar stream. GNU and pax long names are handled here, with a limit, because the `tar`
/// crate would read a name of any length into memory.
fn tar(reader: impl Read, wanted: &dyn Fn(&str) -> bool, writer: &mut Writer) -> Result<()> {
    // Headers of unwanted members cost time only; the reader as a whole is bounded.
    let mut archive = tar::Archive::new(reader.take(writer.allowed.saturating_mul(2)));
    let mut last = "(start)".to_owned();
    let mut long_name: Option<String> = None;
    let entries = archive.entries().map_err(|error| writer.error(&last, error))?.raw(true);
    for entry in entries {
        let mut entry = entry.map_err(|error| writer.error(&format!("after {last}"), error))?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            if entry.size() > MAX_NAME_BYTES {
                let reason = format!("expected a name of at most {MAX_NAME_BYTES} bytes");
                return Err(writer.error(&format!("after {last}"), reason));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|error| writer.error(&last, error))?;
            let name = if kind.is_gnu_longname() { Some(&bytes[..]) } else { pax_path(&bytes) };
            long_name = name.map(lossy).or(long_name);
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| lossy(&entry.path_bytes()));
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        last.clone_from(&name);
        check_name(&name).map_err(|reason| writer.error(&name, reason))?;
        if kind.is_file() && wanted(&name) {
            let size = entry.size();
            writer.copy(name, size, &mut entry)?;
        }
    }
    // What follows the last header is read too, so that the gzip checksum is verified.
    io::copy(&mut archive.into_inner(), &mut io::sink())
        .map_err(|error| writer.error("(end)", error))?;
    if last == "(start)" {
        return Err(writer.error("(start)", "expected a tar or zip archive, found no member"));
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

/// The `path` record of a pax header: `LENGTH path=VALUE\n`.
fn pax_path(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split(|&byte| byte == b'\n').find_map(|record| {
        let start = record.iter().position(|&byte| byte == b' ')? + 1;
        record[start..].strip_prefix(b"path=")
    })
}

fn zip(file: File, wanted: &dyn Fn(&str) -> bool, writer: &mut Writer) -> Result<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file))
        .map_err(|error| writer.error("(directory)", error))?;
    for index in 0..archive.len() {
        let mut member = archive
            .by_index(index)
            .map_err(|error| writer.error(&format!("number {index}"), error))?;
        let name = member.name().map(|name| name.into_owned());
        let name = name.map_err(|error| writer.error(&format!("number {index}"), error))?;
        if member.is_file() && wanted(&name) {
            let size = member.size();
            writer.copy(name, size, &mut member)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// One tar member; the header is made by hand where the `tar` crate would refuse it.
    fn member(name: &str, size: u64, data: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
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
        spool(&[path], &|name| name.ends_with(".txt"))
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
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        builder.append_data(&mut header, &name, &b"one"[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        assert!(try_spool(&tar).unwrap().members.contains_key(&name));
        let mut long = member("././@LongLink", 1 << 40, b"");
        long[156] = b'L';
        let mut header = tar::Header::new_gnu();
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
}
