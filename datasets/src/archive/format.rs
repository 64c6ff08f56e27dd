//! What a file is, by its first bytes: names of downloads are often wrong.

use vdvae_io::recognise;

use crate::names::begins_as_picture;

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
pub(super) fn format(start: &[u8]) -> Result<Format, &'static str> {
    match start {
        [0x1f, 0x8b, ..] => Ok(Format::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Ok(Format::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Format::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Format::Zstd),
        // The second starts an empty archive, the third one of several volumes.
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Ok(Format::Zip),
        _ if start.get(257..262) == Some(b"ustar") => Ok(Format::Tar),
        _ if begins_as_picture(start) => Err("a picture; give the folder that it is in"),
        _ => recognise(start).map_or(Ok(Format::Tar), Err),
    }
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
            (b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>", "a server's error"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
            (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
            (b"Rar!\x1a\x07\x01\0", "a rar archive"),
            (b"{\"message\": \"Not Found\"}", "JSON text"),
            (b"\xff\xd8\xff\xe0", "a picture"),
        ] {
            let found = format(start).unwrap_err();
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
