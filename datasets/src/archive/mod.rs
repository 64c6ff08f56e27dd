//! Archives read front to back: wanted members are copied to an unnamed temporary file with an
//! index of offsets, so that pictures are read in any order without holding them in memory. A data
//! set published in several archives has them all in one such file.
//!
//! The temporary file has no name, so it vanishes with the process; it is created in the system's
//! folder for temporary files (`TMPDIR`) and is about as large as the pictures.
//!
//! An archive is read once, and once more only where links lead to members that are not wanted by
//! their own names.

mod format;
mod links;
mod pax;
mod tar;
#[cfg(test)]
mod tests;
mod writer;
mod zip;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use zstd::stream::read::Decoder as ZstdDecoder;

use self::format::{Format, format};
use self::writer::Writer;
use crate::filter::Filter;
use crate::left_out::LeftOut;
use crate::{Error, Result};

/// Bytes that tell the format.
const START: u64 = 1024;
/// Memory that a reader of xz may use, in KiB: the strongest preset needs a quarter of it.
const XZ_MEMORY: u32 = 256 << 10;

/// Wanted members of archives, in one unnamed temporary file.
#[derive(Debug)]
pub(crate) struct Spool {
    pub(crate) file: File,
    /// Name → offset and length.
    pub(crate) members: BTreeMap<String, (u64, u64)>,
    pub(crate) left_out: LeftOut,
}

/// Endings of the archives that [`spool`] reads, in any case of letters.
pub(crate) const ENDINGS: [&str; 11] = [
    ".tar.gz", ".tgz", ".tar", ".zip", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst",
    ".tzst",
];

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

/// Copies the members that the filter wants.
pub(crate) fn spool(paths: &[PathBuf], filter: Filter<'_>) -> Result<Spool> {
    let mut writer = Writer::new(filter)?;
    for path in paths {
        let file = File::open(path).map_err(Error::io(path))?;
        writer.begin(path, file.metadata().map_err(Error::io(path))?.len());
        read(path, &mut writer)?;
        if writer.resolve_links()? {
            read(path, &mut writer)?;
        }
        writer.end();
    }
    writer.finish()
}

/// Gives the members of one archive to the writer; its format is told by the first bytes.
fn read(path: &Path, writer: &mut Writer<'_>) -> Result<()> {
    let open = || File::open(path).map_err(Error::io(path));
    let mut start = Vec::new();
    open()?.take(START).read_to_end(&mut start).map_err(Error::io(path))?;
    let format = format(&start).map_err(|found| {
        writer.error("(start)", format!("expected a zip or tar archive, found {found}"))
    })?;
    if format == Format::Zip {
        return zip::read(open()?, writer);
    }
    let file = BufReader::with_capacity(1 << 20, open()?);
    match format {
        Format::Zip | Format::Tar => tar::read(file, writer),
        Format::Gzip => tar::read(MultiGzDecoder::new(file), writer),
        Format::Bzip2 => tar::read(MultiBzDecoder::new(file), writer),
        Format::Xz => tar::read(XzReader::new_mem_limit(file, true, XZ_MEMORY), writer),
        Format::Zstd => {
            let decoder = ZstdDecoder::with_buffer(file).map_err(Error::io(path))?;
            tar::read(decoder, writer)
        }
    }
}
