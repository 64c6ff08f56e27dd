//! Files of a data set by relative name, whether they lie in a folder, in archives, or in both.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use image::RgbImage;
use vdvae_io::{Exif, MAX_PICTURE_BYTES, decode_picture, read_exact_at};

use crate::archive::{Spool, archive_stem, is_archive, spool};
use crate::fingerprint::Fingerprint;
use crate::{Error, Result};

/// Deepest folder walked: published layouts need four, a loop of links has no end.
const MAX_DEPTH: usize = 8;

/// Files of a data set: names use `/` and are relative to the root, or as archives have them.
#[derive(Debug)]
pub(crate) struct FileStore {
    root: PathBuf,
    /// Plain files: name → length. They come before members of the same name.
    folder: BTreeMap<String, u64>,
    archives: Option<Spool>,
    stamp: String,
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

    /// As [`FileStore::open`], but in a folder each part that is not there as plain files may be
    /// there as an archive.
    pub(crate) fn open_parts(
        dataset: &'static str,
        root: &Path,
        wanted: &dyn Fn(&str) -> bool,
        parts: &[Part<'_>],
    ) -> Result<Self> {
        let metadata = fs::metadata(root).map_err(Error::io(root))?;
        if !metadata.is_dir() {
            return Self::of_archive(root, wanted);
        }
        let (mut files, mut archives) = (BTreeMap::new(), Vec::new());
        walk(root, "", 0, &mut |name, path, metadata| {
            if wanted(&name) {
                files.insert(name, metadata);
            } else if is_archive(path) {
                archives.push(path.to_owned());
            }
        })?;
        archives.sort();
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
            (false, _) | (true, []) => Self::of_folder(root, files, &chosen, wanted),
            (true, [archive]) => Self::of_archive(archive, wanted),
            (true, several) => {
                let expected = "its files or exactly one archive".to_owned();
                Err(several_archives(dataset, root, expected, &several.iter().collect::<Vec<_>>()))
            }
        }
    }

    fn of_archive(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Self> {
        // Before it is read: a change while it is read gives another stamp the next time.
        let metadata = fs::metadata(path).map_err(Error::io(path))?;
        let stamp = Fingerprint::new("archive").file(&metadata).hex();
        let archives = Some(spool(&[path.to_owned()], wanted)?);
        Ok(Self { root: path.into(), folder: BTreeMap::new(), archives, stamp })
    }

    fn of_folder(
        root: &Path,
        files: BTreeMap<String, Metadata>,
        archives: &[PathBuf],
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        let facts = Fingerprint::new("folder");
        let mut facts = files
            .iter()
            .fold(facts, |facts, (name, metadata)| facts.fact(name.as_bytes()).file(metadata));
        for path in archives {
            facts = facts.file(&fs::metadata(path).map_err(Error::io(path))?);
        }
        let folder = files.into_iter().map(|(name, metadata)| (name, metadata.len())).collect();
        let archives = if archives.is_empty() { None } else { Some(spool(archives, wanted)?) };
        Ok(Self { root: root.into(), folder, archives, stamp: facts.hex() })
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
        let folder = self.folder.iter().map(|(name, &length)| (name.as_str(), length));
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
        let length = self.folder.get(name).copied().or_else(member);
        length.ok_or_else(|| Error::Io {
            path: self.root.join(name),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    /// Reads `length` bytes of one file from `offset`.
    pub(crate) fn read_at(&self, name: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let path = self.root.join(name);
        let whole = self.length(name)?;
        if offset.checked_add(length as u64).is_none_or(|end| end > whole) {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(Error::Io { path, source });
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

/// Visits every file below `folder`, passing its relative name, path and metadata.
fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    visit: &mut dyn FnMut(String, &Path, Metadata),
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        // A dangling link is not a picture.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if metadata.is_dir() {
            walk(&path, &name, depth + 1, visit)?;
        } else if metadata.is_file() {
            visit(name, &path, metadata);
        }
    }
    Ok(())
}
