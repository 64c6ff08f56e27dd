//! Files of a data set by relative name, whether they lie in a folder, in archives, or in both.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use image::RgbImage;
use vdvae_io::{Exif, MAX_PICTURE_BYTES, decode_picture, read_exact_at};

use crate::archive::{Spool, archive_stem, spool};
use crate::filter::Filter;
use crate::fingerprint::Fingerprint;
use crate::left_out::LeftOut;
use crate::names::is_picture;
use crate::walk::{Found, Tree, walk};
use crate::{Error, Result};

/// Files of a data set: names use `/` and are relative to the root, or as archives have them.
#[derive(Debug)]
pub(crate) struct FileStore {
    root: PathBuf,
    /// Plain files by name. They come before members of the same name.
    folder: BTreeMap<String, Plain>,
    archives: Option<Spool>,
    /// What the folder holds and is not read.
    left_out: LeftOut,
    stamp: String,
}

/// A file of the folder.
#[derive(Debug)]
struct Plain {
    length: u64,
    /// See [`Found::path`].
    path: Option<PathBuf>,
}

/// A part of a data set that may lie in an archive of its own, beside plain files.
pub(crate) struct Part<'a> {
    /// What it is, for errors, e.g. `pictures`.
    pub(crate) what: &'a str,
    /// Whether a file belongs to it; the archive is opened where no plain file does.
    pub(crate) holds: &'a dyn Fn(&str) -> bool,
    /// Whether an archive is it, by its file name without the ending of an archive.
    pub(crate) archive: &'a dyn Fn(&str) -> bool,
}

impl FileStore {
    /// Opens a folder, an archive, or a folder that holds nothing wanted but exactly one archive.
    ///
    /// Only files whose names `wanted` accepts are listed.
    pub(crate) fn open(
        dataset: &'static str,
        root: &Path,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        Self::open_parts(dataset, root, wanted, &[])
    }

    /// As [`FileStore::open`], for pictures of any name: those without an ending are known by
    /// their first bytes.
    pub(crate) fn open_pictures(dataset: &'static str, root: &Path) -> Result<Self> {
        Self::open_filtered(dataset, root, Filter { wanted: &is_picture, sniff: true }, &[])
    }

    /// As [`FileStore::open`], but in a folder each part that is not there as plain files may be
    /// there as an archive.
    pub(crate) fn open_parts(
        dataset: &'static str,
        root: &Path,
        wanted: &dyn Fn(&str) -> bool,
        parts: &[Part<'_>],
    ) -> Result<Self> {
        Self::open_filtered(dataset, root, Filter { wanted, sniff: false }, parts)
    }

    fn open_filtered(
        dataset: &'static str,
        root: &Path,
        filter: Filter<'_>,
        parts: &[Part<'_>],
    ) -> Result<Self> {
        let metadata = fs::metadata(root).map_err(Error::io(root))?;
        if !metadata.is_dir() {
            return Self::of_archive(root, filter);
        }
        let Tree { files, archives, left_out } = walk(root, filter)?;
        let mut chosen = Vec::new();
        for part in parts.iter().filter(|part| !files.keys().any(|name| (part.holds)(name))) {
            let fits = |path: &&PathBuf| (part.archive)(archive_stem(path));
            match archives.iter().filter(fits).collect::<Vec<_>>()[..] {
                [] => {}
                [archive] => chosen.push(archive.clone()),
                ref several => {
                    let expected = format!("one folder or archive of {}", part.what);
                    return Err(several_archives(dataset, root, expected, several));
                }
            }
        }
        chosen.dedup();
        match (files.is_empty() && chosen.is_empty(), archives.as_slice()) {
            (false, _) | (true, []) => {
                let store = Self::of_folder(root, files, &chosen, filter)?;
                Ok(Self { left_out, ..store })
            }
            (true, [archive]) => Self::of_archive(archive, filter),
            (true, several) => {
                let expected = "its files or exactly one archive".to_owned();
                Err(several_archives(dataset, root, expected, &several.iter().collect::<Vec<_>>()))
            }
        }
    }

    fn of_archive(path: &Path, filter: Filter<'_>) -> Result<Self> {
        // Before it is read: a change while it is read gives another stamp the next time.
        let metadata = fs::metadata(path).map_err(Error::io(path))?;
        let stamp = Fingerprint::new("archive").file(&metadata).hex();
        let mut spool = spool(&[path.to_owned()], filter)?;
        let left_out = std::mem::take(&mut spool.left_out);
        let folder = BTreeMap::new();
        Ok(Self { root: path.into(), folder, archives: Some(spool), left_out, stamp })
    }

    fn of_folder(
        root: &Path,
        files: BTreeMap<String, Found>,
        archives: &[PathBuf],
        filter: Filter<'_>,
    ) -> Result<Self> {
        let facts = Fingerprint::new("folder");
        let mut facts = files
            .iter()
            .fold(facts, |facts, (name, found)| facts.fact(name.as_bytes()).file(&found.metadata));
        for path in archives {
            facts = facts.file(&fs::metadata(path).map_err(Error::io(path))?);
        }
        let plain = |found: Found| Plain { length: found.metadata.len(), path: found.path };
        let folder = files.into_iter().map(|(name, found)| (name, plain(found))).collect();
        let archives = if archives.is_empty() { None } else { Some(spool(archives, filter)?) };
        let left_out = LeftOut::default();
        Ok(Self { root: root.into(), folder, archives, left_out, stamp: facts.hex() })
    }

    /// What lies in the folder or the archive and is not read, a line for every reason.
    pub(crate) fn left_out(&self) -> Vec<String> {
        self.left_out.remarks()
    }

    /// SHA-256, in hex, over names, lengths and times of the last change when the store was opened.
    pub(crate) fn stamp(&self) -> &str {
        &self.stamp
    }

    /// Folder or archive in use.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Names and lengths in bytes, in the order of the names.
    pub(crate) fn files(&self) -> Vec<(&str, u64)> {
        let folder = self.folder.iter().map(|(name, plain)| (name.as_str(), plain.length));
        let members = self.archives.iter().flat_map(|spool| &spool.members);
        let members = members.map(|(name, &(_, length))| (name.as_str(), length));
        let mut files: Vec<_> =
            folder.chain(members.filter(|(name, _)| !self.folder.contains_key(*name))).collect();
        files.sort_unstable();
        files
    }

    /// Reads one whole file of at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let length = self.length(name)?;
        if length > limit {
            return Err(Error::Header {
                path: self.root.join(name),
                expected: format!("at most {limit} bytes"),
                found: length.to_string(),
            });
        }
        self.read_at(name, 0, length as usize)
    }

    /// Reads and decodes one picture; `key` names it in errors.
    pub(crate) fn picture(&self, name: &str, key: &str, exif: Exif) -> Result<RgbImage> {
        let length = self.length(name)?;
        if length > MAX_PICTURE_BYTES {
            let reason = format!("expected at most {MAX_PICTURE_BYTES} bytes, found {length}");
            return Err(Error::Picture { key: key.to_owned(), reason });
        }
        Ok(decode_picture(key, &self.read_at(name, 0, length as usize)?, exif)?)
    }

    /// Length of one file in bytes.
    pub(crate) fn length(&self, name: &str) -> Result<u64> {
        let member = || self.archives.as_ref()?.members.get(name).map(|&(_, length)| length);
        let length = self.folder.get(name).map(|plain| plain.length).or_else(member);
        length.ok_or_else(|| Error::Io {
            path: self.root.join(name),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    /// Reads `length` bytes of one file from `offset`.
    pub(crate) fn read_at(&self, name: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let path = self.path(name);
        let whole = self.length(name)?;
        if offset.checked_add(length as u64).is_none_or(|end| end > whole) {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(Error::Io { path: path.into_owned(), source });
        }
        let mut bytes = vec![0; length];
        match &self.archives {
            Some(spool) if !self.folder.contains_key(name) => {
                let start = spool.members[name].0;
                read_exact_at(&spool.file, &mut bytes, start + offset)
            }
            _ => {
                let file = File::open(&path).map_err(Error::io(&path))?;
                read_exact_at(&file, &mut bytes, offset)
            }
        }
        .map_err(Error::io(&path))?;
        Ok(bytes)
    }

    /// Where a file lies; for a member of an archive this is for errors only.
    fn path(&self, name: &str) -> Cow<'_, Path> {
        match self.folder.get(name) {
            Some(Plain { path: Some(path), .. }) => path.into(),
            _ => self.root.join(name).into(),
        }
    }
}

fn several_archives(
    dataset: &'static str,
    root: &Path,
    expected: String,
    archives: &[&PathBuf],
) -> Error {
    let names: Vec<_> = archives.iter().map(|path| path.display().to_string()).collect();
    let found = format!("{} archives ({}); name one of them", names.len(), names.join(", "));
    Error::layout(dataset, root, expected, found)
}
