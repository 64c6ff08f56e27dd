//! The spool while it is being written, with what is needed to refuse hostile input.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::Spool;
use super::links::{Links, follow};
use crate::filter::{Filter, SNIFFED, Verdict};
use crate::left_out::LeftOut;
use crate::names::{clean, hidden};
use crate::{Error, Result};

/// Largest member kept, in bytes; the largest published one is below 512 MiB.
const MAX_MEMBER_BYTES: u64 = 1 << 30;
/// Most members; CelebA has 202,604.
const MAX_MEMBERS: usize = 16 << 20;
/// Longest member name, in bytes.
pub(super) const MAX_NAME_BYTES: u64 = 4096;

/// Offset and length of a member in the spool.
type Span = (u64, u64);

/// Takes the members of one archive after the other.
pub(super) struct Writer<'a> {
    filter: Filter<'a>,
    /// The archive being read.
    path: PathBuf,
    file: BufWriter<File>,
    offset: u64,
    /// Most decompressed bytes of the archive being read, and the offset they may reach.
    allowed: u64,
    limit: u64,
    /// Members of any kind, of all archives.
    seen: usize,
    members: BTreeMap<String, Span>,
    left_out: LeftOut,
    /// Links of the archive being read.
    links: Links,
    /// What links lead to that was not kept: for a second reading.
    sought: BTreeMap<String, Sought>,
}

/// A file or folder that links lead to.
#[derive(Default)]
struct Sought {
    links: Vec<String>,
    found: bool,
    /// So many of the links were followed.
    followed: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(filter: Filter<'a>) -> Result<Self> {
        let temporary = tempfile::tempfile().map_err(Error::io(&std::env::temp_dir()))?;
        Ok(Self {
            filter,
            path: PathBuf::new(),
            file: BufWriter::with_capacity(1 << 20, temporary),
            offset: 0,
            allowed: 0,
            limit: 0,
            seen: 0,
            members: BTreeMap::new(),
            left_out: LeftOut::default(),
            links: Links::new(),
            sought: BTreeMap::new(),
        })
    }

    /// Starts an archive of `length` bytes.
    pub(super) fn begin(&mut self, path: &Path, length: u64) {
        self.path = path.to_owned();
        self.allowed = vdvae_io::most_inflated(length);
        self.limit = self.offset.saturating_add(self.allowed);
    }

    /// Most decompressed bytes of the archive being read.
    pub(super) fn allowed(&self) -> u64 {
        self.allowed
    }

    pub(super) fn error(&self, member: &str, reason: impl ToString) -> Error {
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::Archive { path: self.path.clone(), member: member.to_owned(), reason }
    }

    /// A member's name as it is kept.
    fn name(&mut self, name: &str) -> Result<String> {
        self.seen += 1;
        if self.seen > MAX_MEMBERS {
            return Err(self.error(name, format!("expected at most {MAX_MEMBERS} members")));
        }
        clean(name).map_err(|expected| self.error(name, format!("expected {expected}")))
    }

    pub(super) fn folder(&mut self, name: &str) -> Result<()> {
        let name = self.name(name)?;
        if let Some(hidden) = hidden(&name) {
            self.left_out.add(LeftOut::HIDDEN, hidden);
        }
        Ok(())
    }

    /// A device, or something else that is neither file nor folder.
    pub(super) fn special(&mut self, name: &str) -> Result<()> {
        let name = self.name(name)?;
        self.left_out.add(LeftOut::SPECIAL, &name);
        Ok(())
    }

    /// Something after the end of a tar, as where two were put one after the other.
    pub(super) fn more_after_the_end(&mut self) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.left_out.add(LeftOut::AFTER_THE_END, &name);
    }

    /// A link; `target` finds what it leads to from its name. It is resolved when all are known.
    pub(super) fn link(
        &mut self,
        name: &str,
        target: impl FnOnce(&str) -> Option<String>,
    ) -> Result<()> {
        let name = self.name(name)?;
        match hidden(&name) {
            Some(hidden) => self.left_out.add(LeftOut::HIDDEN, hidden),
            None => {
                let target = target(&name);
                self.links.insert(name, target);
            }
        }
        Ok(())
    }

    /// A file: its size and contents, or why they cannot be had, which is an error where it is
    /// wanted.
    pub(super) fn file(
        &mut self,
        name: &str,
        mut content: Result<(u64, &mut dyn Read), String>,
    ) -> Result<()> {
        let name = self.name(name)?;
        let names = if self.is_second_reading() { self.names_by_links(&name) } else { vec![name] };
        let mut kept = None;
        for name in names {
            match (self.filter.judge(&name), kept) {
                (Verdict::Hidden(hidden), _) => self.left_out.add(LeftOut::HIDDEN, hidden),
                (Verdict::Unwanted, _) => self.left_out.other(&name),
                (_, Some(span)) => self.keep(name, span)?,
                (verdict, None) => {
                    let wants = |start: &[u8]| verdict.wants(start);
                    kept = match &mut content {
                        Ok((size, reader)) => self.copy(&name, *size, *reader, wants)?,
                        Err(reason) if wants(&[]) => return Err(self.error(&name, reason)),
                        Err(_) => None,
                    };
                    match kept {
                        Some(span) => self.keep(name, span)?,
                        None => self.left_out.other(&name),
                    }
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: String, span: Span) -> Result<()> {
        match self.members.insert(name.clone(), span) {
            None => Ok(()),
            Some(_) => Err(self.error(&name, "found twice")),
        }
    }

    /// Copies one member of a declared size, if it is wanted for how it starts.
    fn copy(
        &mut self,
        name: &str,
        size: u64,
        reader: &mut dyn Read,
        wants: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Span>> {
        let mut start = Vec::new();
        let read = (&mut *reader).take(size.min(SNIFFED as u64)).read_to_end(&mut start);
        read.map_err(|error| self.error(name, error))?;
        if !wants(&start) {
            return Ok(None);
        }
        if size > MAX_MEMBER_BYTES {
            let reason = format!("expected at most {MAX_MEMBER_BYTES} bytes, found {size}");
            return Err(self.error(name, reason));
        }
        if self.offset.saturating_add(size) > self.limit {
            let allowed = self.allowed;
            let reason =
                format!("expected at most {allowed} bytes in all for an archive this small");
            return Err(self.error(name, reason));
        }
        let copied = copy_exactly(&mut start.chain(reader), &mut self.file, size);
        let copied = copied.map_err(|error| self.error(name, error))?;
        if copied != size {
            return Err(self.error(name, format!("expected {size} bytes, found {copied}")));
        }
        let span = (self.offset, size);
        self.offset += size;
        Ok(Some(span))
    }

    /// Resolves the links of the archive; whether it must be read once more, for what they lead to
    /// and was not wanted by its own name.
    pub(super) fn resolve_links(&mut self) -> Result<bool> {
        let links = std::mem::take(&mut self.links);
        for name in links.keys() {
            let Some(target) = follow(&links, name) else {
                self.left_out.add(LeftOut::BROKEN, name);
                continue;
            };
            let wanted = !matches!(self.filter.judge(name), Verdict::Unwanted);
            let below = format!("{target}/");
            let mut after = self.members.range(below.clone()..);
            if let Some(&span) = self.members.get(&target) {
                match wanted {
                    true => self.keep(name.clone(), span)?,
                    false => self.left_out.other(name),
                }
            } else if target.is_empty() || after.next().is_some_and(|(m, _)| m.starts_with(&below))
            {
                self.left_out.add(LeftOut::READ_ALREADY, name);
            } else if wanted || hidden(&target).is_some() {
                self.sought.entry(target).or_default().links.push(name.clone());
            } else {
                self.left_out.other(name);
            }
        }
        Ok(self.is_second_reading())
    }

    fn is_second_reading(&self) -> bool {
        !self.sought.is_empty()
    }

    /// Names that links give to a member. Links to a file are all followed; of links to the folders
    /// that it lies in one, as on disk, or few links could make many names.
    fn names_by_links(&mut self, name: &str) -> Vec<String> {
        let mut names = Vec::new();
        for end in name.match_indices('/').map(|(at, _)| at).chain([name.len()]) {
            let Some(sought) = self.sought.get_mut(&name[..end]) else { continue };
            sought.found = true;
            if end == name.len() {
                sought.followed = sought.links.len();
                names.extend_from_slice(&sought.links);
            } else if names.is_empty() {
                sought.followed = 1;
                names.push(format!("{}{}", sought.links[0], &name[end..]));
            }
        }
        names
    }

    /// Ends an archive.
    pub(super) fn end(&mut self) {
        self.links.clear();
        for Sought { links, found, followed } in std::mem::take(&mut self.sought).into_values() {
            let reason = if found { LeftOut::READ_ALREADY } else { LeftOut::BROKEN };
            links[followed..].iter().for_each(|link| self.left_out.add(reason, link));
        }
    }

    pub(super) fn finish(self) -> Result<Spool> {
        let temporary = std::env::temp_dir();
        let file = self
            .file
            .into_inner()
            .map_err(|error| Error::Io { path: temporary, source: error.into_error() })?;
        Ok(Spool { file, members: self.members, left_out: self.left_out })
    }
}

/// Copies up to `size` bytes, and one more where there are more than `size`.
fn copy_exactly(reader: &mut impl Read, writer: &mut impl Write, size: u64) -> io::Result<u64> {
    let copied = io::copy(&mut reader.take(size), writer)?;
    // One read past the end lets checksummed formats verify, and shows a member that lies.
    let more = reader.read(&mut [0; 1])?;
    Ok(copied + more as u64)
}
