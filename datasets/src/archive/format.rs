//! What a file is, by its first bytes: names of downloads are often wrong.

/// Formats of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Zip,
    Tar,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// The format of an archive that starts so; anything unknown may be an old tar.
///
/// # Errors
/// What the file is instead, where that is well known.
pub(super) fn format(start: &[u8]) -> Result<Format, String> {
    match start {
        [0x1f, 0x8b, ..] => Ok(Format::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Ok(Format::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Format::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Format::Zstd),
        // The second starts an empty archive, the third one of several volumes.
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Ok(Format::Zip),
        _ if start.get(257..262) == Some(b"ustar") => Ok(Format::Tar),
        _ => match something_else(start) {
            Some(found) => Err(format!("expected a zip or tar archive, found {found}")),
            None => Ok(Format::Tar),
        },
    }
}

fn something_else(start: &[u8]) -> Option<String> {
    let known: [(&[u8], &str); 12] = [
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
        (b"Rar!\x1a\x07", "a rar archive: unpack it"),
        (b"\x04\x22\x4d\x18", "lz4: unpack it"),
        (b"\x1f\x9d", "a file of `compress` (.Z): unpack it"),
        (b"LZIP", "lzip: unpack it"),
        (b"MSCF", "a cabinet: unpack it"),
        (b"\x93NUMPY", "a numpy array"),
        (b"PAR1", "a Parquet file"),
        (b"%PDF", "a PDF file"),
        (b"\xff\xd8\xff", "a JPEG picture: give the folder that it is in"),
        (b"\x89PNG", "a PNG picture: give the folder that it is in"),
        (b"\x89HDF", "an HDF5 file"),
    ];
    if start.is_empty() {
        return Some("an empty file".to_owned());
    }
    let known = known.iter().find(|(magic, _)| start.starts_with(magic));
    known.map(|(_, what)| (*what).to_owned()).or_else(|| text(&String::from_utf8_lossy(start)))
}

/// Texts that come in place of a download.
fn text(start: &str) -> Option<String> {
    let start = start.trim_start_matches('\u{feff}').trim_start();
    let lower = start.to_ascii_lowercase();
    let begins = |text: &&str| lower.starts_with(text);
    let what = if ["<!doctype html", "<html", "<head", "<body", "<script"].iter().any(begins) {
        "an HTML page: the download failed".to_owned()
    } else if ["<?xml", "<error"].iter().any(begins) {
        let code = start.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        let code = code.map(|(code, _)| code).filter(|code| {
            code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        format!("XML as servers send for an error{code}: the download failed")
    } else if begins(&"version https://git-lfs.github.com/spec/") {
        "a Git LFS pointer: `git lfs pull` fetches what it stands for".to_owned()
    } else if start.starts_with(['{', '[']) {
        "JSON text: the download failed".to_owned()
    } else {
        return None;
    };
    Some(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_tell_the_format() {
        let mut ustar = [0; 512];
        ustar[..6].copy_from_slice(b"{a.png");
        ustar[257..262].copy_from_slice(b"ustar");
        for (start, expected) in [
            (&b"PK\x03\x04..."[..], Format::Zip),
            (b"\x1f\x8b\x08", Format::Gzip),
            (b"BZh91AY", Format::Bzip2),
            (b"\xfd7zXZ\0", Format::Xz),
            (b"\x28\xb5\x2f\xfd", Format::Zstd),
            (&ustar, Format::Tar),
            (b"a/b.png\0\0", Format::Tar),
        ] {
            assert_eq!(format(start), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_archive_is_named() {
        for (start, expected) in [
            (&b""[..], "an empty file"),
            (b"\n<!DOCTYPE HTML><title>Quota", "an HTML page"),
            (b"\xef\xbb\xbf<html>", "an HTML page"),
            (b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>", "error (AccessDenied)"),
            (b"<Error><Code>No\nSuch</Code>", "for an error: "),
            (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
            (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
            (b"Rar!\x1a\x07\x01\0", "a rar archive"),
            (b"{\"message\": \"Not Found\"}", "JSON text"),
            (b"\x93NUMPY\x01", "a numpy array"),
            (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        ] {
            let found = format(start).unwrap_err();
            assert!(found.contains(expected) && !found.contains('\n'), "{found}");
        }
    }
}
