//! Members of a zip.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::links::beside;
use super::writer::{MAX_NAME_BYTES, Writer};
use crate::Result;
use crate::names::text;

pub(super) fn read(file: File, writer: &mut Writer<'_>) -> Result<()> {
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| writer.error("(directory)", error))?;
    if archive.is_empty() {
        return Err(writer.error("(directory)", "expected members, found an empty zip"));
    }
    if archive.has_duplicate_names() {
        return Err(writer.error("(directory)", "a name is found twice"));
    }
    for index in 0..archive.len() {
        let number = |error: ZipError| (format!("number {index}"), error);
        let entry = archive.by_index_data(index).map_err(number);
        let entry = entry.map_err(|(member, error)| writer.error(&member, error))?;
        // Archivers of Apple write UTF-8 and do not say so; the crate would take it for CP437.
        let name = match std::str::from_utf8(entry.name_raw()) {
            Ok(name) => name.to_owned(),
            Err(_) => match entry.name().map_err(number) {
                Ok(name) => name.into_owned(),
                Err((member, error)) => return Err(writer.error(&member, error)),
            },
        };
        if name.ends_with(['/', '\\']) {
            writer.folder(&name)?;
            continue;
        }
        let (is_symlink, size) = (entry.is_symlink(), entry.size());
        let obstacle = obstacle(entry.encrypted(), entry.compression());
        let member = match obstacle {
            Some(obstacle) => Err(obstacle),
            None => archive.by_index(index).map_err(|error| error.to_string()),
        };
        match member {
            Ok(member) if is_symlink => {
                let mut target = Vec::new();
                let read = member.take(MAX_NAME_BYTES).read_to_end(&mut target);
                read.map_err(|error| writer.error(&name, error))?;
                let target = text(&target);
                writer.link(&name, |name| beside(name, &target))?;
            }
            Ok(mut member) => writer.file(&name, Ok((size, &mut member)))?,
            Err(obstacle) => writer.file(&name, Err(obstacle))?,
        }
    }
    Ok(())
}

/// Why a member cannot be read, where its header says so.
fn obstacle(encrypted: bool, method: CompressionMethod) -> Option<String> {
    if encrypted {
        return Some("expected no encryption, found an encrypted member".to_owned());
    }
    let known = matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated);
    (!known).then(|| format!("expected stored or deflated members, found {method}"))
}
