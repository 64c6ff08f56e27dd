//! Members of a tar stream: ustar, GNU and pax.
//!
//! Of the `tar` crate only the header is used: its reader takes names and attributes of any length
//! into memory.

use std::io::{self, Read};

use tar::{EntryType, Header};
use vdvae_io::describe;

use super::links::beside;
use super::pax::{Extension, is_extension};
use super::writer::Writer;
use crate::Result;
use crate::names::{clean, text};

const BLOCK: usize = 512;

/// Gives every member of a stream to the writer.
pub(super) fn read(reader: impl Read, writer: &mut Writer<'_>) -> Result<()> {
    // Headers and unwanted members cost time only; the reader as a whole is bounded.
    let mut reader = reader.take(writer.allowed().saturating_mul(2));
    let mut last: Option<String> = None;
    let mut extension = Extension::default();
    loop {
        let at = last.as_ref().map_or("(start)".to_owned(), |last| format!("after {last}"));
        let wrong = |error| writer.error(&at, error);
        let Some(header) = next_header(&mut reader).map_err(wrong)? else { break };
        let kind = header.entry_type();
        let mut size = header.entry_size().map_err(|error| writer.error(&at, error))?;
        if is_extension(kind) {
            let mut data = (&mut reader).take(size);
            extension.read(kind, &mut data).map_err(wrong)?;
            let rest = data.limit().saturating_add(padding(size));
            skip(&mut reader, rest).map_err(wrong)?;
            continue;
        }
        let extension = std::mem::take(&mut extension);
        size = extension.size.unwrap_or(size);
        if kind.is_gnu_sparse() {
            skip_sparse_map(&mut reader, &header).map_err(wrong)?;
        }
        let member = Member { header, kind, size, extension };
        last = Some(member.name());
        let mut data = (&mut reader).take(size);
        member.give(&mut data, writer)?;
        let rest = data.limit().saturating_add(padding(size));
        skip(&mut reader, rest).map_err(|error| writer.error(&member.name(), error))?;
    }
    // What follows the last header is read too, so that checksums of the compression are verified.
    if !is_blank(&mut reader).map_err(|error| writer.error("(end)", error))? {
        writer.more_after_the_end();
    }
    match last {
        Some(_) => Ok(()),
        None => Err(writer.error("(start)", "expected a zip or tar archive, found no member")),
    }
}

/// The header of the next member; `None` at the end, which a block of zeros marks: without one, what
/// followed may have been cut off.
fn next_header(reader: &mut impl Read) -> Result<Option<Header>, String> {
    let mut header = Header::new_old();
    let mut block = Vec::with_capacity(BLOCK);
    reader.take(BLOCK as u64).read_to_end(&mut block).map_err(|error| error.to_string())?;
    if block.is_empty() {
        let expected =
            "expected another member or the zeros that end a tar, found the end of the file";
        return Err(format!("{expected}: is it cut short?"));
    }
    if block.len() == BLOCK && block.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    if block.len() == BLOCK {
        header.as_mut_bytes().copy_from_slice(&block);
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        // The checksum itself counts as eight spaces.
        let expected = sum(&block) - sum(&block[148..156]) + 8 * u32::from(b' ');
        if header.cksum().is_ok_and(|found| found == expected) {
            return Ok(Some(header));
        }
    }
    Err(format!("expected the header of a tar member, found {}", describe(&block)))
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn skip(reader: &mut impl Read, count: u64) -> Result<(), String> {
    let skipped = io::copy(&mut reader.take(count), &mut io::sink());
    match skipped.map_err(|error| error.to_string())? {
        skipped if skipped == count => Ok(()),
        skipped => Err(format!("expected {count} more bytes, found {skipped}")),
    }
}

/// Whether all that follows is zeros.
fn is_blank(reader: &mut impl Read) -> io::Result<bool> {
    let (mut piece, mut blank) = (Vec::new(), true);
    while reader.take(1 << 16).read_to_end(&mut piece)? > 0 {
        blank &= piece.iter().all(|&byte| byte == 0);
        piece.clear();
    }
    Ok(blank)
}

/// Blocks that list where the parts of a GNU sparse file belong; each says whether more follow.
fn skip_sparse_map(reader: &mut impl Read, header: &Header) -> Result<(), String> {
    let mut more = header.as_gnu().is_some_and(|gnu| gnu.is_extended());
    while more {
        let mut block = [0; BLOCK];
        reader.read_exact(&mut block).map_err(|error| error.to_string())?;
        more = block[504] == 1;
    }
    Ok(())
}

/// A file, folder or link.
struct Member {
    header: Header,
    kind: EntryType,
    size: u64,
    extension: Extension,
}

impl Member {
    fn name(&self) -> String {
        let short = || text(&self.header.path_bytes()).into_owned();
        self.extension.name.clone().unwrap_or_else(short)
    }

    fn target(&self) -> String {
        let short = self.header.link_name_bytes().unwrap_or_default();
        let short = || text(&short).into_owned();
        self.extension.target.clone().unwrap_or_else(short)
    }

    fn give(&self, data: &mut impl Read, writer: &mut Writer<'_>) -> Result<()> {
        let (kind, name) = (self.kind, self.name());
        if kind.is_dir() || (kind.is_file() && name.ends_with('/')) {
            writer.folder(&name)
        } else if kind.is_symlink() {
            writer.link(&name, |name| beside(name, &self.target()))
        } else if kind.is_hard_link() && self.size == 0 {
            writer.link(&name, |_| clean(&self.target()).ok())
        } else if kind.is_gnu_sparse() || self.extension.sparse {
            let reason = "expected a whole file, found a sparse one: pack it without `--sparse`";
            writer.file(&name, Err(reason.to_owned()))
        } else if kind.is_file() || kind.is_contiguous() || kind.is_hard_link() {
            writer.file(&name, Ok((self.size, data)))
        } else {
            writer.special(&name)
        }
    }
}
